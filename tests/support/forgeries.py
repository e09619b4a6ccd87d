"""What is done to the files of a trial in an archive, and what the sentence that refuses it must say."""

from typing import Any

import numpy as np

from tests.support import forged
from tests.support.forged import Edit, add, append, change, remove, replace

FOREIGN = (  # names of files that no export holds
    *("../evil", "/etc/evil", "trials/../../evil", "T/../../../evil", "..", "", "C:\\evil", "\\evil"),
    *("T/..\\evil", "T/config.yaml/", "T/work/epoch_1.pth", "T/work/best.pth", "T/stop", "T/ending.json"),
    *("T/imported.json", "T/evil.py", "T/Config.yaml", "T/ config.yaml", "T/config.yaml\n"),
    *(
        "T/attempts/1.json",
        "T/attempts/00001.json",
        "T/attempts/../x.json",
        "T/provenance/0001.sh",
        "T/sources/1.json",
    ),
    *("T/sub/config.yaml", "mlflow.db", "store.lock", ".groie-ablation", "plans/../x.json", "plans/.x.json"),
    *("plans/x.txt", "plans/a/x.json", "artifacts/x", "trials/x/config.yaml", "trials/.x-s0-0123456789/record"),
    *("trials/x-s0-012345678/record", "trials/x-s0-012345678g/record", "trials/..-s0-0123456789/record"),
)
FILE = "plans/x.json"
LIES: list[tuple[Any, str]] = [  # what a manifest says of files, where that one holds `{}`
    ({}, f"holds {FILE}, which is not in its manifest.json"),
    ({FILE: forged.fact(b"{}"), "T": forged.fact(b"")}, "lacks 'T', which is in its manifest.json"),
    ({FILE: {**forged.fact(b"{}"), "size": 1}}, f"holds {FILE} with another size than its manifest.json says"),
    ({FILE: {**forged.fact(b"{}"), "sha256": "0" * 64}}, f"holds {FILE} with another content than its manifest.j"),
    ({FILE: forged.fact(b"[]")}, f"holds {FILE} with another content than its manifest.json says"),
    (
        {FILE: {"size": -1, "sha256": "0" * 64}},
        "holds a bad manifest.json: files.plans/x.json.size: Input should b",
    ),
    ({FILE: {"size": 2, "sha256": "0"}}, "holds a bad manifest.json: files.plans/x.json.sha256: String should"),
    ({FILE: {"size": "2", "sha256": "0" * 64}}, "holds a bad manifest.json: files.plans/x.json.size: Input should"),
    ({"\x1b[2J": 1}, r"holds a bad manifest.json: files.\x1b[2J: "),
    ([FILE], "holds a bad manifest.json: files: Input should be"),
]
DESCRIPTION = "T/trial.json"
DEEP = b'{"a":' * 10**4 + b"1" + b"}" * 10**4
NO_JSON: list[tuple[bytes, str]] = [
    (b"", ""),
    (b"{", ""),
    (b"[]", ""),
    (b"1", ""),
    (DEEP, ""),
    (b'{"x": ' + b"9" * 5000 + b"}", "Exceeds the limit"),
    (b"\xff", ""),
    ('{"x": "ü"}'.encode("utf-16"), ""),
]

