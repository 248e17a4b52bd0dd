"""`backup` and `check`: a copy of a store in use, and a doctor for it."""

from pathlib import Path

import pytest
from sqlalchemy import column, table, update

from sessionstore.errors import DatabaseUnavailableError
from sessionstore.models import Finding
from sessionstore.testing import ManualClock
from sessionstore.testing.contract.group import (
    ContractGroup,
    Execute,
    Manager,
    OpenManager,
    Restore,
    a_request,
    a_scene,
    create_in_status,
    lock_held_elsewhere,
    saved,
)


def errors_of(findings: list[Finding]) -> list[Finding]:
    """What is wrong; what the machine could do better is a warning."""
    return [finding for finding in findings if finding.severity == "error"]


class CopiesContract(ContractGroup):
    """What a backup holds, and what the doctor says of a store that is well and of one that is not."""

    def test_a_backup_holds_everything(
        self, manager: Manager, open_manager: OpenManager, restore: Restore, tmp_path: Path
    ) -> None:
        session_id = create_in_status(manager, "processing", metadata={"n": 1})
        manager.set_session_scenes(session_id, [a_scene(2), a_scene(1)])
        gone = create_in_status(manager, "completed")
        manager.remove_session(gone)

        manager.backup(tmp_path / "copy")

        restored = open_manager(database_url=restore(tmp_path / "copy"))
        assert saved(restored, session_id) == saved(manager, session_id)
        assert restored.find_tombstone(gone) == manager.find_tombstone(gone)

    def test_a_path_of_a_backup_may_be_text(
        self, manager: Manager, open_manager: OpenManager, restore: Restore, tmp_path: Path
    ) -> None:
        session_id = manager.create_session(a_request())

        manager.backup(str(tmp_path / "copy"))

        assert saved(open_manager(database_url=restore(tmp_path / "copy")), session_id).session_id == session_id

    def test_a_backup_holds_what_is_committed_while_the_store_is_in_use(
        self, manager: Manager, open_manager: OpenManager, restore: Restore, tmp_path: Path
    ) -> None:
        session_id = manager.create_session(a_request())

        with lock_held_elsewhere(manager, session_id, last=lambda session: session.metadata.update(n=1)):
            manager.backup(tmp_path / "copy")

        assert saved(open_manager(database_url=restore(tmp_path / "copy")), session_id).metadata == {}
        assert saved(manager, session_id).metadata == {"n": 1}

    def test_a_backup_does_not_follow_the_store(
        self, manager: Manager, open_manager: OpenManager, restore: Restore, tmp_path: Path
    ) -> None:
        manager.backup(tmp_path / "copy")

        manager.create_session(a_request())

        assert open_manager(database_url=restore(tmp_path / "copy")).get_session_count() == 0

    def test_a_backup_tells_how_far_it_is(self, manager: Manager, tmp_path: Path) -> None:
        told: list[tuple[int, int]] = []

        manager.backup(tmp_path / "copy", lambda done, total: told.append((done, total)))

        assert told == sorted(told)
        assert told[-1][0] == told[-1][1] > 0

    def test_what_the_progress_raises_ends_a_backup_of_which_nothing_is_left(
        self, manager: Manager, tmp_path: Path
    ) -> None:
        def stop(done: int, total: int) -> None:
            raise LookupError

        with pytest.raises(LookupError):
            manager.backup(tmp_path / "copy", stop)

        assert not (tmp_path / "copy").exists()
        manager.backup(tmp_path / "copy")

    def test_a_run_that_was_going_on_is_taken_over_in_the_restored_store(
        self, manager: Manager, open_manager: OpenManager, restore: Restore, clock: ManualClock, tmp_path: Path
    ) -> None:
        session_id = manager.create_session(a_request(num_scenes=2))
        with manager.track(session_id, "gpu-1") as run:
            run.add_scene(a_scene(1))
            manager.backup(tmp_path / "copy")
        restored = open_manager(database_url=restore(tmp_path / "copy"), recovery_interval=None)
        assert restored.claim_next_session("gpu-2") is None

        clock.advance(hours=1)
        restored.recover_interrupted_sessions()
        taken = restored.claim_next_session("gpu-2")

        assert taken is not None
        assert (taken.attempt, taken.pending_scene_numbers()) == (2, [2])
        taken.release()

    def test_a_backup_overwrites_nothing(self, manager: Manager, tmp_path: Path) -> None:
        there = tmp_path / "copy"
        there.write_text("mine")

        with pytest.raises(DatabaseUnavailableError, match="copy"):
            manager.backup(there)

        assert there.read_text() == "mine"

    def test_a_backup_that_cannot_be_written_leaves_nothing(self, manager: Manager, tmp_path: Path) -> None:
        with pytest.raises(DatabaseUnavailableError):
            manager.backup(tmp_path / "no such folder" / "copy")

        assert not (tmp_path / "no such folder").exists()

    # The doctor

    def test_a_new_store_is_well(self, manager: Manager) -> None:
        findings = manager.check()

        assert errors_of(findings) == []
        assert {"schema_revision", "integrity", "foreign_keys", "rows"} <= {finding.check for finding in findings}
        assert {finding.exit_code for finding in findings} == {0}

    def test_a_store_in_use_is_well(self, manager: Manager) -> None:
        session_id = create_in_status(manager, "processing")
        manager.add_scene_to_session(session_id, a_scene(1))
        manager.remove_session(create_in_status(manager, "failed"))

        with lock_held_elsewhere(manager, session_id):
            findings = manager.check(deep=True)

        assert errors_of(findings) == []

    def test_a_repair_of_a_store_that_is_well_mends_nothing(self, manager: Manager) -> None:
        create_in_status(manager, "processing")

        findings = manager.repair()

        assert errors_of(findings) == []
        assert [finding.repaired for finding in findings if finding.repaired] == []

    def test_a_schema_that_is_not_the_codes_is_an_error_with_a_remedy(self, manager: Manager, execute: Execute) -> None:
        execute(update(table("alembic_version", column("version_num"))).values(version_num="9999"))

        (finding,) = errors_of(manager.check())

        assert (finding.check, finding.exit_code) == ("schema_revision", 4)
        assert "9999" in finding.message
        assert finding.remedy
