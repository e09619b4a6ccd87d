"""An ablation table in full: published AP, our AP with its interval, the difference from the baseline, and costs."""

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from analysis.read import captions
from analysis.read.study import Part
from analysis.statistics.evidence import Evidence
from analysis.statistics.means import ALPHA
from analysis.tables import html, latex
from analysis.tables.ablation import Published, Table, with_published
from analysis.tables.costs import Costs
from analysis.tables.formats import pipes


@dataclass(frozen=True)
class Details:
    """One block for box AP, mask AP or each of both, with one row per row of the table; all cells are text."""

    sweep: str
    caption: str
    columns: tuple[str, ...]
    blocks: dict[str, tuple[tuple[str, ...], ...]]  # "box AP" -> rows
    note: str  # how to read it, the command for what is not run, and the commits


def details(part: Part, table: Table, sure: Sequence[Evidence], costs: Costs) -> Details:
    """Returns the table in full; unknown cells are "", and columns without any value are left out.

    Args:
        sure: of boxes, of masks or of both; at least one.
    """
    columns = (sure[0].columns[0], "published", *sure[0].columns[1:], *costs.columns, "state")
    blocks = {one.metric.label: _cells(part, table, one, costs) for one in sure}
    used = [place for place, _ in enumerate(columns) if any(line[place] for lines in blocks.values() for line in lines)]
    notes = [*dict.fromkeys(one.note for one in sure)]
    if any(line.significant for one in sure for line in one.lines):
        notes.append(f"*: significant, p < {ALPHA:g}.")
    notes += [table.rest] if table.rest else []
    notes += table.doubts
    notes += [f"{table.source}."] if table.source else []
    return Details(
        table.sweep,
        captions.caption(part),
        tuple(columns[place] for place in used),
        {name: tuple(tuple(line[place] for place in used) for line in lines) for name, lines in blocks.items()},
        " ".join(notes),
    )


def _cells(part: Part, table: Table, sure: Evidence, costs: Costs) -> list[tuple[str, ...]]:
    name = sure.metric.name
    lines = with_published(table, part.declaration).lines
    published = {line.name: line.shown(name) for line in lines if isinstance(line, Published)}
    known = {line.variant_id: cells[1:] for line, cells in zip(sure.lines, sure.cells, strict=True)}
    nothing = ("",) * (len(sure.columns) - 1)
    return [
        (
            row.label,
            published.get(row.name, ""),
            *known.get(row.variant_id, nothing),
            *costs.shown(row.variant_id),
            row.state,
        )
        for row in table.rows
    ]


def markdown(found: Details) -> str:
    """Returns the caption, a table for boxes or masks or both, and how to read them."""
    rule = ["---", *["---:"] * (len(found.columns) - 1)]
    parts = [f"**{found.caption}**"]
    for name, lines in found.blocks.items():
        parts += [f"{name}:", "\n".join(pipes(list(line)) for line in (found.columns, rule, *lines))]
    return "\n\n".join([*parts, found.note]) + "\n"


def comma_separated(found: Details) -> str:
    """Returns a header and a line for each row and metric."""
    text = io.StringIO()
    lines = [(name, *line) for name, block in found.blocks.items() for line in block]
    csv.writer(text, lineterminator="\n").writerows([("metric", *found.columns), *lines])
    return text.getvalue()


def tabular(found: Details) -> str:
    r"""Returns a `table*` float, over both columns of a page; needs \usepackage{booktabs}."""
    lines = [
        "% needs \\usepackage{booktabs}",
        *(f"% {line}" for line in found.note.splitlines()),
        "\\begin{table*}",
        "  \\centering\\scriptsize\\setlength{\\tabcolsep}{3pt}",
        f"  \\caption{{{latex.escape(found.caption)}}}",
        f"  \\begin{{tabular}}{{l{'r' * (len(found.columns) - 1)}}}",
        "    \\toprule",
    ]
    for place, (name, block) in enumerate(found.blocks.items()):
        head = f"\\textbf{{{latex.escape(name)}}}"
        lines += ["    \\midrule"] * (place > 0)
        lines += [_line((head, *map(latex.escape, found.columns[1:]))), "    \\midrule"]
        lines += [_line(tuple(map(latex.escape, cells))) for cells in block]
    return "\n".join([*lines, "    \\bottomrule", "  \\end{tabular}", "\\end{table*}"]) + "\n"


def _line(cells: tuple[str, ...]) -> str:
    return f"    {' & '.join(cells)} \\\\"


def page(found: Details) -> str:
    """Returns a page with the table alone."""
    return html.render("details.html", found=found)


WRITERS: dict[str, Callable[[Details], str]] = {
    ".md": markdown,
    ".csv": comma_separated,
    ".tex": tabular,
    ".html": page,
}
