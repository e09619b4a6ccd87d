"""Archives that nobody exported are refused as a whole, in one sentence, before anything of them counts."""

import json
import random
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import forged
import harness
import numpy as np
import pytest
import transferred
from conftest import Preloaded
from forged import Edit, Files, add, append, change, remove, replace

from experiments import detections, names
from experiments.paths import OutputPaths, TrialPaths
from experiments.planning import estimate
from experiments.record import archive, forms, inspection, status, wording

pytestmark = pytest.mark.filterwarnings("ignore")

Refused = Callable[..., str]


@pytest.fixture(scope="module")
def good(preloaded: Preloaded, output_folder: Callable[[], Path], tmp_path_factory: pytest.TempPathFactory) -> Files:
    """The files of an export: one finished trial of a fake training, with detections and costs."""
    outputs = output_folder()
    assert preloaded.run(*harness.TINY, "seed=1", f"output_dir={outputs}", fake_training=True).code == 0
    (trial,) = outputs.glob("trials/*")
    box = {"image_id": 1, "category_id": 2, "bbox": [1.0, 2.0, 3.0, 4.0], "score": 0.5}
    detections.save(trial / "detections.npz", {"bbox": [box]})
    np.savez(trial / "matches.npz", some=np.zeros(3))
    (trial / "by_class.json").write_text("{}")
    (trial / "errors.json").write_text('{"time": 1, "step": 2, "metrics": {"bbox_errors/Cls": 0.5}}')
    (trial / "cost.json").write_text('{"time": 1, "step": 0, "metrics": {"cost/parameters": 12.0}}')
    file = tmp_path_factory.mktemp("good") / "study.zip"
    assert transferred.main(["export", "last", str(file), "--output-dir", str(outputs)]) == 0
    return transferred.contents(file)


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Refused:
    """Imports a file into a new folder; returns why it is refused, after what every refusal has."""

    def why(file: Path, *options: object) -> str:
        before = set(tmp_path.rglob("*"))
        code, out, err = transferred.tell(capsys, "import", file, *options, outputs=tmp_path / "new")
        assert (code, out) == (2, "")
        assert err.startswith(f"error: {file} ")
        assert err.endswith("; nothing was imported\n")
        assert err.count("\n") == 1
        assert err.isascii()
        assert set(tmp_path.rglob("*")) == before
        return err.removeprefix(f"error: {file} ").removesuffix("; nothing was imported\n")

    return why


