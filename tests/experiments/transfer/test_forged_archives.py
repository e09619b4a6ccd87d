"""Damaged and forged archives are refused as a whole, in one sentence, and nothing in them is executed."""

import json
import random
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from experiments import names
from experiments.trial import detections
from tests.support import forged, harness, transferred
from tests.support.forged import Edit, Files, accepted, add, append, change, exchanged, remove
from tests.support.running import Preloaded

pytestmark = pytest.mark.filterwarnings("ignore")

Refused = Callable[..., str]
FILE = "plans/x.json"
DESCRIPTION = "T/trial.json"
FOREIGN = (  # names of files that no export holds
    *("../evil", "/etc/evil", "trials/../../evil", "T/../../../evil", "..", "", "C:\\evil", "\\evil"),
    *("T/..\\evil", "T/config.yaml/", "T/work/epoch_1.pth", "T/stop", "T/ending.json", "T/imported.json", "T/evil.py"),
    *("T/Config.yaml", "T/ config.yaml", "T/config.yaml\n", "T/attempts/1.json", "T/attempts/../x.json"),
    *("T/provenance/0001.sh", "T/sub/config.yaml", "mlflow.db", "store.lock", ".groie-ablation", "plans/../x.json"),
    *("plans/.x.json", "plans/x.txt", "plans/a/x.json", "artifacts/x", "trials/x/config.yaml"),
    *("trials/.x-s0-0123456789/record", "trials/x-s0-012345678g/record", "trials/..-s0-0123456789/record"),
)
OTHERWISE = ", but its manifest.json says otherwise"
LIES: list[tuple[Any, str]] = [  # what a manifest says of files, where the archive holds `{}` as FILE
    ({}, f"holds '{FILE}'{OTHERWISE}"),
    ({FILE: forged.fact(b"{}"), "T": forged.fact(b"")}, f"holds 'T'{OTHERWISE}"),
    ({FILE: {**forged.fact(b"{}"), "size": 1}}, f"holds '{FILE}'{OTHERWISE}"),
    ({FILE: {**forged.fact(b"{}"), "sha256": "0" * 64}}, f"holds {FILE}{OTHERWISE}"),
    ({FILE: {"size": 2, "sha256": "0"}}, "holds a bad manifest.json: files.plans/x.json.sha256: String should"),
    ({"\x1b[2J": 1}, r"holds a bad manifest.json: files.\x1b[2J: "),
]
BROKEN_YAML = b"a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n"
READERS: dict[str, tuple[Edit, str]] = {  # what the ordinary readers refuse, by the end of the sentence
    "no configuration": (remove("T/config.yaml"), "/config.yaml cannot be read (No such file or directory)"),
    "no description": (remove(DESCRIPTION), " has no trial.json"),
    "no attempt": (remove("T/attempts/0001.json"), " has ended"),
    "not ended": (change("T/attempts/0001.json", status=None), " has ended"),
    "tag": (
        change(DESCRIPTION, sweeps={"mlflow.user": "x"}),
        "trial.json is damaged (mlflow.user is not a tag of a sweep",
    ),
    "control": (change(DESCRIPTION, overrides=["\x1b[2J"]), "/trial.json holds control characters"),
    "YAML that grows": (add("T/config.yaml", BROKEN_YAML), "/config.yaml is damaged (it repeats parts of itself"),
    "lost epoch": (forged.shorten("T/journal.jsonl"), "/journal.jsonl lacks epoch 2 of 2"),
    "another value": (
        append("T/journal.jsonl", {"time": 1, "step": 1, "metrics": {"bbox/AP": 0.9}}),
        "/journal.jsonl line 3 is a second record of epoch 1",
    ),
    "errors": (change("T/errors.json", metrics=1), "/errors.json is damaged (it holds no metrics)"),
    "pickles": (
        add("T/detections.npz", forged.arrays(**{"bbox/score": np.array([{}], dtype=object)})),
        "/detections.npz is damaged (Object arrays cannot be loaded when allow_pickle=False)",
    ),
    "exabyte": (add("T/detections.npz", forged.array_bomb()), "/detections.npz is damaged ("),
}


