"""A study's folder of results: every table and figure, the report, and the data that all of it is made from."""

import shutil
import uuid
from pathlib import Path

from analysis import declarations, evidence, figures, formats, render, report, study, tables
from analysis.errors import AnalysisError
from analysis.metrics import coco_block
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
    metrics = found.metrics
    parts = found.parts
    drawn = sum(len(part.declaration.figures) for part in parts if part.declaration)
    sections = []
    for part in parts:
        kinds = part.declaration.columns if part.declaration and part.declaration.columns else names.IOU_TYPES
        sure = [one for kind in kinds if (one := evidence.evidence(found, part, kind, progress))]
        table = tables.ablation_table(part.sweep, part.lines, metrics, part.declaration)
        sections.append(report.section(part, tables.with_published(table, part.declaration), sure, ()))
    (folder / "report.html").write_text(report.page(found, sections, ()), encoding="utf-8")
    with progress("tables and figures", len(parts) + drawn) as on_done:
        for part in parts:
            table = tables.ablation_table(part.sweep, part.lines, metrics, part.declaration)
            for ending, text in formats.WRITERS.items():
                (folder / f"{table_name(part)}{ending}").write_text(text(table), encoding="utf-8")
            on_done()
            for number, iou_type in part.declaration.figures.items() if part.declaration else ():
                name = coco_block(iou_type)[0]
                if metrics.loc[metrics[names.TRIAL_ID].isin(part.lines[names.TRIAL_ID]), name].notna().any():
                    curves = figures.curves(part.sweep, part.lines, metrics, name, part.declaration)
                    render.write_figure(curves, folder / f"figure{number}.png")
                on_done()


def table_name(part: Part) -> str:
    """Returns what the files of a part's table are called: "table3" for the paper's Table III, else as its sweep."""
    table = part.declaration.table if part.declaration else None
    if table in declarations.ROMAN:
        return f"table{declarations.ROMAN.index(table) + 1}"
    return part.name
