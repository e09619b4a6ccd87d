"""Checks a command line of run.py before Hydra composes it, so that mistakes get our error messages."""

import argparse
import os
import re
import shlex
from collections.abc import Iterable, Sequence
from functools import cache
from importlib.util import find_spec

from experiments import commands, declared, overrides
from experiments.declared import key_of
from experiments.errors import UserError, unknown
from experiments.factors import CONF, GROUPS
from experiments.parsers import Parser
from experiments.sentences import shown

# By a part of a launcher's name: its plugin, and this project's extra that installs the plugin.
LAUNCHERS = {
    "submitit": ("hydra_submitit_launcher", "slurm"),
    "slurm": ("hydra_submitit_launcher", "slurm"),
    "ray": ("hydra_ray_launcher", "ray"),
}
# Flags of Hydra that would bypass the plan.
REFUSED = {
    **dict.fromkeys(
        ("--config-name", "-cn", "--config-path", "-cp", "--config-dir", "-cd"),
        "run.py reads conf/; put your own options there, in the folder of their group",
    ),
    **dict.fromkeys(("--run", "-r", "--experimental-rerun"), "the plan decides what runs; leave it out"),
}
PLANNED = {"trial_dir", "launch_dir"}
SHELLS = "(install|uninstall)=(bash|fish|zsh)"


def check(arguments: Sequence[str]) -> list[str]:
    """Returns a command line with its flags first, as Hydra reads it.

    Raises UserError, or ends the program with a sentence, if it has an unknown name or would bypass the plan.
    """
    _check_links()
    flags, rest = _flags(arguments)
    if "--shell-completion" in flags:
        asks = "COMP_LINE" in os.environ  # a shell asks for completions of an unfinished line
        if not asks and (len(rest) != 1 or not re.fullmatch(SHELLS, rest[0])):
            raise UserError(
                "--shell-completion needs install=SHELL or uninstall=SHELL, where SHELL is bash, fish or zsh"
            )
        return [*flags, *rest]
    for place, word in enumerate(rest):
        if place and "=" in rest[place - 1] and "=" not in word and not word.startswith(("~", "-")):
            key, _, start = rest[place - 1].partition("=")
            raise UserError(
                f"{shown(word)!r} is not KEY=VALUE; if it belongs to the value of {shown(key)}, put both in quotes: "
                f"{overrides.quoted(key, f'{start} {word}')}"
            )
        judge([word])
    return [*flags, *rest]


def judge(words: Iterable[str]) -> None:
    """Raises UserError for an override that cannot be read, has an unknown option, or sets a reserved key."""
    for word in words:
        _judge(word)


def options_of(key: str) -> list[str]:
    """Returns the options of a group of conf/, or the declared sweeps; none for a key that takes other values."""
    return declared.known() if key == "sweep" else sorted(path.stem for path in (CONF / key).glob("*.yaml"))


@cache  # a large sweep repeats the same few words
def _judge(word: str) -> None:
    override = overrides.read(word)
    key = key_of(word)
    if key in PLANNED:
        raise UserError(
            f"{shown(word)} is refused, because the plan sets {key}; set the trials' folder with output_dir=..."
        )
    if re.match(r"hydra([./]|$)", key):
        _hydra(word, key)
        return
    valid = options_of(key)
    found = ["nothing"] if override.is_delete() else overrides.values(override, valid)
    for name in found if valid else []:
        if name not in valid:
            raise unknown("sweep" if key == "sweep" else f"{key}: option", name or "nothing", valid)


def _hydra(word: str, key: str) -> None:
    """Raises UserError for a setting of Hydra that users cannot set."""
    override = overrides.read(word)
    given = key in ("hydra/launcher", "hydra.verbose") or key.startswith("hydra.launcher.")
    if not given or override.is_delete() or "_target_" in word:
        raise UserError(
            f"{shown(word)} is refused, because the plan sets what Hydra does; of Hydra's settings you can set only "
            "hydra/launcher, hydra.launcher.KEY and hydra.verbose"
        )
    if override.is_sweep_override():
        raise UserError(f"{shown(word)} is a list; give one value, because a command has one launcher")
    if key == "hydra.verbose" and not isinstance(override.value(), bool):
        raise UserError(f"{shown(word)} is refused; give true or false")
    if key == "hydra/launcher":
        _launcher(override.value())


def _launcher(name: object) -> None:
    if not isinstance(name, str) or not name:
        raise UserError(f"hydra/launcher={name} is refused; give the name of a launcher, such as ray, or leave it out")
    for part, (plugin, extra) in LAUNCHERS.items():
        if part in name and find_spec(f"hydra_plugins.{plugin}") is None:
            raise UserError(f"hydra/launcher={name} needs a plugin that is not installed: {commands.installs(extra)}")


def _flags(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Returns the flags of a command line and the rest of it; ends the program for an unknown flag."""
    parser = Parser(
        prog="python run.py",
        usage="python run.py [-m] [--cfg job [--resolve]] [--help] [GROUP=OPTION ...] [KEY=VALUE ...]",
        add_help=False,
        allow_abbrev=False,
    )
    only = parser.add_mutually_exclusive_group()
    for flag in (("--help", "-h"), ("--hydra-help",), ("--version",), ("--multirun", "-m")):
        only.add_argument(*flag, action="store_true")
    only.add_argument("--shell-completion", "-sc", action="store_true")
    only.add_argument("--cfg", "-c", choices=("job", "hydra", "all"))
    infos = ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath")
    only.add_argument("--info", "-i", nargs="?", const="all", choices=infos)
    parser.add_argument("--resolve", action="store_true")
    parser.add_argument("--package", "-p", choices=(*GROUPS, "extractor", "retry", "seeds"))
    for word in arguments:
        if reason := REFUSED.get(word.partition("=")[0]):
            raise UserError(f"{shown(word)} is refused: {reason}")
    found, rest = argparse.ArgumentParser.parse_known_args(parser, list(arguments))
    for word in rest:
        if word.startswith("-"):
            parser.error(f"{shown(word)} is unknown")
    if (found.resolve or found.package) and not found.cfg:
        parser.error("--resolve and --package need --cfg job")
    flags: list[str] = []
    for name, value in vars(found).items():
        if value:
            flags += [f"--{name.replace('_', '-')}", *([] if value is True else [value])]
    return flags, rest


def _check_links() -> None:
    """Raises UserError where a group of conf/ is not a folder, as `pre` and `post` where links were not unpacked."""
    for group in GROUPS:
        folder = CONF / group
        if not folder.is_dir():
            link = f"ln -sfn module {shlex.quote(str(folder))}"
            remedy = f"create the link that was not unpacked: `{link}`" if group in ("pre", "post") else "restore it"
            raise UserError(f"{folder} is not a folder; {remedy}")
