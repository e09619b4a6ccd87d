"""The curves of a figure: their points by hand, what is missing, and that a picture comes out."""

import itertools
from pathlib import Path

import matplotlib.image
import pytest
from matplotlib.axes import Axes
from matplotlib.text import Text
from recorded import NEWER, OLDER, Recorder, metrics_of, of_id

from analysis import declarations, drawing, figures, frames, render, rows
from analysis.errors import AnalysisError
from analysis.runs import Run
from experiments import declared


def curves(recorder: Recorder, runs: list[Run], sweep: str, name: str) -> figures.Curves:
    trials = frames.trials_frame(frames.runs_frame(runs, sweep))
    declaration = declarations.of_sweep(sweep)
    lines = rows.rows_frame(sweep, trials, declaration)
    return figures.curves(sweep, lines, metrics_of(recorder, trials, (name,)), name, declaration)


def assert_apart(axes: Axes) -> None:
    # An annotation's own extent includes the line that leads to it: take the text's height and the place it is put.
    tall = max(Text.get_window_extent(text).height for text in axes.texts)
    middles = sorted(axes.transAxes.transform(text.get_position())[1] for text in axes.texts)
    assert tall > 0
    assert all(upper - lower >= tall for lower, upper in itertools.pairwise(middles))


@pytest.fixture(scope="session")
def older(recorder: Recorder, runs: list[Run]) -> figures.Curves:
    return curves(recorder, runs, OLDER, "bbox/AP")


def test_a_curve_is_the_mean_over_finished_seeds_with_every_seed_beside_it(older: figures.Curves) -> None:
    by_label = {curve.label: curve for curve in older.curves}
    single = by_label["single"]
    assert single.mean.epochs == (1, 2, 3)
    assert single.mean.values == pytest.approx([20.0, (34 + 35 + 31) / 3, (44 + 48 + 41.5) / 3])
    assert [seed.values[-1] for seed in single.seeds] == pytest.approx([44.0, 41.5, 48.0])  # seeds 0, 2, 10
    partial = by_label["sum pre=conv5"]
    assert partial.mean.values == pytest.approx([26.0, 41.0, 51.5])
    assert (len(partial.seeds), partial.note, partial.complete) == (3, "2 of 3 seeds finished", True)


def test_a_running_variant_is_drawn_as_far_as_it_came(older: figures.Curves) -> None:
    running = next(curve for curve in older.curves if curve.label == "sum post=attention")
    assert (running.mean.epochs, running.complete, running.note) == ((1, 2), False, "running, epoch 2")


def test_curves_come_with_the_best_last_value_first_and_keep_the_colour_of_their_row(older: figures.Curves) -> None:
    labels = ["sum pre=conv5", "sum post=attention", "single", "random"]
    assert [curve.label for curve in older.curves] == labels
    assert [curve.order for curve in older.curves] == [2, 3, 1, 0]


def test_a_variant_without_values_is_named(older: figures.Curves) -> None:
    assert older.absent == ("concat",)
    assert older.remarks[-1] == "no values yet: concat"


def test_a_metric_that_nobody_recorded_is_an_error(recorder: Recorder, runs: list[Run]) -> None:
    for name in ("segm/AP", "bbox/APl"):  # never recorded; always -1
        with pytest.raises(AnalysisError, match=f"no trial of sweep '{OLDER}' has a value of {name} yet"):
            curves(recorder, runs, OLDER, name)


def test_the_drawing_states_its_data_and_labels_every_curve_in_order_without_overlap(older: figures.Curves) -> None:
    figure = drawing.draw(older)
    (axes,) = figure.axes
    assert axes.get_title(loc="left").replace("\n", " ") == older.caption
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("epoch", "box AP (x100)")
    figure.canvas.draw()
    assert all(tick == int(tick) for tick in axes.get_xticks())
    texts = sorted(axes.texts, key=lambda text: -text.get_position()[1])
    assert [text.get_text().split("  ")[0] for text in texts] == ["51.5", "45.0", "44.5", "30.0"]
    assert_apart(axes)


