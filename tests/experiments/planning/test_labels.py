"""What a variant is called follows from its configuration: not from what was typed, and enough to type it again."""

import json
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.declared import key_of, words
from experiments.errors import UserError
from experiments.factors import FACTORS
from experiments.planning import labels as labels_module
from experiments.planning.compose import Composer
from experiments.planning.identity import is_about_the_work, variant_of
from experiments.planning.labels import Labels, shown
from tests.experiments.planning.test_plan import random_overrides
from tests.support import harness

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def composer() -> Iterator[Composer]:
    with initialize_config_dir(str(harness.ROOT / "conf"), version_base="1.3"):
        yield Composer(lambda overrides: compose("config", overrides))


@pytest.fixture(scope="module")
def labels(composer: Composer) -> Labels:
    return Labels(composer)


# Each text, and ways to type the variant that it names.
TEXTS = {
    "faster_rcnn sum": [
        "",
        "aggregation=sum pre=none architecture=faster_rcnn recipe=paper dataset=shapes schedule=demo profile=demo",
        "recipe.pre_shared=true",
        "schedule.optimizer.lr=1e-3",
        "schedule.optimizer.lr=0.00100",
        "++schedule.optimizer.weight_decay=1e-04",
        "profile.image_scale=[160, 160] schedule.milestones=[3]",
        "seed=7 output_dir=/x resources.gpus=0 rerun=true tracking.experiment=mine extractor.checkpoint=true",
        "schedule=finetune schedule.name=demo schedule.epochs=4 schedule.optimizer.lr=0.001 schedule.warmup_iters=30 "
        "schedule.milestones=[3]",
    ],
    "faster_rcnn sum pre=conv5": ["pre=conv5", "pre=conv pre.kernel_size=5", "pre=conv1 pre.kernel_size=5"],
    "faster_rcnn sum pre=conv7": ["pre=conv pre.kernel_size=7", "pre=conv3 pre.kernel_size=7"],
    "mask_rcnn single post=attention": ["post=attention aggregation=single architecture=mask_rcnn post.num_heads=6"],
    "faster_rcnn sum recipe.pre_shared=false": ["recipe.pre_shared=false"],
    "faster_rcnn sum +aggregation.pre_shared=false": ["+aggregation.pre_shared=false"],
    "faster_rcnn sum recipe.grad_clip=null": [
        "recipe.grad_clip=null",
        "recipe.grad_clip=null architecture.grad_clip=null",
    ],
    "faster_rcnn random": ["aggregation=random", "aggregation=random seed=3"],
    "faster_rcnn random +aggregation.seed=5": ["aggregation=random +aggregation.seed=5"],
    "faster_rcnn sum recipe=upstream": ["recipe=upstream", "recipe=upstream recipe.roi_align=aligned"],
    "faster_rcnn sum schedule=finetune": ["schedule=finetune", "schedule.epochs=2 schedule=finetune"],
    "faster_rcnn sum profile=coco": ["profile=coco", "profile=coco dataset=coco schedule=1x dataset.root=/data"],
    "faster_rcnn sum dataset=shapes schedule=demo profile=coco": ["profile=coco schedule=demo dataset=shapes"],
    "faster_rcnn sum dataset=coco dataset.name=mine": ["dataset.name=mine dataset=coco dataset.root=/data/mine"],
    "faster_rcnn sum profile=coco dataset.name=mine": ["profile=coco dataset.name=mine dataset.root=/mine"],
    "gcnet sum architecture.grad_clip=3": ["architecture=gcnet architecture.grad_clip=3"],
    "faster_rcnn sum schedule.optimizer.lr=0.0001 profile.image_scale=[96,96]": [
        "profile.image_scale=[96,96] schedule.optimizer.lr=1e-4",
        "schedule.optimizer.lr=1E-4 profile.image_scale=[ 96,96 ] schedule.milestones=[3]",
    ],
    "faster_rcnn sum +profile.model.extra.a=[1,2.5,x] +profile.model.extra.b.c=null": [
        "+profile.model.extra={b:{c:null},a:[1,2.5,x]}",
        "++profile.model.extra.a=[1,2.5,'x'] +profile.model.extra.b.c=null",
    ],
    "faster_rcnn sum +profile.model.word='no number: 5'": ["+profile.model.word='no number: 5'"],
    "faster_rcnn sum +profile.model.word=5 +profile.model.zero={}": ["+profile.model.word='5' +profile.model.zero={}"],
    "faster_rcnn mine aggregation=concat aggregation.name=mine": ["aggregation=concat aggregation.name=mine"],
    "faster_rcnn sum pre=conv1 pre.name=mine": ["pre=conv1 pre.name=mine"],
}
TYPED = [(text, typed) for text, ways in TEXTS.items() for typed in ways]


