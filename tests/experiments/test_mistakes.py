"""What users get wrong: one sentence that lists what is valid, exit code 2, and nothing left behind."""

import re
from pathlib import Path

import pytest
from conftest import Preloaded

MISTAKES = {
    "pre=conv9": r"pre: option 'conv9' is unknown .*choose one of: attention, conv, conv1, conv3, conv5, none, nonlocal",
    "pre.kernl_size=3": r"pre: key 'kernl_size' is unknown.*choose one of: name, type",
    "pree=conv5": r"key 'pree' is unknown \(did you mean pre\?\); choose one of: aggregation, pre, post",
    "recipe.pre_share=false": r"recipe: key 'pre_share' is unknown \(did you mean pre_shared\?\)",
    "pre=conv pre.kernel_size=4": r"pre=conv4 .*kernel_size=4 is not an odd positive integer; choose 1, 3, 5, 7",
    "pre=attention pre.num_heads=99": r"num_heads=99 does not fit 32 channels; choose 1 to 32",
    "pre=conv3 +pre.bias=false": r"pre=conv3 .*unexpected keyword argument 'bias'",
    "aggregation=single recipe.pre_shared=false pre=conv3": r"pre_shared=false does not apply",
    "+x=1": r"\+x=1 adds a key that nothing reads; keys may be added below aggregation, pre, post",
    "seed=abc": r"seed=abc is refused; give a whole number, 0 or more",
    "schedule.epochs=0": r"schedule.epochs=0 is refused; give a whole number, 1 or more",
    "resources.processes=3": r"resources.processes=3 does not divide schedule.batch_size=4; choose one of 1, 2, 4",
    "sweep=tabel1": r"sweep 'tabel1' is unknown \(did you mean table1\?\); choose one of: fidelity, paper, table1",
    "pre=[conv": r"no viable alternative at input '\[conv'",
    "dataset.train_images=0": r"dataset.train_images=0 ",
    "profile=coco": r"instances_train2017.json.* not found \(dataset.root=.*sought from .*profile=demo, which draws",
}


@pytest.mark.parametrize("arguments", MISTAKES)
def test_mistake_is_one_sentence(preloaded: Preloaded, tmp_path: Path, arguments: str) -> None:
    done = preloaded.run(*arguments.split(), f"output_dir={tmp_path / 'outputs'}")
    assert done.code == 2, done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert re.search(MISTAKES[arguments], line), line
    assert "Traceback" not in done.stderr + done.stdout
    assert not (tmp_path / "outputs" / "trials").exists()
    assert not (tmp_path / "outputs" / "mlflow.db").exists()


def test_annotations_that_are_no_coco_file(preloaded: Preloaded, tmp_path: Path) -> None:
    """The file is named, with what it should be."""
    images = tmp_path / "images"
    images.mkdir()
    (tmp_path / "broken.json").write_text("{")
    keys = [
        f"dataset.{split}.{key}" for split in ("train", "val") for key in ("annotations=broken.json", "images=images")
    ]
    outputs = tmp_path / "outputs"
    done = preloaded.run("dataset=coco", f"dataset.root={tmp_path}", *keys, f"output_dir={outputs}")
    assert done.code == 2, done.stderr
    assert re.search(r"error: .*broken\.json is no annotation file in COCO's format", done.stderr), done.stderr
    assert "Traceback" not in done.stderr
    assert not (outputs / "trials").exists()
