"""The user's mistakes at the command line: exit code 2, one sentence that helps, no traceback, nothing half-written."""

from pathlib import Path

import pytest

from experiments import commands
from tests.support import harness
from tests.support.mistakes import refused
from tests.support.running import Preloaded

pytestmark = pytest.mark.filterwarnings("ignore")

MENU = "attention, bottleneck, conv, conv1, conv3, conv5, eca, none, nonlocal, separable, stacked"


TYPED = {
    "wrong option in a list": (["-m", "pre=conv5,conv9"], ["pre", "conv9", MENU]),
    "wrong option of a profile": (["profile=cocoo"], ["profile", "did you mean coco?", "coco, demo, mobilenet"]),
    "wrong group": (["pres=conv5"], ["pres", "did you mean pre?", "aggregation, pre, post, architecture"]),
    "key that a recipe had once": (["recipe.aligned=true"], ["recipe", "aligned", "did you mean roi_align?", "boxes"]),
    "wrong rule": (["recipe.roi_align=v2"], ["recipe.roi_align", "v2", "v1, legacy, aligned"]),
    "switch for a rule": (["recipe.roi_align=true"], ["recipe.roi_align", "true", "v1, legacy, aligned"]),
    "argument that the recipe gives": (
        ["aggregation.level_activation=none"],
        ["level_activation", "name, type", "+aggregation.level_activation="],
    ),
    "wrong aggregation class": (["aggregation.type=SumLevel"], ["SumLevel", "did you mean SumLevels?", "full name"]),
    "aggregation class that its module lacks": (
        ["aggregation.type=groie.extractor.Sum"],
        ["groie.extractor has no class Sum"],
    ),
    "aggregation that is no extractor": (["aggregation.type=Conv2d"], ["aggregation=sum", "Conv2d", "roi_layer"]),
    "key that the option does not have": (["pre.kernel_size=3"], ["pre", "kernel_size", "name, type"]),
    "group taken away": (["~pre"], ["pre"]),
    "no name for none": (["pre=null"], ["pre", MENU]),
    "even kernel": (["pre=conv", "pre.kernel_size=4"], ["kernel_size=4", "odd", "1, 3, 5"]),
    "argument of no module": (["+pre.ratio=2"], ["pre.ratio"]),
    "argument that a module does not take": (["pre=conv3", "+pre.bias=false"], ["pre=conv3", "bias"]),
    "wrong activation": (["recipe.level_activation=gelu"], ["gelu", "relu, none"]),
    "seed that NumPy refuses": (["seed=5000000000"], ["seed=5000000000", "4294967295"]),
    "fraction of an epoch": (["schedule.epochs=1.5"], ["schedule.epochs=1.5", "1 or more"]),
    "number for a list": (["schedule.milestones=8"], ["schedule.milestones=8"]),
    "number for a size": (["profile.image_scale=96"], ["profile.image_scale=96"]),
    "wrong optimizer": (
        ["schedule.optimizer.type=Adamm"],
        ["schedule.optimizer.type", "Adamm", "did you mean Adam", "SGD"],
    ),
    "name for an optimizer": (["schedule.optimizer=SGD"], ["schedule.optimizer=SGD"]),
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
    "undeclared sweep": (["-m", "sweep=tabel1"], ["sweep", "tabel1", "did you mean table1?", "table2, table3"]),
    "mistake beside a declared sweep": (["-m", "sweep=table1", "seed=abc"], ["seed=abc"]),
    "null for a list": (["schedule.milestones=null"], ["schedule.milestones=null", "a list, each item a whole number"]),
    "fraction of an epoch in a list": (["schedule.milestones=[2.5]"], ["schedule.milestones=[2.5]", "1 or more"]),
    "learning rate of nothing": (["schedule.optimizer.lr=0"], ["schedule.optimizer.lr=0", "above 0"]),
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
    "optimizer that cannot train a detector": (["schedule.optimizer.type=Muon"], ["type=Muon", "2D parameters"]),
}


@pytest.mark.parametrize("mistake", TYPED)
def test_mistyped_command_is_refused(preloaded: Preloaded, tmp_path: Path, mistake: str) -> None:
    arguments, expected = TYPED[mistake]
    sentence = refused(preloaded, tmp_path, *arguments)
    assert [part for part in expected if part not in sentence] == [], sentence
    assert len(sentence) < 400


def test_refusal_is_the_same_from_a_fresh_python(tmp_path: Path) -> None:
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


def test_coco_in_a_relative_folder(preloaded: Preloaded, tmp_path: Path) -> None:
    sentence = refused(preloaded, tmp_path / "outputs", "profile=coco", "dataset.root=mydata", cwd=tmp_path)
    assert f"val2017 not found in dataset.root={tmp_path / 'mydata'}, which does not exist" in sentence


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
