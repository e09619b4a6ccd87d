"""A table in full: each cell from where it should come, in every format."""

import csv
import html
import io

import pytest

from analysis.read.metrics import COSTS
from analysis.tables import ablation, costs, full
from analysis.tables.full import Details
from analysis.tables.latex import escape
from experiments import names
from tests.support.drawn import study, sure

METRICS = {cost.name: cost for cost in COSTS}


@pytest.fixture(scope="module")
def table5() -> Details:
    found = study("table5", seeds=(0, 1, 2), absent=[("GC-Net + GRoIE", seed) for seed in (0, 1, 2)])
    (part,) = found.parts
    table = ablation.of(found, part)
    return full.details(part, table, [sure(found, part, kind) for kind in ("bbox", "segm")], costs.costs(found))


def cell(found: Details, row: str, column: str, metric: str = "mask AP") -> str:
    (line,) = (one for one in found.blocks[metric] if one[0] == row)
    return line[found.columns.index(column)]


def test_cells(table5: Details) -> None:
    """Row i has .30 + i / 100 in boxes, .05 less in masks, and 100 + 10 i multiply-adds."""
    assert list(table5.blocks) == ["box AP", "mask AP"]
    assert cell(table5, "Mask R-CNN + GRoIE", "published") == "35.8"
    assert cell(table5, "Faster R-CNN", "published") == "N/A"
    assert cell(table5, "Mask R-CNN + GRoIE", "AP") == "30.1"  # of seeds 0, 1, 2: .300, .301, .302
    assert cell(table5, "Mask R-CNN + GRoIE", "AP", "box AP") == "35.1"
    assert cell(table5, "Mask R-CNN + GRoIE", "against") == "Mask R-CNN"
    assert cell(table5, "Mask R-CNN + GRoIE", "difference") == "+1.0"
    assert cell(table5, "Mask R-CNN", "difference") == ""
    assert cell(table5, "Mask R-CNN", "n") == "3"
    assert cell(table5, "Mask R-CNN", METRICS[names.GMACS].axis) == "140"
    assert cell(table5, "GC-Net + GRoIE", "state") == "not run"
    assert cell(table5, "GC-Net + GRoIE", "AP") == ""
    assert METRICS[names.TRAINING_MEMORY].axis not in table5.columns  # which no trial recorded


def test_every_format_has_every_cell(table5: Details) -> None:
    markdown, latex, page = full.markdown(table5), full.tabular(table5), full.page(table5)
    rows = list(csv.reader(io.StringIO(full.comma_separated(table5))))
    lines = [(name, *line) for name, block in table5.blocks.items() for line in block]
    assert rows == [["metric", *table5.columns], *map(list, lines)]
    for _, *line in lines:
        assert "| " + " | ".join(line) + " |" in markdown
        assert " & ".join(map(escape, line)) + r" \\" in latex
        assert "".join(f"<td>{html.escape(one)}</td>" for one in line) in page
    for text in (markdown, latex, page):
        assert "trials at commit 1f2e3d4c5b6a." in text
        assert "profile coco" in text
