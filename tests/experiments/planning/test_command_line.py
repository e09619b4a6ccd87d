"""What may be typed in more than one way, and links of conf/ that were not unpacked."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from experiments.factors import GROUPS
from experiments.planning import checks, refusals
from tests.support import harness
from tests.support.running import Preloaded

pytestmark = pytest.mark.filterwarnings("ignore")


def planned(preloaded: Preloaded, folder: Path, *arguments: str, **variables: str) -> list[str]:
    """Returns the trials of a dry run, by their ids."""
    words = (*arguments, "dry_run=true", f"output_dir={folder / 'outputs'}")
    command = preloaded.run(*words, environment=variables)
    assert (command.code, command.stderr) == (0, "")
    plan = json.loads(Path(command.stdout.splitlines()[-1]).read_text())
    return [trial["id"] for trial in plan["trials"]]


def test_text_that_is_a_number_is_one(preloaded: Preloaded, tmp_path: Path) -> None:
    """As a variable of the environment always is, and what stands in quotes: the trial is that of the number."""
    typed = {"schedule.optimizer.lr": "0.01", "schedule.epochs": "3", "+schedule.optimizer.eps": "1e-6", "seed": "2"}
    typed |= {"extractor.checkpoint": "true", "resources.gpus": "0"}
    plain = planned(preloaded, tmp_path, *(f"{key}={value}" for key, value in typed.items()))
    assert len(plain) == 1
    assert planned(preloaded, tmp_path, *(f'{key}="{value}"' for key, value in typed.items())) == plain
    taken = [f"{key}=${{oc.env:V{place}}}" for place, key in enumerate(typed)]
    variables = {f"V{place}": value for place, value in enumerate(typed.values())}
    assert planned(preloaded, tmp_path, *taken, **variables) == plain


@pytest.mark.parametrize(
    "words",
    [
        ["pre=conv", "pre.type=parts.Halved", "pre.name=half"],
        ["schedule.optimizer.type=parts.Descent"],
        ["schedule.optimizer.type=torch.optim.SGD"],
        ["+profile.model.backbone.type=mmdet.ResNet"],
        ["+profile.model.backbone.type=mmdet.models.backbones.resnet.ResNet"],
        ["+profile.model.test_cfg.rcnn.nms.type=soft_nms"],
    ],
    ids=" ".join,
)
def test_classes_may_be_named_in_full(preloaded: Preloaded, tmp_path: Path, words: list[str]) -> None:
    """Those of a user's own too, where they are modules and optimizers; what is neither is in bad_values.py."""
    assert len(planned(preloaded, tmp_path, *words, MARKS=str(tmp_path))) == 1
    assert not (tmp_path / "called").exists()


def test_flags_may_stand_anywhere(preloaded: Preloaded, tmp_path: Path) -> None:
    """Hydra's parser would take no override behind a flag that follows one."""
    places = (
        ["-m", "pre=conv1,none", "seed=1"],
        ["pre=conv1,none", "-m", "seed=1"],
        ["pre=conv1,none", "seed=1", "-m"],
    )
    found = [planned(preloaded, tmp_path, *words) for words in places]
    assert len(found[0]) == 2
    assert found[0] == found[1] == found[2]


def test_links_that_were_not_unpacked_are_told_with_the_remedy(tmp_path: Path) -> None:
    """As by git without links, which leaves a file of the link's text; the command that is named mends it."""
    ignored = shutil.ignore_patterns("__pycache__", "outputs", "tests", "results", "docs", ".git", ".venv")
    project = Path(shutil.copytree(harness.ROOT, tmp_path / "the project", symlinks=True, ignore=ignored))
    link = project / "conf" / "post"
    link.unlink()
    link.write_text("pre")
    done = harness.run(str(project / "run.py"), "--cfg", "job", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error: {link} is not a folder")
    command = done.stderr.split("`")[1]
    subprocess.run(["sh", "-c", command], cwd=tmp_path, check=True)
    assert (link / "conv5.yaml").is_file()
    done = harness.run(str(project / "run.py"), "--cfg", "job", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["the project"]


def test_every_number_of_the_options_has_limits() -> None:
    """Else one could be endless, or more than any machine can do, and no one would say so."""
    assert set(harness.options()) == set(GROUPS)
    for group, options in harness.options().items():
        for option in options:
            paths = list(numbers(harness.composed(f"{group}={option}")))
            assert {"seed", "schedule.epochs"} <= set(paths)
            schemas = {path: refusals.schema_of(path, harness.composed(f"{group}={option}")) for path in paths}
            endless = {
                path for path, schema in schemas.items() if not path.startswith(checks.OPEN) and not limits(schema)
            }
            assert endless == set()


def limits(schema: dict[str, Any]) -> bool:
    """Whether each number that a schema takes has a least and a largest value."""
    parts = [schema.get("items", one) for one in schema.get("anyOf", [schema])]
    found = [one for one in parts if one.get("type") in ("integer", "number")]
    least, most = ({"minimum", "exclusiveMinimum"}, {"maximum", "exclusiveMaximum"})
    return bool(found) and all(least & one.keys() and most & one.keys() for one in found)


def numbers(node: object, path: str = "") -> list[str]:
    """Returns the keys whose value is a number or a list with one."""
    if isinstance(node, dict):
        return [found for key, value in node.items() for found in numbers(value, f"{path}.{key}" if path else key)]
    items = node if isinstance(node, list) else [node]
    return [path] if any(isinstance(item, int | float) and not isinstance(item, bool) for item in items) else []
