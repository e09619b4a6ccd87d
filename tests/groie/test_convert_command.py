"""`python -m groie.convert IN OUT`: what it writes, and the one sentence that it says where it cannot."""

import runpy
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.logging import HistoryBuffer

from groie.convert import main

RPN = {"rpn_head.rpn_cls.weight": torch.ones(3, 4, 1, 1), "rpn_head.rpn_cls.bias": torch.ones(3)}


def save(content: Any, path: Path, **options: Any) -> str:
    torch.save(content, path, **options)
    return str(path)


@pytest.mark.parametrize(
    "stranger",
    [
        "bbox_roi_extractor.pre_conv.0.conv.weight",  # nn.Sequential: not our module of level 0
        "mask_iou_head.fcs.0.weight",
        "roi_head.bbox_roi_extractor.attention.gamma",
        "ema_backbone_conv1_weight",
    ],
)
def test_unknown_weights_are_named_and_nothing_is_written(
    stranger: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = save({"state_dict": {**RPN, stranger: torch.ones(1), "another.one": torch.ones(1)}}, tmp_path / "in.pth")
    assert main([source, str(tmp_path / "out.pth")]) == 2
    assert capsys.readouterr().err == (
        f"error: a detector here has no weights {stranger}, another.one; remove them from the checkpoint if they may "
        "be lost\n"
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.pth"]


@pytest.mark.parametrize("new_format", [True, False])
@pytest.mark.parametrize("bare", [True, False])
def test_command_writes_weights_and_classes_alone(
    new_format: bool, bare: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Optimizer, log and config stay behind; v1's files are in torch's old format."""
    weights = {**RPN, "bbox_roi_extractor.pre_conv.conv.bias": torch.rand(4)}
    whole = {
        "state_dict": weights,
        "optimizer": {"state": {}, "param_groups": [{"lr": 0.02}]},
        "message_hub": {"log_scalars": {"train/loss": HistoryBuffer([1.0], [1])}},
        "meta": {"mmdet_version": "1.0rc1", "config": "raise SystemExit", "CLASSES": ("cat", "dog")},
    }
    source = save(weights if bare else whole, tmp_path / "in.pth", _use_new_zipfile_serialization=new_format)
    target = tmp_path / "out.pth"
    assert main([source, str(target)]) == 0
    assert capsys.readouterr().out == f"{target}: 3 weights, 1 of them renamed\n"
    written = torch.load(target, weights_only=True)
    assert written.keys() == {"meta", "state_dict"}
    assert written["meta"] == ({} if bare else {"CLASSES": ("cat", "dog")})
    assert written["state_dict"].keys() == {*RPN, "roi_head.bbox_roi_extractor.pre_module.conv.bias"}


class Bomb:
    """What a checkpoint must not get to run."""

    def __reduce__(self) -> tuple[Any, ...]:
        return exec, ("raise SystemExit('the checkpoint ran')",)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"no checkpoint", "in.pth is not a checkpoint of weights and plain values (UnpicklingError); give one that"),
        (b"", "in.pth is not a checkpoint of weights and plain values (EOFError); give one that torch.load reads"),
        ({"state_dict": RPN, "meta": Bomb()}, "in.pth is not a checkpoint of weights and plain values (Unpickling"),
        ({"state_dict": {"rpn_head.x": 1}}, "in.pth holds no state dict; give a checkpoint of a detector"),
        ([1, 2], "in.pth holds no state dict; give a checkpoint of a detector"),
        ({"conv1.weight": torch.ones(1)}, "in.pth holds no RPN; give a checkpoint of Faster R-CNN or a descendant"),
        (None, "in.pth cannot be read: No such file or directory; give a checkpoint"),
    ],
)
def test_unreadable_input_is_told_in_one_sentence(
    content: Any, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, target = tmp_path / "in.pth", tmp_path / "out.pth"
    if isinstance(content, bytes):
        source.write_bytes(content)
    elif content is not None:
        save(content, source)
    target.write_text("what was there")
    assert main([str(source), str(target)]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {source.parent}/{told}")
    assert error.count("\n") == 1
    assert target.read_text() == "what was there"


def test_truncated_input_is_told_in_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = Path(save({"state_dict": RPN}, tmp_path / "in.pth"))
    source.write_bytes(source.read_bytes()[:-50])
    assert main([str(source), str(tmp_path / "out.pth")]) == 2
    assert "in.pth is not a checkpoint of weights and plain values" in capsys.readouterr().err


@pytest.mark.parametrize("target", ["missing/out.pth", "in.pth/out.pth", "folder"])
def test_output_that_cannot_be_written_is_told_in_one_sentence(
    target: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = save({"state_dict": RPN}, tmp_path / "in.pth")
    (tmp_path / "folder").mkdir()
    assert main([source, str(tmp_path / target)]) == 2
    assert capsys.readouterr().err.startswith(f"error: {tmp_path / target} cannot be written: ")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["folder", "in.pth"]


def test_a_disk_that_fills_up_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(content: object, file: Any) -> None:
        file.write(b"half")
        raise OSError(28, "No space left on device")

    source, target = save({"state_dict": RPN}, tmp_path / "in.pth"), tmp_path / "out.pth"
    target.write_text("what was there")
    monkeypatch.setattr(torch, "save", full)
    assert main([source, str(target)]) == 2
    assert "out.pth cannot be written: No space left on device; give a file" in capsys.readouterr().err
    assert target.read_text() == "what was there"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.pth", "out.pth"]


def test_an_old_file_is_replaced_in_one_go(tmp_path: Path) -> None:
    """Who has the old file open goes on reading it."""
    source, target = save({"state_dict": RPN}, tmp_path / "in.pth"), tmp_path / "out.pth"
    target.write_text("what was there")
    with target.open() as reader:
        assert main([source, str(target)]) == 0
        assert reader.read() == "what was there"


@pytest.mark.filterwarnings("ignore:.*found in sys.modules")
def test_is_a_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["convert", str(tmp_path / "in.pth"), str(tmp_path / "out.pth")])
    with pytest.raises(SystemExit, match="2"):
        runpy.run_module("groie.convert", run_name="__main__")
