"""Makes commands for messages that work in the folder where they are printed, with the same Python."""

import re
import shlex
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments import names, sqlite_uri

ROOT = Path(__file__).parents[1]
PLAIN = re.compile(r"(?!(null|true|false|nan|inf)$)[a-z_/.][\w./:@%+-]*", re.ASCII | re.IGNORECASE)  # needs no quotes


@dataclass(frozen=True)
class Place:
    """The place of trials and their record, which printed commands name; None for unknown parts."""

    outputs: Path | None = None
    uri: str | None = None  # of the MLflow store
    experiment: str | None = None

    @classmethod
    def of(cls, config: dict[str, Any]) -> "Place":
        """Returns the place of a trial's resolved configuration."""
        return cls(Path(config["output_dir"]), config["tracking"]["uri"], config["tracking"]["experiment"])

    def command(self, program: str, *words: str) -> str:
        """Returns a command as a shell takes it in the user's present folder.

        Args:
            program: "run.py", or a module: "analysis", "experiments".
            words: its arguments without a shell's quotes.
        """
        here = Path.cwd() == ROOT
        options = {"run.py": self._overrides, "analysis": self._of_store, "experiments": self._of_outputs}[program]()
        if program == "run.py":
            return shlex.join([_python(), program if here else str(ROOT / program), *words, *options])
        before = "" if here else f"PYTHONPATH={shlex.quote(str(ROOT))} "
        return before + shlex.join([_python(), "-m", program, *words, *options])

    def pages(self) -> str:
        """Returns what opens MLflow's pages: a command, or the address of a server."""
        if self.uri and not self.uri.startswith("sqlite:"):
            return self.uri
        whole = _whole(self.uri or _default_uri(), Path.cwd())
        before = "" if whole == _whole(_default_uri(), ROOT) else f"MLFLOW_TRACKING_URI={shlex.quote(whole)} "
        return f"{before}make ui" if Path.cwd() == ROOT else f"{before}make -C {shlex.quote(str(ROOT))} ui"

    def sync(self) -> str:
        """Returns the command that sends all trials to this store, even if they have another store."""
        own = self.uri is None or self.uri == sqlite_uri.of(Path(str(self.outputs)) / "mlflow.db")
        return self.command("experiments", "sync", *([] if own else _option("--tracking-uri", str(self.uri))))

    def mlflow(self, *words: str) -> str:
        """Returns one of MLflow's own commands for this store."""
        store = shlex.quote(_whole(self.uri or _default_uri(), Path.cwd()))
        return f"MLFLOW_TRACKING_URI={store} {shlex.join([_python(), '-m', 'mlflow', *words])}"

    def localized(self, text: object) -> str:
        """Returns a text in which the quoted commands of this project have the options for this place."""
        return re.sub(r"`python (?:-m )?(run\.py|analysis|experiments)( [^`]*)?`", self._localized, str(text))

    def _localized(self, found: re.Match[str]) -> str:
        return f"`{self.command(found[1], *shlex.split(found[2] or ''))}`"

    def _of_store(self) -> list[str]:
        known = self.uri is None or _whole(self.uri, Path.cwd()) == _whole(_default_uri(), Path.cwd())
        words = [] if known else _option("--tracking-uri", str(self.uri))
        usual = self.experiment in (None, names.EXPERIMENT)
        return words if usual else [*words, *_option("--experiment", str(self.experiment))]

    def _of_outputs(self) -> list[str]:
        usual = self.outputs in (None, Path.cwd() / "outputs")
        return [] if usual else _option("--output-dir", nearby(Path(str(self.outputs))))

    def _overrides(self) -> list[str]:
        usual = Path.cwd() / "outputs"
        words = [] if self.outputs in (None, usual) else [override("output_dir", nearby(Path(str(self.outputs))))]
        own = names.tracking_uri(None, sqlite_uri.of((self.outputs or usual) / "mlflow.db"))
        if self.uri and _whole(self.uri, Path.cwd()) != _whole(own, Path.cwd()):
            words.append(override("tracking.uri", self.uri))
        if self.experiment not in (None, names.EXPERIMENT):
            words.append(override("tracking.experiment", self.experiment))
        return words


def installs(extra: str) -> str:
    """Returns the command that installs an extra of pyproject.toml, with the versions of constraints.txt."""
    command = shlex.join([_python(), "-m", "pip", "install", "-c", "constraints.txt", "-e", f".[{extra}]"])
    return command if Path.cwd() == ROOT else f"cd {shlex.quote(str(ROOT))} && {command}"


def nearby(path: Path) -> str:
    """Returns a path in its shortest form: relative if it is inside this folder."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) and path != Path.cwd() else str(path)


def override(key: str, value: object) -> str:
    """Returns KEY=VALUE as Hydra reads it, with a text in quotes if necessary; a shell may need more quotes."""
    if not isinstance(value, str | Path) or PLAIN.fullmatch(str(value)):
        return f"{key}={value}"
    quoted = re.sub(r'(\\*)("|$)', lambda found: 2 * found[1] + ('\\"' if found[2] else ""), str(value))
    return f'{key}="{quoted.replace("${", chr(92) + "${")}"'


def _option(name: str, value: str) -> list[str]:
    return [f"{name}={value}"] if value.startswith("-") else [name, value]


def _python() -> str:
    found, own = shutil.which("python"), Path(sys.executable)
    if found and Path(found).parent.resolve() == own.parent.resolve():
        return "python"
    return nearby(own)


def _default_uri() -> str:
    return names.tracking_uri(None, names.DEFAULT_TRACKING_URI)


def _whole(uri: str, folder: Path) -> str:
    """Returns the URI of a file with its absolute path; other URIs unchanged."""
    return sqlite_uri.whole(uri, folder)