def test_the_files_that_are_forged_below_are_good(
    good: Files, output_folder: Callable[[], Path], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    forged.write(tmp_path / "study.zip", good)
    told = transferred.tell(capsys, "import", tmp_path / "study.zip", outputs=output_folder())
    assert (told[0], told[2]) == (0, "")


@pytest.mark.parametrize(
    "name",
    [
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
    ],
)
def test_files_that_no_export_holds(good: Files, refused: Refused, tmp_path: Path, name: str) -> None:
    forged.write(tmp_path / "study.zip", good, add(name))
    assert refused(tmp_path / "study.zip").endswith(", which no export holds")


def test_what_is_no_plain_file(good: Files, refused: Refused, tmp_path: Path) -> None:
    for kind in (forged.LINK, forged.DEVICE, forged.FIFO, forged.FOLDER):
        forged.pack(tmp_path / "study.zip", [(forged.special(kind), b"/etc/passwd")], {})
        assert refused(tmp_path / "study.zip") == "holds plans/x.json as something else than a plain file"


def test_a_file_twice(good: Files, refused: Refused, tmp_path: Path) -> None:
    twice = [(zipfile.ZipInfo("plans/x.json"), content) for content in (b"{}", b"[]")]
    forged.pack(tmp_path / "study.zip", twice, {})
    assert refused(tmp_path / "study.zip") == "holds plans/x.json twice"


def test_foreign_compression(refused: Refused, tmp_path: Path) -> None:
    member = zipfile.ZipInfo("plans/x.json")
    member.compress_type = zipfile.ZIP_LZMA
    forged.pack(tmp_path / "study.zip", [(member, b"{}")], {})
    assert refused(tmp_path / "study.zip") == "holds plans/x.json encrypted or compressed as no export is"


def test_bombs(good: Files, refused: Refused, tmp_path: Path) -> None:
    """By what it says of itself before anything is unpacked; each kind of file has its own limit too."""
    forged.write(tmp_path / "study.zip", good, add("T/log.txt", bytes(12 * 2**20)))
    why = refused(tmp_path / "study.zip", "--limit-gib", 0.01)
    assert why == "unpacks to 0.0 GiB and 0.01 are the limit; where that is right, give --limit-gib 1"
    forged.write(tmp_path / "study.zip", good, add("T/config.yaml", bytes(2**20)))
    assert refused(tmp_path / "study.zip").endswith("/config.yaml with 1048576 bytes, and 262144 are the most")
    forged.pack(tmp_path / "study.zip", [], bytes(17 * 2**20))
    assert refused(tmp_path / "study.zip") == "holds manifest.json with 17825792 bytes, and 16777216 are the most"


def test_more_than_the_disk_holds(
    good: Files, refused: Refused, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forged.write(tmp_path / "study.zip", good)
    monkeypatch.setattr(archive.shutil, "disk_usage", lambda folder: type("Usage", (), {"free": 100}))
    assert refused(tmp_path / "study.zip").endswith(f"{tmp_path / 'new'} has 0.0 free; make room")


def test_sizes_that_are_lies(good: Files, refused: Refused, tmp_path: Path) -> None:
    """A member with more bytes than the zip's directory and the manifest say: what they say is read, and no more."""
    content = good["manifest.json"]
    for said in (10, 10**6):
        forged.pack(tmp_path / "study.zip", [(zipfile.ZipInfo("plans/x.json"), bytes(1000))], {})
        raw = (tmp_path / "study.zip").read_bytes()
        told = {**json.loads(content), "files": {"plans/x.json": {"size": said, "sha256": "0" * 64}}}
        forged.pack(tmp_path / "study.zip", [(zipfile.ZipInfo("plans/x.json"), bytes(1000))], told)
        raw = (tmp_path / "study.zip").read_bytes()
        at = raw.rindex(b"PK\x01\x02", 0, raw.rindex(b"manifest.json"))
        at = raw.index(b"PK\x01\x02")
        (tmp_path / "study.zip").write_bytes(raw[: at + 24] + said.to_bytes(4, "little") + raw[at + 28 :])
        assert refused(tmp_path / "study.zip") in (
            "is no export, or was cut off or changed on its way; have it sent again",
            "holds plans/x.json with another content than its manifest.json says",
        )


FILE = "plans/x.json"


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
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
    ],
)
def test_manifest_that_lies(good: Files, refused: Refused, tmp_path: Path, files: Any, sentence: str) -> None:
    told = {**json.loads(good["manifest.json"]), "files": files}
    forged.pack(tmp_path / "study.zip", [(zipfile.ZipInfo(FILE), b"{}")], told)
    assert refused(tmp_path / "study.zip").startswith(sentence)


@pytest.mark.parametrize(
    ("manifest", "sentence"),
    [
        (b"", "holds a bad manifest.json: Invalid JSON: EOF"),
        (b"\xff\xfe{}", "holds a bad manifest.json: Invalid JSON"),
        (b"[" * 10**6, "holds a bad manifest.json: Invalid JSON: recursion limit exceeded"),
        ([], "holds a bad manifest.json: Input should be an object"),
        ({}, "holds a bad manifest.json: format: Field required"),
        ({"format": "1"}, "holds a bad manifest.json: format: Input should be a valid integer"),
    ],
)
def test_bad_manifest(refused: Refused, tmp_path: Path, manifest: object, sentence: str) -> None:
    forged.pack(tmp_path / "study.zip", [], manifest)
    assert refused(tmp_path / "study.zip").startswith(sentence)


def test_other_formats(good: Files, refused: Refused, tmp_path: Path) -> None:
    forged.write(tmp_path / "study.zip", good, format=3)
    sentence = (
        "has format 3, this program reads formats 1 to 2: it was made by a newer version of this program; update it"
    )
    assert refused(tmp_path / "study.zip") == sentence
    forged.write(tmp_path / "study.zip", good, format=0)
    assert refused(tmp_path / "study.zip").endswith("it was made by no version of it")


