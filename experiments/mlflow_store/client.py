"""MLflow's client, quiet, and with time limits of seconds."""

import logging
import os

# Quiet, and a store that does not answer is given up after seconds, not MLflow's own minutes; read at mlflow's import.
# No retries: we try again ourselves, after a look at what the store has, else a run that it made before its answer was
# lost would be made twice.
for _name, _value in {
    "MLFLOW_LOGGING_LEVEL": "ERROR",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_SQLALCHEMYSTORE_POOLCLASS": "NullPool",  # else a file that was moved away is written to there
}.items():
    os.environ.setdefault(_name, _value)

from mlflow import MlflowClient

__all__ = ["MlflowClient"]

logging.getLogger("alembic").setLevel(logging.ERROR)  # else a first use prints some sixty lines of migrations
logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)  # a store in trouble: we tell it, in a sentence
