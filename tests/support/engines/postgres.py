"""A PostgreSQL of our own below one folder.

PostgreSQL does not run as root, and its own user cannot enter pytest's folders: its folder lies beside them.
"""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.support.engines.network import free_ports

USER, PASSWORD, DATABASE = "mlflow", "a:b/c@d", "runs"
ENCODED = "a%3Ab%2Fc%40d"


def programs() -> Path | None:
    """Returns the folder of the newest PostgreSQL's programs, which Debian keeps off the PATH."""
    found = Path("/usr/lib/postgresql").glob("*/bin")
    return max(found, key=lambda folder: int(folder.parent.name), default=None)


class Database:
    """A PostgreSQL that asks for a password, with one empty database."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="postgresql-"))
        (self.port,) = free_ports(1)
        self.uri = f"postgresql+psycopg://{USER}:{ENCODED}@127.0.0.1:{self.port}/{DATABASE}"

    def create(self) -> None:
        """Makes it; it is not started."""
        shutil.chown(self.folder, "postgres")
        password = self.folder / "password"
        password.write_text(PASSWORD)
        secret = ("--auth=scram-sha-256", f"--pwfile={password}", f"--username={USER}")
        self._run("initdb", f"--pgdata={self.folder / 'data'}", *secret, "--no-sync")

    def start(self) -> None:
        """Starts it; returns when it answers."""
        options = f"-p {self.port} -k {self.folder} -c listen_addresses=127.0.0.1 -c fsync=off"
        self._control("start", f"--log={self.folder / 'log'}", f"--options={options}")

    def stop(self) -> None:
        """Stops it in order, whoever is connected."""
        self._control("stop", "--mode=fast")

    def add(self, name: str = DATABASE) -> None:
        """Creates an empty database."""
        self._run("createdb", "--host=127.0.0.1", f"--port={self.port}", f"--username={USER}", name)

    def remove(self) -> None:
        """Stops it where it runs, and leaves nothing."""
        if (self.folder / "data" / "postmaster.pid").exists():
            self.stop()
        shutil.rmtree(self.folder)

    def _control(self, *arguments: str) -> None:
        self._run("pg_ctl", f"--pgdata={self.folder / 'data'}", "--wait", "--silent", *arguments)

    def _run(self, program: str, *arguments: str) -> None:
        folder = programs()
        assert folder is not None
        with (self.folder / "setup.log").open("ab") as log:  # not a pipe, which the server would keep open
            subprocess.run(
                [folder / program, *arguments],
                user="postgres",
                cwd=self.folder,
                env={**os.environ, "PGPASSWORD": PASSWORD},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                check=True,
            )
