"""`python -m analysis table|figure|paper|compare|disagree`: the results of a sweep so far, read from MLflow."""

import argparse
import gc
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from analysis.command_line import parser
from analysis.read.metrics import COCO_NAMES, coco_block
from experiments import names
from experiments.errors import UserError
from experiments.sentences import report

if TYPE_CHECKING:
    from analysis.read.study import Study
    from analysis.tables.ablation import Table


def main(argv: list[str] | None = None) -> int:
    """Runs a command line; returns the exit code: 2 after a user's mistake, printed to stderr, and 130 after Ctrl-C."""
    os.environ.pop("MPLBACKEND", None)  # a notebook sets a matplotlib backend that only notebooks have
    arguments = parser().parse_args(argv)
    run = {"table": _table, "figure": _figure, "paper": _paper, "compare": _compare, "disagree": _disagree}[
        arguments.command
    ]
    try:
        return run(arguments)
    except UserError as error:
        from analysis.read import place

        return report(place.place(arguments).localized(error))
    except KeyboardInterrupt:
        return 130


# Each function imports what it needs: mlflow, pandas and matplotlib take seconds, and `--help` should not.


def _table(arguments: argparse.Namespace) -> int:
    from analysis import terminal
    from analysis.read import declarations
    from analysis.tables import ablation

    asked = arguments.sweep if arguments.number is None else declarations.numbered(arguments.number)
    if arguments.detail:
        return _detailed_table(arguments, asked)
    found = _recorded(arguments, asked, COCO_NAMES)
    table = ablation.of(found, found.whole)
    _print(table, arguments, found)
    if arguments.out:
        print(terminal.write_table(table, arguments.out))
    return 0


def _detailed_table(arguments: argparse.Namespace, asked: str) -> int:
    from analysis import terminal
    from analysis.statistics import evidence, factors
    from analysis.tables import ablation, costs, full

    found = _study(arguments, asked)
    part, known = found.whole, costs.costs(found)
    table = ablation.of(found, part)
    _print(ablation.with_published(table, part.declaration), arguments, found)
    sure = [one for kind in table.blocks if (one := evidence.evidence(found, part, kind, terminal.progress))]
    for one in sure:
        terminal.print_evidence(one)
    terminal.print_costs(known)
    if grid := factors.of_modules(found.trials, found.metrics, coco_block("bbox")[0]):
        terminal.print_effects(grid)
    if arguments.out:
        print(terminal.write_table(full.details(part, table, sure, known) if sure else table, arguments.out))
    return 0


def _print(table: "Table", arguments: argparse.Namespace, found: "Study") -> None:
    """Prints a table; unlike in a file, its command for missing trials names this output folder."""
    from dataclasses import replace

    from analysis import terminal
    from analysis.read import place

    terminal.print_table(replace(table, rest=place.place(arguments, found.runs).localized(table.rest)))


def _figure(arguments: argparse.Namespace) -> int:
    from dataclasses import replace

    from analysis import terminal
    from analysis.figures import curves, styles
    from analysis.read import declarations, study

    asked, kind = (arguments.sweep, "bbox") if arguments.number is None else declarations.drawn(arguments.number)
    if arguments.seeds:
        return _figure_of_seeds(arguments, asked, kind)
    metric = arguments.metric or names.coco_metric(kind, "AP")
    found = _recorded(arguments, asked, (metric,))
    part = found.whole
    path = arguments.out or Path("outputs", "figures", f"{study.file_name(part.sweep)}.png")
    look_of = styles.of(replace(found, sweep=declarations.whole(found.sweep)).parts)
    drawn = curves.curves(part, found.metrics, metric, look_of)
    print(terminal.write_figure(drawn, path))
    return 0


def _figure_of_seeds(arguments: argparse.Namespace, asked: str, kind: str) -> int:
    from analysis import terminal
    from analysis.figures import strips, styles
    from analysis.read import study
    from analysis.statistics import evidence

    found = _study(arguments, asked)
    part = found.whole
    known = evidence.evidence(found, part, kind, terminal.progress)
    if known is None:
        raise UserError(f"no finished trial of sweep {part.sweep!r}; wait for one")
    path = arguments.out or Path("outputs", "figures", f"{study.file_name(part.sweep)}-seeds.png")
    print(terminal.write_figure(strips.strips(part, known, styles.of([part])), path))
    return 0


