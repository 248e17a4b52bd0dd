"""The command line, extra `cli`. Exit codes: 0 done, 1 failed or not found, 2 usage, 3 an extra is missing,
4 schema out of date."""

import sys


def main() -> None:
    """The entry point `sessionstore`."""
    try:
        from sessionstore.cli.app import run  # noqa: PLC0415 - it may not be installed
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] not in {"typer", "rich"}:
            raise
        print(
            f"sessionstore: the command line needs {error.name}, from the extra cli: pip install 'sessionstore[cli]'",
            file=sys.stderr,
        )
        sys.exit(3)
    sys.exit(run())
