"""The command line, extra `cli`. Exit codes: 0 done, 1 failed or not found, 2 usage, 3 an extra is missing,
4 schema out of date, 5 damage (`check`)."""

import sys


def main() -> None:
    """The entry point `sessionstore`."""
    try:
        from sessionstore.cli.app import run  # noqa: PLC0415 - it may not be installed
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in {"typer", "rich"}:
            raise
        print(
            f"sessionstore: the command line needs {package}, from the extra cli: pip install 'sessionstore[cli]'",
            file=sys.stderr,
        )
        sys.exit(3)
    sys.exit(run())
