"""Attempts at a trial: which process owns it, whether that process lives, and how each attempt ended.

A trial's folder has `attempts/0001.json`, `0002.json`, ... The file of an attempt is the claim to the trial: one step
creates it with its content, and fails if it exists. The next number may be created only when this attempt is over.
The owner touches the file every few seconds, so the file's age says whether the owner lives. Two sweeps on one folder
therefore never run one trial together, on one machine or on several that share the folder, without a server or a lock.
"""

import contextlib
import json
import os
import re
import socket
import threading
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import psutil
from pydantic import Field, TypeAdapter

from experiments import files, names
from experiments.reading import DamagedError, of_json, unreadable

BEAT_SECONDS = 2.0  # how often an owner touches its file
LAPSE_SECONDS = 60.0  # ranks end themselves when their attempt has not been touched for so long
EXPIRY_SECONDS = 120.0  # an attempt of another machine that was not touched for so long is over; well above LAPSE

# States of a trial in addition to MLflow's status words. DAMAGED: one of its files cannot be used.
TO_DO, INTERRUPTED, DAMAGED = "to do", "interrupted", "damaged"
FILE = re.compile(r"([0-9]{4}|[1-9][0-9]{4,8})\.json")  # other files in the folder are ignored

Seconds = Annotated[float, Field(ge=0, lt=2**33, allow_inf_nan=False)]  # since 1970


@dataclass(frozen=True)
class Attempt:
    """What the file of an attempt says, and how long ago its owner was last alive."""

    number: Annotated[int, Field(ge=1)]
    host: str
    process: Annotated[int, Field(ge=0, lt=2**31)]
    born: float  # when that process started, seconds since 1970, because process numbers are reused
    started: Seconds
    device: Annotated[str, Field(pattern=r"^[0-9]{1,5} x .")]  # its devices: "1 x cpu", "2 x NVIDIA H100"
    rendezvous: str | None = None  # HOST:PORT where the ranks of several nodes meet
    job: str | None = None  # of the cluster that started it
    status: Annotated[str, Field(pattern=f"^({names.FINISHED}|{names.FAILED}|{names.KILLED})$")] | None = (
        None  # how it ended, one of MLflow's statuses; None while it runs
    )
    reason: Annotated[str, Field(pattern="^[^\\x00]*$")] | None = None  # no database takes a NUL
    transient: bool = False  # a transient failure
    journal: str | None = None  # SHA-256 of the records of all epochs, if it finished them
    memory_at: int | None = None  # the step of training at which memory ran out, if it did
    ended: Seconds | None = None  # None if the attempt did not record its end
    touched: float = 0.0  # the last sign of life, seconds since 1970; kept by the file system alone

    @property
    def alive(self) -> bool:
        """Returns whether it runs: it has not ended, and its process gave a sign of life lately."""
        if self.status is not None:
            return False
        if self.host == socket.gethostname() and not _lives(self.process, self.born):
            return False
        return self.age < EXPIRY_SECONDS

    @property
    def ranks(self) -> int:
        """Returns the number of its devices, which is that of its ranks."""
        return int(self.device.partition(" ")[0])

    @property
    def age(self) -> float:
        """Returns the seconds since the last sign of life, never negative, because clocks may be set back."""
        return abs(time.time() - self.touched)

    @property
    def heard(self) -> float:
        """Returns when it was last alive, in seconds since 1970; never earlier than its start."""
        return max(self.started, self.ended if self.ended is not None else self.touched)

    @property
    def state(self) -> str:
        """Returns RUNNING, FINISHED or FAILED, or INTERRUPTED for one that was stopped or whose process is gone."""
        if self.alive:
            return names.RUNNING
        return self.status if self.status in (names.FINISHED, names.FAILED) else INTERRUPTED


ATTEMPT = TypeAdapter(Attempt)


class TakenError(Exception):
    """Another process owns the trial, or it is finished."""


class Claim:
    """An attempt that this process owns."""

    def __init__(self, folder: Path, attempt: Attempt, before: Attempt | None) -> None:
        self.folder = folder
        self.attempt = attempt
        self.before = before  # the attempt that ended before this one began
        self.path = _file(folder, attempt.number)
        self.beaten = time.monotonic()

    def beat(self) -> None:
        """Touches the file if `BEAT_SECONDS` have passed; cheap enough to call often."""
        if time.monotonic() - self.beaten >= BEAT_SECONDS:
            os.utime(self.path)
            self.beaten = time.monotonic()

    @property
    def lost(self) -> bool:
        """Returns whether another process took the trial over, because this one was suspended too long."""
        return _file(self.folder, self.attempt.number + 1).exists()

    def update(self, **facts: Any) -> None:
        """Writes new fields of the attempt, in one step."""
        self.attempt = Attempt(**{**asdict(self.attempt), **facts})
        files.write(self.path, _facts(self.attempt))


