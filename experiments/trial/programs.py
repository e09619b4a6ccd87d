"""Runs another program for its output, with limits on its time and on the size of the output."""

import hashlib
import os
import signal
import subprocess
import textwrap
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import IO

MOST = 4 * 2**20  # bytes of an answer that are kept
COMPLAINT = 200  # characters of a program's stderr that are shown
LAST_SECONDS = 2.0  # to wait for a killed program to end


class ProgramError(Exception):
    """A program gave no output; the message starts with the program's name."""

    def __init__(self, sentence: str, complaint: str = "") -> None:
        super().__init__(sentence)
        self.complaint = complaint  # what the program wrote to stderr


@dataclass(frozen=True)
class Answer:
    """What a program wrote to stdout."""

    content: bytes | None  # None if it is longer than `MOST`
    size: int  # bytes
    sha256: str


def ask(*command: str, seconds: float, environment: Mapping[str, str] | None = None) -> Answer:
    """Returns a program's answer; ProgramError if it is not installed, fails, or does not end within `seconds`.

    A program that takes too long is killed with all processes that it started.
    """
    try:
        process = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except FileNotFoundError as error:
        raise ProgramError(f"{command[0]} is not installed") from error
    except OSError as error:
        raise ProgramError(f"{command[0]} cannot be started ({error.strerror})") from error
    assert process.stdout is not None
    assert process.stderr is not None
    # In separate threads: a program that hangs in the kernel cannot be killed, and keeps its end of the pipe open.
    out, complaint = _Listener(process.stdout), _Listener(process.stderr)
    out.join(seconds)
    complaint.join(LAST_SECONDS)
    if out.is_alive() or complaint.is_alive():
        os.killpg(process.pid, signal.SIGKILL)
        raise ProgramError(f"{command[0]} did not answer within {seconds:g} s")
    code = process.wait()
    if code:
        said = (complaint.answer.content or b"").decode(errors="replace")
        first = textwrap.shorten(said, COMPLAINT, placeholder=" ...") or f"exit code {code}"
        raise ProgramError(f"{command[0]} failed ({first})", said)
    return out.answer


class _Listener(threading.Thread):
    """Reads a stream to its end, and keeps at most `MOST` bytes."""

    def __init__(self, stream: IO[bytes]) -> None:
        super().__init__(daemon=True)
        self.stream = stream
        self.hash, self.size, self.kept = hashlib.sha256(), 0, bytearray()
        self.start()

    def run(self) -> None:
        with self.stream:
            while block := self.stream.read(2**16):
                self.hash.update(block)
                self.size += len(block)
                if self.size <= MOST:
                    self.kept += block

    @property
    def answer(self) -> Answer:
        return Answer(bytes(self.kept) if self.size <= MOST else None, self.size, self.hash.hexdigest())
