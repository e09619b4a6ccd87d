"""MLflow's client, quiet, and with time limits of seconds."""

import logging
import os

# MLflow reads these when it is imported. They make it quiet, and end a call to a store after seconds, not minutes.
# MLflow does not retry, because our retries first look at the store: otherwise a lost answer would give a second run.
for _name, _value in {
    "MLFLOW_LOGGING_LEVEL": "ERROR",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_SQLALCHEMYSTORE_POOLCLASS": "NullPool",  # otherwise MLflow would write to a file that was moved away
}.items():
    os.environ.setdefault(_name, _value)

from mlflow import MlflowClient

__all__ = ["MlflowClient"]

logging.getLogger("alembic").setLevel(logging.ERROR)  # otherwise the first use prints some sixty lines about migrations
logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)  # errors of a store: we print a sentence
