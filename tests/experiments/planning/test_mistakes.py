"""The user's mistakes at the command line: exit code 2, one sentence that helps, no traceback, nothing half-written."""

from pathlib import Path

import pytest

from experiments import commands
from tests.support import harness
from tests.support.mistakes import content, data, own_data, refusal, refused
from tests.support.running import Preloaded

pytestmark = pytest.mark.filterwarnings("ignore")

MENU = "attention, bottleneck, conv, conv1, conv3, conv5, eca, none, nonlocal, separable, stacked"


TYPED = {
    "wrong option": (["pre=conv9"], ["pre", "conv9", "did you mean conv", MENU]),
    "wrong option in a list": (["-m", "pre=conv5,conv9"], ["pre", "conv9", MENU]),
    "wrong option of a profile": (["profile=cocoo"], ["profile", "did you mean coco?", "coco, demo, mobilenet"]),
    "wrong group": (["pres=conv5"], ["pres", "did you mean pre?", "aggregation, pre, post, architecture"]),
    "wrong key": (["schedule.epoch=3"], ["schedule", "epoch", "did you mean epochs?", "batch_size"]),
    "wrong key of a recipe": (["recipe.pre_share=false"], ["recipe", "pre_share", "did you mean pre_shared?"]),
    "key that a recipe had once": (["recipe.aligned=true"], ["recipe", "aligned", "did you mean roi_align?", "boxes"]),
    "wrong rule": (["recipe.roi_align=v2"], ["recipe.roi_align", "v2", "v1, legacy, aligned"]),
    "switch for a rule": (["recipe.roi_align=true"], ["recipe.roi_align", "true", "v1, legacy, aligned"]),
    "argument that the recipe gives": (
        ["aggregation.level_activation=none"],
        ["level_activation", "name, type", "+aggregation.level_activation="],
    ),
    "argument that an aggregation does not take": (
        ["+aggregation.level_activaton=none"],
        ["aggregation=sum", "level_activaton", "did you mean level_activation?", "pre_shared, sampling_ratio"],
    ),
    "argument that only the builder gives": (["+aggregation.out_channels=3"], ["out_channels", "level_activation"]),
    "wrong aggregation class": (["aggregation.type=SumLevel"], ["SumLevel", "did you mean SumLevels?", "full name"]),
    "aggregation class that is nowhere": (["aggregation.type=groie.no.Sum"], ["groie.no.Sum", "No module named"]),
    "aggregation class that its module lacks": (
        ["aggregation.type=groie.extractor.Sum"],
        ["groie.extractor has no class Sum"],
    ),
    "aggregation that is no extractor": (["aggregation.type=Conv2d"], ["aggregation=sum", "Conv2d", "roi_layer"]),
    "key that the option does not have": (["pre.kernel_size=3"], ["pre", "kernel_size", "name, type"]),
    "key that nothing reads": (["+patience=3"], ["patience", "pre, post, schedule.optimizer"]),
    "key that nothing reads, by force": (["++schedule.epoch=3"], ["++schedule.epoch=3", "unknown key"]),
    "group taken away": (["~pre"], ["pre"]),
    "key taken away": (["~seed"], ["seed"]),
    "no name for none": (["pre=null"], ["pre", MENU]),
    "number for a name": (["schedule=3"], ["schedule", "1x, demo, finetune"]),
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
    "batch that cannot be shared": (
        ["resources.gpus=0", "resources.cpu_processes=3"],
        ["3 ranks", "batch_size=4", "1, 2, 4"],
    ),
    "no weights": (
        ["profile=mobilenet", "dataset=shapes"],
        ["profile.model.backbone.init_cfg.checkpoint=data/mobilenet_v2_imagenet.pth is not a file", "MobileNetV2"],
    ),
    "weights that are nowhere": (
        ["profile=mobilenet", "dataset=shapes", "profile.model.backbone.init_cfg.checkpoint=none.pth"],
        ["checkpoint=none.pth is not a file"],
    ),
    "password in an address": (
        ["tracking=server", "tracking.uri=http://ada:secret@127.0.0.1:5000"],
        ["tracking.uri holds a password", "MLFLOW_TRACKING_PASSWORD", "PGPASSWORD"],
    ),
    "no throughput": (["resources.gmacs_per_second=0"], ["resources.gmacs_per_second=0", "above 0"]),
    "GPUs in words": (["resources.gpus=two"], ["resources.gpus=two", "whole number", "auto"]),
    "images too small": (["dataset.image_size=10"], ["dataset.image_size=10", "96"]),
    "no images": (["dataset.train_images=0"], ["dataset.train_images=0", "1"]),
    "kind of data": (["dataset.kind=voc"], ["voc", "coco, shapes"]),
    "undeclared sweep": (["-m", "sweep=tabel1"], ["sweep", "tabel1", "did you mean table1?", "table2, table3"]),
    "mistake beside a declared sweep": (["-m", "sweep=table1", "seed=abc"], ["seed=abc"]),
    "half a list": (["pre=[conv5"], ["[conv5"]),
    "a list for one option": (["pre=[conv5,conv3]"], ["pre", "[conv5,conv3]", MENU]),
    "no name for none in a list": (["pre=conv3,null"], ["pre", "null", MENU]),
    "nothing for an option": (["pre="], ["pre", "nothing", MENU]),
    "null for a list": (["schedule.milestones=null"], ["schedule.milestones=null", "a list, each item a whole number"]),
    "null for settings": (["profile.model=null"], ["profile.model=null", "settings"]),
    "null for a number": (["profile.channels=null"], ["profile.channels=null", "a whole number"]),
    "fraction of an epoch in a list": (["schedule.milestones=[2.5]"], ["schedule.milestones=[2.5]", "1 or more"]),
    "learning rate of nothing": (["schedule.optimizer.lr=0"], ["schedule.optimizer.lr=0", "above 0"]),
    "negative learning rate": (["schedule.optimizer.lr=-0.1"], ["schedule.optimizer.lr=-0.1", "above 0"]),
    "endless learning rate": (["schedule.optimizer.lr=.inf"], ["schedule.optimizer.lr", "above 0"]),
    "negative weight decay": (["schedule.optimizer.weight_decay=-1"], ["weight_decay=-1", "Invalid weight_decay"]),
    "negative clip": (["architecture.grad_clip=-3"], ["architecture.grad_clip=-3", "above 0"]),
    "negative clip of a recipe": (["recipe.grad_clip=-3"], ["recipe.grad_clip=-3", "above 0"]),
    "warm-up from above": (["recipe.warmup_ratio=3"], ["recipe.warmup_ratio=3", "at most 1"]),
    "negative proposals": (["recipe.proposals=-5"], ["recipe.proposals=-5", "1 or more"]),
    "negative share of proposals": (["profile.proposals=-1"], ["profile.proposals=-1", "above 0"]),
    "negative samples": (["recipe.sampling_ratio=-2"], ["recipe.sampling_ratio=-2", "0 or more"]),
    "one side of an image": (["profile.image_scale=[96]"], ["profile.image_scale=[96]", "width and height"]),
    "no side of an image": (["profile.image_scale=[96,0]"], ["profile.image_scale=[96,0]", "32 or more"]),
    "no box metric": (["architecture.iou_types=[segm]"], ["architecture.iou_types=[segm]", "[bbox,segm]"]),
    "masks of a detector of boxes": (["architecture.iou_types=[bbox,segm]"], ["faster_rcnn", "no masks"]),
    "name with a slash": (["pre=conv3", "pre.name=a/b"], ["pre.name=a/b", "letters, digits"]),
    "name that is a folder": (["pre=conv3", "pre.name=.."], ["pre.name=..", "letters, digits"]),
    "path for a sweep": (["-m", "sweep=../x"], ["sweep", "../x", "table1"]),
    "no cell": (
        ["architecture.extractors.bbox_roi_extractor.output_size=0"],
        ["architecture.extractors.bbox_roi_extractor.output_size=0", "1 or more"],
    ),
    "cells that the head does not take": (
        ["architecture.extractors.bbox_roi_extractor.output_size=8"],
        ["bbox_roi_extractor.output_size=8", "Shared2FCBBoxHead", "7 cells"],
    ),
    "no such ResNet": (["profile.model.backbone.depth=19"], ["faster_rcnn", "demo", "invalid depth 19"]),
    "neck of another backbone": (["profile.model.backbone.depth=50"], ["faster_rcnn", "demo", "cannot be run"]),
    "no config of MMDetection's": (["architecture.base=nonsense"], ["architecture.base=nonsense", "two-stage"]),
    "detector of one stage": (
        ["architecture.base=retinanet/retinanet_r50_fpn_1x_coco.py"],
        ["architecture.base=retinanet", "two-stage", "roi_head"],
    ),
    "argument that an optimizer does not take": (["+schedule.optimizer.foo=1"], ["foo=1", "AdamW", "argument 'foo'"]),
    "optimizer that cannot train a detector": (
        ["schedule.optimizer.type=Muon"],
        ["type=Muon", "2D parameters"],
    ),
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
        assert missing in sentence
    assert f"dataset.root={root}, which does not exist" in sentence
    assert "profile=demo" in sentence
    assert not outputs.exists()


def test_coco_sought_in_a_relative_folder(preloaded: Preloaded, tmp_path: Path) -> None:
    sentence = refused(preloaded, tmp_path / "outputs", "profile=coco", "dataset.root=mydata", cwd=tmp_path)
    assert f"val2017 not found in dataset.root={tmp_path / 'mydata'}, which does not exist" in sentence


def test_coco_nowhere_in_particular(preloaded: Preloaded, tmp_path: Path) -> None:
    assert "dataset.root" in refused(preloaded, tmp_path / "outputs", "dataset=coco", "dataset.root=null")


def test_annotation_file_that_is_a_folder(preloaded: Preloaded, tmp_path: Path) -> None:
    assert str(tmp_path) in refused(preloaded, tmp_path / "outputs", *own_data(tmp_path, ".", ".", "."))


def test_splits_of_different_classes(preloaded: Preloaded, tmp_path: Path) -> None:
    """Else a detector of the one is judged by the classes of the other."""
    other = {**content(), "categories": harness.categories("cat", "cow")}
    sentence = refused(preloaded, tmp_path / "outputs", *data(tmp_path, content(), other))
    assert "val.json (cow, dog only in one of them)" in sentence


@pytest.mark.parametrize(
    ("uri", "remedy"),
    [
        ("http://127.0.0.1:9", "start it, or use tracking=sqlite"),
        ("postgresql+psycopg2://127.0.0.1:9/x", "install its driver"),
        ("sqlite:////proc/none/mlflow.db", "give sqlite:///PATH"),
    ],
)
def test_store_that_does_not_answer(preloaded: Preloaded, tmp_path: Path, uri: str, remedy: str) -> None:
    """Nothing is drawn before; what helps depends on what is wrong."""
    sentence = refused(preloaded, tmp_path / "outputs", *harness.TINY, f"tracking.uri={uri}", cwd=tmp_path)
    assert f"tracking.uri={uri} cannot be used" in sentence
    assert remedy in sentence
    assert list(tmp_path.iterdir()) == []


def test_command_that_would_go_round_the_plan(preloaded: Preloaded, tmp_path: Path) -> None:
    """Hydra's own ways to run would start a job without a trial."""
    for argument in ("hydra.mode=RUN", "++hydra.mode=RUN", "hydra/sweeper=basic"):
        sentence = refusal(preloaded, argument, cwd=tmp_path)
        assert argument.rpartition("=")[2] in sentence
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("launcher", "plugin", "extra"),
    [
        ("ray", "hydra_ray_launcher", "ray"),
        ("submitit_slurm", "hydra_submitit_launcher", "slurm"),
        ("submitit_local", "hydra_submitit_launcher", "slurm"),
    ],
)
def test_launcher_that_is_not_installed(tmp_path: Path, launcher: str, plugin: str, extra: str) -> None:
    hidden = f"import sys; sys.modules['hydra_plugins.{plugin}'] = None; import runpy"
    arguments = ["run.py", f"hydra/launcher={launcher}", f"output_dir={tmp_path}"]
    done = harness.run("-c", f"{hidden}; sys.argv = {arguments}; runpy.run_path('run.py', run_name='__main__')")
    sentence = f"error: hydra/launcher={launcher} needs a plugin that is not installed: {commands.installs(extra)}\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", sentence)
    assert list(tmp_path.iterdir()) == []


def test_unknown_launcher(preloaded: Preloaded, tmp_path: Path) -> None:
    assert "basic" in refused(preloaded, tmp_path, "hydra/launcher=basik")
