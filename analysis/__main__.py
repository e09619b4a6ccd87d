"""`python -m analysis table` and `python -m analysis figure`: what a sweep has found so far, from MLflow alone."""

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path

from analysis.errors import AnalysisError
from analysis.metrics import COCO_NAMES, METRICS
from experiments import names


def parser() -> argparse.ArgumentParser:
    """Returns the parser of the command line."""
    top = argparse.ArgumentParser(prog="python -m analysis", description=__doc__)
    commands = top.add_subparsers(dest="command", required=True)
    shared = argparse.ArgumentParser(add_help=False)
    which = shared.add_mutually_exclusive_group()
    which.add_argument("number", nargs="?", metavar="NUMBER", help="table of the paper, 3 or III: its declared sweep")
    which.add_argument("--sweep", default="last", help="name of a sweep, or last: the one asked for last (default)")
    shared.add_argument(
        "--tracking-uri",
        default=os.environ.get("MLFLOW_TRACKING_URI") or names.DEFAULT_TRACKING_URI,
        help="MLflow store (default: MLFLOW_TRACKING_URI, here %(default)s)",
    )
    shared.add_argument("--experiment", default=names.EXPERIMENT, help="MLflow experiment (default: %(default)s)")
    table = commands.add_parser("table", parents=[shared], help="print the COCO metrics of a sweep's rows")
    table.add_argument("--detail", action="store_true", help="show the published numbers below each row as well")
    table.add_argument("--out", type=_path(".md", ".csv"), help="write the table to FILE.md or FILE.csv as well")
    figure = commands.add_parser("figure", parents=[shared], help="draw a metric against the epoch as PNG")
    figure.add_argument("--out", type=_path(".png"), help="FILE.png (default: outputs/figures/SWEEP.png)")
    figure.add_argument(
        "--metric", default="bbox/AP", choices=list(METRICS), metavar="NAME", help="one of %(choices)s (bbox/AP)"
    )
    return top


def main(argv: list[str] | None = None) -> int:
    """Runs a command line; returns the exit code: 2 with one sentence on stderr for what the user can put right."""
    arguments = parser().parse_args(argv)
    try:
        _run(arguments)
    except AnalysisError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _run(arguments: argparse.Namespace) -> None:
    # Imported only here: mlflow, pandas and matplotlib take seconds, `--help` should not.
    from analysis import declarations, frames, runs, store

    asked = declarations.numbered(arguments.number) if arguments.number else arguments.sweep
    wanted = COCO_NAMES if arguments.command == "table" else (arguments.metric,)
    with store.reading(arguments.tracking_uri) as client:
        from analysis import figures, render, rows, tables

        recorded = runs.of_experiment(client, arguments.experiment, arguments.tracking_uri)
        sweep = frames.find_sweep(recorded, asked, arguments.tracking_uri)
        declaration = declarations.of_sweep(sweep)
        trials = frames.trials_frame(frames.runs_frame(recorded, sweep))
        asked_of = frames.wanted_histories(trials, wanted)
        with render.progress("reading MLflow", runs.requests(asked_of)) as on_read:
            metrics = frames.metrics_frame(trials, runs.histories(client, asked_of, on_read), wanted)
    lines = rows.rows_frame(sweep, trials, declaration)
    if arguments.command == "table":
        table = tables.ablation_table(sweep, lines, metrics, declaration)
        if arguments.detail:
            table = tables.with_published(table, declaration)
        render.print_table(table)
        written = arguments.out and render.write_table(table, arguments.out)
    else:
        path = arguments.out or Path("outputs", "figures", names.sweep_key(sweep).replace("/", "_") + ".png")
        curves = figures.curves(sweep, lines, metrics, arguments.metric, declaration)
        written = render.write_figure(curves, path)
    if written:
        print(written)


def _path(*endings: str) -> Callable[[str], Path]:
    def parse(text: str) -> Path:
        path = Path(text)
        if path.suffix not in endings:
            raise argparse.ArgumentTypeError(f"{text!r}: the name must end in {' or '.join(endings)}")
        return path

    return parse


if __name__ == "__main__":
    sys.exit(main())
