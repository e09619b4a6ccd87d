"""A study's folder of results: every table and figure, the report, and the data that all of it is made from."""

import contextlib
import shutil
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
from markupsafe import Markup
from matplotlib.figure import Figure

from analysis import (
    declarations,
    drawing,
    evidence,
    figures,
    formats,
    looks,
    mistakes,
    mistakes_drawing,
    plots,
    report,
    study,
    tables,
)
from analysis.errors import AnalysisError
from analysis.evidence import Evidence
from analysis.looks import Look
from analysis.metrics import KINDS, coco_block
from analysis.study import Part, Study
from experiments import names

DATA = "data"


def write(found: Study, folder: Path, progress: study.Progress) -> list[Path]:
    """Writes all that is made of a study into `folder`, in place of what an earlier call left there.

    Another folder is filled first, so that one which is there is whole. Returns the files, the report first.
    """
    if folder.exists() and not (folder / DATA / study.ABOUT).exists():
        raise AnalysisError(f"{folder} exists and holds no study; name another place with --out")
    part = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}")
    try:
        part.mkdir(parents=True)
        _fill(found, part, progress)
        shutil.rmtree(folder, ignore_errors=True)
        part.rename(folder)
    except OSError as error:
        raise AnalysisError(f"cannot write {folder} ({error.strerror}); name another place with --out") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return sorted(path for path in folder.rglob("*") if path.is_file() and DATA not in path.parts)


def _fill(found: Study, folder: Path, progress: study.Progress) -> None:
    study.save(found, folder / DATA)
    metrics, parts = found.metrics, found.parts
    look_of = looks.of(parts)
    sections = []
    for part in parts:
        kinds = part.declaration.columns if part.declaration and part.declaration.columns else names.IOU_TYPES
        sure = [one for kind in kinds if (one := evidence.evidence(found, part, kind, progress))]
        table = tables.ablation_table(part.sweep, part.lines, metrics, part.declaration)
        for ending, text in formats.WRITERS.items():
            (folder / f"{table_name(part)}{ending}").write_text(text(table), encoding="utf-8")
        figures = _figures(found, part, metrics, look_of) | _of_evidence(found, part, sure, look_of)
        with progress(f"figures of {part.name}", len(figures)) as on_drawn:
            drawn = []
            for name, figure in figures.items():
                written = drawing.write(figure, folder / name)
                drawn.append(_inline(written))
                on_drawn()
        sections.append(report.section(part, tables.with_published(table, part.declaration), sure, drawn))
    of_cost = [
        _inline(drawing.write(figure, folder / name)) for name, figure in _of_cost(found, parts, look_of).items()
    ]
    (folder / "report.html").write_text(report.page(found, sections, of_cost), encoding="utf-8")


def _figures(found: Study, part: Part, metrics: pd.DataFrame, look_of: Mapping[str, Look]) -> dict[str, Figure]:
    """Returns the drawings of a table, by file name: AP against the epoch, and what each kind of error costs."""
    recorded = metrics.loc[metrics[names.TRIAL_ID].isin(part.lines[names.TRIAL_ID])]
    drawn = {}
    numbers = part.declaration.figures if part.declaration else {}
    for name, iou_type in numbers.items() or ((f"{part.name}-epochs", "bbox"),):
        metric = coco_block(iou_type)[0]
        if recorded[metric].notna().any():
            curves = figures.curves(part.sweep, part.lines, metrics, metric, part.declaration, look_of)
            drawn[f"figure{name}" if numbers else name] = drawing.draw(curves)
    for iou_type, kind in KINDS.items():
        told = any(names.error_metric(iou_type, names.ERROR_KINDS[0]) in run.metrics for run in found.runs)
        if told and recorded[coco_block(iou_type)[0]].notna().any():
            costs = mistakes.mistakes(part.sweep, part.lines, found.runs, iou_type, part.declaration)
            drawn[f"{table_name(part)}-{kind}-errors"] = mistakes_drawing.draw(costs)
    return drawn


def _of_evidence(found: Study, part: Part, sure: Sequence[Evidence], look_of: Mapping[str, Look]) -> dict[str, Figure]:
    """Returns the drawings of each row less its baseline, and of AP by object size."""
    drawn = {}
    for one in sure:
        kind = one.metric.label.partition(" ")[0]
        with contextlib.suppress(AnalysisError):  # no row has a difference yet
            drawn[f"{table_name(part)}-{kind}-effects"] = drawing.draw(plots.effects(part, one, look_of))
        with contextlib.suppress(AnalysisError):  # the data have no objects by size
            drawn[f"{table_name(part)}-{kind}-sizes"] = drawing.draw(plots.sizes(found, part, one, look_of))
    return drawn


def _of_cost(found: Study, parts: Sequence[Part], look_of: Mapping[str, Look]) -> dict[str, Figure]:
    """Returns the drawings of AP against each cost that was measured, over the whole study."""
    drawn = {}
    part = parts[0] if len(parts) == 1 else found.whole
    for cost in (names.GMACS, names.SECONDS_PER_IMAGE, names.TRAINING_MEMORY):
        with contextlib.suppress(AnalysisError):
            data = plots.pareto(found, part, coco_block("bbox")[0], cost, look_of)
            drawn[f"cost-{cost.partition('/')[2].replace('_', '-')}"] = drawing.draw(data)
    return drawn


def _inline(written: Sequence[Path]) -> Markup:
    """Returns a drawing as part of a page."""
    (file,) = (path for path in written if path.suffix == ".svg")
    _, start, rest = file.read_text().partition("<svg")
    return Markup(start + rest)


def table_name(part: Part) -> str:
    """Returns what the files of a part's table are called: "table3" for the paper's Table III, else as its sweep."""
    table = part.declaration.table if part.declaration else None
    if table in declarations.ROMAN:
        return f"table{declarations.ROMAN.index(table) + 1}"
    return part.name
