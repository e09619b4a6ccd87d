"""The cache of compiled wheels: what makes two wheels different, and clones that come at the same time."""

import sys
import threading
import time
from pathlib import Path

import pytest
import torch
import torch.utils.cpp_extension

from setup import mmcv_wheel
from setup.mmcv_wheel import cache_folder, find_wheels, wheel_key

WHEEL = "onedl_mmcv-2.3.6-cp311-cp311-linux_x86_64.whl"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "groie-ablation" / "wheels"


def test_the_cache_is_where_users_keep_caches() -> None:
    assert cache_folder({"XDG_CACHE_HOME": "/x", "HOME": "/home/me"}) == Path("/x/groie-ablation/wheels")
    assert cache_folder({"HOME": "/home/me"}) == Path("/home/me/.cache/groie-ablation/wheels")


def test_the_key_tells_apart_what_a_wheel_depends_on(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = [
        wheel_key("2.3.6", "2.13.0+cpu", "cpu"),
        wheel_key("2.3.7", "2.13.0+cpu", "cpu"),
        wheel_key("2.3.6", "2.13.0+cu130", "cpu"),
        wheel_key("2.3.6", "2.13.0+cu130", "cuda13.0-sm90"),
        wheel_key("2.3.6", "2.13.0+cu130", "cuda13.0-sm80"),
    ]
    with monkeypatch.context() as patch:
        patch.setattr(sys, "version_info", type("V", (), {"major": 3, "minor": 12}))
        keys.append(wheel_key("2.3.6", "2.13.0+cpu", "cpu"))
    with monkeypatch.context() as patch:
        patch.setattr(mmcv_wheel.sysconfig, "get_platform", lambda: "linux-aarch64")
        keys.append(wheel_key("2.3.6", "2.13.0+cpu", "cpu"))
    with monkeypatch.context() as patch:
        patch.setattr(mmcv_wheel.platform, "libc_ver", lambda: ("glibc", "2.17"))
        keys.append(wheel_key("2.3.6", "2.13.0+cpu", "cpu"))
    assert len(set(keys)) == len(keys)
    assert not any(character in key for key in keys for character in "/ *[]")


def test_any_build_of_the_pinned_torch_may_spare_the_compiler(cache: Path) -> None:
    folder = cache / wheel_key("2.3.6", "2.13.0+cpu", "cpu")
    folder.mkdir(parents=True)
    (folder / WHEEL).touch()
    assert find_wheels(wheel_key("2.3.6", "2.13.0*")) == [folder / WHEEL]
    assert find_wheels(wheel_key("2.3.6", "2.12.0*")) == []


def test_an_unfinished_wheel_is_no_wheel(cache: Path) -> None:
    folder = cache / wheel_key("2.3.6", "2.13.0+cpu", "cpu")
    folder.mkdir(parents=True)
    (folder / f"{WHEEL}.4711").touch()
    assert find_wheels(wheel_key("2.3.6", "2.13.0*")) == []


def test_clones_at_the_same_time_compile_once(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled = []

    def slow(mmcv: str, cuda: bool, scratch: Path) -> Path:
        compiled.append(mmcv)
        time.sleep(0.3)
        (scratch / WHEEL).write_text("whole")
        return scratch / WHEEL

    monkeypatch.setattr(mmcv_wheel, "_compile", slow)
    found: list[Path] = []
    clones = [threading.Thread(target=lambda: found.append(mmcv_wheel.build("2.3.6"))) for _ in range(3)]
    for clone in clones:
        clone.start()
    for clone in clones:
        clone.join()
    assert compiled == ["2.3.6"]
    assert len(set(found)) == 1
    assert found[0].read_text() == "whole"
    assert sorted(path.name for path in found[0].parent.iterdir()) == ["lock", WHEEL]


def test_a_failed_compile_leaves_nothing_that_counts(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(mmcv: str, cuda: bool, scratch: Path) -> Path:
        (scratch / WHEEL).write_text("half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(mmcv_wheel, "_compile", fail)
    with pytest.raises(OSError, match="No space left"):
        mmcv_wheel.build("2.3.6")
    assert not list(cache.rglob("*.whl"))


def test_cuda_operators_need_a_cuda_torch_and_nvcc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TORCH_CUDA_ARCH_LIST", raising=False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda index: (9, 0))
    monkeypatch.setattr(torch.utils.cpp_extension, "CUDA_HOME", str(tmp_path))
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    assert mmcv_wheel.operators() == "cpu"
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "nvcc").touch(mode=0o755)
    assert mmcv_wheel.operators() == "cuda13.0-sm90"
    monkeypatch.setenv("TORCH_CUDA_ARCH_LIST", "8.0;9.0")
    assert mmcv_wheel.operators() == "cuda13.0-8.0+9.0"
    monkeypatch.setattr(torch.version, "cuda", None)
    assert mmcv_wheel.operators() == "cpu"


def test_the_installed_operators_work() -> None:
    mmcv_wheel.try_out()


def test_the_trial_notices_an_operator_that_computes_something_else(monkeypatch: pytest.MonkeyPatch) -> None:
    from mmcv import ops

    class Wrong(ops.RoIAlign):
        def forward(self, features: torch.Tensor, boxes: torch.Tensor) -> torch.Tensor:
            return super().forward(features, boxes) + 0.01

    monkeypatch.setattr(ops, "RoIAlign", Wrong)
    with pytest.raises(AssertionError):
        mmcv_wheel.try_out()
