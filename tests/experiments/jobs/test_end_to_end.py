"""One command line through all five stages: composed, planned, trained by MMDetection, recorded in MLflow, read."""

from pathlib import Path

import pytest
import torch
import yaml
from mlflow.entities import Run
from mmdet.evaluation import CocoMetric
from mmdet.registry import DATASETS, MODELS
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import DefaultScope
from mmengine.runner import load_checkpoint
from mmengine.utils import import_modules_from_strings
from pycocotools.coco import COCO

from experiments import names
from tests.support import coco_sets, harness
from tests.support.running import Preloaded, Swept

THREADS = torch.get_num_threads()  # as the trial has them: other tests may run with fewer, which changes last digits
pytestmark = pytest.mark.filterwarnings("ignore")  # third parties'; what is judged here is what a user gets


@pytest.fixture
def recorded(swept: Swept) -> list[Run]:
    """The runs of both trials: first without pre-processing, then with it."""
    return sorted(harness.runs(swept.outputs), key=lambda run: run.data.params["pre"], reverse=True)


def test_sweep_ends_well_and_says_how_to_read_it(swept: Swept) -> None:
    assert swept.done.returncode == 0, swept.done.stderr
    assert "2 rows, 2 unique trials, 2 to run" in swept.done.stdout
    assert "2 of 2 trials finished" in swept.done.stdout
    assert "python -m analysis table --sweep last" in swept.done.stdout
    assert "Traceback" not in swept.done.stdout + swept.done.stderr


def test_params_are_the_factors_and_the_seed(recorded: list[Run]) -> None:
    factors = {
        "aggregation": "sum",
        "post": "attention",
        "architecture": "faster_rcnn",
        "recipe": "paper",
        "dataset": "shapes",
        "schedule": "demo",
        "profile": "demo",
        "neck": "fpn",
        "box_loss": "recipe",
        "augmentation": "flip",
        "seed": "0",
    }
    assert {run.info.status for run in recorded} == {"FINISHED"}
    assert [run.data.params for run in recorded] == [
        {**factors, "pre": "none"},
        {**factors, "pre": "conv1", "pre.kernel_size": "1"},
    ]


def test_every_epoch_has_six_metrics_and_the_loss(recorded: list[Run], swept: Swept) -> None:
    wanted = {f"bbox/{metric}" for metric in ("AP", "AP50", "AP75", "APs", "APm", "APl")} | {"epoch/loss"}
    for run in recorded:
        history = harness.mlflow_metrics(swept.outputs, run)
        assert {(name, step) for name, step, _, _ in history if name in wanted} == {
            (name, step) for name in wanted for step in (1, 2)
        }
        assert all(0 < value < 100 for name, _, value, _ in history if name == "epoch/loss")


def test_mlflow_has_what_the_journal_has_to_the_last_bit(recorded: list[Run], swept: Swept) -> None:
    for run in recorded:
        history = harness.mlflow_metrics(swept.outputs, run)
        assert history == harness.journal_metrics(harness.trial_folder(swept.outputs, run))


def test_recorded_metrics_are_those_of_the_checkpoint(recorded: list[Run], swept: Swept) -> None:
    """detector.py and the last checkpoint, evaluated again, without any code of the harness's evaluation."""
    threads = torch.get_num_threads()
    torch.set_num_threads(THREADS)
    try:
        for run in recorded:
            folder = harness.trial_folder(swept.outputs, run)
            ours = {name: value for name, step, value, _ in harness.journal_metrics(folder) if step == 2}
            with DefaultScope.overwrite_default_scope("mmdet"):
                rounded, exact, count = evaluate_checkpoint(folder)
            assert count > 0
            for metric, value in exact.items():
                assert ours[f"bbox/{metric}"] == value
                assert rounded[f"bbox/{metric}"] == pytest.approx(value, abs=0.00051)
    finally:
        torch.set_num_threads(threads)
    assert exact["AP50"] > 0.001  # else all zeros would do


