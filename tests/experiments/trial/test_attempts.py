"""Claims to a trial: one owner at a time, taken over when the owner is gone, never half-written."""

import multiprocessing
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import psutil
import pytest

from experiments import files, names
from experiments.trial import attempts
from tests.support import harness
from tests.support.running import wait_for
from tests.support.traces import write_attempt

FORK = multiprocessing.get_context("fork")  # starts at once


def numbers(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "attempts").iterdir())


def race(folder: Path, together: Barrier, results: Any) -> None:
    """Claims when all others do, and lives until all have done so."""
    together.wait()
    try:
        results.put(attempts.claim(folder, "1 x cpu").attempt.number)
    except attempts.TakenError as taken:
        results.put(str(taken))
    together.wait()


def test_one_of_eight_claiming_processes_wins(tmp_path: Path) -> None:
    """In each round the processes of the round before are gone, so the trial is free again."""
    for number in range(1, 7):
        together, results = FORK.Barrier(8), FORK.Queue()
        racers = [FORK.Process(target=race, args=(tmp_path, together, results)) for _ in range(8)]
        for racer in racers:
            racer.start()
        got = [results.get(timeout=harness.PATIENCE) for _ in racers]
        for racer in racers:
            racer.join()
        assert sorted(got, key=str) == [number, *["RUNNING"] * 7]
        assert numbers(tmp_path) == [f"{one:04d}.json" for one in range(1, number + 1)]


def claim_and_wait(folder: Path, seconds: float) -> None:
    attempts.claim(folder, "1 x cpu")
    time.sleep(seconds)


def test_owner_on_this_machine_keeps_its_trial_until_it_is_gone(tmp_path: Path) -> None:
    """At once, also while nobody has yet waited for the process: a zombie works no more."""
    owner = FORK.Process(target=claim_and_wait, args=(tmp_path, harness.PATIENCE))
    owner.start()
    wait_for((tmp_path / "attempts" / "0001.json").exists)
    assert attempts.state(tmp_path) == "RUNNING"
    with pytest.raises(attempts.TakenError, match="RUNNING"):
        attempts.claim(tmp_path, "1 x cpu")
    assert owner.pid is not None
    os.kill(owner.pid, 9)
    wait_for(lambda: psutil.Process(owner.pid).status() == psutil.STATUS_ZOMBIE)
    assert attempts.state(tmp_path) == "interrupted"
    assert attempts.claim(tmp_path, "1 x cpu").attempt.number == 2
    owner.join()


def test_process_number_that_came_again_is_not_the_owner(tmp_path: Path) -> None:
    write_attempt(tmp_path, 1, host=socket.gethostname(), process=os.getpid(), born=psutil.Process().create_time())
    assert attempts.state(tmp_path) == "RUNNING"
    write_attempt(tmp_path, 1, host=socket.gethostname(), process=os.getpid(), born=psutil.Process().create_time() - 60)
    assert attempts.state(tmp_path) == "interrupted"


def test_owner_on_another_machine_is_gone_when_it_was_silent_long_enough(tmp_path: Path) -> None:
    write_attempt(tmp_path, 1, age=attempts.EXPIRY_SECONDS - 20)
    with pytest.raises(attempts.TakenError, match="RUNNING"):
        attempts.claim(tmp_path, "1 x cpu")
    assert numbers(tmp_path) == ["0001.json"]
    write_attempt(tmp_path, 1, age=attempts.EXPIRY_SECONDS + 1)
    taken = attempts.claim(tmp_path, "2 x cpu", job="17.0")
    attempt = attempts.last(tmp_path)
    assert attempt is not None
    assert (attempt.number, attempt.host, attempt.device, attempt.job) == (2, socket.gethostname(), "2 x cpu", "17.0")
    assert taken.attempt.process == attempt.process == os.getpid()


def test_ranks_end_before_others_may_take_over() -> None:
    """They look twice, one beat apart, before they end themselves."""
    assert attempts.LAPSE_SECONDS + 2 * attempts.BEAT_SECONDS < attempts.EXPIRY_SECONDS
    assert 10 * attempts.BEAT_SECONDS <= attempts.LAPSE_SECONDS  # a busy owner may miss some


def test_beat_keeps_a_claim_and_is_cheap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    claim = attempts.claim(tmp_path, "1 x cpu")
    monkeypatch.setattr(socket, "gethostname", lambda: "elsewhere")  # from there, only the touches tell
    os.utime(claim.path, (0, 0))
    claim.beat()
    assert attempts.state(tmp_path) == "interrupted"  # too soon after the last
    claim.beaten -= attempts.BEAT_SECONDS
    claim.beat()
    assert attempts.state(tmp_path) == "RUNNING"
    attempt = attempts.last(tmp_path)
    assert attempt is not None
    assert attempt.age < 20