def claim(folder: Path, device: str, job: str | None = None) -> Claim:
    """Begins a new attempt at the trial in `folder`; TakenError if it is finished or runs.

    Raises DamagedError if the last attempt cannot be read.
    """
    earlier = last(folder)
    if earlier is not None and earlier.state in (names.RUNNING, names.FINISHED):
        raise TakenError(earlier.state)
    attempt = Attempt(
        number=earlier.number + 1 if earlier else 1,
        host=socket.gethostname(),
        process=os.getpid(),
        born=psutil.Process().create_time(),
        started=time.time(),
        touched=time.time(),
        device=device,
        job=job,
    )
    path = _file(folder, attempt.number)
    path.parent.mkdir(parents=True, exist_ok=True)
    if not files.create(path, _facts(attempt)):
        raise TakenError(names.RUNNING)
    files.sweep(folder)
    return Claim(folder, attempt, earlier)


def last(folder: Path) -> Attempt | None:
    """Returns the newest attempt at the trial in `folder`, None if there is none; DamagedError if it cannot be read."""
    found = numbers(folder)
    return _read(folder, found[-1]) if found else None


def every(folder: Path) -> list[Attempt]:
    """Returns all attempts at the trial in `folder`, oldest first; DamagedError if one cannot be read."""
    return [_read(folder, number) for number in numbers(folder)]


def device_seconds(tried: Iterable[Attempt]) -> float:
    """Returns the device-seconds of attempts; of those that run, until their last sign of life."""
    return sum((one.heard - one.started) * one.ranks for one in tried)


def numbers(folder: Path) -> list[int]:
    """Returns the numbers of the attempts at the trial in `folder`, rising; DamagedError if they cannot be listed."""
    place = folder / "attempts"
    try:
        return sorted(int(name.removesuffix(".json")) for name in os.listdir(place) if FILE.fullmatch(name))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise unreadable(place, error) from error


def state(folder: Path) -> str:
    """Returns TO_DO, RUNNING, INTERRUPTED, FINISHED, FAILED or DAMAGED for the trial in `folder`."""
    try:
        attempt = last(folder)
    except DamagedError:
        return DAMAGED
    return attempt.state if attempt else TO_DO


def end_with(folder: Path, number: int) -> None:
    """Ends this process, a rank, when its launcher is gone or no process owns attempt `number` any more.

    So no rank outlives a supervisor that was killed: before other machines count an attempt as over, its ranks have
    ended themselves.
    """
    path, launcher = _file(folder, number), os.getppid()

    def watch() -> None:
        lapsed = False
        touched, heard = 0.0, time.monotonic()  # not compared with each other: one clock may be set back
        while os.getppid() == launcher and not _file(folder, number + 1).exists():
            time.sleep(BEAT_SECONDS)
            with contextlib.suppress(OSError):  # a shared folder that is unreachable for a moment
                if touched != (touched := path.stat().st_mtime):
                    heard = time.monotonic()
            lapsed_before, lapsed = lapsed, time.monotonic() - heard > LAPSE_SECONDS
            if lapsed and lapsed_before:  # twice: after the machine was suspended, the owner gets time to touch it
                break
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _read(folder: Path, number: int) -> Attempt:
    path = _file(folder, number)
    _, attempt = of_json(path, ATTEMPT)
    if attempt.number != number:
        raise DamagedError(path, f"is damaged (it is attempt {attempt.number})")
    try:
        return replace(attempt, touched=path.stat().st_mtime)
    except OSError as error:
        raise unreadable(path, error) from error


def _file(folder: Path, number: int) -> Path:
    return folder / "attempts" / f"{number:04d}.json"


def _facts(attempt: Attempt) -> str:
    return json.dumps({key: value for key, value in asdict(attempt).items() if key != "touched"}, indent=2)


def _lives(process: int, born: float) -> bool:
    try:
        found = psutil.Process(process)
        return abs(found.create_time() - born) < 1.0 and found.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
