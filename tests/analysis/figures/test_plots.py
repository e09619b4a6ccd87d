"""Differences, costs and sizes: their numbers by hand, and that every drawing can be read and written again."""

import dataclasses
import re
import time
import warnings
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.image
import numpy as np
import pytest

from analysis.drawing import page, sheet
from analysis.figures import curves as figures
from analysis.figures import mistakes, plots, styles
from analysis.figures.curves import Heading
from analysis.figures.plots import Estimate, Forest, Pareto, Point, Sizes
from analysis.read.metrics import COSTS, METRICS
from analysis.read.study import Study
from experiments import names
from experiments.errors import UserError
from tests.support.drawn import GPU, assert_readable, study, sure, words
from tests.support.recorded import silent

PLAIN = Heading("Title", "sweep x, profile demo", ("1 trial at commit 1f2e3d4c5b6a.",))


def all_kinds(found: Study) -> list[page.Drawable]:
    """Returns every kind of figure of a whole study."""
    part, chosen = found.whole, styles.of(found.parts)
    known = sure(found, part)
    return [
        figures.curves(part, found.metrics, "bbox/AP", chosen),
        plots.effects(part, known, chosen),
        plots.pareto(found, part, "bbox/AP", names.SECONDS_PER_IMAGE, chosen),
        plots.sizes(found, part, known, chosen),
        mistakes.mistakes(part, found.runs, "bbox"),
    ]


def pareto(found: Study, cost: str) -> Pareto:
    return plots.pareto(found, found.whole, "bbox/AP", cost, styles.of(found.parts))


def sizes(found: Study) -> Sizes:
    return plots.sizes(found, found.whole, sure(found, found.whole), styles.of(found.parts))


def test_an_effect_is_a_row_less_its_baseline() -> None:
    found = study("table5", seeds=(0, 1, 2), absent=[("GC-Net + GRoIE", seed) for seed in (0, 1, 2)])
    (part,) = found.parts
    chosen = styles.of(found.parts)
    forest = plots.effects(part, sure(found, part), chosen)
    # Row i has .30 + i / 100, and rows come in pairs.
    assert [(one.label, one.against) for one in forest.estimates] == [
        ("Faster R-CNN + GRoIE", "Faster R-CNN"),
        ("Grid R-CNN + GRoIE", "Grid R-CNN"),
        ("Mask R-CNN + GRoIE", "Mask R-CNN"),
    ]
    assert [one.estimate for one in forest.estimates] == pytest.approx([1, 1, 1])
    half = 2.7764 * 0.1 * (2 / 3) ** 0.5  # Student's t, four degrees of freedom, of seeds 0.1 AP apart
    assert [one.low for one in forest.estimates] == pytest.approx([1 - half] * 3, abs=1e-4)
    assert forest.absent == ("GC-Net", "GC-Net + GRoIE")
    assert forest.axis == "box AP (x100) less the baseline's"
    by_variant = dict(zip(part.lines["label"], part.lines["variant_id"], strict=True))
    assert forest.estimates[1].look == chosen[by_variant["Grid R-CNN + GRoIE"]]


def test_a_table_of_which_the_baseline_has_not_run_has_no_effects() -> None:
    found = study("table1", seeds=(0,), absent=[("baseline", 0)])
    (part,) = found.parts
    with pytest.raises(UserError, match="no row of sweep 'table1' can be compared with its baseline yet"):
        plots.effects(part, sure(found, part), styles.of(found.parts))


def test_the_foot_of_effects_says_what_the_markers_mean() -> None:
    def foot(*significant: bool | None) -> str:
        rows = tuple(Estimate("row", 1.0, 0.5, 1.5, one) for one in significant)
        return Forest("AP", PLAIN, rows).remarks[0]

    assert foot(True) == "Filled: significant, p < 0.05, corrected for all rows."
    assert foot(False, None) == "Hollow: not significant. Grey: not tested."


def test_a_point_has_the_means_over_trials_that_have_both_and_the_extremes() -> None:
    found = study("table1", seeds=(0, 1, 2), failed=[("sum", 2)])
    drawn = pareto(found, names.SECONDS_PER_IMAGE)
    # Seed s: .1 + s / 100 seconds, a thousandth less for each row; AP .30 + s / 1000, a hundredth more.
    assert [point.label for point in drawn.points] == ["sum", "random", "baseline"]
    assert [point.cost for point in drawn.points] == pytest.approx([103, 109, 110])
    assert [point.value for point in drawn.points] == pytest.approx([32.05, 31.1, 30.1])
    assert drawn.points[1].costs == pytest.approx((99, 119))
    assert drawn.points[1].values == pytest.approx((31, 31.2))
    assert [point.front for point in drawn.points] == [True, False, False]
    counted = pareto(found, names.GMACS)
    assert [(point.label, point.cost, point.front) for point in counted.points] == [
        ("baseline", 100, True),
        ("random", 110, True),
        ("sum", 120, True),
    ]