@pytest.fixture(scope="module")
def good(preloaded: Preloaded, output_folder: Callable[[], Path], tmp_path_factory: pytest.TempPathFactory) -> Files:
    """The files of an export: one finished trial of a fake training, with detections and costs."""
    outputs = output_folder()
    assert preloaded.run(*harness.TINY, "seed=1", f"output_dir={outputs}", fake_training=True).code == 0
    (trial,) = outputs.glob("trials/*")
    box = {"image_id": 1, "category_id": 2, "bbox": [1.0, 2.0, 3.0, 4.0], "score": 0.5}
    detections.save(trial / "detections.npz", {"bbox": [box]})
    np.savez(trial / "matches.npz", some=np.zeros(3))
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


def test_files_that_no_export_holds(good: Files, refused: Refused, tmp_path: Path) -> None:
    for name in FOREIGN:
        forged.write(tmp_path / "study.zip", good, add(name))
        assert refused(tmp_path / "study.zip").endswith(", which exports do not write"), name


def test_members_that_no_export_writes(refused: Refused, tmp_path: Path) -> None:
    """Links, devices, pipes and folders; a name twice; another compression."""
    for kind in (stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO, stat.S_IFDIR):
        member = zipfile.ZipInfo(FILE)
        member.create_system, member.external_attr = 3, (kind | 0o777) << 16
        forged.pack(tmp_path / "study.zip", [(member, b"/etc/passwd")], {})
        assert refused(tmp_path / "study.zip") == f"holds {FILE}, which is not a plain file"
    forged.pack(tmp_path / "study.zip", [(zipfile.ZipInfo(FILE), content) for content in (b"{}", b"[]")], {})
    assert refused(tmp_path / "study.zip") == f"holds {FILE} twice"
    member = zipfile.ZipInfo(FILE)
    member.compress_type = zipfile.ZIP_LZMA
    forged.pack(tmp_path / "study.zip", [(member, b"{}")], {})
    assert refused(tmp_path / "study.zip").endswith(" encrypted, or compressed in a way that exports do not use")


def test_archives_that_unpack_to_too_much(good: Files, refused: Refused, tmp_path: Path) -> None:
    """Its own sizes are judged before anything is unpacked; each kind of file has its own limit too."""
    forged.write(tmp_path / "study.zip", good, add("T/log.txt", bytes(12 * 2**20)))
    why = refused(tmp_path / "study.zip", "--limit-gib", 0.01)
    assert why == "unpacks to 0.0 GiB, more than the limit of 0.01; if that size is right, give --limit-gib 1"
    forged.write(tmp_path / "study.zip", good, add("T/config.yaml", bytes(2**20)))
    assert refused(tmp_path / "study.zip").endswith("/config.yaml with 1048576 bytes; at most 262144 are allowed")
    forged.pack(tmp_path / "study.zip", [], bytes(17 * 2**20))
    assert refused(tmp_path / "study.zip") == "holds manifest.json with 17825792 bytes; at most 16777216 are allowed"


def test_false_sizes(good: Files, refused: Refused, tmp_path: Path) -> None:
    """A member with more or fewer bytes than the zip's directory and the manifest say."""
    for said in (10, 10**6):
        told = {**json.loads(good["manifest.json"]), "files": {FILE: {"size": said, "sha256": "0" * 64}}}
        forged.pack(tmp_path / "study.zip", [(zipfile.ZipInfo(FILE), bytes(1000))], told)
        raw = (tmp_path / "study.zip").read_bytes()
        at = raw.index(b"PK\x01\x02")
        (tmp_path / "study.zip").write_bytes(raw[: at + 24] + said.to_bytes(4, "little") + raw[at + 28 :])
        assert refused(tmp_path / "study.zip") in (
            "is not an export, or was cut off or changed in transit; get it again",
            f"holds {FILE}{OTHERWISE}",
        )


@pytest.mark.parametrize(("files", "sentence"), LIES)
def test_false_manifest(good: Files, refused: Refused, tmp_path: Path, files: Any, sentence: str) -> None:
    told = {**json.loads(good["manifest.json"]), "files": files}
    forged.pack(tmp_path / "study.zip", [(zipfile.ZipInfo(FILE), b"{}")], told)
    assert refused(tmp_path / "study.zip").startswith(sentence)


