"""MLflow's server and pages as make starts them."""

import os
import signal
import subprocess
import urllib.request
from pathlib import Path

from tests.support import harness
from tests.support.engines.commands import wait_for
from tests.support.engines.network import free_ports


class Served:
    """MLflow's pages or server as make starts them: `what` is its target."""

    def __init__(self, folder: Path, what: str, **variables: str) -> None:
        (self.port,) = free_ports(1)
        self.uri = f"http://127.0.0.1:{self.port}"
        self.folder, self.what = folder, what
        self.variables = {
            "MLFLOW_PORT": str(self.port),
            "MLFLOW_WORKERS": "1",
            "MLFLOW_ARTIFACTS_DESTINATION": str(folder / "outputs" / "server-artifacts"),
            **variables,
        }
        self.process: subprocess.Popen | None = None

    @property
    def log(self) -> Path:
        return self.folder / f"{self.what}.txt"

    def begin(self) -> None:
        """Starts it; `wait` for its answers."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                ["make", "--no-print-directory", "-C", str(harness.ROOT), "-o", "setup", self.what],
                env={**harness.of_nobody(), **self.variables},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def wait(self) -> None:
        """Returns when it answers."""
        process = self.process
        assert process is not None
        wait_for(lambda: self.answers() or process.poll() is not None)
        assert process.poll() is None, self.log.read_text()

    def start(self) -> None:
        self.begin()
        self.wait()

    def answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.uri}/health", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def kill(self) -> None:
        """Ends it and all that it has started, at once, where it runs."""
        if self.process is not None and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
