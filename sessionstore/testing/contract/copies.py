"""`backup` and `check`: a copy of a store in use, and a doctor for it."""

from pathlib import Path

import pytest
from sqlalchemy import column, table, update

from sessionstore.errors import DatabaseUnavailableError
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

        assert {finding.severity for finding in findings} == {"ok"}
        assert {"schema_revision", "integrity", "foreign_keys"} <= {finding.check for finding in findings}

    def test_a_store_in_use_is_well(self, manager: Manager) -> None:
        session_id = create_in_status(manager, "processing")
        manager.add_scene_to_session(session_id, a_scene(1))
        manager.remove_session(create_in_status(manager, "failed"))

        with lock_held_elsewhere(manager, session_id):
            findings = manager.check()

        assert {finding.severity for finding in findings} == {"ok"}

    def test_a_schema_that_is_not_the_codes_is_an_error_with_a_remedy(self, manager: Manager, execute: Execute) -> None:
        execute(update(table("alembic_version", column("version_num"))).values(version_num="9999"))

        (finding,) = [each for each in manager.check() if each.severity != "ok"]

        assert (finding.check, finding.severity) == ("schema_revision", "error")
        assert "9999" in finding.message
        assert finding.remedy
