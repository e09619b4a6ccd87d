"""The tables' LaTeX compiles, with nothing but booktabs, and says in the page what the table says."""

import shutil
import subprocess
from pathlib import Path

import pytest

from analysis.read.metrics import COCO_NAMES, coco_block
from analysis.tables import ablation, full, latex
from experiments import names

DOCUMENT = "\\documentclass{article}\n\\usepackage{booktabs}\n\\usepackage[landscape,margin=1cm]{geometry}\n"


def row(label: str, value: float, state: str = "") -> ablation.Row:
    finished = 0 if state else 3
    values = dict.fromkeys(COCO_NAMES, value)
    of_seed = {name: dict.fromkeys(("0", "1", "2")[:finished], value) for name in COCO_NAMES}
    return ablation.Row(label, label, f"id of {label}", values, of_seed, finished, 3, "12", ("a", "b"), state)


def compiled(text: str, folder: Path) -> str:
    """Returns what the page says."""
    if shutil.which("pdflatex") is None:
        pytest.skip("no pdflatex; `make test-engines` installs it")
    source = folder / "paper.tex"
    source.write_text(f"{DOCUMENT}\\begin{{document}}\n{text}\\end{{document}}\n")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", source.name]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:]
    assert "Overfull" not in done.stdout
    page = subprocess.run(["pdftotext", "-layout", "paper.pdf", "-"], cwd=folder, capture_output=True, text=True)
    return " ".join(page.stdout.split())


@pytest.mark.parametrize("kinds", [("bbox",), ("bbox", "segm")])
def test_table_compiles(kinds: tuple[str, ...], tmp_path: Path) -> None:
    published = ablation.Published("sum", dict.fromkeys(coco_block("bbox"), 36.8))
    nasty = row(r"100% of $x_1^2$ & {y} #3 ~ \ <a|b>", 0.25)
    lines = (row("sum", 0.375), published, nasty, row("random", float("nan"), "failed: 90% of _it_"))
    table = ablation.Table(
        sweep="table_1 recipe=paper",
        caption="Table I: 50% & more_of {it}",
        context={},
        blocks={kind: coco_block(kind) for kind in kinds},
        lines=lines,
        best=dict.fromkeys(COCO_NAMES, frozenset(["id of sum"])),
        rest="`python run.py` runs what is not run yet.",
        source="3 trials at commit 0123",
    )
    words = compiled(latex.latex(table), tmp_path)
    assert "Table 1: 50% & more of {it}" in words  # an underscore is a line, not text
    assert r"100% of $x 1" in words  # TeX's own circumflex and tilde are other letters than ours
    assert r"2$ & {y} #3" in words
    assert r"\ <a|b> 25.0 25.0" in words
    assert words.count("37.5") == len(kinds) * len(names.COCO_METRICS)


def test_table_in_full_compiles(tmp_path: Path) -> None:
    """As wide as it gets: published, intervals, difference, four costs and a state."""
    columns = (
        "row",
        "published",
        "AP",
        "95 %",
        "against",
        "difference",
        "95 %",
        "p",
        "n",
        "M",
        "G",
        "ms",
        "h",
        "state",
    )
    cells = ("conv 3x3", "37.1", "36.5", "[36.1, 36.9]", "baseline", "-0.4", "[-0.8, +0.1]", "< .001 *", "3")
    rows = tuple((*cells, "41.2", "545", "61.3", "0.8", state) for state in ("", "seed 2 failed: 90% of _it_"))
    found = full.Details(
        "t", "Table III & more", columns, {"box AP": rows, "mask AP": rows}, "Intervals (95 %) hold.\nStill."
    )
    words = compiled(full.tabular(found), tmp_path)
    assert "box AP published AP 95 % against difference 95 % p n M G ms h state" in words
    assert "conv 3x3 37.1 36.5 [36.1, 36.9] baseline -0.4 [-0.8, +0.1] < .001 * 3 41.2 545 61.3 0.8" in words
    assert words.count("seed 2 failed: 90% of") == 2
