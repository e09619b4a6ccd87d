"""Where two trials disagree: the measure against pycocotools at every score, and the sheet from MLflow to a drawing."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from mlflow import MlflowClient
from PIL import Image

from analysis.drawing import page
from analysis.drawing import side_by_side as drawing_side_by_side
from analysis.figures import side_by_side
from analysis.figures.disagreement import Disagreement, Tally, at_best_score, disagreement
from analysis.figures.side_by_side import SideBySide, Trial
from experiments.errors import UserError
from experiments.trial import detections, matches
from tests.support import coco_sets
from tests.support.recorded import Recorder, box


def by_pycocotools(whole: coco_sets.CocoSet, lowest: float) -> dict[int, Tally]:
    """Returns the tally of each image with only the detections from a score on, decided by pycocotools."""
    kept = [one for one in whole.detections if one["score"] >= lowest]
    evaluation = coco_sets.evaluated(replace(whole, detections=kept))
    tallies = {image["id"]: [0, 0, 0] for image in whole.images}
    for entry in evaluation.evalImgs:
        if entry is not None and entry["aRng"] == [0, 1e10]:
            counted = entry["dtIgnore"][0] == 0
            true = int(((entry["dtMatches"][0] > 0) & counted).sum())
            objects = int((entry["gtIgnore"] == 0).sum())
            for place, count in enumerate((true, objects - true, int(counted.sum()) - true)):
                tallies[entry["image_id"]][place] += count
    return {image: Tally(*counts) for image, counts in tallies.items()}


def f1(tallies: dict[int, Tally]) -> float:
    found, mistakes = (sum(getattr(one, name) for one in tallies.values()) for name in ("found", "mistakes"))
    return 2 * found / (2 * found + mistakes)


def two_sets(seed: int) -> tuple[coco_sets.CocoSet, coco_sets.CocoSet]:
    """Returns the same objects with two trials' detections."""
    rng = np.random.default_rng(seed)
    first = coco_sets.awkward(rng, images=12, classes=3, tied=seed % 2 == 0)
    kept = [one for one in first.detections if rng.random() < 0.6]
    moved = [{**one, "score": float(rng.integers(1, 7)) / 7} for one in kept]
    return first, replace(first, detections=moved)


def decided(whole: coco_sets.CocoSet) -> matches.Matches:
    return matches.decided(coco_sets.evaluated(whole))


@pytest.mark.parametrize("seed", range(6))
def test_best_score_and_tallies_are_pycocotools_own(seed: int) -> None:
    whole, _ = two_sets(seed)
    scores = {one["score"] for one in whole.detections}
    best = max(f1(by_pycocotools(whole, score)) for score in scores)
    shown = at_best_score(decided(whole))
    expected = by_pycocotools(whole, shown.threshold)
    assert f1(expected) == pytest.approx(best, abs=1e-12)
    image_ids = sorted(image["id"] for image in whole.images)
    assert {image: shown.tally(place) for place, image in enumerate(image_ids)} == expected


@pytest.mark.parametrize("seed", range(4))
def test_images_come_by_the_difference_of_mistakes(seed: int) -> None:
    sets = two_sets(seed)
    found = disagreement(*map(decided, sets), most=4)
    one, two = (
        by_pycocotools(whole, shown.threshold) for whole, shown in zip(sets, (found.first, found.second), strict=True)
    )
    difference = {image: two[image].mistakes - one[image].mistakes for image in one}
    for places, sign in ((found.first_better, 1), (found.second_better, -1)):
        better = [image for image in difference if sign * difference[image] > 0]
        better.sort(key=lambda image: (-abs(difference[image]), one[image].mistakes + two[image].mistakes, image))
        assert [place.image_id for place in places] == better[:4]
        assert all((place.first, place.second) == (one[place.image_id], two[place.image_id]) for place in places)
    assert found.first_better
    assert found.second_better
    assert sum(found.counts) == len(one)


def test_a_trial_without_detections_misses_everything() -> None:
    whole, _ = two_sets(0)
    shown = at_best_score(decided(replace(whole, detections=[])))
    objects = sum(not one["iscrowd"] for one in whole.annotations)
    assert (shown.found.sum(), shown.false.sum(), shown.missed.sum()) == (0, 0, objects)


