"""Writes a study's folder of results: all tables and figures, the report, and the data that they are made from."""

import contextlib
import shutil
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path

from markupsafe import Markup

from analysis.drawing import page
from analysis.drawing.page import Drawable
from analysis.figures import mistakes, plots, strips, styles
from analysis.figures.curves import curves
from analysis.figures.styles import Look
from analysis.read import declarations, frames, study
from analysis.read.metrics import KINDS, coco_block
from analysis.read.runs import Run
from analysis.read.study import Part, Study
from analysis.results import flat_files, provenance, report
from analysis.statistics import evidence
from analysis.statistics.evidence import Evidence
from analysis.tables import ablation, costs, formats, full
from experiments import names
from experiments.errors import UserError

MADE = "made.txt"  # lists all files that a call wrote; the next call may replace them


def write(found: Study, folder: Path, progress: study.Progress) -> list[Path]:
    """Writes the results of a study into `folder`; replaces those of an earlier call for the same sweep.

    A temporary folder is filled first, so that an existing folder stays whole. Other files in the folder stay. Returns
    the files, without the data. Raises UserError if the folder holds another study, or finished trials that
    this one does not have.
    """
    theirs = _of_earlier_call(found, folder) if folder.exists() else []
    part = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}")
    try:
        part.mkdir(parents=True)
        _fill(found, part, progress)
        made = Path(study.DATA, MADE)
        ours = sorted([made, *(path.relative_to(part) for path in part.rglob("*") if path.is_file())])
        (part / made).write_text("".join(f"{path.as_posix()}\n" for path in ours))
        if folder.exists():
            _replace(folder, theirs, part, ours)
        else:
            part.rename(folder)
    except OSError as error:
        raise UserError(f"cannot write {folder} ({error.strerror}); name another place with --out") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return [folder / path for path in ours if path.parts[0] != study.DATA]


def _of_earlier_call(found: Study, folder: Path) -> list[Path]:
    """Returns the files of an earlier call, relative to the folder; UserError if they must not be replaced."""
    if not (folder / study.DATA / study.ABOUT).exists():
        raise UserError(f"{folder} exists and holds no study; name another place with --out")
    remedy = "name another place with --out, or remove the folder first"
    try:
        sweep, runs = study.outline(folder / study.DATA)
    except UserError as error:
        raise UserError(f"{str(error).partition('; ')[0]}; {remedy}") from error
    if sweep != found.sweep:
        raise UserError(f"{folder} holds a study of the sweep {sweep!r}, not of {found.sweep!r}; {remedy}")
    lost = sorted(_finished(sweep, runs) - _finished(found.sweep, found.runs))
    if lost:
        told = ", ".join(lost[:3]) + (", ..." if len(lost) > 3 else "")
        trials = f"{len(lost)} finished trial{'s' * (len(lost) > 1)}"
        raise UserError(f"{folder} holds {trials} that this study lacks ({told}); {remedy}")
    made = folder / study.DATA / MADE
    theirs = set(made.read_text().splitlines()) if made.is_file() else set()
    inside = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return [path for path in inside if path.as_posix() in theirs]


def _finished(sweep: str, runs: Sequence[Run]) -> set[str]:
    trials = frames.runs_frame(list(runs), sweep)
    return set(trials.loc[trials["status"] == names.FINISHED, names.TRIAL_ID])


def _replace(folder: Path, theirs: Sequence[Path], part: Path, ours: Sequence[Path]) -> None:
    """Moves new files into a folder and removes those of an earlier call; other files stay."""
    for path in ours:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (part / path).replace(folder / path)
    for path in set(theirs) - set(ours):
        (folder / path).unlink()


