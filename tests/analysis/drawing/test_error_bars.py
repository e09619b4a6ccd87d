"""What errors cost, from MLflow to a picture: the tidy frame and the bars by hand, what is absent, and a drawing."""

import math

import pytest

from analysis.drawing import mistakes as drawing_mistakes
from analysis.figures import mistakes
from analysis.read import frames, rows
from analysis.read.runs import of_experiment
from analysis.read.study import Part
from experiments import names
from experiments.errors import UserError
from tests.support.drawn import assert_readable
from tests.support.recorded import Recorder, box

SWEEP = "errors"
KINDS = (*names.ERROR_KINDS, *names.ERROR_SIDES)


def errors(last: float, iou_type: str = "bbox") -> dict[str, list[float]]:
    """Returns points of two epochs, of which the second counts."""
    return {names.error_metric(iou_type, kind): [0.9, last + 0.01 * i] for i, kind in enumerate(KINDS)}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Recorder:
    store = Recorder(tmp_path_factory.mktemp("errors"))
    store.run("sum", 0, points={**box([0.1, 0.2]), **errors(0.10)}, sweeps=[SWEEP])
    store.run("sum", 1, points={**box([0.1, 0.2]), **errors(0.20), **errors(-1.0, "segm")}, sweeps=[SWEEP])
    store.run("sum", 2, "RUNNING", points={**box([0.1, 0.2]), **errors(0.60)}, sweeps=[SWEEP])
    store.run("concat", 0, points={**box([0.1, 0.2]), **errors(0.30)}, sweeps=[SWEEP])
    store.run("random", 0, points=box([0.1, 0.2]), sweeps=[SWEEP])  # by a version that recorded none
    return store


def made(store: Recorder, iou_type: str) -> mistakes.Mistakes:
    runs = of_experiment(store.client, store.experiment, store.uri)
    lines = rows.rows_frame(SWEEP, frames.trials_frame(frames.runs_frame(runs, SWEEP)), None)
    return mistakes.mistakes(Part(SWEEP, None, lines), runs, iou_type)


def test_frame_has_a_line_for_each_finished_trial_and_kind(store: Recorder) -> None:
    runs = of_experiment(store.client, store.experiment, store.uri)
    lines = rows.rows_frame(SWEEP, frames.trials_frame(frames.runs_frame(runs, SWEEP)), None)
    found = mistakes.frame(lines, runs)
    assert tuple(found.columns) == mistakes.COLUMNS
    boxes = found.loc[found["iou_type"] == "bbox"]
    assert len(boxes) == 3 * len(KINDS)
    own = {(one.row, one.seed): one.value for one in boxes.loc[boxes["kind"] == "Both"].itertuples()}
    assert own == pytest.approx({("sum", "0"): 0.12, ("sum", "1"): 0.22, ("concat", "0"): 0.32})
    masks = found.loc[found["iou_type"] == "segm"]
    assert math.isnan(masks.loc[masks["kind"] == "Cls", "value"].item())  # COCO's -1


def test_bars_are_means_over_finished_seeds(store: Recorder) -> None:
    found = made(store, "bbox")
    assert found.labels == ("sum", "concat")
    assert found.absent == ("random",)
    assert tuple(found.bars) == KINDS
    assert found.bars["Loc"][0].mean == pytest.approx(16)
    assert found.bars["Loc"][0].seeds == pytest.approx((11, 21))
    assert found.bars["Loc"][1].seeds == pytest.approx((31,))
    assert "do not add up" in found.remarks[0]
    assert found.remarks[1] == "No values: random."


def test_sweep_without_recorded_errors_is_refused(store: Recorder) -> None:
    with pytest.raises(UserError, match=r"no finished trial of sweep 'errors' has recorded its mask errors"):
        made(store, "segm")


def test_drawing_has_a_panel_for_each_kind(store: Recorder) -> None:
    figure = drawing_mistakes.draw(made(store, "bbox"))
    assert_readable(figure)
    said = [text.get_text() for text in figure.texts]
    assert [text for text in said if text in KINDS] == list(KINDS)
    assert {"sum", "concat"} <= set(said)
    widths = [bar.get_width() for bar in figure.axes[KINDS.index("Miss")].patches]
    assert widths == pytest.approx([20, 35])
    scales = [axes.get_xlim() for axes in figure.axes]
    assert len(set(scales[:6])) == 1  # else a longer bar would not be a greater cost
    assert len(set(scales[6:])) == 1
