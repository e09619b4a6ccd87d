"""Colours, markers and names of variants: fixed over a study, told apart by every reader."""

import itertools

import numpy as np
import pytest

from analysis.figures import styles
from analysis.figures.styles import COLOURS, DASHED, Look
from tests.support.drawn import study

# Machado, Oliveira and Fernandes 2009, table 1, severity 1; on linear RGB.
SIGHTS = {
    "normal": np.eye(3),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
}


def seen(colour: str, sight: str) -> np.ndarray:
    """Returns a colour in CIELAB (D65) as eyes of this sight have it."""
    values = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    linear = np.clip(SIGHTS[sight] @ linear, 0, 1)
    to_xyz = np.array(
        [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
    )
    xyz = to_xyz @ linear / (0.95047, 1.0, 1.08883)
    f = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def nearest(one: str, other: str) -> float:
    return min(float(np.linalg.norm(seen(one, sight) - seen(other, sight))) for sight in SIGHTS)


def test_any_two_colours_are_far_apart_to_readers_of_each_sight() -> None:
    assert nearest("#009E73", "#CC79A7") == pytest.approx(17.88, abs=0.01)  # the nearest of Okabe and Ito's
    assert min(nearest(one, other) for one, other in itertools.combinations(COLOURS, 2)) > 29
    assert min(nearest(colour, "#FFFFFF") for colour in COLOURS) > 28  # and from the page


@pytest.mark.parametrize("sweep", ["paper", "fidelity"])
def test_no_two_variants_look_alike_and_those_of_a_table_differ_twice(sweep: str) -> None:
    found = study(sweep, seeds=(0,))
    chosen = styles.of(found.parts)
    assert len(set(chosen.values())) == len(chosen) == {"paper": 21, "fidelity": 21}[sweep]
    for part in found.parts:
        own = {variant: chosen[variant] for variant in part.lines["variant_id"]}
        for one, other in itertools.combinations(own.values(), 2):
            differing = [one.colour != other.colour, one.marker != other.marker, one.dashes != other.dashes]
            assert sum(differing) >= 2, (one, other)
            if len(own) <= len(styles.MARKERS):
                assert one.marker != other.marker  # in greyscale too


def test_baselines_are_dashed_and_each_of_several_shares_its_colour_with_its_row() -> None:
    found = study("paper", seeds=(0,))
    chosen = styles.of(found.parts)
    by_row = {line["row"]: chosen[line["variant_id"]] for line in found.whole.lines.to_dict("records")}
    dashed = {row for row, look in by_row.items() if look.dashes == DASHED}
    architectures = ("Faster R-CNN", "Grid R-CNN", "Mask R-CNN", "GC-Net")
    assert dashed == {f"table5: {one}" for one in architectures} | {f"table{n}: baseline" for n in (1, 2, 3, 4)}
    assert by_row["table1: baseline"].colour == COLOURS[0]
    for one in architectures:
        assert by_row[f"table5: {one}"].colour == by_row[f"table5: {one} + GRoIE"].colour
    assert len({by_row[f"table5: {one}"].colour for one in architectures}) == 4
    within = {by_row[f"table3: {row}"].colour for row in ("conv 1x1", "conv 3x3", "conv 5x5", "non-local", "attention")}
    assert len(within) == 5
    assert COLOURS[0] not in within


def test_a_look_stays_when_more_rows_are_run() -> None:
    whole = styles.of(study("paper", seeds=(0,)).parts)
    for lacking in (["random", "concat"], ["conv 1x1", "conv 3x3", "Mask R-CNN"]):
        fewer = styles.of(study("paper", seeds=(0,), absent=[(row, 0) for row in lacking]).parts)
        assert len(fewer) < len(whole)
        assert fewer == {variant: whole[variant] for variant in fewer}


def test_the_variants_of_a_typed_sweep_are_compared_with_its_first() -> None:
    found = study("table1", seeds=(0,))
    (part,) = found.parts
    typed = styles.Part("typed", None, part.lines)
    first, *others = styles.of([typed]).values()
    assert first == Look(COLOURS[0], "o", DASHED)
    assert {look.dashes for look in others} == {()}


def test_a_variant_has_the_names_of_its_rows_and_their_files_where_names_are_shared() -> None:
    found = study("paper", seeds=(0,))
    called = styles.labels(found.whole)
    assert called["aggregation=single"] == "baseline = Faster R-CNN"
    assert called["aggregation=sum"] == "sum"
    assert called["aggregation=sum post=conv1"] == "sum+ = table4: conv 1x1"
    assert called["aggregation=sum pre=conv1"] == "table3: conv 1x1"