def test_thirty_equal_variants_still_have_labels_apart() -> None:
    line = figures.Line((1, 2), (10.0, 20.0))
    many = tuple(figures.Curve(f"v{i}", i, line, (line,), True, "") for i in range(30))
    figure = drawing.draw(figures.Curves(figures.METRICS["bbox/AP"], "caption", many, ()))
    figure.canvas.draw()
    assert_apart(figure.axes[0])
    looks = {(line.get_color(), line.get_marker()) for line in figure.axes[0].lines}
    assert len(looks) == 30


def test_the_png_is_a_picture_with_the_colour_of_each_curve(
    recorder: Recorder, runs: list[Run], tmp_path: Path
) -> None:
    path = render.write_figure(curves(recorder, runs, NEWER, "bbox/AP50"), tmp_path / "new" / "figure.png")
    pixels = (matplotlib.image.imread(path)[..., :3] * 255).round().astype(int)
    assert pixels.shape[0] > 500
    assert pixels.shape[1] > 800
    for colour in drawing.COLOURS[:3]:
        rgb = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
        assert (pixels == rgb).all(axis=-1).sum() > 100


def test_a_place_that_cannot_be_written_is_a_sentence(older: figures.Curves, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(AnalysisError, match=r"cannot write .*figure.png \(.*\); name another place with --out"):
        render.write_figure(older, tmp_path / "file" / "figure.png")


def test_curves_of_a_declared_sweep_have_the_names_of_its_rows(
    declared_recorder: Recorder, declared_runs: list[Run]
) -> None:
    found = curves(declared_recorder, declared_runs, "table2", "bbox/AP")
    assert [(curve.label, curve.note) for curve in found.curves] == [
        ("sum", "1 of 2 seeds finished"),
        ("baseline", ""),
        ("sum+", "1 of 2 seeds finished"),
    ]
    assert found.caption.startswith("Table II: Ablation on aggregation (sweep table2, profile demo, ")
    assert (found.absent, found.not_run) == ((), ("concat",))
    assert found.remarks[-1] == "not run: concat"


def test_a_trial_that_serves_two_rows_is_one_curve_with_both_names(
    declared_recorder: Recorder, declared_runs: list[Run]
) -> None:
    found = curves(declared_recorder, declared_runs, "paper", "bbox/AP")
    labels = [curve.label for curve in found.curves]
    assert labels == [
        "table1: sum = table2: sum",
        "table1: baseline = table2: baseline = table3: baseline = table4: baseline = table5: Faster R-CNN",
        "table2: sum+ = table4: conv 1x1",
        "table5: Mask R-CNN",
    ]
    assert [len(curve.seeds) for curve in found.curves] == [2, 2, 1, 1]
    assert found.absent == ("table3: conv 3x3",)  # it failed before its first epoch
    assert len(found.not_run) == 27 - 5 - 2 - 2 - 1 - 1


def test_a_row_that_lacks_a_seed_does_not_hide_it_in_the_curve_of_another(
    declared_recorder: Recorder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(declared, "FOLDER", tmp_path)
    listed = "[{name: a, overrides: []}, {name: b, overrides: []}]"
    (tmp_path / "mine.yaml").write_text(f"{{purpose: Mine., rows: {listed}}}")
    of_seed = {0: ["b"], 1: ["a", "b"]}
    found = [
        declared_recorder.run("y", seed, points={"bbox/AP": [0.1, 0.2 + seed / 10]}, sweeps=(), rows={"mine": served})
        for seed, served in of_seed.items()
    ]
    (curve,) = curves(
        declared_recorder, [of_id(declared_recorder, run_id) for run_id in found], "mine", "bbox/AP"
    ).curves
    assert (curve.label, curve.note, len(curve.seeds)) == ("a = b", "", 2)
    assert curve.mean.values == pytest.approx((10, 25))
