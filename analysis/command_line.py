"""The command line of `python -m analysis`: subcommands, options and their help."""

from pathlib import Path
from typing import Any

from analysis.read.metrics import METRICS
from experiments import names
from experiments.parsers import Parser, path

TABLE_FORMATS = (".md", ".csv", ".tex", ".html")
FIGURE_FORMATS = (".png", ".pdf", ".svg")
DRAWN = "FILE.png, .pdf or .svg (default: outputs/figures/%s.png)"


def parser() -> Parser:
    """Returns the parser of the command line."""
    top = Parser(prog="python -m analysis", description="The results of a sweep so far, read from MLflow.")
    commands = top.add_subparsers(dest="command", required=True)
    stored = _of_a_store()
    kept = Parser(add_help=False, parents=[stored])
    kept.add_argument(
        "--from",
        dest="source",
        type=path(),
        metavar="FOLDER",
        help="read a folder that `paper` wrote instead of MLflow",
    )
    _add_table_and_figure(commands, kept)
    paper = commands.add_parser("paper", parents=[kept], help="write all tables and figures of a study, and a report")
    paper.add_argument("study", nargs="?", help="name of a declared or typed sweep, or last (default: paper)")
    paper.add_argument(
        "--out", type=path(), help="folder of the results (default: results/STUDY, or the folder of --from)"
    )
    compare = commands.add_parser(
        "compare",
        parents=[kept],
        help="compare every metric of row B with row A; exit code 1 if a metric is significantly worse",
    )
    compare.add_argument("before", metavar="A", help="a row of the sweep, or a folder that `paper` wrote")
    compare.add_argument("after", metavar="B", help="another row or folder, or `published` for A's published numbers")
    compare.add_argument("--sweep", default="last", help="the sweep of A and B (default: %(default)s)")
    _add_disagree(commands, stored)
    return top


def _of_a_store() -> Parser:
    stored = Parser(add_help=False)
    stored.add_argument(
        "--tracking-uri",
        type=_store,
        default=_store(""),
        help="MLflow store (default: MLFLOW_TRACKING_URI, here %(default)s)",
    )
    stored.add_argument("--experiment", default=names.EXPERIMENT, help="MLflow experiment (default: %(default)s)")
    return stored


def _store(uri: str) -> str:
    return names.tracking_uri(uri, names.DEFAULT_TRACKING_URI)


def _add_table_and_figure(commands: Any, kept: Parser) -> None:
    shared = Parser(add_help=False, parents=[kept])
    which = shared.add_mutually_exclusive_group()
    which.add_argument(
        "number", nargs="?", metavar="NUMBER", help="number of the paper's table (3 or III) or figure (5)"
    )
    which.add_argument("--sweep", default="last", help="name of a sweep, or last for the newest (default)")
    table = commands.add_parser("table", parents=[shared], help="print the COCO metrics of a sweep's rows")
    table.add_argument(
        "--detail",
        action="store_true",
        help="add published numbers, intervals, differences from the baseline, and costs",
    )
    table.add_argument(
        "--out",
        type=path(*TABLE_FORMATS),
        help="also write the table to FILE.md, .csv, .tex or .html; with --detail, the full table",
    )
    figure = commands.add_parser("figure", parents=[shared], help="draw a metric against the epoch")
    figure.add_argument("--out", type=path(*FIGURE_FORMATS), help=DRAWN % "SWEEP")
    figure.add_argument("--metric", choices=list(METRICS), metavar="NAME", help="one of %(choices)s (default: AP)")
    figure.add_argument(
        "--seeds", action="store_true", help="draw each row's difference from its baseline against the number of seeds"
    )


def _add_disagree(commands: Any, stored: Parser) -> None:
    differ = commands.add_parser("disagree", parents=[stored], help="draw the images on which two trials differ most")
    differ.add_argument("trials", nargs=2, metavar="TRIAL", help="a trial's id, or a part that no other trial's id has")
    differ.add_argument(
        "--annotations",
        type=path(),
        required=True,
        metavar="FILE",
        help="annotations of the validation set, in COCO's format",
    )
    differ.add_argument(
        "--images",
        type=path(),
        required=True,
        metavar="FOLDER",
        help="folder of the images; file names in the annotations are relative to it",
    )
    default = Path("outputs", "figures", "disagree.png")
    differ.add_argument("--out", type=path(*FIGURE_FORMATS), default=default, help=DRAWN % "disagree")
