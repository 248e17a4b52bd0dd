"""Asking the doctor about one thing."""

from sessionstore import Finding, SessionManager


def found(manager: SessionManager, check: str, *, deep: bool = False) -> Finding:
    """The one finding about it."""
    (finding,) = [each for each in manager.check(deep=deep) if each.check == check]
    return finding


def standing(manager: SessionManager, check: str) -> tuple[str, int]:
    """The severity and the exit code of the worst finding about it."""
    worst = max((each for each in manager.check() if each.check == check), key=lambda each: each.exit_code)
    return worst.severity, worst.exit_code


def repaired(manager: SessionManager) -> dict[str, str]:
    """What a repair says that it did, by the finding."""
    return {each.check: each.repaired for each in manager.repair() if each.repaired}
