"""Shows, stops, reproduces, exports and imports the trials of an output folder, and updates MLflow."""

import argparse
import shlex
import sys
import time
from pathlib import Path

from rich.console import Group
from rich.live import Live

from experiments import names
from experiments.commands import ROOT, Place
from experiments.console import console
from experiments.errors import UserError, of_system
from experiments.parsers import Parser, gibibytes, path, whole_number
from experiments.paths import OutputPaths
from experiments.planning import rounds
from experiments.sentences import report
from experiments.trial import status, stop_requests

WATCH_SECONDS = 2.0


def parser() -> Parser:
    """Returns the parser of the command line."""
    top = Parser(prog="python -m experiments", description=__doc__)
    commands = top.add_subparsers(dest="command", required=True)
    shared = Parser(add_help=False)
    shared.add_argument(
        "--output-dir", type=path(), default=Path("outputs"), help="the output folder, as for run.py (%(default)s)"
    )
    seen = commands.add_parser("status", parents=[shared], help="list every trial: state, epoch, AP, device, time left")
    seen.add_argument("--sweep", help="only the trials of this sweep")
    seen.add_argument("--watch", action="store_true", help="keep the list up to date until Ctrl-C")
    logs = commands.add_parser("logs", parents=[shared], help="print the end of a trial's log")
    logs.add_argument("trial", help="a trial's id, or a part that no other trial's id has")
    logs.add_argument("--lines", type=whole_number(1, 1_000_000), default=40, help="number of lines (%(default)s)")
    logs.add_argument("--follow", action="store_true", help="keep printing new lines while the trial runs")
    cancel = commands.add_parser("cancel", parents=[shared], help="stop trials that run or wait in a queue")
    cancel.add_argument("trial", nargs="+", help="a trial's id, or a part that no other trial's id has")
    cancel.add_argument("--drain", action="store_true", help="let them complete the current epoch")
    again = commands.add_parser(
        "reproduce", parents=[shared], help="print the commands that reproduce a trial's result"
    )
    again.add_argument("trial", help="a trial's id, or a part that no other trial's id has")
    sync = commands.add_parser("sync", parents=[shared], help="bring MLflow up to date with the trials' folders")
    sync.add_argument("--tracking-uri", help="a store to use in place of the trials' own")
    export = commands.add_parser("export", parents=[shared], help="pack a study's record into one file")
    export.add_argument("study", help="a sweep's name, `last` for the newest sweep, or `all`")
    export.add_argument("file", type=path(), help="a new file, such as study.zip")
    bring = commands.add_parser("import", parents=[shared], help="add an exported study to a folder and MLflow")
    bring.add_argument("file", type=path(), help="a file that `export` wrote, here or elsewhere")
    bring.add_argument("--tracking-uri", help="a store to use in place of the output folder's")
    bring.add_argument(
        "--limit-gib", type=gibibytes, default=20.0, help="the largest unpacked size in GiB (%(default)s)"
    )
    return top


def main(argv: list[str] | None = None) -> int:
    """Runs a command line; returns the exit code: 2, with one sentence on stderr, for a mistake of the user."""
    arguments = parser().parse_args(argv)
    outputs = OutputPaths(arguments.output_dir.expanduser().resolve())
    try:
        COMMANDS[arguments.command](arguments, outputs)
    except (UserError, OSError) as error:
        mistake = of_system(error) if isinstance(error, OSError) else error
        return report(Place(outputs.root).localized(mistake))
    except KeyboardInterrupt:
        return 130
    return 0


def _status(arguments: argparse.Namespace, outputs: OutputPaths) -> None:
    def found() -> Group:
        trials = status.table(status.read(outputs, arguments.sweep))
        return Group(trials, *map(rounds.shown, rounds.read(outputs, arguments.sweep)))

    if not arguments.watch:
        console.print(found())
        return
    with Live(console=console, screen=console.is_terminal, auto_refresh=False) as live:
        while True:
            live.update(found(), refresh=True)
            time.sleep(WATCH_SECONDS)


def _logs(arguments: argparse.Namespace, outputs: OutputPaths) -> None:
    trial = status.find(outputs, arguments.trial)
    log = trial.paths.log
    if not log.exists():
        raise UserError(f"{trial.paths.root.name} has no log yet; it is {trial.state.lower()}")
    offset = log.stat().st_size
    print(status.tail(log, arguments.lines), flush=True)
    while arguments.follow and status.find(outputs, trial.paths.root.name).state == names.RUNNING:
        time.sleep(WATCH_SECONDS)
        with log.open("rb") as file:
            file.seek(offset)
            new = file.read()
        offset += len(new)
        print(new.decode(errors="replace"), end="", flush=True)


def _cancel(arguments: argparse.Namespace, outputs: OutputPaths) -> None:
    trials = [status.find(outputs, wanted) for wanted in arguments.trial]
    for trial in trials:
        if trial.state in (names.FINISHED, names.FAILED):
            raise UserError(
                f"{trial.paths.root.name} is {trial.state.lower()}; only a trial that runs or waits can be cancelled"
            )
    for trial in trials:
        stop_requests.ask(trial.paths.root, stop_requests.DRAIN if arguments.drain else stop_requests.NOW)
        when = "after the current epoch" if arguments.drain else "now"
        console.print(f"{trial.paths.root.name}: asked to stop {when}; its run.py command resumes it", markup=False)


def _reproduce(arguments: argparse.Namespace, outputs: OutputPaths) -> None:
    from experiments.trial import reproduce  # only here: it asks torch about the machine

    trial = status.find(outputs, arguments.trial)
    if Path.cwd() != ROOT:
        print(shlex.join(["cd", str(ROOT)]))
    for command in reproduce.commands(trial):
        print(command)
    for warning in reproduce.warnings(trial):
        print(f"note: {warning}", file=sys.stderr)


def _sync(arguments: argparse.Namespace, outputs: OutputPaths) -> None:
    from experiments.mlflow_store import sync  # only here: MLflow takes seconds to import

    sync.all_trials(status.read(outputs), arguments.tracking_uri)


def _export(arguments: argparse.Namespace, outputs: OutputPaths) -> None:
    from experiments.transfer import export  # only here and below: they take a second to import

    export.pack(outputs, arguments.study, arguments.file)


def _import(arguments: argparse.Namespace, outputs: OutputPaths) -> None:
    from experiments.transfer import imports

    imports.bring(arguments.file, outputs, arguments.tracking_uri, arguments.limit_gib)


COMMANDS = {
    "status": _status,
    "logs": _logs,
    "cancel": _cancel,
    "reproduce": _reproduce,
    "sync": _sync,
    "export": _export,
    "import": _import,
}

if __name__ == "__main__":
    sys.exit(main())