def _recorded(arguments: argparse.Namespace, asked: str, wanted: tuple[str, ...]) -> "Study":
    """Returns a sweep with these metrics only, but with all runs, so that it has the colours of the whole study."""
    from analysis import terminal
    from analysis.read import borrowed, frames, runs, store, study

    if arguments.source:
        return _study(arguments, asked)
    with store.reading(arguments.tracking_uri) as client:
        recorded = runs.of_experiment(client, arguments.experiment, arguments.tracking_uri)
        recorded = borrowed.of_other_sweeps(recorded, asked)
        sweep = frames.find_sweep(recorded, asked, arguments.tracking_uri)
        asked_of = study.wanted_histories(recorded, sweep, wanted)
        with terminal.progress("reading MLflow", runs.requests(asked_of)) as on_read:
            return study.Study(sweep, recorded, runs.histories(client, asked_of, on_read), {}, [])


def _paper(arguments: argparse.Namespace) -> int:
    from analysis import terminal
    from analysis.read import study
    from analysis.results import folder as paper

    if arguments.source and arguments.study is not None:
        raise UserError(
            f"{arguments.source} holds one study, which is written completely; leave {arguments.study!r} out"
        )
    asked = "paper" if arguments.study is None else arguments.study
    found = _study(arguments, "last" if arguments.source else asked)
    folder = arguments.out or arguments.source or Path("results", study.file_name(found.sweep))
    for written in paper.write(found, folder, terminal.progress):
        print(written)
    return 0


def _compare(arguments: argparse.Namespace) -> int:
    from analysis import terminal
    from analysis.read import place, study
    from analysis.statistics import compare, rounds

    sides = (arguments.before, arguments.after)
    lacking: list[str] = []
    folders = [Path(side, study.DATA) for side in sides]
    studies = [side for side, folder in zip(sides, folders, strict=True) if (folder / study.ABOUT).is_file()]
    if len(studies) == 1:
        (other,) = set(sides) - set(studies)
        raise UserError(
            f"{other!r} is not a folder with a study, but {studies[0]} is; "
            f"give two such folders, or two rows of {studies[0]} with --from {studies[0]}"
        )
    if studies:
        before, after = (compare.rows(study.load(folder)) for folder in folders)
        lacking = [row for row in before if row not in after]
        common = {row: (before[row], after[row]) for row in before if row in after}
        if not common:
            raise UserError(f"{arguments.before} and {arguments.after} have no row in common")
        found = compare.compare(common, terminal.progress)
    else:
        known = _study(arguments, arguments.sweep)
        part = known.whole
        if arguments.after == compare.PUBLISHED:
            found = compare.with_published(part, arguments.before, known)
        else:
            first, second = (compare.find(part, side, known) for side in sides)
            found = compare.compare({f"{arguments.after} less {arguments.before}": (first, second)}, terminal.progress)
    terminal.print_comparison(found)
    if not studies and rounds.of(known, part, coco_block("bbox")[0]):
        command = place.place(arguments).command("analysis", "table", "--sweep", part.sweep, "--detail")
        print(f"note: seeds were added after looking; for p and intervals that hold for all looks: {command}")
    if lacking:
        print(f"{arguments.after} has no finished trial of: {', '.join(lacking)}", file=sys.stderr)
    return 1 if lacking or any(one.verdict == "worse" for one in found) else 0


def _disagree(arguments: argparse.Namespace) -> int:
    from analysis import terminal
    from analysis.figures import side_by_side
    from analysis.read import store

    with store.reading(arguments.tracking_uri) as client:
        of = (client, arguments.experiment, arguments.tracking_uri, tuple(arguments.trials))
        found = side_by_side.disagree(*of, arguments.annotations, arguments.images)
    print(found.heading.about)
    print(terminal.write_figure(found, arguments.out))
    return 0


def _study(arguments: argparse.Namespace, sweep: str) -> "Study":
    from dataclasses import replace

    from analysis import terminal
    from analysis.read import borrowed, frames, store, study

    if arguments.source:
        found = study.load(arguments.source / study.DATA)
        if sweep == frames.LAST:
            return found
        recorded = borrowed.of_other_sweeps(found.runs, sweep)
        return replace(found, runs=recorded, sweep=frames.find_sweep(recorded, sweep, str(arguments.source)))
    with store.reading(arguments.tracking_uri) as client:
        of = (client, arguments.experiment, arguments.tracking_uri, sweep)
        return study.read(*of, terminal.progress, terminal.note)


if __name__ == "__main__":
    # Reading MLflow makes many objects that stay; searching them for garbage takes a quarter of the time.
    gc.set_threshold(200_000)
    sys.exit(main())