EDITS: dict[str, tuple[Edit, str]] = {
    "no configuration": (remove("T/config.yaml"), "lacks config.yaml of "),
    "no description": (remove(DESCRIPTION), "lacks trial.json of "),
    "no record": (remove("T/record"), "lacks record of "),
    "no attempt": (remove("T/attempts/0001.json"), "holds no attempt at "),
    "seed": (change(DESCRIPTION, seed="1"), "trial.json: seed: Input should be a valid integer"),
    "another seed": (change(DESCRIPTION, seed=2), "config.yaml: seed is not what other files say"),
    "id": (change(DESCRIPTION, trial_id="x"), "it gives another trial_id: it was changed, or another version"),
    "variant's id": (change(DESCRIPTION, variant_id="0" * 10), "variant_id is not what other files say"),
    "variant": (change(DESCRIPTION, variant="\x1b[2J"), "trial.json: variant: String should match pattern"),
    "long": (change(DESCRIPTION, variant="x" * 6000), "trial.json: variant: String should have at most 5000"),
    "surrogate": (add(DESCRIPTION, b'{"variant": "\\ud800"}'), "trial.json: Invalid JSON: unexpected end of hex"),
    "factors": (change(DESCRIPTION, factors={}), "factors is not what other files say"),
    "kernels": (change(DESCRIPTION, kernel_sizes={"pre.kernel_size": 3}), "kernel_sizes is not what other files say"),
    "epochs": (change(DESCRIPTION, epochs=10**12), "trial.json: epochs: Input should be less than"),
    "data": (change(DESCRIPTION, data={"train": "x"}), "trial.json: data.train: String should match pattern"),
    "command": (change(DESCRIPTION, overrides=["hydra.run.dir=/"]), "overrides is not what other files say"),
    "place": (change(DESCRIPTION, overrides=["output_dir=/"]), "overrides is not what other files say"),
    "record": (change(DESCRIPTION, record="' OR 1"), "trial.json: record: String should match pattern"),
    "another record": (change(DESCRIPTION, record="0" * 32), "record: its name is not what other files say"),
    "sweeps": (change(DESCRIPTION, sweeps=["x"]), "trial.json: sweeps: Input should be an object"),
    "tag": (change(DESCRIPTION, sweeps={"mlflow.user": "x"}), "trial.json: sweeps has a tag 'mlflow.user'"),
    "no sweep": (change(DESCRIPTION, sweeps={"rows.x": "[]"}), "trial.json: sweeps has a tag 'rows.x'"),
    "sweep": (change(DESCRIPTION, sweeps={"sweep.x": "x", "sweep.y": "x"}), "trial.json: sweeps has a tag 'sweep.y'"),
    "rows": (change(DESCRIPTION, sweeps={"sweep.x": "x", "rows.x": "{}"}), "trial.json: Input should be a valid array"),
    "when": (change(DESCRIPTION, sweeps={"sweep.x": "x", "planned.x": "soon"}), "trial.json: Invalid isoformat"),
    "zone": (
        change(DESCRIPTION, sweeps={"sweep.x": "x", "planned.x": "2026-01-01"}),
        "planned at no time of the world",
    ),
    "no place": (change(DESCRIPTION, sweeps={"sweep.x": "x", "place.x": "-1"}), "a variant has no place in its sweep"),
    "other values": (replace("T/config.yaml", "epochs: 2", "epochs: 3"), "config.yaml: it gives another trial_id"),
    "no group": (replace("T/config.yaml", "post:\n", "past:\n"), "config.yaml: 'post'"),
    "no mapping": (add("T/config.yaml", b"[1, 2]"), "config.yaml: "),
    "no YAML": (add("T/config.yaml", b"a: [1"), "config.yaml: "),
    "bytes": (add("T/config.yaml", bytes(range(256))), "config.yaml: "),
    "deep YAML": (add("T/config.yaml", b"[" * 50000), "config.yaml: "),
    "date": (replace("T/config.yaml", "seed: 1", "seed: 2026-01-01"), "config.yaml: Object of type date is not JSON"),
    "aliases": (
        add("T/config.yaml", b"a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n"),
        "config.yaml: it repeats parts of itself",
    ),
    "itself": (add("T/config.yaml", b"a: &a [*a]\n"), "config.yaml: it repeats parts of itself"),
    "experiment": (replace("T/config.yaml", "experiment: groie", "experiment: [1]"), "config.yaml: Input should be"),
    "unended": (change("T/attempts/0001.json", status=None), "attempts/0001.json: it has not ended"),
    "status": (change("T/attempts/0001.json", status="DONE"), "attempts/0001.json: status: String should match"),
    "number": (change("T/attempts/0001.json", number=2), "attempts/0001.json: attempts are numbered otherwise"),
    "gap": (add("T/attempts/0003.json", {}), "attempts/0003.json: number: Field required"),
    "fact": (change("T/attempts/0001.json", **{"touched": 1.0}), "'touched' is no fact of an attempt"),
    "reason": (change("T/attempts/0001.json", reason="\0"), "its reason holds what no database takes"),
    "process": (change("T/attempts/0001.json", process=True), "process: Input should be a valid integer"),
    "host": (change("T/attempts/0001.json", host=None), "host: Input should be a valid string"),
    "never": (change("T/attempts/0001.json", ended=float("nan")), "attempts/0001.json: ended: Input should be a"),
    "far": (change("T/attempts/0001.json", ended=1e300), "attempts/0001.json: ended: Input should be less than"),
    "device": (change("T/attempts/0001.json", device="cpu"), "attempts/0001.json: device: String should match"),
    "commit": (
        change("T/provenance/0001.json", source={"commit": "x; rm -rf ~", "dirty": False}),
        "provenance/0001.json: source.commit: String should match pattern",
    ),
    "packages": (change("T/provenance/0001.json", packages=[]), "packages: Input should be an object"),
    "machine": (change("T/provenance/0001.json", machine={"host": "x" * 300, "gpus": []}), "machine.host: String"),
    "GPUs": (
        change("T/provenance/0001.json", machine={"host": "x", "gpus": [f"{n}" * 40 for n in range(1000)]}),
        "provenance/0001.json: a text is too long for MLflow",
    ),
    "path": (change("T/sources/0001.json", files={"../x.py": "0" * 10}), "String should match pattern"),
    "hash": (change("T/sources/0001.json", files={"groie/x.py": "x"}), "sources/0001.json: files.groie/x.py: String"),
    "epochs before": (change("T/sources/0001.json", after=-1), "sources/0001.json: after: Input should be greater"),
    "line": (append("T/journal.jsonl", b"{"), "journal.jsonl: "),
    "empty line": (append("T/journal.jsonl", b""), "journal.jsonl: "),
    "list": (append("T/journal.jsonl", [1]), "journal.jsonl: line 3: Input should be"),
    "text": (
        append("T/journal.jsonl", {"time": 1, "step": 1, "metrics": {"bbox/AP": "1"}}),
        "journal.jsonl: line 3: metrics.bbox/AP: Input should be a valid number",
    ),
    "truth": (append("T/journal.jsonl", {"time": 1, "step": 1, "metrics": {"x": True}}), "line 3: metrics.x: Input"),
    "large": (
        append("T/journal.jsonl", b'{"time": 1, "step": 1, "metrics": {"x": 1' + b"0" * 400 + b"}}"),
        "journal.jsonl: line 3: metrics.x: Value error, a whole number that no database takes",
    ),
    "name": (
        append("T/journal.jsonl", {"time": 1, "step": 1, "metrics": {"../x": 1}}),
        "journal.jsonl: line 3: metrics.../x.[key]: String should match pattern",
    ),
    "step": (append("T/journal.jsonl", {"time": 1, "step": -1, "metrics": {}}), "line 3: step: Input should be great"),
    "time": (append("T/journal.jsonl", {"time": 2**60, "step": 1, "metrics": {}}), "line 3: time: Input should be le"),
    "samples": (append("T/journal.jsonl", {"time": 1, "step": 1, "metrics": {}, "samples": [1]}), "line 3: samples.0"),
    "none to do": (
        append("T/journal.jsonl", {"time": 1, "epoch": 1, "iteration": 0, "iterations": 0}),
        "journal.jsonl: line 3: iterations: Input should be greater than or equal to 1",
    ),
    "shortened": (forged.shorten("T/journal.jsonl"), "journal.jsonl: lacks epoch 2 of 2"),
    "no journal": (remove("T/journal.jsonl"), "journal.jsonl: lacks epochs 1 to 2 of 2"),
    "another value": (
        replace("T/journal.jsonl", '"bbox/AP": 0.2', '"bbox/AP": 0.9'),
        "was changed since the trial fin",
    ),
    "one epoch twice": (
        append("T/journal.jsonl", {"time": 1, "step": 1, "metrics": {"bbox/AP": 0.9}}),
        "journal.jsonl: line 3 is another record of epoch 1",
    ),
    "errors": (change("T/errors.json", metrics={"x": [1]}), "errors.json: metrics.x: Input should be a valid number"),
    "unmatched": (add("T/unmatched.txt", b"a\x1b[2Jb"), "unmatched.txt: String should match pattern"),
    "cost": (change("T/cost.json", metrics={"x": [1]}), "cost.json: metrics.x: Input should be a valid number"),
    "classes": (add("T/by_class.json", b"{"), "by_class.json: "),
    "pickles": (
        add("T/detections.npz", forged.arrays(**{"bbox/score": np.array([{}], dtype=object)})),
        "detections.npz: it holds something else than numbers",
    ),
    "texts": (
        add("T/matches.npz", forged.arrays(score=np.array(["a"]))),
        "matches.npz: it holds something else than numbers",
    ),
    "exabyte": (add("T/detections.npz", forged.array_bomb()), "detections.npz: its size is not what other files say"),
    "no arrays": (add("T/detections.npz", b"x"), "detections.npz: no arrays of numpy's"),
    "plan": (add("plans/x.json", []), "plans/x.json: Input should be an object"),
    "plan's time": (add("plans/x.json", {"sweeps": [], "made": "soon"}), "plans/x.json: Invalid isoformat"),
}
