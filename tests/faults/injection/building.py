"""Compiles the library that stands between a process and its C library."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).with_name("shim.c")


def build_shim(folder: Path) -> Path:
    """The library, compiled into `folder`; skips the test where that is impossible, saying what to install."""
    if sys.platform != "linux":
        pytest.skip("faults are injected with LD_PRELOAD, as glibc on Linux has it")
    compilers = filter(None, (os.environ.get("CC"), "cc", "gcc", "clang"))
    compiler = next((name for name in compilers if shutil.which(name)), None)
    if compiler is None:
        pytest.skip("injecting faults needs a C compiler; install gcc or clang (Debian: apt install gcc libc6-dev)")
    library = folder / "shim.so"
    options = ["-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]
    built = subprocess.run(
        [compiler, *options, "-o", library, SOURCE, "-ldl", "-lpthread"], capture_output=True, text=True, check=False
    )
    assert built.returncode == 0, built.stderr
    return library
