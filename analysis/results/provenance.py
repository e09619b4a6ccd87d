"""The provenance of a study: commits, packages, machines, data, time, and interruptions."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from analysis.read import source_versions
from analysis.read.study import Study
from analysis.tables.formats import pipes
from experiments import names


def of(study: Study) -> dict[str, str]:
    """Returns the provenance of all trials of a study, as text by topic."""
    tags = [run.tags for run in study.own]
    versions = sorted({key for one in tags for key in one if key.startswith(names.VERSION)})
    machines = [one["machine"] for one in study.surroundings]
    lacking = sorted({one[names.NOT_RECORDED] for one in tags if one.get(names.NOT_RECORDED)})
    again = [run for run in study.own if _attempts(run.metrics) > 1]
    doubts = " ".join(source_versions.sentences(study.whole.lines))
    return {
        "commit": _every(commit for one in tags for commit in source_versions.commits(one.get(names.COMMIT, ""))),
        **({"code": doubts} if doubts else {}),
        **({"not recorded": "; ".join(lacking)} if lacking else {}),
        "machines": "; ".join(sorted({_machine(one) for one in machines}))
        or _every(one.get(names.HOST, "") for one in tags),
        "GPUs": _every(one.get(names.GPU, "") for one in tags),
        **{key.removeprefix(names.VERSION): _every(one.get(key, "") for one in tags) for key in versions},
        **_data(study),
        "trained": _when(study),
        "wall time of all trials": _hours(run.metrics.get(names.WALL_SECONDS, 0.0) for run in study.own),
        "device-hours": _hours(run.metrics.get(names.DEVICE_SECONDS, 0.0) for run in study.own),
        "interrupted": _times(sum(_attempts(run.metrics) - 1 for run in study.own))
        + (f" ({', '.join(sorted(run.tags[names.TRIAL_ID] for run in again))})" if again else ""),
    }


def page(study: Study) -> str:
    """Returns the provenance as Markdown."""
    lines = [pipes([key, value]) for key, value in of(study).items()]
    head = [f"# Where {study.sweep} comes from", "", "| | |", "|---|---|"]
    rest = (
        "Every package's version is in `data/surroundings.json`; each trial's own commit, state and time in `plan.csv`."
    )
    return "\n".join([*head, *lines, "", rest]) + "\n"


def _every(values: Iterable[str]) -> str:
    return ", ".join(sorted({value for value in values if value})) or "not recorded"


def _machine(machine: Mapping[str, Any]) -> str:
    about = f"{machine['processor']}, {machine['cores']} cores, {machine['memory_gib']} GiB"
    return f"{machine['host']} ({about}, {machine['system']}, Python {machine['python']})"


def _data(study: Study) -> dict[str, str]:
    """Returns the size of each split; the hash is of its annotation file."""
    told: dict[str, dict[str, None]] = {}
    for one in study.surroundings:
        for split, facts in one["data"].items():
            kinds = "class" if facts["classes"] == 1 else "classes"
            counts = f"{facts['images']:,} images, {facts['objects']:,} objects, {facts['classes']} {kinds}"
            told.setdefault(f"data, {split}", {})[f"{counts} (SHA-256 {facts['sha256'][:16]})"] = None
    return {split: "; ".join(different) for split, different in told.items()}


def _when(study: Study) -> str:
    began = [run.started for run in study.own]
    own = {run.run_id for run in study.own}
    ended = [points[-1].timestamp for (run_id, _), points in study.histories.items() if points and run_id in own]
    if not ended:
        return "not recorded"
    first, last = (datetime.fromtimestamp(when / 1000, UTC) for when in (min(began), max(ended)))
    return f"{first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M} UTC"


def _hours(seconds: Iterable[float]) -> str:
    return f"{sum(seconds) / 3600:.2f} h"


def _attempts(metrics: Mapping[str, float]) -> int:
    return max(1, int(metrics.get(names.ATTEMPTS, 1)))


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"