def split(typed: str) -> list[str]:
    """Returns overrides, which may hold spaces within brackets and quotes."""
    found: list[str] = []
    for word in words(typed):
        if found and "[" in found[-1] and "]" not in found[-1]:
            found[-1] += f" {word}"
        else:
            found.append(word)
    return found


@pytest.mark.parametrize(("text", "typed"), TYPED, ids=[typed for _, typed in TYPED])
def test_text_follows_from_the_configuration(composer: Composer, labels: Labels, text: str, typed: str) -> None:
    config = composer(split(typed))
    assert Labels(composer)(config) == labels(config) == text


def test_broken_option_file_does_not_affect_other_options(
    composer: Composer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A file in the middle of an edit, where all options of a group are looked at."""
    shutil.copytree(harness.ROOT / "conf", tmp_path / "conf", symlinks=True)
    (tmp_path / "conf" / "pre" / "half.yaml").write_text("name: [")
    monkeypatch.setattr(labels_module, "CONF", tmp_path / "conf")
    read: list[str] = []

    class Reading(Composer):
        def content(self, options: tuple[str, ...]) -> dict[str, Any]:
            for group, _, name in (option.partition("=") for option in options):
                read.append(f"{group}={yaml.safe_load((tmp_path / 'conf' / group / f'{name}.yaml').read_text())}")
            return super().content(options)

    labels = Labels(Reading(composer.compose))
    assert labels(composer(["pre=conv", "pre.kernel_size=7"])) == "faster_rcnn sum pre=conv7"
    assert len(set(read)) == len(harness.options()["pre"])  # all but the half one


def test_ways_to_type_a_variant_are_one_variant(composer: Composer) -> None:
    """Else the table above would ask for one text for several."""
    ids = [{variant_of(composer(split(typed))) for typed in ways} for ways in TEXTS.values()]
    assert [len(of_text) for of_text in ids] == [1] * len(ids)
    assert len(set.union(*ids)) == len(ids)


def as_typed(text: str) -> list[str]:
    """Returns the overrides that a text says."""
    architecture, aggregation, *rest = words(text)
    found = [f"architecture={architecture}"]
    if not any(word.startswith("aggregation=") for word in rest):
        found.append(f"aggregation={aggregation}")
    for word in rest:
        place, _, name = word.partition("=")
        seven = place in ("pre", "post") and name == "conv7"
        found += [f"{place}=conv", f"{place}.kernel_size=7"] if seven else [word]
    return found


def leaves(node: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(node, dict) and node:
        for key, value in node.items():
            yield from leaves(value, f"{path}.{key}" if path else str(key))
    else:
        yield path, node


@pytest.mark.long
def test_text_is_the_same_however_a_variant_is_typed_and_gives_it_again(composer: Composer, labels: Labels) -> None:
    """Random command lines; then some of their own values, typed again in Hydra's words."""
    draws = random.Random(11)
    texts: dict[str, str] = {}
    for _ in range(40):
        overrides = random_overrides(draws)
        try:
            config = composer(overrides)
        except UserError:  # what cannot be a variant has no text
            continue
        text, variant = labels(config), variant_of(config)
        assert texts.setdefault(variant, text) == text
        assert variant_of(composer(as_typed(text))) == variant, text
        values = [(key, value) for key, value in leaves(config) if not is_about_the_work(key)]
        own = [(key, value) for key, value in values if key.partition(".")[0] in FACTORS and "name" not in key]
        more = [f"++{key}={shown(value)}" for key, value in draws.sample(own, 5) if value is not None and value != {}]
        typed = {key_of(item) for item in overrides}
        again = composer([*overrides, *(item for item in more if key_of(item) not in typed)])
        assert variant_of(again) == variant, more
        assert Labels(composer)(again) == text, more
    assert len(texts) > 20


TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0\r\n$"), max_size=8)
KEYS = st.from_regex(r"[a-z][a-z0-9_]{0,5}", fullmatch=True)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=150, deadline=None)
@given(VALUES)
def test_values_are_shown_as_hydra_reads_them(value: Any) -> None:
    typed = OverridesParser.create().parse_override(f"a={shown(value)}").value()
    assert json.dumps(typed, sort_keys=True, default=str) == json.dumps(value, sort_keys=True)


def test_words_of_a_text_are_kept_whole() -> None:
    assert words(r"faster_rcnn sum a='x y' b='it\'s so' c=[1,'p q'] d='tail\\' e=f") == [
        "faster_rcnn", "sum", "a='x y'", r"b='it\'s so'", "c=[1,'p q']", r"d='tail\\'", "e=f"
    ]  # fmt: skip
    assert words("old text's own quote") == ["old", "text's", "own", "quote"]
