"""Each scenario says that the promise held, and, where the protection is missing, that it did not."""

from collections.abc import Callable
from pathlib import Path

import pytest

from sessionstore.verification.scenarios import disk_full, kill, lock_storm
from sessionstore.verification.verdicts import Result, ScenarioName, Verdict
from tests.faults.tally import Extent, Tally
from tests.faults.verification.conftest import Trying

Plant = Callable[..., None]


def text_of(result: Result) -> str:
    assert result.verdict is Verdict.DID_NOT_HOLD, result
    return "; ".join(result.reasons)


@pytest.mark.parametrize(
    ("name", "figure"),
    [
        (ScenarioName.DISK, "p50_sync_ms"),
        (ScenarioName.KILL, "kills"),
        (ScenarioName.LOCK_STORM, "longest_hold_seconds"),
        (ScenarioName.DISK_FULL, "refused_writes"),
        (ScenarioName.ZOMBIE, "refused_writes"),
    ],
)
def test_the_promise_holds_and_is_told_with_its_figures(
    name: ScenarioName, figure: str, trying: Trying, tmp_path: Path, extent: Extent, tally: Tally
) -> None:
    found = trying(name, seconds=extent(2, 60))

    (result,) = found.results
    assert (result.verdict, result.reasons) == (Verdict.HELD, [])
    assert float(result.figures[figure]) > 0
    assert {result.figures.get(lost, 0) for lost in ("lost_writes", "torn_sessions", "foreign_sessions")} == {0}
    assert [finding for finding in found.findings if finding.severity == "error"] == []
    assert list(tmp_path.iterdir()) == []
    tally(f"verify {name}", result.extent, result.verdict)


@pytest.mark.parametrize(
    ("protection", "name", "reason"),
    [
        ("early acknowledgement", ScenarioName.KILL, "were acknowledged"),
        ("swallowed errors", ScenarioName.DISK_FULL, "were acknowledged"),
        ("no fences", ScenarioName.ZOMBIE, "though its session was another worker's"),
    ],
)
def test_control_without_a_protection_it_is_seen_that_the_promise_does_not_hold(
    protection: str, name: ScenarioName, reason: str, trying: Trying, plant: Plant, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(protection)
    # Errors that are swallowed look as if the limit were not felt.
    monkeypatch.setattr(disk_full, "FEEL_SECONDS", 0.5)

    (result,) = trying(name, seconds=1).results

    assert reason in text_of(result)


def test_control_a_write_of_two_transactions_is_seen_to_be_torn(
    trying: Trying, plant: Plant, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant("two transactions")
    # So that writers come as far as to their first scene.
    monkeypatch.setattr(kill, "MAX_LIFE_SECONDS", 2)

    (result,) = trying(ScenarioName.KILL, seconds=3).results

    assert int(result.figures["torn_sessions"]) > 0
    assert "as after none of its writes" in text_of(result)


def test_control_writers_that_do_not_wait_are_seen_to_fail(trying: Trying, plant: Plant) -> None:
    plant("impatience")

    (result,) = trying(ScenarioName.LOCK_STORM, seconds=1).results

    assert "SessionLockError" in text_of(result)


def test_control_a_log_that_stays_larger_than_its_bound_is_seen(
    trying: Trying, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock_storm, "LOG_BOUND_BYTES", 0)

    (result,) = trying(ScenarioName.LOCK_STORM, seconds=1).results

    assert "after the reader was gone" in text_of(result)


def test_control_a_store_that_does_not_recover_from_a_full_disk_is_seen(trying: Trying, plant: Plant) -> None:
    plant("no recovery")

    (result,) = trying(ScenarioName.DISK_FULL, seconds=1).results

    assert "after there was room again" in text_of(result)


def test_a_limit_that_is_never_felt_is_not_tried_instead_of_held(
    trying: Trying, plant: Plant, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant("no limit")
    monkeypatch.setattr(disk_full, "FEEL_SECONDS", 0.5)

    found = trying(ScenarioName.DISK_FULL, seconds=1)

    (result,) = found.results
    assert result.verdict is found.verdict is Verdict.NOT_TRIED
    assert "no write met the limit" in result.reasons[0]
