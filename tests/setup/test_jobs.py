"""Failures of the commands that set-up runs reach the user as one sentence that names the log."""

import sys
import time
from pathlib import Path

import pytest

from setup import environment, jobs
from setup.jobs import Job, run
from setup.preconditions import DiskFullError, SetupError

PIP = [sys.executable, "-m", "pip", "download", "--isolated", "--no-deps", "--retries=1", "--disable-pip-version-check"]


def job(tmp_path: Path, *command: str, name: str = "job") -> Job:
    return Job(name, list(command), tmp_path / f"{name}.log")


def test_a_finished_job_is_told_with_its_time(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(job(tmp_path, "sh", "-c", "echo hello"))
    assert capsys.readouterr().out == "  job: done in 0 s\n"
    assert (tmp_path / "job.log").read_text() == "hello\n"


def test_long_jobs_say_how_far_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(jobs, "PLAIN_INTERVAL", 0.3)
    counting = Job("count", ["sh", "-c", "echo 7; sleep 1"], tmp_path / "a", lambda log: f"{log.strip()} of 9")
    run(counting, job(tmp_path, "sleep", "1", name="quiet"))
    assert "  0 s  count: 7 of 9 | quiet\n" in capsys.readouterr().out


def test_a_full_disk_on_the_way(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full on this system")
    with pytest.raises(DiskFullError, match=r"Too little disk space: set-up needs at least .* GB"):
        run(job(tmp_path, "sh", "-c", "cat /etc/passwd > /dev/full"))


def test_a_disk_so_full_that_the_log_is_empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "free_gb", lambda folder: 0.0)
    with pytest.raises(DiskFullError):
        run(job(tmp_path, "false"))


def test_an_unreachable_registry(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="registry cannot be reached") as caught:
        run(job(tmp_path, *PIP, "--index-url=http://127.0.0.1:9/simple", "rich", name="packages"))
    assert f"the details are in {tmp_path / 'packages.log'}." in str(caught.value)


def test_a_package_that_the_registry_lacks_is_told_in_the_words_of_pip(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match=r"packages failed: ERROR: Could not find a version .* no-such-package==7"):
        run(job(tmp_path, *PIP, "--no-index", "no-such-package==7", name="packages"))


def test_a_compiler_killed_for_memory(tmp_path: Path) -> None:
    killed = "c++: fatal error: Killed signal terminated program cc1plus"
    with pytest.raises(SetupError, match=r"ran out of memory: .* MAX_JOBS=1"):
        run(job(tmp_path, "sh", "-c", f"echo {killed}; exit 1"))


def test_a_sentence_of_our_own_scripts_reaches_the_user_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match=r"^No luck here\.$"):
        run(job(tmp_path, "sh", "-c", "echo error: noise; echo 'set-up error: No luck here.'; exit 1"))


def test_a_failure_ends_what_runs_beside_it_and_below(tmp_path: Path) -> None:
    late = tmp_path / "late"
    long = job(tmp_path, "sh", "-c", f"(sleep 1; touch {late}) & wait", name="long")
    with pytest.raises(SetupError, match="short failed: fatal error: no such header; the log is"):
        run(long, job(tmp_path, "sh", "-c", "echo fatal error: no such header; exit 3", name="short"))
    time.sleep(1.2)
    assert not late.exists(), "the grandchild lived on"


def test_progress_of_the_compile_is_counted_in_files() -> None:
    log = "Building wheel\n  [1/78] /tmp/c++ -c a.cpp\n warning: [3/4]\n  [12/78] /tmp/c++ -c b.cpp\n"
    assert environment.compile_progress(log) == "12 of 78 files compiled"
    assert environment.compile_progress("Building wheel\n") == "precompiling torch's headers"


def test_progress_of_pip_names_what_it_fetches() -> None:
    log = "Collecting rich==15.0.0\n  Downloading rich-15.0.0-py3-none-any.whl (310 kB)\n"
    assert environment.pip_progress(log) == "fetching rich-15.0.0-py3-none-any.whl (310 kB)"
    assert environment.pip_progress("") == "starting"
