"""The curves of a figure: their points by hand, what is missing, and that a picture comes out."""

from pathlib import Path

import matplotlib.image
import pytest

from analysis import terminal
from analysis.drawing import page, sheet
from analysis.figures import curves as figures
from analysis.figures import styles
from analysis.read import declarations, frames, rows
from analysis.read.runs import Run
from analysis.read.study import Part
from experiments import declared
from experiments.errors import UserError
from tests.support.drawn import assert_readable, study, words
from tests.support.recorded import NEWER, OLDER, Recorder, metrics_of, of_id


def curves(recorder: Recorder, runs: list[Run], sweep: str, name: str) -> figures.Curves:
    trials = frames.trials_frame(frames.runs_frame(runs, sweep))
    declaration = declarations.of_sweep(sweep)
    part = Part(sweep, declaration, rows.rows_frame(sweep, trials, declaration))
    return figures.curves(part, metrics_of(recorder, trials, (name,)), name, styles.of([part]))


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


def test_curves_come_with_the_best_last_value_first(older: figures.Curves) -> None:
    labels = ["sum pre=conv5", "sum post=attention", "single", "random"]
    assert [curve.label for curve in older.curves] == labels


def test_a_variant_without_values_is_named(older: figures.Curves) -> None:
    assert older.absent == ("concat",)
    assert "No values yet: concat." in older.remarks


def test_a_metric_that_nobody_recorded_is_an_error(recorder: Recorder, runs: list[Run]) -> None:
    for name in ("segm/AP", "bbox/APl"):  # never recorded; always -1
        with pytest.raises(UserError, match=f"no trial of sweep '{OLDER}' has a value of {name} yet"):
            curves(recorder, runs, OLDER, name)


def test_the_drawing_states_its_data_and_labels_every_curve_in_order(older: figures.Curves) -> None:
    figure = page.draw(older)
    (axes,) = figure.axes
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("epoch", "box AP (x100)")
    placed = words(figure)
    assert all(tick == int(tick) for tick in axes.get_xticks())
    text = " ".join(key.partition(": ")[2] for key in placed)
    assert f"Sweep {OLDER} sweep {OLDER}, profile demo, dataset shapes, recipe paper, schedule short, 4 seeds" in text
    assert "Thin: single seeds. Hollow: not finished. No values yet: concat. 9 trials at commit not recorded." in text
    ends = {key.partition(": ")[2]: box.y0 for key, box in placed.items() if box.x0 > axes.bbox.x1}
    assert sorted((ends[end] for end in ("51.5", "45.0", "44.5", "30.0")), reverse=True) == [
        ends[end] for end in ("51.5", "45.0", "44.5", "30.0")
    ]
    assert ends["sum pre=conv5"] == ends["51.5"]
    assert_readable(figure)


def test_a_band_is_from_the_lowest_to_the_highest_of_three_seeds() -> None:
    found = study("table1", seeds=(0, 1, 2), epochs=2, failed=[("random", 2)])
    (part,) = found.parts
    drawn = figures.curves(part, found.metrics, "bbox/AP", styles.of([part]))
    curve = {one.label: one for one in drawn.curves}
    assert curve["sum"].band is not None
    assert curve["sum"].band.low == pytest.approx((31, 32))
    assert curve["sum"].band.high == pytest.approx((31.2, 32.2))
    assert curve["sum"].thin == ()
    assert curve["random"].band is None  # of two seeds; the third broke off
    assert [line.epochs for line in curve["random"].thin] == [(1, 2), (1, 2), (1,)]
    assert drawn.remarks[0] == (
        "Lines: means over the finished seeds. Bands: from the lowest to the highest seed. Thin: single seeds. "
        "Bars at the right, and numbers in brackets: published."
    )