def test_bad_manifest(refused: Refused, tmp_path: Path) -> None:
    for manifest, sentence in (
        (b"\xff\xfe{}", "Invalid JSON"),
        (b"[" * 10**6, "Invalid JSON: recursion limit exceeded"),
        ({"format": "1"}, "format: Input should be a valid integer"),
    ):
        forged.pack(tmp_path / "study.zip", [], manifest)
        assert refused(tmp_path / "study.zip").startswith(f"holds a bad manifest.json: {sentence}")


def test_other_formats(good: Files, refused: Refused, tmp_path: Path) -> None:
    for format in (0, 3):
        forged.write(tmp_path / "study.zip", good, format=format)
        sentence = f"has format {format}, and this program reads formats 1 to 2; update this program"
        assert refused(tmp_path / "study.zip") == sentence


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


def test_files_that_are_no_exports(good: Files, refused: Refused, tmp_path: Path) -> None:
    file = tmp_path / "study.zip"
    assert refused(file) == "is not a file; give a file that export wrote"
    assert refused(Path("/dev/zero")) == "is not a file; give a file that export wrote"
    arrays = [name for name in good if name.endswith(".npz")]  # zips too, whose end would do for that of the whole
    forged.write(file, {name: content for name, content in good.items() if name not in arrays})
    whole = file.read_bytes()
    for content in (b"", b"no archive", whole[:-10], whole[: len(whole) // 2], whole[1000:], bytes(1000)):
        file.write_bytes(content)
        assert refused(file) == "is not an export, or was cut off or changed in transit; get it again"
    with zipfile.ZipFile(file, "w") as zipped:
        zipped.writestr("plans/x.json", "{}")
    assert refused(file) == "holds no manifest.json, so it is not an export"


@pytest.mark.parametrize("case", READERS)
def test_trials_that_the_readers_refuse(good: Files, refused: Refused, tmp_path: Path, case: str) -> None:
    edit, sentence = READERS[case]
    forged.write(tmp_path / "study.zip", good, edit)
    why = refused(tmp_path / "study.zip")
    assert why.startswith("is refused: faster_rcnn-" if " has ended" not in sentence else "is refused: no attempt")
    assert sentence in why


def test_yaml_is_not_executed(good: Files, refused: Refused, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    attack = f"!!python/object/apply:pathlib.Path.touch [!!python/object/apply:pathlib.Path [{marker}]]\n"
    forged.write(tmp_path / "study.zip", good, add("T/config.yaml", attack.encode()))
    assert "/config.yaml is damaged (could not determine a constructor for the tag" in refused(tmp_path / "study.zip")


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
    assert " has the record of another trial; nothing was imported\n" in err
    assert (transferred.tree(target), transferred.stored(target)) == before


def test_damage_anywhere_is_found_or_does_no_harm(good: Files, tmp_path: Path) -> None:
    """Whatever byte is changed, no other error than the refusal comes of it."""
    draws = random.Random(0)
    forged.write(tmp_path / "whole.zip", good)
    whole = (tmp_path / "whole.zip").read_bytes()
    assert accepted(tmp_path / "whole.zip", tmp_path / "whole")
    for number in range(100):
        damaged = bytearray(whole)
        for _ in range(draws.choice([1, 1, 4])):
            damaged[draws.randrange(len(damaged))] = draws.randrange(256)
        (tmp_path / "damaged.zip").write_bytes(damaged)
        accepted(tmp_path / "damaged.zip", tmp_path / str(number))


def test_any_value_anywhere_is_read_or_refused(good: Files, tmp_path: Path) -> None:
    """Each value of each JSON file is exchanged for strange ones."""
    draws = random.Random(0)
    read = 0
    for name in ("trial.json", "attempts/0001.json", "provenance/0001.json", "cost.json", "journal.jsonl"):
        (full,) = (one for one in good if one.endswith(name))
        lines = [json.loads(line) for line in (good[full].splitlines() if name.endswith("l") else [good[full]])]
        for number in range(40):
            changed = [exchanged(line, draws) for line in json.loads(json.dumps(lines))]
            content = b"".join(json.dumps(line).encode() + b"\n" for line in changed)
            forged.write(tmp_path / "strange.zip", good, add(f"T/{name}", content))
            read += accepted(tmp_path / "strange.zip", tmp_path / f"{name.replace('/', '-')}{number}")
    assert 0 < read < 160
