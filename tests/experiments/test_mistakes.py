"""The user's mistakes at the command line: exit code 2, one sentence that helps, no traceback, nothing half-written."""

import json
from pathlib import Path

import harness
import pytest
from conftest import Preloaded

pytestmark = pytest.mark.filterwarnings("ignore")

MENU = "attention, conv, conv1, conv3, conv5, none, nonlocal"


def refused(preloaded: Preloaded, outputs: Path, *arguments: str, cwd: Path = harness.ROOT) -> str:
    """Returns the sentence that refuses a command before anything is written."""
    command = preloaded.run(*arguments, f"output_dir={outputs}", cwd=cwd, fake_training=True)
    errors = [line for line in command.stderr.splitlines() if line.startswith("error: ")]
    assert command.code == 2, command.stdout + command.stderr
    assert len(errors) == 1, command.stderr
    assert "Traceback" not in command.stdout + command.stderr
    assert not (outputs / "trials").exists()
    assert not (outputs / "mlflow.db").exists()
    return errors[0].removeprefix("error: ")


TYPED = {
    "wrong option": (["pre=conv9"], ["pre", "conv9", "did you mean conv", MENU]),
    "wrong option in a list": (["-m", "pre=conv5,conv9"], ["pre", "conv9", MENU]),
    "wrong option of a profile": (["profile=cocoo"], ["profile", "did you mean coco?", "coco, demo"]),
    "wrong group": (["pres=conv5"], ["pres", "did you mean pre?", "aggregation, pre, post, architecture"]),
    "wrong key": (["schedule.epoch=3"], ["schedule", "epoch", "did you mean epochs?", "batch_size"]),
    "wrong key of a recipe": (["recipe.pre_share=false"], ["recipe", "pre_share", "did you mean pre_shared?"]),
    "key that the option does not have": (["pre.kernel_size=3"], ["pre", "kernel_size", "name, type"]),
    "key that nothing reads": (["+patience=3"], ["patience", "pre, post, schedule.optimizer"]),
    "group taken away": (["~pre"], ["pre"]),
    "key taken away": (["~seed"], ["seed"]),
    "no name for none": (["pre=null"], ["pre", MENU]),
    "number for a name": (["schedule=3"], ["schedule", "1x, demo"]),
    "even kernel": (["pre=conv", "pre.kernel_size=4"], ["kernel_size=4", "odd", "1, 3, 5"]),
    "argument of no module": (["+pre.ratio=2"], ["pre.ratio"]),
    "argument that a module does not take": (["pre=conv3", "+pre.bias=false"], ["pre=conv3", "bias"]),
    "module per level where one level is pooled": (
        ["aggregation=single", "recipe.pre_shared=false", "pre=conv3"],
        ["pre_shared=false does not apply"],
    ),
    "too many heads": (["post=attention", "post.num_heads=99"], ["num_heads=99", "32"]),
    "wrong activation": (["recipe.level_activation=gelu"], ["gelu", "relu, none"]),
    "word for a number": (["seed=abc"], ["seed=abc", "whole number", "0 or more"]),
    "negative seed": (["seed=-1"], ["seed=-1", "0 or more"]),
    "seed that NumPy refuses": (["seed=5000000000"], ["seed=5000000000", "4294967295"]),
    "fraction of an epoch": (["schedule.epochs=1.5"], ["schedule.epochs=1.5", "1 or more"]),
    "no epoch": (["schedule.epochs=0"], ["schedule.epochs=0", "1 or more"]),
    "number for a list": (["schedule.milestones=8"], ["schedule.milestones=8"]),
    "number for a size": (["profile.image_scale=96"], ["profile.image_scale=96"]),
    "wrong optimizer": (
        ["schedule.optimizer.type=Adamm"],
        ["schedule.optimizer.type", "Adamm", "did you mean Adam", "SGD"],
    ),
    "name for an optimizer": (["schedule.optimizer=SGD"], ["schedule.optimizer=SGD"]),
    "batch that cannot be shared": (["resources.processes=3"], ["resources.processes=3", "batch_size=4", "1, 2, 4"]),
    "processes in words": (["resources.processes=two"], ["resources.processes=two", "whole number", "auto"]),
    "images too small": (["dataset.image_size=10"], ["dataset.image_size=10", "96"]),
    "no images": (["dataset.train_images=0"], ["dataset.train_images=0", "1"]),
    "kind of data": (["dataset.kind=voc"], ["voc", "shapes, coco"]),
    "undeclared sweep": (["-m", "sweep=tabel1"], ["sweep", "tabel1", "did you mean table1?", "table2, table3"]),
    "mistake beside a declared sweep": (["-m", "sweep=table1", "seed=abc"], ["seed=abc"]),
    "half a list": (["pre=[conv5"], ["[conv5"]),
    "no value": (["pre"], ["pre"]),
}


