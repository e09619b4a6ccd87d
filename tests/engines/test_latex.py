"""The tables' LaTeX compiles, with nothing but booktabs, and says in the page what the table says."""

import shutil
import subprocess
from pathlib import Path

import pytest

from analysis import latex, tables
from analysis.metrics import COCO_NAMES, coco_block
from experiments import names

DOCUMENT = "\\documentclass{article}\n\\usepackage{booktabs}\n\\usepackage[landscape,margin=1cm]{geometry}\n"


def row(label: str, value: float, state: str = "") -> tables.Row:
    finished = 0 if state else 3
    values = dict.fromkeys(COCO_NAMES, value)
    return tables.Row(label, label, f"id of {label}", values, finished, 3, "12", ("a", "b"), state)


@pytest.mark.parametrize("kinds", [("bbox",), ("bbox", "segm")])
def test_table_compiles(kinds: tuple[str, ...], tmp_path: Path) -> None:
    if shutil.which("pdflatex") is None:
        pytest.skip("no pdflatex; `make test-engines` installs it")
    published = tables.Published("sum", dict.fromkeys(coco_block("bbox"), 36.8))
    nasty = row(r"100% of $x_1^2$ & {y} #3 ~ \ <a|b>", 0.25)
    lines = (row("sum", 0.375), published, nasty, row("random", float("nan"), "failed: 90% of _it_"))
    table = tables.Table(
        sweep="table_1 recipe=paper",
        caption="Table I: 50% & more_of {it}",
        context={},
        blocks={kind: coco_block(kind) for kind in kinds},
        lines=lines,
        best=dict.fromkeys(COCO_NAMES, "37.5"),
        rest="`python run.py` runs what is not run yet.",
        source="3 trials at commit 0123",
    )
    source = tmp_path / "paper.tex"
    source.write_text(f"{DOCUMENT}\\begin{{document}}\n{latex.latex(table)}\\end{{document}}\n")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", source.name]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:]
    assert "Overfull" not in done.stdout
    text = subprocess.run(["pdftotext", "-layout", "paper.pdf", "-"], cwd=tmp_path, capture_output=True, text=True)
    words = " ".join(text.stdout.split())
    assert "Table 1: 50% & more of {it}" in words  # an underscore is a line, not text
    assert r"100% of $x 1" in words  # TeX's own circumflex and tilde are other letters than ours
    assert r"2$ & {y} #3" in words
    assert r"\ <a|b> 25.0 25.0" in words
    assert words.count("37.5") == len(kinds) * len(names.COCO_METRICS)