def _fill(found: Study, folder: Path, progress: study.Progress) -> None:
    study.save(found, folder / study.DATA)
    flat_files.plan(found).to_csv(folder / "plan.csv", index=False, lineterminator="\n")
    flat_files.epochs(found).to_csv(folder / "epochs.csv", index=False, lineterminator="\n")
    (folder / "provenance.md").write_text(provenance.page(found), encoding="utf-8")
    parts = found.parts
    look_of, known = styles.of(parts), costs.costs(found)
    made = []
    with page.in_background(progress) as draw:
        for part in parts:
            kinds = part.declaration.columns if part.declaration and part.declaration.columns else names.IOU_TYPES
            sure = [one for kind in kinds if (one := evidence.evidence(found, part, kind, progress))]
            figures = _curves(found, part, look_of) | _plots(found, part, sure, look_of)
            for name, data in figures.items():
                draw(folder / name, data)
            table = ablation.of(found, part)
            _write_tables(part, table, sure, known, folder)
            made.append((part, table, sure, figures))
        of_cost = _of_cost(found, look_of)
        for name, data in of_cost.items():
            draw(folder / name, data)
    sections = [
        report.section(part, ablation.with_published(table, part.declaration), sure, _inline(folder, figures))
        for part, table, sure, figures in made
    ]
    (folder / "report.html").write_text(report.page(found, sections, _inline(folder, of_cost)), encoding="utf-8")


def _write_tables(
    part: Part, table: ablation.Table, sure: Sequence[Evidence], known: costs.Costs, folder: Path
) -> None:
    for ending, text in formats.WRITERS.items():
        (folder / f"{table_name(part)}{ending}").write_text(text(table), encoding="utf-8")
    if sure:
        in_full = full.details(part, table, sure, known)
        for ending, text_of in full.WRITERS.items():
            (folder / f"{table_name(part)}-detail{ending}").write_text(text_of(in_full), encoding="utf-8")


Figures = dict[str, Drawable]  # by file name


def _curves(found: Study, part: Part, look_of: Mapping[str, Look]) -> Figures:
    """Returns AP against the epoch: the declared figures, else one of box AP."""
    recorded = found.metrics.loc[found.metrics[names.TRIAL_ID].isin(part.lines[names.TRIAL_ID])]
    numbers = part.declaration.figures if part.declaration else {}
    wanted = {f"figure{number}": iou_type for number, iou_type in numbers.items()} or {f"{part.name}-epochs": "bbox"}
    return {
        name: curves(part, found.metrics, coco_block(iou_type)[0], look_of)
        for name, iou_type in wanted.items()
        if recorded[coco_block(iou_type)[0]].notna().any()
    }


def _plots(found: Study, part: Part, sure: Sequence[Evidence], look_of: Mapping[str, Look]) -> Figures:
    """Returns the figures of differences, seeds, object sizes and errors."""
    drawn: Figures = {}
    for one in sure:
        name = f"{table_name(part)}-{_kind(one)}"
        with contextlib.suppress(UserError):  # no row has a difference yet
            drawn[f"{name}-effects"] = plots.effects(part, one, look_of)
        with contextlib.suppress(UserError):  # all seeds were asked for at once
            drawn[f"{name}-seeds"] = strips.strips(part, one, look_of)
        with contextlib.suppress(UserError):  # the data have no objects by size
            drawn[f"{name}-sizes"] = plots.sizes(found, part, one, look_of)
        with contextlib.suppress(UserError):  # no trial has kept them
            drawn[f"{name}-errors"] = mistakes.mistakes(part, found.runs, one.metric.name.partition("/")[0])
    return drawn


def _of_cost(found: Study, look_of: Mapping[str, Look]) -> Figures:
    """Returns AP against each measured cost, over the whole study."""
    drawn: Figures = {}
    part = found.parts[0] if len(found.parts) == 1 else found.whole
    for cost in (names.GMACS, names.SECONDS_PER_IMAGE, names.TRAINING_MEMORY):
        with contextlib.suppress(UserError):
            data = plots.pareto(found, part, coco_block("bbox")[0], cost, look_of)
            drawn[f"cost-{cost.partition('/')[2].replace('_', '-')}"] = data
    return drawn


def _kind(of: Evidence) -> str:
    """Returns "box" or "mask"."""
    return KINDS[of.metric.name.partition("/")[0]]


def _inline(folder: Path, figures: Figures) -> list[Markup]:
    """Returns drawings as inline SVG."""
    return [Markup("<svg" + (folder / f"{name}.svg").read_text().partition("<svg")[2]) for name in figures]


def table_name(part: Part) -> str:
    """Returns the name of a table's files: "table3" for the paper's Table III, else the sweep's."""
    table = part.declaration.table if part.declaration else None
    if table in declarations.ROMAN:
        return f"table{declarations.ROMAN.index(table) + 1}"
    return part.name