def test_the_front_has_every_point_that_none_beats() -> None:
    rng, found = np.random.default_rng(3), study("paper", seeds=(0,))
    costs = rng.integers(1, 9, len(found.runs))  # with ties
    runs = [
        dataclasses.replace(run, metrics={**run.metrics, names.GMACS: float(cost)})
        for run, cost in zip(found.runs, costs, strict=True)
    ]
    found = dataclasses.replace(found, runs=runs)
    points = pareto(found, names.GMACS).points
    for one in points:
        beaten = [
            other
            for other in points
            if other.cost <= one.cost
            and other.value >= one.value
            and (other.cost, other.value) != (one.cost, one.value)
        ]
        assert one.front == (not beaten), one
    assert 1 < sum(point.front for point in points) < len(points)


def test_costs_of_several_devices_are_told_apart_and_absent_ones_named() -> None:
    found = study("table1", seeds=(0,))
    runs = [
        dataclasses.replace(
            run,
            tags={**run.tags, names.GPU: f"{GPU} {number}"},
            metrics={name: value for name, value in run.metrics.items() if number or name != names.SECONDS_PER_IMAGE},
        )
        for number, run in enumerate(found.runs)
    ]
    found = dataclasses.replace(found, runs=runs)
    drawn = pareto(found, names.SECONDS_PER_IMAGE)
    assert drawn.absent == ("baseline",)
    assert "Not measured: baseline." in drawn.remarks
    assert "Measured on Some GPU 1, Some GPU 2: compare only points of one device." in drawn.remarks
    counted = pareto(found, names.GMACS)
    assert not any("Measured on" in remark for remark in counted.remarks)
    with pytest.raises(UserError, match="no finished trial of sweep 'table1' has both bbox/AP and cost/gpu_memory"):
        pareto(found, names.TRAINING_MEMORY)


def test_ap_by_size_has_intervals_from_three_seeds_on() -> None:
    found = study("table1", seeds=(0, 1, 2), failed=[("random", 1)], absent=[("sum", seed) for seed in (0, 1, 2)])
    drawn = sizes(found)
    assert [row.label for row in drawn.rows] == ["baseline", "random"]
    assert [row.baseline for row in drawn.rows] == [None, 0]
    assert drawn.absent == ("sum",)
    first, second = drawn.rows
    assert [value.estimate for value in first.values] == pytest.approx([20.1, 30.1, 40.1])
    half = 4.302653 * 0.1 / np.sqrt(3)  # t with 2 degrees of freedom; the seeds' standard deviation is 0.1
    assert (first.values[0].low, first.values[0].high) == pytest.approx((20.1 - half, 20.1 + half))
    assert first.seeds[2] == pytest.approx((40, 40.1, 40.2))
    assert second.values[1].estimate == pytest.approx(31.1)  # of seeds 0 and 2
    assert np.isnan(second.values[1].low)


def test_sizes_without_objects_are_said_to_have_none() -> None:
    found = study("table1", seeds=(0,))
    histories = {
        key: [dataclasses.replace(point, value=-1.0) if key[1].endswith("APl") else point for point in points]
        for key, points in found.histories.items()
    }
    found = dataclasses.replace(found, histories=histories)
    drawn = sizes(found)
    assert all(np.isnan(row.values[2].estimate) for row in drawn.rows)
    figure = page.draw(drawn)
    assert_readable(figure)
    assert any(text.endswith("none in the data") for text in words(figure))


@pytest.mark.parametrize(
    ("sweep", "about"),
    [
        ("paper", {"seeds": (0, 1, 2)}),
        ("fidelity", {"seeds": (0, 1), "data": "shapes", "failed": [("GRoIE (text)", 0), ("sum (paper)", 1)]}),
        ("table5", {"seeds": (0, 1, 2, 3, 4), "absent": [("Grid R-CNN", seed) for seed in range(5)]}),
        ("table1", {"seeds": (0,), "epochs": 1}),
    ],
)
def test_every_figure_can_be_read_and_says_what_it_is_of(sweep: str, about: dict[str, Any]) -> None:
    found = study(sweep, **about)
    for data in all_kinds(found):
        figure = page.draw(data)
        assert_readable(figure)
        assert figure.get_figwidth() == sheet.WIDTH
        text = " ".join(key.partition(": ")[2] for key in words(figure))
        seeds = len(about["seeds"])
        for said in (f"sweep {sweep}, profile ", "dataset ", "recipe ", f"{seeds} seed", "at commit 1f2e3d4c5b6a."):
            assert said in text


def test_forty_long_rows_and_intervals_without_end_can_be_read() -> None:
    long = "a_name_without_any_place_to_break_it_that_is_longer_than_its_column and $more^words "
    rows = tuple(
        Estimate(
            f"{long * (i % 3)}v{i}",
            i / 10 - 1,
            -99.9 if i % 2 else i / 10 - 1.2,
            99.9 if i % 5 == 0 else i / 10 - 0.9,
            (True, False, None)[i % 3],
            f"{long}{i // 7}",
        )
        for i in range(40)
    )
    assert_readable(page.draw(Forest("AP " * 9, PLAIN, rows, absent=(long,))))
    lone = (Estimate("one", 0.0, float("nan"), float("nan"), None),)
    assert_readable(page.draw(Forest("AP", PLAIN, lone)))