def test_lost_claim_is_noticed(tmp_path: Path) -> None:
    claim = attempts.claim(tmp_path, "1 x cpu")
    assert not claim.lost
    second = write_attempt(tmp_path, 2)
    before = second.read_text()
    assert claim.lost
    claim.beaten -= attempts.BEAT_SECONDS
    claim.beat()
    assert second.read_text() == before
    assert attempts.last(tmp_path).host == "elsewhere"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("status", "state"), [("FINISHED", "FINISHED"), ("FAILED", "FAILED"), ("KILLED", "interrupted")]
)
def test_only_a_finished_trial_is_not_claimed_again(tmp_path: Path, status: str, state: str) -> None:
    claim = attempts.claim(tmp_path, "1 x cpu")
    claim.update(status=status, reason="so it was", transient=True)
    attempt = attempts.last(tmp_path)
    assert attempt is not None
    assert (attempt.state, attempt.reason, attempt.transient, attempt.alive) == (state, "so it was", True, False)
    if status == "FINISHED":
        with pytest.raises(attempts.TakenError, match="FINISHED"):
            attempts.claim(tmp_path, "1 x cpu")
        assert numbers(tmp_path) == ["0001.json"]
    else:
        assert attempts.claim(tmp_path, "1 x cpu").attempt.number == 2
        assert attempts.state(tmp_path) == names.RUNNING


def test_trial_without_attempts_is_to_do(tmp_path: Path) -> None:
    assert (attempts.every(tmp_path), attempts.last(tmp_path), attempts.state(tmp_path)) == ([], None, "to do")


def test_attempts_come_in_their_order(tmp_path: Path) -> None:
    for number in (10, 1, 2):
        write_attempt(tmp_path, number, status="FAILED", started=100.0 * number)
    assert [(one.number, one.started) for one in attempts.every(tmp_path)] == [(1, 100.0), (2, 200.0), (10, 1000.0)]
    assert attempts.last(tmp_path).number == 10  # type: ignore[union-attr]


def test_last_sign_of_life_is_the_end_where_its_owner_told_it(tmp_path: Path) -> None:
    """And else its last touch, which a copy of the folder may not keep."""
    write_attempt(tmp_path, 1, status="FINISHED", started=100.0, ended=150.0)
    assert attempts.last(tmp_path).heard == 150.0  # type: ignore[union-attr]
    write_attempt(tmp_path, 2, started=200.0)
    os.utime(tmp_path / "attempts" / "0002.json", (260.0, 260.0))
    assert abs(attempts.last(tmp_path).heard - 260.0) < 0.1  # type: ignore[union-attr]


def update_for_ever(folder: Path) -> None:
    claim = attempts.claim(folder, "1 x cpu")
    while True:
        for size in (1, 100_000):
            claim.update(reason=str(size % 7) * size)


def test_reader_sees_whole_attempts_only(tmp_path: Path) -> None:
    """Of an owner that writes all the time, and is shot while it does."""
    writer = FORK.Process(target=update_for_ever, args=(tmp_path,), daemon=True)
    writer.start()
    wait_for((tmp_path / "attempts" / "0001.json").exists)
    seen = set()
    end = time.monotonic() + 1
    while time.monotonic() < end:
        attempt = attempts.last(tmp_path)
        assert attempt is not None
        assert attempt.reason is None or len(set(attempt.reason)) == 1
        seen.add(len(attempt.reason or ""))
    assert seen >= {1, 100_000}
    writer.kill()
    writer.join()
    assert attempts.claim(tmp_path, "1 x cpu").attempt.number == 2  # whatever the writer left beside its file


def test_file_is_made_once(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda number: files.create(path, str(number)), range(64)))
    assert made.count(True) == 1
    assert path.read_text() == str(made.index(True))
    assert [one.name for one in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("function", [files.write, files.create])
def test_failed_write_leaves_no_file(tmp_path: Path, function: Callable[[Path, str], Any]) -> None:
    (tmp_path / "file").write_text("old")
    with pytest.raises(UnicodeEncodeError):
        function(tmp_path / "file", "\ud800")
    with pytest.raises(FileNotFoundError):
        function(tmp_path / "missing" / "file", "new")
    assert [one.name for one in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_text() == "old"


def killed_writer(path: Path) -> None:
    """Writes a file, and dies before the file has its name."""

    def parts() -> Iterator[bytes]:
        yield b"half"
        os.kill(os.getpid(), signal.SIGKILL)

    files.write_parts(path, parts())


@pytest.mark.parametrize("name", ["journal.jsonl", "attempts/0001.json", "work/ending.json"])
def test_claim_removes_files_of_a_killed_writer(tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    writer = FORK.Process(target=killed_writer, args=(tmp_path / name,))
    writer.start()
    writer.join()
    assert len(list(tmp_path.rglob("*.part"))) == 1
    attempts.claim(tmp_path, "1 x cpu")
    assert list(tmp_path.rglob("*.part")) == []


def test_claim_leaves_a_file_that_is_being_written(tmp_path: Path) -> None:
    def parts() -> Iterator[bytes]:
        yield b"first"
        attempts.claim(tmp_path, "1 x cpu")
        yield b" second"

    files.write_parts(tmp_path / "trial.json", parts())
    assert (tmp_path / "trial.json").read_bytes() == b"first second"
    assert list(tmp_path.rglob("*.part")) == []
