"""How many operations an extractor asks a GPU for, forward and backward: the host is slower there than the GPU."""

from pathlib import Path
from typing import Any

import pytest
import torch

from groie import SingleLevel, SumLevels, attention, one_launch, pooling, rectified
from tests.support.inputs import MENU, plain
from tests.support.launches import launches_of


@pytest.fixture
def kernels(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Takes the paths of a GPU, without its kernels; returns the names of the kernels that would be launched."""
    launched: list[str] = []
    for name in ("_launch", "_transpose"):
        monkeypatch.setattr(one_launch, name, lambda *_, name=name, **__: launched.append(name))
    for module in (attention, rectified):
        monkeypatch.setattr(module, "in_few_launches", lambda x: not x.is_meta)
    monkeypatch.setattr(pooling, "uses_kernel", lambda _: True)
    monkeypatch.setattr(pooling, "_check", lambda *_: None)  # which a GPU is spared
    return launched


@pytest.mark.parametrize(
    ("aggregation", "options", "most"),
    [
        (SingleLevel, {}, 12),  # of which 10 choose the levels, as in MMDetection
        (SumLevels, {}, 2),
        (SumLevels, {"post": MENU["attention"]}, 48),
        (SumLevels, {"pre": MENU["conv3"], "post": MENU["attention"]}, 56),
    ],
    ids=["single", "sum", "sum_attention", "conv_sum_attention"],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_is_a_few_launches(
    aggregation: type,
    options: dict[str, Any],
    most: int,
    dtype: torch.dtype,
    layout: torch.memory_format,
    kernels: list[str],
) -> None:
    extra = {"level_activation": "none"} if aggregation is SumLevels else {}
    align = {"type": "RoIAlign", "output_size": 5, "sampling_ratio": 2}
    extractor = plain(aggregation, roi_layer=align, **options, **extra)
    feats = [torch.randn(1, 8, 32 // 2**i, 48 // 2**i, dtype=dtype).to(memory_format=layout) for i in range(4)]
    leaves = [*[feat.requires_grad_() for feat in feats], *extractor.parameters()]
    rois = torch.tensor([[0, 1.0, 1.0, 20.0, 30.0]] * 8)

    def step() -> None:
        for leaf in leaves:
            leaf.grad = None
        with torch.autocast("cpu", dtype, enabled=dtype == torch.bfloat16):
            out = extractor(feats, rois)
        out.backward(torch.ones_like(out, memory_format=torch.contiguous_format).div_(2))

    counted = launches_of(step)
    again = len(counted) - counted[: counted.index("div_")].count("ones_like") - 1
    casts = 0 if dtype == torch.float32 else 12 if options else 1
    assert again <= most + casts, counted
    copied = ["_transpose"] if layout == torch.contiguous_format else []
    assert kernels == 2 * [*copied, "_launch", "_launch", *copied]
    assert all(feat.grad is not None and feat.grad.dtype == dtype for feat in feats)
    assert all(feat.grad.is_contiguous(memory_format=layout) for feat in feats)


def test_without_a_compiler_torchvision_pools(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Triton builds a launcher when it is first used."""
    monkeypatch.setattr(one_launch.importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(one_launch.sysconfig, "get_path", lambda name: str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    (tmp_path / "Python.h").touch()
    found = {"gcc": "/usr/bin/gcc"}
    monkeypatch.setattr(one_launch.shutil, "which", found.get)
    assert one_launch.available.__wrapped__()
    found.clear()
    assert not one_launch.available.__wrapped__()
    monkeypatch.setenv("CC", "cc")
    assert one_launch.available.__wrapped__()
    (tmp_path / "Python.h").unlink()
    assert not one_launch.available.__wrapped__()
