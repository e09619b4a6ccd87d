"""The decisions of COCO's evaluation, kept and read again."""

import zipfile
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from pycocotools.cocoeval import COCOeval

from experiments.trial.matches import AREAS, Matches, decided, load, save
from tests.support import coco_sets


@pytest.fixture(scope="module")
def evaluation() -> COCOeval:
    return coco_sets.evaluated(coco_sets.awkward(np.random.default_rng(5), images=25, classes=3, crowded=True))


@pytest.fixture(scope="module")
def matches(evaluation: COCOeval) -> Matches:
    return decided(evaluation)


def alike(one: Matches, other: Matches) -> bool:
    pairs = [(getattr(one, field.name), getattr(other, field.name)) for field in fields(Matches)]
    return all(a.dtype == b.dtype and np.array_equal(a, b) for a, b in pairs)


def test_every_decision_is_pycocotools_own(evaluation: COCOeval, matches: Matches) -> None:
    settings, entries = evaluation.params, iter(evaluation.evalImgs)
    seen = 0
    for category, class_id in enumerate(settings.catIds):
        for area in range(len(AREAS)):
            for image, image_id in enumerate(settings.imgIds):
                entry = next(entries)
                own = (matches.category == category) & (matches.image == image)
                objects = (matches.object_category == category) & (matches.object_image == image)
                if entry is None:
                    assert not own.any()
                    assert not objects.any()
                    continue
                assert (entry["image_id"], entry["category_id"]) == (image_id, class_id)
                assert (matches.image_ids[image], matches.class_ids[category]) == (image_id, class_id)
                assert matches.score[own].tolist() == entry["dtScores"]
                for threshold in range(10):
                    for kept, decision in ((matches.matched, "dtMatches"), (matches.ignored, "dtIgnore")):
                        bits = kept[own, area] >> threshold & 1
                        assert bits.tolist() == (entry[decision][threshold] != 0).astype(int).tolist()
                        seen += bits.sum()
                assert matches.objects[objects, area].sum() == sum(ignored == 0 for ignored in entry["gtIgnore"])
    assert seen > 1000
    assert np.bincount(matches.image * 10 + matches.category).max() == 100  # images have more; no more count


def test_no_detections_and_no_objects() -> None:
    whole = coco_sets.awkward(np.random.default_rng(0), images=4, classes=2)
    blind = decided(coco_sets.evaluated(replace(whole, detections=[])))
    assert (len(blind.score), blind.matched.shape, blind.objects[:, 0].sum() > 0) == (0, (0, 4), True)
    empty = decided(coco_sets.evaluated(replace(whole, annotations=[])))
    assert (len(empty.score) > 0, empty.objects.shape) == (True, (0, 4))


def test_saved_and_loaded(matches: Matches, tmp_path: Path) -> None:
    blind = replace(matches, **{name: getattr(matches, name)[:0] for name in DETECTIONS})
    save(tmp_path / "matches.npz", {"bbox": matches, "segm": blind})
    kept = load(tmp_path / "matches.npz")
    assert list(kept) == ["bbox", "segm"]
    assert alike(kept["bbox"], matches)
    assert alike(kept["segm"], blind)
    save(tmp_path / "again.npz", {"segm": blind, "bbox": matches})
    assert (tmp_path / "again.npz").read_bytes() == (tmp_path / "matches.npz").read_bytes()
    with zipfile.ZipFile(tmp_path / "matches.npz") as file:
        assert {entry.date_time[0] for entry in file.infolist()} == {1980}  # not the time of writing


def test_evaluation_by_other_rules_is_refused(evaluation: COCOeval) -> None:
    whole = coco_sets.awkward(np.random.default_rng(1), images=3, classes=2)
    for setting, value, complaint in (
        ("iouThrs", np.array([0.5, 0.75]), "other IoU thresholds or area ranges"),
        ("areaRngLbl", ["all"], "other IoU thresholds or area ranges"),
        ("maxDets", [1, 10, 300], "at most 100 detections"),
        ("useCats", 0, "not by class"),
    ):
        other = coco_sets.evaluated(whole)
        setattr(other.params, setting, value)
        with pytest.raises(ValueError, match=complaint):
            decided(other)
    with pytest.raises(ValueError, match="has no decisions yet; call its evaluate"):
        decided(COCOeval(evaluation.cocoGt, evaluation.cocoDt, "bbox"))


DETECTIONS = ("image", "category", "score", "matched", "ignored")


@pytest.mark.parametrize(
    ("field", "change", "complaint"),
    [
        ("score", lambda a: a[:-1], r"score is float64 \(\d+,\) and not float64"),
        ("score", lambda a: a.astype(np.float32), "score is float32 .* and not float64"),
        ("matched", lambda a: a[:, :3], r"matched is uint16 \(\d+, 3\) and not uint16 \(\d+, 4\)"),
        ("image_ids", lambda a: a[::-1], "image_ids are not in ascending order"),
        ("image", lambda a: a + 1, r"image has an index outside 0\.\.24"),
        ("object_category", lambda a: a - 1, r"object_category has an index outside 0\.\.3"),
        ("score", lambda a: np.where(np.arange(len(a)) == 3, np.nan, a), "a score is not a finite number"),
        ("score", lambda a: a[::-1], "detections are not in the order of class, image and falling score"),
        ("category", lambda a: a[::-1], "detections are not in the order"),
        ("object_image", lambda a: a[::-1], "objects are not in the order of class and image"),
        ("objects", lambda a: a - 100, "objects are negative"),
        ("ignored", lambda a: a + 1024, "bits beyond the 10 IoU thresholds are set"),
    ],
)
def test_malformed_matches_are_refused(matches: Matches, field: str, change, complaint: str, tmp_path: Path) -> None:
    save(tmp_path / "matches.npz", {"bbox": matches})
    with np.load(tmp_path / "matches.npz") as file:
        arrays = dict(file)
    arrays[f"bbox/{field}"] = change(arrays[f"bbox/{field}"])
    np.savez(tmp_path / "changed.npz", **arrays)
    with pytest.raises(ValueError, match=f"changed.npz, bbox: .*{complaint}"):
        load(tmp_path / "changed.npz")


def test_files_that_are_no_matches(matches: Matches, tmp_path: Path) -> None:
    save(tmp_path / "matches.npz", {"bbox": matches})
    whole = (tmp_path / "matches.npz").read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "flipped.npz").write_bytes(whole[:400] + bytes(byte ^ 255 for byte in whole[400:420]) + whole[420:])
    (tmp_path / "empty.npz").write_bytes(b"")
    np.savez(tmp_path / "pickled.npz", **{"bbox/image_ids": np.array([{}])})
    for name in ("cut", "flipped", "empty", "pickled"):
        with pytest.raises(ValueError, match=f"{name}.npz is not a complete npz file of plain arrays"):
            load(tmp_path / f"{name}.npz")
    np.savez(tmp_path / "other.npz", **{"bbox/image_id": np.arange(3)})
    with pytest.raises(ValueError, match=r"other\.npz lacks bbox/image_ids; it is not a file of matches"):
        load(tmp_path / "other.npz")
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "absent.npz")
