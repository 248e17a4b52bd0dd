"""What was measured on: the facts without which no number means anything."""

import os
import platform
import sqlite3
from importlib.metadata import version
from pathlib import Path

from benchmarks import disk


def facts(folder: Path) -> dict[str, str]:
    """The processor, system, versions, and the disk under `folder`."""
    return {
        "cpu": f"{os.cpu_count()} x {_cpu_model()}",
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "sqlalchemy": version("sqlalchemy"),
        "disk": disk.file_system(folder),
    }


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.machine()