def evaluate_checkpoint(folder: Path) -> tuple[dict[str, float], dict[str, float], int]:
    """Returns a trial's box metrics by MMDetection's CocoMetric and by pycocotools, and how many boxes were found."""
    config = Config.fromfile(folder / "detector.py")
    import_modules_from_strings(**config.custom_imports)
    model = MODELS.build(config.model)
    load_checkpoint(model, str(folder / "work" / "epoch_2.pth"), map_location="cpu")
    model.eval()
    dataset = DATASETS.build(config.val_dataloader.dataset)
    truth = COCO(dataset.ann_file)
    metric = CocoMetric(ann_file=dataset.ann_file, metric="bbox", format_only=False)
    metric.dataset_meta = dataset.metainfo
    detections = []
    for item in dataset:
        batch = pseudo_collate([item])
        with torch.no_grad():
            (sample,) = model.test_step(batch)
        metric.process(batch, [sample.to_dict()])
        found = sample.pred_instances
        for (x1, y1, x2, y2), score, label in zip(
            found.bboxes.tolist(), found.scores.tolist(), found.labels.tolist(), strict=True
        ):
            category = truth.getCatIds(catNms=[dataset.metainfo["classes"][label]])[0]
            box = [x1, y1, x2 - x1, y2 - y1]
            detections.append({"image_id": sample.img_id, "category_id": category, "bbox": box, "score": score})
    theirs = metric.evaluate(size=len(dataset))
    evaluation = coco_sets.by_pycocotools(truth, detections, "bbox")
    spelled = zip(names.COCO_METRICS, ("mAP", "mAP_50", "mAP_75", "mAP_s", "mAP_m", "mAP_l"), strict=True)
    rounded = {f"bbox/{ours}": theirs[f"coco/bbox_{spelling}"] for ours, spelling in spelled}
    return rounded, dict(zip(names.COCO_METRICS, map(float, evaluation.stats[:6]), strict=True)), len(detections)


def test_artifacts_tell_what_ran(recorded: list[Run], swept: Swept, tmp_path: Path) -> None:
    client = harness.client(swept.outputs)
    for run in recorded:
        folder = harness.trial_folder(swept.outputs, run)
        kept = {file.path for file in client.list_artifacts(run.info.run_id)}
        measured = {"journal.jsonl", "cost.json", "detections.npz", "matches.npz", "errors.json", "by_class.json"}
        assert kept == {"config.yaml", "detector.py", "log.txt", "provenance", *measured}
        downloaded = Path(client.download_artifacts(run.info.run_id, "config.yaml", str(tmp_path)))
        config = yaml.safe_load(downloaded.read_text())
        assert config == yaml.safe_load((folder / "config.yaml").read_text())
        assert config["pre"]["name"] == run.data.params["pre"]
        assert config["schedule"]["epochs"] == 2
        log = Path(client.download_artifacts(run.info.run_id, "log.txt", str(tmp_path))).read_text()
        assert "Epoch(train)" in log


def test_second_sweep_shares_the_trial_and_says_so(preloaded: Preloaded, swept: Swept, copied: Path) -> None:
    first = {name for run in harness.runs(copied) for name in harness.sweeps_of(run)}
    assert preloaded.run("pre=conv1", "post=attention", *harness.TINY, f"output_dir={copied}").code == 0
    shared, alone = sorted(harness.runs(copied), key=lambda run: run.data.params["pre"])
    second = " ".join(("pre=conv1", "post=attention", *harness.TINY))
    assert harness.sweeps_of(shared) == first | {second}
    assert harness.sweeps_of(alone) == first


def test_table_of_the_last_sweep_has_a_row_per_variant(recorded: list[Run], swept: Swept) -> None:
    arguments = ("--sweep", "last", "--tracking-uri", harness.store(swept.outputs))
    table = harness.run("-m", "analysis", "table", *arguments)
    assert table.returncode == 0, table.stderr
    squeezed = " ".join(table.stdout.split())
    assert "AP50" in squeezed
    for run in recorded:
        points = {
            step: value for name, step, value, _ in harness.mlflow_metrics(swept.outputs, run) if name == "bbox/AP50"
        }
        assert f"{100 * points[2]:.1f}" in squeezed
    assert "pre=conv1" in squeezed