def test_points_on_one_heap_with_long_names_can_be_read() -> None:
    rng = np.random.default_rng(0)
    chosen = list(styles.of(study("fidelity", seeds=(0,)).parts).values())
    heap = sorted((float(x), float(y)) for x, y in rng.normal(1, 0.05, (16, 2)))
    points = [
        Point(f"{'long name ' * (i % 6)}v{i}", chosen[i], x, y, (x - 0.01, x + 0.01), (y - 0.01, y + 0.01), i == 0)
        for i, (x, y) in enumerate(heap)
    ]
    # The others have a tenth of the frame.
    points[-1] = dataclasses.replace(points[-1], cost=2.0, value=2.0, costs=(2.0, 2.0), values=(2.0, 2.0))
    cost = next(one for one in COSTS if one.name == names.GMACS)
    figure = page.draw(Pareto(METRICS["bbox/AP"], cost, PLAIN, tuple(points)))
    assert_readable(figure)
    assert figure.get_figheight() < 6
    same = tuple(dataclasses.replace(points[0], label=f"v{i}") for i in range(9))
    assert_readable(page.draw(Pareto(METRICS["bbox/AP"], cost, PLAIN, same)))


def test_labels_are_spread_no_further_than_they_must() -> None:
    assert sheet.spread([2.0, 1.0], [0.2, 0.2], 0, 3) == pytest.approx([2.0, 1.0])
    assert sheet.spread([1.0, 1.0], [0.2, 0.4], 0, 3) == pytest.approx([1.15, 0.85])
    assert sheet.spread([1.0, 1.0, 0.9], [0.2] * 3, 0, 1) == pytest.approx([0.9, 0.7, 0.5])  # the top is near
    assert sheet.spread([0.0, 0.0], [0.2] * 2, 0, 1) == pytest.approx([0.3, 0.1])
    rng = np.random.default_rng(0)
    wanted, heights = sorted(rng.uniform(0, 1, 6), reverse=True), rng.uniform(0.1, 0.4, 6)
    places = np.array(sheet.spread(wanted, list(heights), -9, 9))
    gaps = places[:-1] - places[1:] - (heights[:-1] + heights[1:]) / 2
    assert gaps.min() > -1e-9
    for _ in range(300):  # no other places without overlap are nearer
        other = places + rng.normal(0, 0.05, 6)
        if (other[:-1] - other[1:] - (heights[:-1] + heights[1:]) / 2).min() >= 0:
            assert ((other - wanted) ** 2).sum() >= ((places - wanted) ** 2).sum() - 1e-9


def test_text_is_as_wide_as_it_is_drawn() -> None:
    for text in ("Grid R-CNN + GRoIE", "iiiiill 1.1", "WWMM", "\u00c5\u00c9 \u0394 \u00d7 \u2212"):
        figure = sheet.Sheet(Heading(text, "", ()), (), 1.0).figure
        (drawn,) = words(figure).values()
        assert drawn.width / figure.dpi == pytest.approx(sheet.wide(text, sheet.TITLE, "bold"), rel=0.04, abs=0.02)


def drawn_by_others(data: page.Drawable, path: Path) -> list[Path]:
    with page.in_background(silent) as draw:
        draw(path, data)
    return [path.with_name(path.name + ending) for ending in page.METADATA]


@pytest.mark.long
@pytest.mark.parametrize("kind", range(5), ids=["curves", "forest", "pareto", "sizes", "errors"])
def test_files_are_the_same_bytes_at_another_time_and_with_other_settings(
    kind: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = study("table3", seeds=(0, 1, 2))
    first = drawn_by_others(all_kinds(found)[kind], tmp_path / "figure.one")
    names_of = {path.name for path in tmp_path.iterdir()}
    assert names_of == {"figure.one.png", "figure.one.pdf", "figure.one.svg"}
    later = time.time() + 1e6
    monkeypatch.setattr(time, "time", lambda: later)
    with mpl.rc_context({"font.size": 20, "svg.fonttype": "path", "lines.linewidth": 9, "figure.dpi": 50}):
        second = drawn_by_others(all_kinds(found)[kind], tmp_path / "again")
    for one, other in zip(first, second, strict=True):
        assert one.read_bytes() == other.read_bytes(), one.suffix
    svg = first[2].read_text()
    assert "<dc:date>" not in svg
    assert "Ablation on pre-processing</text>" in re.sub(r"\s+", " ", svg)  # text, not outlines
    assert b"CreationDate" not in first[1].read_bytes()
    assert not any(b"Matplotlib v" in path.read_bytes() for path in first)


def test_letters_beyond_ascii_are_drawn() -> None:
    rows = (Estimate("na\u00efve \u00c5ngstr\u00f6m \u0394 \u03b1 \u2265 \u2032 \u00d7", -1.0, -2.0, 0.5, False),)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # matplotlib warns of each glyph that a font lacks
        assert_readable(page.draw(Forest("\u0394 AP", PLAIN, rows)))
