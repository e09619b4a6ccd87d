"""Checks before `make ui` and `make server` start MLflow: the port is free, and the store answers. Prints its address.

    MLFLOW_BACKEND_STORE_URI=... MLFLOW_HOST=... MLFLOW_PORT=... python -m experiments.mlflow_store.serving

MLflow itself ends with exit code 0 if the port is taken, tries for minutes to reach an unreachable database, and does
not print the address of the view of the runs.
"""

import os
import socket
import sys

from experiments import passwords, sqlite_uri
from experiments.commands import Place, installs
from experiments.errors import UserError
from experiments.mlflow_store import accepted, page_layout, store_file, texts
from experiments.sentences import report

EXAMPLE = "MLFLOW_BACKEND_STORE_URI=postgresql+psycopg://USER:PASSWORD@HOST/DATABASE make server"


def main() -> int:
    """Prints the address of the runs; returns the exit code, 2 with one sentence if MLflow cannot serve."""
    uri, host, port = (os.environ.get(f"MLFLOW_{name}", "") for name in ("BACKEND_STORE_URI", "HOST", "PORT"))
    try:
        _check_port(host, port)
        experiments = _experiments(uri)
    except UserError as error:
        return report(error)
    here = f"http://{'127.0.0.1' if host == '0.0.0.0' else host}:{port}"
    print("\n".join(page_layout.address(here, experiment) for experiment in experiments) or here, flush=True)
    return 0


def _check_port(host: str, port: str) -> None:
    """Raises UserError if the port cannot be used."""
    try:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, int(port)))
    except (OSError, ValueError, OverflowError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise UserError(f"cannot listen at {host}:{port} ({reason}); set MLFLOW_HOST and MLFLOW_PORT") from error


def _experiments(uri: str) -> list[str]:
    """Returns the ids of the experiments with our runs; UserError if there is no store or it does not answer."""
    from experiments.mlflow_store.client import MlflowClient

    file, public = sqlite_uri.file(uri), passwords.hidden(uri)
    if not uri.strip():
        raise UserError(
            f"MLFLOW_BACKEND_STORE_URI is not set; name the database: {EXAMPLE} (for this machine alone: make ui)"
        )
    accepted.accept(uri)
    if uri.startswith("http"):
        raise UserError(f"{public} is a running server; open that address in a browser")
    if file and not file.exists():
        raise UserError(f"{file} does not exist; run.py creates it with the first trial, and sync fills a new one")
    try:
        if file:
            with store_file.prepared(uri, Place(file.parent, uri)):
                pass
        elif accepted.schema(uri) != store_file.newest_schema():
            return []  # MLflow creates the tables, or prints how to upgrade them
        return [one.experiment_id for one in MlflowClient(uri).search_experiments() if page_layout.TAG in one.tags]
    except UserError:
        raise
    except ImportError as error:
        driver = f"the driver of postgresql+psycopg comes with {installs('server')}"
        raise UserError(f"the driver of {public} is not installed ({error}); {driver}") from error
    except Exception as error:  # of MLflow, SQLAlchemy, Alembic or a driver
        raise UserError(f"the database {public} cannot be used ({texts.trouble(error)}); {EXAMPLE}") from error


if __name__ == "__main__":
    sys.exit(main())