def test_another_data_set_is_refused() -> None:
    with pytest.raises(UserError, match="different images or objects"):
        disagreement(decided(two_sets(0)[0]), decided(two_sets(1)[0]), most=3)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns a folder of annotations.json and images of the sets with seed 1."""
    folder = tmp_path_factory.mktemp("data")
    whole, _ = two_sets(1)
    images = [{**one, "file_name": f"val/{one['id']}.png"} for one in whole.images]
    classes = [{"id": number, "name": f"class {number}"} for number in range(1, whole.classes + 1)]
    content = {"images": images, "annotations": whole.annotations, "categories": classes}
    (folder / "annotations.json").write_text(json.dumps(content))
    (folder / "images" / "val").mkdir(parents=True)
    for one in images:
        Image.new("L", (300, 200), 128).save(folder / "images" / one["file_name"])
    return folder


def trial(label: str, whole: coco_sets.CocoSet) -> Trial:
    return Trial(label, decided(whole), whole.detections)


@pytest.fixture(scope="module")
def made(data: Path) -> SideBySide:
    first, second = two_sets(1)
    return side_by_side.of_trials(
        trial("one", first), trial("two", second), data / "annotations.json", data / "images", most=4
    )


def test_images_are_shown_as_they_were_trained_on(data: Path, tmp_path: Path) -> None:
    """OpenCV turned them by their EXIF tag, and the boxes are of what it gave."""
    exif = Image.Exif()
    exif[0x0112] = 6
    for file in (data / "images").rglob("*.png"):
        (tmp_path / "val").mkdir(exist_ok=True)
        Image.linear_gradient("L").resize((300, 200)).save(tmp_path / "val" / file.name, exif=exif.tobytes())
    first, second = two_sets(1)
    found = side_by_side.of_trials(
        trial("one", first), trial("two", second), data / "annotations.json", tmp_path, most=1
    )
    shown = found.first_better[0].pixels
    assert shown.shape == (300, 200, 3)
    assert (
        shown[:, 0] > shown[:, -1]
    ).all()  # the gradient's bright lower side is on the left after a turn by 90 degrees


def test_panels_show_what_was_counted(made: SideBySide) -> None:
    """Each found box has an object of its class at IoU .5 for itself; the rest of the objects are missed."""
    lines = [*made.first_better, *made.second_better]
    seen = set()
    for line in lines:
        truth = [one for one in line.panels[0] if one.kind == "object"]
        for panel, tally in zip(line.panels[1:], (line.place.first, line.place.second), strict=True):
            kinds = [one.kind for one in panel]
            seen |= set(kinds)
            assert [kinds.count(kind) for kind in ("found", "missed", "false")] == [
                tally.found,
                tally.missed,
                tally.false,
            ]
            missed = {(one.x, one.y, one.width, one.height, one.text) for one in panel if one.kind == "missed"}
            had = [one for one in truth if (one.x, one.y, one.width, one.height, one.text) not in missed]
            for one in panel:
                if one.kind == "found":
                    box_of = np.array([one.x, one.y, one.width, one.height])
                    assert any(
                        one.text.startswith(f"{other.text} ")
                        and side_by_side.intersection_over_union(
                            box_of, np.array([other.x, other.y, other.width, other.height])
                        )
                        >= 0.5
                        for other in had
                    )
    assert seen == {"found", "false", "missed"}
    assert lines[0].pixels.shape == (200, 300, 3)


def test_intersection_over_union_by_hand() -> None:
    boxes = np.array([0.0, 0, 10, 10]), np.array([5.0, 0, 10, 20])
    assert side_by_side.intersection_over_union(*boxes) == 50 / 250
    assert side_by_side.intersection_over_union(boxes[0], np.array([10.0, 0, 5, 5])) == 0


def test_drawing_has_three_panels_an_image(made: SideBySide, tmp_path: Path) -> None:
    figure = drawing_side_by_side.draw(made)
    lines = [*made.first_better, *made.second_better]
    assert len(figure.axes) == 3 * len(lines)
    boxes = [len(panel) for line in lines for panel in line.panels]
    assert [len(axes.patches) for axes in figure.axes] == boxes
    said = [text.get_text() for text in figure.texts]
    assert "one makes fewer mistakes" in said
    assert "two makes fewer mistakes" in said
    page.write(made, tmp_path / "sheet.svg")
    assert "Where two trials disagree most</text>" in (tmp_path / "sheet.svg").read_text()


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Recorder:
    folder = tmp_path_factory.mktemp("kept")
    store = Recorder(folder)
    for variant, seed, whole in zip(("sum", "sum", "concat"), (0, 1, 0), (*two_sets(1), two_sets(1)[1]), strict=True):
        run_id = store.run(f"{variant} net", seed, points=box([0.2]))
        matches.save(folder / "matches.npz", {"bbox": decided(whole)})
        detections.save(folder / "detections.npz", {"bbox": whole.detections})
        for name in ("matches.npz", "detections.npz"):
            store.client.log_artifact(run_id, str(folder / name))
    store.run("old", 0, points=box([0.2]))
    store.run("going", 0, "RUNNING", points=box([0.2]))
    return store


def asked(
    store: Recorder, data: Path, *trials: str, annotations: str = "annotations.json", images: str = ""
) -> SideBySide:
    client: MlflowClient = store.client
    folder = data / (images or "images")
    return side_by_side.disagree(
        client, store.experiment, store.uri, (trials[0], trials[1]), data / annotations, folder, 4
    )


def test_sheet_from_mlflow(store: Recorder, data: Path, made: SideBySide) -> None:
    found = asked(store, data, "sum_net-s0", "net-s1")
    assert found.labels == ("sum net, seed 0", "sum net, seed 1")
    assert [line.place for line in found.first_better] == [line.place for line in made.first_better]
    assert [line.panels for line in found.second_better] == [line.panels for line in made.second_better]
    by_variant = asked(store, data, "sum_net-s0", "concat net")
    assert by_variant.labels[1] == "concat net, seed 0"
    assert "makes fewer mistakes on" in found.heading.about


@pytest.mark.parametrize(
    ("trials", "words"),
    [
        (("sum_net-s0", "sum net"), "'sum net' matches 2 finished trials: sum_net-s0, sum_net-s1; give one of them"),
        (("sum_net-s0", "going"), "no finished trial 'going'; choose from: concat_net-s0, old-s0, sum_net-s0"),
        (("old", "sum_net-s0"), "the run of old-s0 has no detections.npz; train it again with rerun=true"),
    ],
)
def test_unknown_or_ambiguous_trials_are_refused(
    store: Recorder, data: Path, trials: tuple[str, str], words: str
) -> None:
    with pytest.raises(UserError) as raised:
        asked(store, data, *trials)
    assert words in str(raised.value)


def test_unusable_annotation_files_are_refused(store: Recorder, data: Path) -> None:
    pair = ("sum_net-s0", "sum_net-s1")
    with pytest.raises(UserError, match=r"--annotations .*none.json cannot be read"):
        asked(store, data, *pair, annotations="none.json")
    (data / "list.json").write_text("[]")
    with pytest.raises(UserError, match="has no 'images'; name a file in COCO's format"):
        asked(store, data, *pair, annotations="list.json")
    content = json.loads((data / "annotations.json").read_text())
    del content["annotations"][0]
    (data / "fewer.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match="other images or objects than the trials were evaluated on"):
        asked(store, data, *pair, annotations="fewer.json")
    with pytest.raises(UserError, match="--images is the folder that the annotations' file names, like val/"):
        asked(store, data, *pair, images="elsewhere")


def test_matches_of_another_evaluation_are_refused(data: Path) -> None:
    first, second = two_sets(1)
    mixed = Trial("mixed", decided(first), second.detections)
    with pytest.raises(UserError, match="of mixed are of different evaluations"):
        side_by_side.of_trials(mixed, trial("two", second), data / "annotations.json", data / "images", most=1)


def test_trial_beside_itself_shows_no_images(data: Path) -> None:
    found: Disagreement = disagreement(decided(two_sets(1)[0]), decided(two_sets(1)[0]), most=3)
    assert found.first_better == found.second_better == ()
    own = trial("one", two_sets(1)[0])
    empty = side_by_side.of_trials(own, own, data / "annotations.json", data / "images", most=3)
    assert drawing_side_by_side.draw(empty).axes == []
    assert "both as many on 12" in empty.heading.about
