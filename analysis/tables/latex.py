"""Writes the ablation table as LaTeX with booktabs: boxes and masks side by side, as in the paper's Table V."""

import re

from analysis.read.metrics import KINDS
from analysis.tables.ablation import Published, Row, Table
from experiments import names

SPECIAL = str.maketrans(
    {
        **{letter: f"\\{letter}" for letter in "&%$#_{}"},
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "\\": r"\textbackslash{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "|": r"\textbar{}",
        "±": r"$\pm$",
        "†": r"$\dagger$",
        "\N{MINUS SIGN}": "$-$",
    }
)
SUBSCRIPTS = {"AP": "AP", **{short: f"AP$_{{{short[2:]}}}$" for short in names.COCO_METRICS[1:]}}


def escape(text: str) -> str:
    """Returns text with LaTeX's special characters escaped."""
    return text.translate(SPECIAL)


def latex(table: Table) -> str:
    r"""Returns a `table` float with a label; needs \usepackage{booktabs}."""
    kinds = list(table.blocks)
    width = len(names.COCO_METRICS)
    caption = re.sub(r"^Table \w+: ", "", table.caption)  # LaTeX numbers it
    lines = [
        "% needs \\usepackage{booktabs}",
        "\\begin{table}",
        "  \\centering",
        f"  \\caption{{{escape(caption)}}}",
        f"  \\label{{tab:{''.join(letter if letter.isalnum() else '-' for letter in table.sweep)}}}",
        f"  \\begin{{tabular}}{{l{'r' * width * len(kinds)}r}}",
        "    \\toprule",
    ]
    if len(kinds) > 1:
        heads = [f"\\multicolumn{{{width}}}{{c}}{{{KINDS[kind]}}}" for kind in kinds]
        starts = [2 + width * place for place in range(len(kinds))]
        rules = " ".join(f"\\cmidrule(lr){{{start}-{start + width - 1}}}" for start in starts)
        lines += [f"    & {' & '.join(heads)} & \\\\", f"    {rules}"]
    columns = [SUBSCRIPTS[short] for _ in kinds for short in names.COCO_METRICS]
    lines += [f"    & {' & '.join(columns)} & $n$ \\\\", "    \\midrule"]
    lines += [f"    {_line(table, line)} \\\\" for line in table.lines]
    lines += ["    \\bottomrule", "  \\end{tabular}", "\\end{table}"]
    remarks = [f"% {line.label}: {line.state}" for line in table.rows if line.state]
    remarks += [f"% {text}" for text in (table.rest, *table.doubts, table.source) if text]
    return "\n".join([*remarks, *lines]) + "\n"


def _line(table: Table, line: Row | Published) -> str:
    cells = [_number(table, line, name) for block in table.blocks.values() for name in block]
    label = escape(line.label)
    if isinstance(line, Published):
        return " & ".join([f"\\quad\\textit{{{label}}}", *(f"\\textit{{{cell}}}" for cell in cells), ""])
    mark = "$^\\ast$" if line.state else ""
    return " & ".join([label + mark, *cells, escape(line.n)])


def _number(table: Table, line: Row | Published, name: str) -> str:
    text = line.shown(name)
    if text in ("-", ""):
        return "--"
    return f"\\textbf{{{text}}}" if table.is_best(line, name) else text
