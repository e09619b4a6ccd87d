"""The compiler wrapper: one precompiled header per set of flags, and never worse than the plain compiler."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from setup import pch_cxx

WRAPPER = [sys.executable, "-I", "-S", pch_cxx.__file__]

# A compiler that notes its arguments and makes what -o names; REFUSE is a text in the arguments at which it fails.
FAKE = """#!/bin/sh
echo "$*" >> "$CALLS"
case "$*" in *"${REFUSE:-no such text}"*) echo "a complaint" >&2; exit 1;; esac
case "$*" in *c++-header*) sleep 0.2;; esac
while [ $# -gt 0 ]; do [ "$1" = -o ] && echo made > "$2"; shift; done
"""


class Compiler:
    """The wrapper around the fake compiler, in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        (folder / "fake").write_text(FAKE)
        (folder / "fake").chmod(0o755)
        self.folder, self.log = folder, folder / "calls"

    def start(self, *arguments: str, refuse: str = "") -> subprocess.Popen[str]:
        variables = {"PCH_REAL_CXX": f"{self.folder}/fake --real", "PCH_DIR": str(self.folder / "pch")}
        variables |= {"CALLS": str(self.log)} | ({"REFUSE": refuse} if refuse else {})
        return subprocess.Popen(
            [*WRAPPER, *arguments], cwd=self.folder, env=os.environ | variables, stderr=subprocess.PIPE, text=True
        )

    def run(self, *arguments: str, refuse: str = "") -> tuple[int, str]:
        process = self.start(*arguments, refuse=refuse)
        complaint = process.communicate()[1]
        return process.returncode, complaint

    def calls(self) -> list[str]:
        return self.log.read_text().splitlines()


@pytest.fixture
def compiler(tmp_path: Path) -> Compiler:
    return Compiler(tmp_path)


def file(name: str, *flags: str) -> list[str]:
    return ["-MMD", "-MF", f"{name}.d", *flags, "-c", f"{name}.cpp", "-o", f"{name}.o"]


def test_files_with_the_same_flags_share_one_header(compiler: Compiler) -> None:
    for name in ("a", "b"):
        assert compiler.run(*file(name, "-O2", "-Iinclude")) == (0, "")
        assert (compiler.folder / f"{name}.o").exists()
    header, a, b = compiler.calls()
    assert header.startswith("--real -O2 -Iinclude -x c++-header ")
    prefix = header.split()[5]
    assert a == f"--real -include {prefix} {' '.join(file('a', '-O2', '-Iinclude'))}"
    assert b == f"--real -include {prefix} {' '.join(file('b', '-O2', '-Iinclude'))}"
    assert Path(prefix).read_text() == pch_cxx.PREFIX
    assert Path(f"{prefix}.gch").exists()


def test_other_flags_get_another_header(compiler: Compiler) -> None:
    compiler.run(*file("a", "-O2"))
    compiler.run(*file("b", "-O2", "-DMMCV_WITH_CUDA"))
    assert sum("c++-header" in call for call in compiler.calls()) == 2


def test_jobs_that_race_build_the_header_once(compiler: Compiler) -> None:
    processes = [compiler.start(*file(f"f{index}", "-O2")) for index in range(4)]
    assert [process.wait() for process in processes] == [0] * 4
    for process in processes:
        process.communicate()
    assert sum("c++-header" in call for call in compiler.calls()) == 1
    assert sum("-include" in call for call in compiler.calls()) == 4


def test_without_a_header_files_are_compiled_plainly_and_it_is_tried_once(compiler: Compiler) -> None:
    for name in ("a", "b"):
        assert compiler.run(*file(name), refuse="c++-header") == (0, "")
    assert [call for call in compiler.calls() if "c++-header" not in call] == [
        f"--real {' '.join(file(name))}" for name in ("a", "b")
    ]
    assert sum("c++-header" in call for call in compiler.calls()) == 1


def test_a_file_that_the_header_breaks_is_compiled_plainly(compiler: Compiler) -> None:
    assert compiler.run(*file("a"), refuse="-include")[0] == 0
    assert compiler.calls()[-1] == f"--real {' '.join(file('a'))}"


def test_errors_of_a_file_are_the_compilers_own(compiler: Compiler) -> None:
    code, complaint = compiler.run(*file("a"), refuse="a.cpp")
    assert code == 1
    assert "a complaint" in complaint


@pytest.mark.parametrize(
    "arguments",
    [["-v"], ["-dumpfullversion", "-dumpversion"], ["-shared", "a.o", "b.o", "-o", "x.so"], ["-c", "a.cpp", "b.cpp"]],
)
def test_whatever_is_not_one_file_goes_through_unchanged(compiler: Compiler, arguments: list[str]) -> None:
    assert compiler.run(*arguments)[0] == 0
    assert compiler.calls() == [f"--real {' '.join(arguments)}"]


def test_a_folder_that_cannot_be_written_costs_only_time(compiler: Compiler) -> None:
    (compiler.folder / "pch").write_text("a file where the folder should be")
    assert compiler.run(*file("a"))[0] == 0
    assert compiler.calls() == [f"--real {' '.join(file('a'))}"]


def test_a_real_compiler_reads_the_precompiled_header(tmp_path: Path) -> None:
    real = shutil.which("g++")
    if real is None:
        pytest.skip("no g++ on this machine")
    (tmp_path / "pytorch_cpp_helper.hpp").write_text("#pragma once\ninline int seven() { return 7; }\n")
    (tmp_path / "pytorch_device_registry.hpp").write_text("#pragma once\n")
    (tmp_path / "a.cpp").write_text('#include "pytorch_cpp_helper.hpp"\nint main() { return seven(); }\n')
    environment = os.environ | {"PCH_REAL_CXX": real, "PCH_DIR": str(tmp_path / "pch")}
    # -H lists the headers that are read; "! " marks the precompiled one.
    command = [*WRAPPER, "-H", "-O1", f"-I{tmp_path}", "-c", "a.cpp", "-o", "a.o"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True, check=True)
    assert "prefix.hpp.gch" in next(line for line in done.stderr.splitlines() if line.startswith("! "))
    subprocess.run([*WRAPPER, "a.o", "-o", "a"], cwd=tmp_path, env=environment, check=True)
    assert subprocess.run([tmp_path / "a"]).returncode == 7
