"""Writes report.html: an answer per table, then the tables, figures, costs and provenance."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
from markdown_it import MarkdownIt
from markupsafe import Markup

from analysis.read import captions
from analysis.read.study import Part, Study
from analysis.results import provenance
from analysis.statistics import evidence, numbers
from analysis.statistics.evidence import Evidence
from analysis.tables import ablation, html
from analysis.tables.costs import costs
from experiments import names
from experiments.commands import ROOT
from experiments.declared import key_of

FIDELITY = ROOT / "docs" / "fidelity.md"
READING = (
    "AP is COCO's, times 100. Intervals (95 %) are for other seeds and other validation images. A difference is "
    "significant (*) where it is so after Holm's correction for all rows of its table, and by the two rows' own seeds. "
    "`better` is the confidence that a row is better than its baseline, for that row alone; `beats` is the probability "
    "that one new training of it has a higher AP than one of its baseline."
)
DEMO = "Numbers of this profile and data are not COCO's, and do not tell which module is better on COCO."


@dataclass(frozen=True)
class Section:
    """One table of the study."""

    title: str
    purpose: str
    table: ablation.Table
    evidence: tuple[Evidence, ...]
    figures: tuple[Markup, ...]

    @property
    def note(self) -> str:
        """Returns how to read the table."""
        return ablation.note(self.table)

    @property
    def anchor(self) -> str:
        return names.sweep_key(self.table.sweep).replace(" ", "-")


def page(study: Study, sections: Sequence[Section], cost_figures: Sequence[Markup]) -> str:
    """Returns the report: a page of one file."""
    trials = study.trials
    script = Markup((html.TEMPLATES / "sort.js").read_text())
    report = {
        "title": _title(study),
        "setting": _setting(study, trials),
        "answers": answers(sections),
        "reading": READING if set(trials["profile"]) == {"coco"} else f"{READING} {DEMO}",
        "sections": sections,
        "costs": costs(study),
        "cost_figures": cost_figures,
        "commands": _commands(study),
        "fidelity": _fidelity(),
        "provenance": provenance.of(study),
        "trial_columns": ("trial", "status", "seed", "commit", "wall", "devices"),
        "trials": _trials(study),
    }
    return html.render("report.html", report=report, script=script)


@dataclass(frozen=True)
class Answer:
    """A sentence of the first screen; `kind` is better, worse or open."""

    text: str
    detail: str
    kind: str


def answers(sections: Sequence[Section]) -> list[Answer]:
    """Returns an answer for each table and IoU type, about the row with the largest difference."""
    over_all = evidence.over_all(one for section in sections for one in section.evidence)
    return [_answer(section, one, over_all) for section in sections for one in section.evidence if one.lines]


def _answer(section: Section, found: Evidence, over_all: Mapping[tuple[str, str, str], float]) -> Answer:
    title, best = section.title, found.leading
    if best is None or best.difference is None:
        return Answer(f"{title}: nothing to compare yet.", section.table.rest, "open")
    compared = [line for line in found.lines if line.difference is not None]
    sure = [line for line in compared if line.significant]
    text = numbers.difference(best.difference)
    seeds = f"{found.seeds} seed{'s' * (found.seeds != 1)}"
    if found.detectable is not None:
        seeds += f" can detect a difference of {found.detectable:.1f} AP with 80 % power"
    if not sure:
        largest = f"largest: {best.label} {text} against {best.baseline}"
        return Answer(f"{title}: no significant difference in {found.metric.label}.", f"{largest}; {seeds}.", "open")
    verb = "better" if best.difference.estimate > 0 else "worse"
    sentence = f"{title}: {best.label} is {verb} than {best.baseline} by {text} {found.metric.label}."
    p = over_all[found.metric.name, best.variant_id, best.baseline_id]
    told = [
        f"p {numbers.equals(best.p)} in this table, "
        f"{numbers.equals(p)} over all {len(over_all)} comparisons of the study",
        f"not significantly different from it: {', '.join(found.like_leading)}" if found.like_leading else "",
        f"{len(sure)} of {len(compared)} rows differ significantly from their baseline",
        seeds,
    ]
    return Answer(sentence, f"{'; '.join(filter(None, told))}.", verb)


def _title(study: Study) -> str:
    declaration = study.declaration
    return declaration.purpose.rstrip(".") if declaration else f"Sweep {study.sweep}"


def _setting(study: Study, trials: pd.DataFrame) -> str:
    finished = (trials["status"] == names.FINISHED).sum()
    about = ", ".join(f"{key} {value}" for key, value in captions.context(trials).items())
    count = trials[names.SEED].nunique()
    seeds = f"{count} seed{'s' * (count != 1)}"
    return f"sweep {study.sweep} - {about} - {seeds} - {finished} of {len(trials)} trials finished"


def _commands(study: Study) -> list[dict[str, str]]:
    label_of = dict(zip(study.trials[names.VARIANT_ID], study.trials["label"], strict=True))
    found: dict[str, str] = {}  # by variant
    for run in study.own:
        overrides = [word for word in run.overrides if key_of(word) != names.SEED]
        found.setdefault(run.tags[names.VARIANT_ID], shlex.join(["python", "run.py", *overrides]))
    return [{"label": label_of[variant], "command": command} for variant, command in found.items()]


def _trials(study: Study) -> list[tuple[str, ...]]:
    return [
        (
            run.tags[names.TRIAL_ID],
            run.status.lower(),
            run.params.get(names.SEED, ""),
            run.tags.get(names.COMMIT, ""),
            f"{run.metrics[names.WALL_SECONDS]:.0f} s" if names.WALL_SECONDS in run.metrics else "",
            run.tags.get(names.GPU, ""),
        )
        for run in sorted(study.own, key=lambda run: run.tags[names.TRIAL_ID])
    ]


def _fidelity() -> Markup:
    """Returns docs/fidelity.md as HTML without its title, with headings one level lower and scrolling tables."""
    _, _, text = FIDELITY.read_text().partition("\n")
    page = MarkdownIt("commonmark").enable("table").render(text.replace("\n## ", "\n### "))
    return Markup(page.replace("<table>", '<div class="wide"><table>').replace("</table>", "</table></div>"))


def section(part: Part, table: ablation.Table, found: Sequence[Evidence], figures: Sequence[Markup]) -> Section:
    """Returns the section of a part."""
    declaration = part.declaration
    number = f"Table {declaration.table}: " if declaration and declaration.table else ""
    title = f"{number}{declaration.caption.rstrip('.')}" if declaration else part.sweep
    return Section(title, declaration.purpose if declaration else "", table, tuple(found), tuple(figures))