@pytest.mark.parametrize("mistake", TYPED)
def test_mistyped_command_is_answered(preloaded: Preloaded, tmp_path: Path, mistake: str) -> None:
    arguments, expected = TYPED[mistake]
    sentence = refused(preloaded, tmp_path, *arguments)
    assert [part for part in expected if part not in sentence] == [], sentence
    assert len(sentence) < 400


def test_answer_is_the_same_from_a_fresh_python(tmp_path: Path) -> None:
    """As all commands above, but without the tests' head start."""
    done = harness.run("run.py", "pre=conv9", f"output_dir={tmp_path}")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"error: pre: option 'conv9' is unknown (did you mean conv?); choose one of: {MENU}\n"
    assert list(tmp_path.iterdir()) == []


def test_list_without_m_is_a_sweep_all_the_same(preloaded: Preloaded, tmp_path: Path) -> None:
    """Not `conv5,conv3` as one name; the last argument keeps it from running."""
    sentence = refused(preloaded, tmp_path, "pre=conv5,conv3", "seed=abc")
    assert sentence.startswith("seed=abc")


def test_coco_that_is_not_there(preloaded: Preloaded, tmp_path: Path) -> None:
    """What is missing, where it was sought, and what needs none."""
    root, outputs = tmp_path / "nowhere", tmp_path / "outputs"
    sentence = refused(preloaded, outputs, "profile=coco", f"dataset.root={root}")
    for missing in (
        "annotations/instances_train2017.json",
        "train2017",
        "annotations/instances_val2017.json",
        "val2017",
    ):
        assert str(root / missing) in sentence
    assert f"dataset.root={root}" in sentence
    assert "profile=demo" in sentence
    assert not outputs.exists()


def test_coco_sought_in_a_relative_folder(preloaded: Preloaded, tmp_path: Path) -> None:
    sentence = refused(preloaded, tmp_path / "outputs", "profile=coco", "dataset.root=mydata", cwd=tmp_path)
    assert str(tmp_path / "mydata" / "train2017") in sentence


def test_coco_nowhere_in_particular(preloaded: Preloaded, tmp_path: Path) -> None:
    assert "dataset.root" in refused(preloaded, tmp_path / "outputs", "dataset=coco", "dataset.root=null")


GOOD = {"images": [], "annotations": [], "categories": harness.categories("cat")}
UNREADABLE = {
    "no JSON": "this is no JSON",
    "JSON of something else": "[1, 2]",
    "no categories": json.dumps({"images": [], "annotations": []}),
    "no images": json.dumps(GOOD),
}


@pytest.mark.parametrize("content", UNREADABLE)
def test_annotation_file_that_cannot_be_used(preloaded: Preloaded, tmp_path: Path, content: str) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "bad.json").write_text(UNREADABLE[content])
    arguments = own_data(tmp_path, "bad.json", "bad.json", "images")
    assert "bad.json" in refused(preloaded, tmp_path / "outputs", *arguments)


def own_data(root: Path, train: str, val: str, images: str) -> list[str]:
    """Returns what to type for data of one's own."""
    files = [f"dataset.train.annotations={train}", f"dataset.val.annotations={val}"]
    return [
        "dataset=coco",
        f"dataset.root={root}",
        *files,
        f"dataset.train.images={images}",
        f"dataset.val.images={images}",
    ]


def test_annotation_file_that_is_a_folder(preloaded: Preloaded, tmp_path: Path) -> None:
    assert str(tmp_path) in refused(preloaded, tmp_path / "outputs", *own_data(tmp_path, ".", ".", "."))


def test_splits_of_different_classes(preloaded: Preloaded, tmp_path: Path) -> None:
    """Else a detector of the one is judged by the classes of the other."""
    (tmp_path / "images").mkdir()
    image = [{"id": 1, "file_name": "a.jpg", "width": 9, "height": 9}]
    harness.annotation_file(tmp_path / "train.json", harness.categories("cat", "dog"), images=image)
    harness.annotation_file(tmp_path / "val.json", harness.categories("cat", "cow"), images=image)
    arguments = own_data(tmp_path, "train.json", "val.json", "images")
    assert "val.json" in refused(preloaded, tmp_path / "outputs", *arguments)


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("http://127.0.0.1:9", "http://127.0.0.1:9"),
        ("sqlite:////proc/none/mlflow.db", "/proc/none"),
        ("nonsense://x", "nonsense"),
    ],
)
def test_store_that_does_not_answer(preloaded: Preloaded, tmp_path: Path, uri: str, expected: str) -> None:
    sentence = refused(preloaded, tmp_path, *harness.TINY, f"tracking.uri={uri}")
    assert expected in sentence
    assert "tracking=sqlite" in sentence


def test_output_folder_that_cannot_be_written(preloaded: Preloaded, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    outputs = tmp_path / "file" / "outputs"
    assert str(outputs) in refused(preloaded, outputs, *harness.TINY)
