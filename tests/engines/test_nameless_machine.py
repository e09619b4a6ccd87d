"""A trial on a machine whose own name leads nowhere, as in many containers: its ranks meet all the same."""

import shlex
import subprocess
import sys
from pathlib import Path

from tests.support import harness


def test_trial_on_a_machine_whose_name_leads_nowhere(tmp_path: Path) -> None:
    run = shlex.join([sys.executable, "run.py", *harness.TINY, "schedule.epochs=1", f"output_dir={tmp_path}"])
    done = subprocess.run(
        ["unshare", "--uts", "sh", "-c", f"hostname name-that-leads-nowhere && {run}"],
        cwd=harness.ROOT,
        env=harness.of_nobody(),
        capture_output=True,
        text=True,
        timeout=harness.PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 of 1 trials finished" in done.stdout
    assert "cannot be retrieved" not in next(tmp_path.glob("trials/*/log.txt")).read_text()