def test_an_earlier_format_is_read(
    good: Files, output_folder: Callable[[], Path], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Its errors reach MLflow once, as those of a new one do."""
    forged.write(tmp_path / "old.zip", good, forged.as_earlier, format=1)
    forged.write(tmp_path / "new.zip", good)
    found = []
    for name in ("old.zip", "new.zip"):
        outputs = output_folder()
        told = transferred.tell(capsys, "import", tmp_path / name, outputs=outputs)
        assert (told[0], told[2]) == (0, "")
        (run,) = harness.runs(outputs)
        assert (run.info.status, run.data.tags[names.UNMATCHED]) == ("FINISHED", "")
        found.append([point[:3] for point in harness.mlflow_metrics(outputs, run)])
    assert found[0] == found[1]
    assert ("bbox_errors/Cls", 2, 0.5) in found[0]


def test_what_is_no_archive(good: Files, refused: Refused, tmp_path: Path) -> None:
    file = tmp_path / "study.zip"
    assert refused(file) == "is no file; give a file that export wrote"
    assert refused(Path("/dev/zero")) == "is no file; give a file that export wrote"
    arrays = [name for name in good if name.endswith(".npz")]  # zips too, whose end would do for that of the whole
    forged.write(file, {name: content for name, content in good.items() if name not in arrays})
    whole = file.read_bytes()
    for content in (b"", b"no archive", whole[:-10], whole[: len(whole) // 2], whole[1000:], bytes(1000)):
        file.write_bytes(content)
        assert refused(file) == "is no export, or was cut off or changed on its way; have it sent again"
    with zipfile.ZipFile(file, "w") as zipped:
        zipped.writestr("plans/x.json", "{}")
    assert refused(file) == "holds no manifest.json, so it is no export"


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


@pytest.mark.parametrize("name", ["trial.json", "attempts/0001.json", "sources/0001.json", "cost.json"])
@pytest.mark.parametrize(("content", "reason"), NO_JSON, ids=range(len(NO_JSON)))
def test_no_json(good: Files, refused: Refused, tmp_path: Path, name: str, content: bytes, reason: str) -> None:
    forged.write(tmp_path / "study.zip", good, add(f"T/{name}", content))
    why = refused(tmp_path / "study.zip")
    assert why.startswith("holds a bad faster_rcnn-sum-none-none-s1-")
    assert f"/{name}: {reason}" in why


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


@pytest.mark.parametrize("case", EDITS)
def test_trials_that_this_program_never_wrote(good: Files, refused: Refused, tmp_path: Path, case: str) -> None:
    edit, sentence = EDITS[case]
    forged.write(tmp_path / "study.zip", good, edit)
    assert sentence in refused(tmp_path / "study.zip")


def test_yaml_is_not_executed(good: Files, refused: Refused, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    for tag in ("object/apply:pathlib.Path.touch", "object/new:pathlib.Path.touch"):
        attack = f"!!python/{tag} [!!python/object/apply:pathlib.Path [{marker}]]\n"
        forged.write(tmp_path / "study.zip", good, add("T/config.yaml", attack.encode()))
        assert "/config.yaml: could not determine a constructor for the tag" in refused(tmp_path / "study.zip")


def test_no_python_file_is_executed(
    good: Files,
    output_folder: Callable[[], Path],
    capsys: pytest.CaptureFixture[str],
    preloaded: Preloaded,
    tmp_path: Path,
) -> None:
    """The MMDetection config is kept as it came; nothing here reads it."""
    marker, target = tmp_path / "marker", output_folder()
    program = f"__import__('pathlib').Path({str(marker)!r}).touch()\n".encode()
    forged.write(tmp_path / "study.zip", good, add("T/detector.py", program))
    assert transferred.tell(capsys, "import", tmp_path / "study.zip", outputs=target)[0] == 0
    (trial,) = target.glob("trials/*")
    assert (trial / "detector.py").read_bytes() == program
    for command in (["status"], ["logs", "s1-"], ["reproduce", "s1-"], ["sync"]):
        assert transferred.tell(capsys, *command, outputs=target)[0] == 0
    assert preloaded.run(*harness.TINY, "seed=1", f"output_dir={target}", fake_training=True).code == 0
    assert not marker.exists()


def test_no_trial_takes_the_record_of_another(
    good: Files,
    output_folder: Callable[[], Path],
    capsys: pytest.CaptureFixture[str],
    preloaded: Preloaded,
    tmp_path: Path,
) -> None:
    """By the record MLflow's run is found: a forged one would write into that of another trial."""
    target = output_folder()
    assert preloaded.run(*harness.TINY, "seed=2", f"output_dir={target}", fake_training=True).code == 0
    (own,) = target.glob("trials/*")
    record = (own / "record").read_text()

    def steal(files: Files) -> None:
        add("T/record", record.encode())(files)
        change(DESCRIPTION, record=record)(files)

    forged.write(tmp_path / "study.zip", good, steal)
    before = transferred.tree(target), transferred.stored(target)
    code, _, err = transferred.tell(capsys, "import", tmp_path / "study.zip", outputs=target)
    assert code == 2
    assert " the record of another trial; nothing was imported\n" in err
    assert (transferred.tree(target), transferred.stored(target)) == before


def accepted(file: Path, folder: Path) -> bool:
    """Returns whether an archive would be imported; fails where it is neither refused in a sentence nor readable."""
    folder.mkdir()
    try:
        archive.unpack(file, folder, 1.0, forms.largest)
        staged = OutputPaths(folder)
        for trial in staged.trials.glob("*/"):
            inspection.check(TrialPaths(trial))
        for plan in staged.plan("").parent.glob("*.json"):
            inspection.plan(plan)
    except archive.ArchiveError:
        return False
    for one in status.read(staged):  # what reads any trial of a folder reads this one
        wording.note(one.description, staged.root)
    status.table(status.read(staged))
    estimate.measured(staged)
    return True


def test_damage_anywhere_is_found_or_does_no_harm(good: Files, tmp_path: Path) -> None:
    """Whatever byte is changed, no other error than the refusal comes of it."""
    draws = random.Random(0)
    forged.write(tmp_path / "whole.zip", good)
    whole = (tmp_path / "whole.zip").read_bytes()
    assert accepted(tmp_path / "whole.zip", tmp_path / "whole")
    for number in range(300):
        damaged = bytearray(whole)
        for _ in range(draws.choice([1, 1, 4])):
            damaged[draws.randrange(len(damaged))] = draws.randrange(256)
        (tmp_path / "damaged.zip").write_bytes(damaged)
        accepted(tmp_path / "damaged.zip", tmp_path / str(number))


STRANGE = [None, True, 0, -1, 2**70, 1.5, float("nan"), "", "x", "../x", [], [None], {}, {"x": None}, {"": {"": 0}}]


def test_any_value_anywhere_is_read_or_refused(good: Files, tmp_path: Path) -> None:
    """Each value of each JSON file is exchanged for strange ones."""
    draws = random.Random(0)
    read = 0
    for name in ("trial.json", "attempts/0001.json", "provenance/0001.json", "cost.json", "journal.jsonl"):
        (full,) = (one for one in good if one.endswith(name))
        lines = [json.loads(line) for line in (good[full].splitlines() if name.endswith("l") else [good[full]])]
        for number in range(60):
            changed = [exchanged(line, draws) for line in json.loads(json.dumps(lines))]
            content = b"".join(json.dumps(line).encode() + b"\n" for line in changed)
            forged.write(tmp_path / "strange.zip", good, add(f"T/{name}", content))
            read += accepted(tmp_path / "strange.zip", tmp_path / f"{name.replace('/', '-')}{number}")
    assert read < 60


def exchanged(content: Any, draws: random.Random) -> Any:
    """Returns JSON with one of its values exchanged."""
    places = list(content) if isinstance(content, dict) else list(range(len(content)))
    place = draws.choice(places)
    inner = content[place]
    deeper = isinstance(inner, dict | list) and inner and draws.random() < 0.7
    content[place] = exchanged(inner, draws) if deeper else draws.choice(STRANGE)
    return content
