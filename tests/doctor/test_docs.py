"""docs/operations.md names every finding there is, with its exit code."""

from pathlib import Path

from sessionstore import Finding, SessionManager
from sessionstore.models import EXIT_CODES

DOCS = (Path(__file__).parent.parent.parent / "docs" / "operations.md").read_text(encoding="utf-8")


def rows() -> dict[str, list[str]]:
    """The cells of the table, by the finding."""
    lines = [line.strip("|").split(" | ") for line in DOCS.splitlines() if line.startswith("| `")]
    return {cells[0].strip(" `"): [cell.strip() for cell in cells[1:]] for cells in lines}


def test_every_finding_is_listed_and_no_other(manager: SessionManager) -> None:
    assert rows().keys() == {each.check for each in manager.check(deep=True)} | {"opening"}


def test_exit_codes_are_those_of_the_code() -> None:
    for name, (_, severity, exit_code, remedy) in rows().items():
        assert Finding.model_validate({"check": name, "severity": severity, "message": ""}).exit_code == int(exit_code)
        assert remedy


def test_every_exit_code_of_the_code_belongs_to_a_finding() -> None:
    assert EXIT_CODES.keys() <= rows().keys()
