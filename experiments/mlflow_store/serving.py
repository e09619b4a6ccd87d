"""Starts MLflow's pages: `ui` on this machine's own runs, `server` on a database that several machines write to.

    python -m experiments.mlflow_store.serving ui|server

What there is to choose is in MLflow's own variables (docs/tracking.md): MLFLOW_HOST, MLFLOW_PORT, MLFLOW_WORKERS, and
for `server` MLFLOW_BACKEND_STORE_URI, MLFLOW_ARTIFACTS_DESTINATION, MLFLOW_AUTH_CONFIG_PATH.
"""

import ipaddress
import logging
import os
import socket
import sys
from argparse import RawDescriptionHelpFormatter as RawText
from pathlib import Path

from sqlalchemy import URL, create_engine, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError

from experiments import names, sqlite_uri
from experiments.commands import Place, installs
from experiments.errors import UserError
from experiments.mlflow_store import page_layout, store_file, texts
from experiments.parsers import Parser
from experiments.sentences import sentence

DEFAULTS = {
    "MLFLOW_HOST": "127.0.0.1",
    "MLFLOW_PORT": "5000",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # eight processes that only language models have work for
}
OUTPUTS = Path("outputs")
EXAMPLE = "MLFLOW_BACKEND_STORE_URI=postgresql+psycopg://USER:PASSWORD@HOST/DATABASE make server"


def ui() -> list[str]:
    """Returns MLflow's command line for the runs of this machine, whose store is made where it is missing."""
    uri = names.tracking_uri(None, names.DEFAULT_TRACKING_URI)
    if not uri.startswith("sqlite:///"):
        raise UserError(f"make ui reads a file, and MLFLOW_TRACKING_URI={_public(uri)} is none; open that in a browser")
    print("\n".join(_initialize(uri)))
    return ["ui", "--backend-store-uri", uri, "--workers", "1"]


def server() -> list[str]:
    """Returns MLflow's command line for a database, whose tables are made where they are missing.

    The database stays in MLFLOW_BACKEND_STORE_URI, where `ps` does not show its password.
    """
    uri = names.stated(os.environ.get("MLFLOW_BACKEND_STORE_URI"))
    if not uri:
        raise UserError(
            f"MLFLOW_BACKEND_STORE_URI is not set; name the database: {EXAMPLE} (for this machine alone: make ui)"
        )
    users = os.environ.get("MLFLOW_AUTH_CONFIG_PATH")
    if users is not None and not Path(users).is_file():
        raise UserError(f"MLFLOW_AUTH_CONFIG_PATH={users} is no file; docs/tracking.md says what is in it")
    _check_database(uri)
    print("\n".join(_initialize(uri)))
    os.environ.setdefault("MLFLOW_ARTIFACTS_DESTINATION", str((OUTPUTS / "server-artifacts").resolve()))
    if users is None and not _only_this_machine(os.environ["MLFLOW_HOST"]):
        print("note: whoever reaches this port may read, change and delete every run; see docs/tracking.md, Passwords")
    return ["server", "--app-name", "basic-auth"] if users is not None else ["server"]


def main() -> int:
    """Serves until it is interrupted; returns the exit code, 2 with one sentence where something is missing."""
    commands = {"ui": ui, "server": server}
    parser = Parser(prog="python -m experiments.mlflow_store.serving", description=__doc__, formatter_class=RawText)
    parser.add_argument("pages", choices=tuple(commands), help="whose pages to serve")
    pages_of = parser.parse_args().pages
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)
    try:
        _check_port(os.environ["MLFLOW_HOST"], os.environ["MLFLOW_PORT"])
        _serve(commands[pages_of]())
    except UserError as error:
        print(f"error: {sentence(error)}", file=sys.stderr)
        return 2
    return 0


def _serve(arguments: list[str]) -> None:
    """Becomes MLflow's command line; UserError where that breaks off before it serves."""
    from mlflow.cli import cli

    sys.stdout.flush()
    try:
        cli(arguments)
    except Exception as error:  # a variable that is missing for passwords, a file that is not what it should be
        raise UserError(f"MLflow does not start: {texts.trouble(error)}") from error


def _check_port(host: str, port: str) -> None:
    """Raises UserError where nobody can listen there; MLflow would end with exit code 0."""
    try:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, int(port)))
    except (OSError, ValueError, OverflowError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise UserError(f"cannot listen at {host}:{port} ({reason}); set MLFLOW_HOST and MLFLOW_PORT") from error


def _check_database(uri: str) -> None:
    """Raises UserError where the database cannot be spoken to: a mistyped URI, no driver, no server, no database."""
    try:
        url = make_url(uri)
        engine = create_engine(url)
    except (ArgumentError, NoSuchModuleError, ValueError) as error:
        raise UserError(f"MLFLOW_BACKEND_STORE_URI={_public(uri)} names no database ({error}); {EXAMPLE}") from error
    except ImportError as error:
        raise UserError(
            f"the driver of {url.drivername} is not installed ({error}); that of postgresql+psycopg comes with "
            f"{installs('server')}"
        ) from error
    try:
        engine.connect().close()
    except DBAPIError as error:
        reason = " ".join(str(error.orig).split())
        raise UserError(f"the database {_shown(url)} cannot be used ({reason}); see docs/tracking.md") from error
    finally:
        engine.dispose()


def _initialize(uri: str) -> list[str]:
    """Makes MLflow's tables where they are missing and returns where to look; UserError where that cannot be."""
    from mlflow import MlflowClient

    logging.getLogger("alembic").setLevel(logging.ERROR)
    file = sqlite_uri.file(uri)
    try:
        with store_file.prepared(uri, Place(file.parent if file else OUTPUTS, uri)):
            found = MlflowClient(uri).search_experiments()
    except UserError:
        raise
    except Exception as error:  # of MLflow, SQLAlchemy, Alembic or the driver
        raise UserError(f"MLflow cannot use {_public(uri)} ({texts.trouble(error)})") from error
    host, port = os.environ["MLFLOW_HOST"], os.environ["MLFLOW_PORT"]
    here = f"http://{'127.0.0.1' if host == '0.0.0.0' else host}:{port}"
    return [page_layout.address(here, one.experiment_id) for one in found if page_layout.TAG in one.tags] or [here]


def _public(uri: str) -> str:
    """Returns a URI as it may be printed."""
    try:
        return _shown(make_url(uri))
    except (ArgumentError, ValueError):
        return uri.rpartition("@")[2]


def _shown(url: URL) -> str:
    return url.render_as_string(hide_password=True)


def _only_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


if __name__ == "__main__":
    sys.exit(main())