def test_published_ends_stand_beside_those_of_the_same_data_alone() -> None:
    ours = {}
    for data in ("coco", "shapes"):
        found = study("table1", seeds=(0,), data=data)
        (part,) = found.parts
        ours[data] = figures.curves(part, found.metrics, "bbox/AP", styles.of([part]))
    assert {curve.label: curve.published for curve in ours["coco"].curves} == {
        "baseline": 36.5,
        "random": 34.8,
        "sum": 36.8,
    }
    assert {curve.published for curve in ours["shapes"].curves} == {None}
    assert figures.NOT_COMPARABLE in ours["shapes"].remarks
    assert figures.NOT_COMPARABLE not in ours["coco"].remarks
    assert ours["coco"].heading.title == "Figure 2. Ablation on the choice of levels"
    small = figures.curves(part, found.metrics, "bbox/APs", styles.of([part]))
    assert small.heading.title == "Table I. Ablation on the choice of levels"


def test_a_variant_looks_the_same_in_every_figure_of_a_study() -> None:
    found = study("paper", seeds=(0, 1))
    chosen, drawn = styles.of(found.parts), {}
    for part in (*found.parts, found.whole):
        for name in ("bbox/AP", "segm/AP"):
            got = figures.curves(part, found.metrics, name, chosen)
            drawn[part.sweep, name] = {curve.label: curve.look for curve in got.curves}
    assert drawn["table1", "bbox/AP"]["sum"] == drawn["table2", "bbox/AP"]["sum"] == drawn["paper", "segm/AP"]["sum"]
    assert drawn["table2", "bbox/AP"]["sum+"] == drawn["table4", "segm/AP"]["conv 1x1"]
    assert drawn["table1", "bbox/AP"]["baseline"] == drawn["table5", "bbox/AP"]["Faster R-CNN"]


def test_thirty_equal_variants_with_long_names_still_have_labels_apart() -> None:
    line = figures.Line((1, 2), (10.0, 20.0))
    long = "a_name_without_any_place_to_break_it_that_is_longer_than_the_label, and then $more_words in many lines "
    many = tuple(
        figures.Curve(long * (i % 3) + f"v{i}", styles.Look("#111111", "o"), line, (line,), i % 2 == 0, "running" * 9)
        for i in range(30)
    )
    heading = figures.Heading("title " * 40, "about " * 50, ("foot " * 80,))
    figure = page.draw(figures.Curves(figures.METRICS["bbox/AP"], heading, many, ("absent",) * 30))
    assert_readable(figure)


def test_the_png_is_a_picture_with_the_colour_of_each_curve(
    recorder: Recorder, runs: list[Run], tmp_path: Path
) -> None:
    path = terminal.write_figure(curves(recorder, runs, NEWER, "bbox/AP50"), tmp_path / "new" / "figure.png")
    pixels = (matplotlib.image.imread(path)[..., :3] * 255).round().astype(int)
    assert pixels.shape[0] > 500
    assert pixels.shape[1] == 200 * sheet.WIDTH
    for colour in styles.COLOURS[:2]:
        rgb = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
        assert (pixels == rgb).all(axis=-1).sum() > 100


def test_a_place_that_cannot_be_written_is_a_sentence(older: figures.Curves, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot write .*figure.png \(.*\); name another place with --out"):
        terminal.write_figure(older, tmp_path / "file" / "figure.png")


def test_curves_of_a_declared_sweep_have_the_names_of_its_rows(
    declared_recorder: Recorder, declared_runs: list[Run]
) -> None:
    found = curves(declared_recorder, declared_runs, "table2", "bbox/AP")
    assert [(curve.label, curve.note) for curve in found.curves] == [
        ("sum", "1 of 2 seeds finished"),
        ("baseline", ""),
        ("sum+", "1 of 2 seeds finished"),
    ]
    assert found.heading.title == "Figure 4. Ablation on aggregation"
    assert found.heading.about.startswith("sweep table2, profile demo, ")
    assert (found.absent, found.not_run) == ((), ("concat",))
    assert "Not run: concat." in found.remarks


def test_a_trial_that_serves_two_rows_is_one_curve_with_both_names(
    declared_recorder: Recorder, declared_runs: list[Run]
) -> None:
    found = curves(declared_recorder, declared_runs, "paper", "bbox/AP")
    labels = [curve.label for curve in found.curves]
    assert labels == ["sum", "baseline = Faster R-CNN", "sum+ = conv 1x1", "Mask R-CNN"]
    assert [len(curve.seeds) for curve in found.curves] == [2, 2, 1, 1]
    assert found.absent == ("conv 3x3",)  # it failed before its first epoch
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
