"""How to get what is missing."""

import shutil
import sys
from pathlib import Path

CHECKOUT = Path(__file__).parent.parent


def how_to_install(extra: str) -> str:
    """Half a sentence: the command that installs an extra into the running environment."""
    uv = shutil.which("uv") is not None
    installer = f"uv pip install --python {sys.executable}" if uv else f"{sys.executable} -m pip install"
    return f"to install: {installer} -e '{CHECKOUT}[{extra}]'"
