"""Rows that are another than was signed: refused wherever they are read, and never signed by a write as if right."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from sqlalchemy import Executable, Table, delete, func, select, update

from sessionstore.errors import SessionCorruptedError
from sessionstore.models import GenerationStatus
from sessionstore.persistence.tables import EventRow, ProviderCallRow, SceneRow, SessionRow, SetAsideRow, TombstoneRow
from sessionstore.testing import ManualClock
from sessionstore.testing.contract.group import (
    ContractGroup,
    Execute,
    Manager,
    OpenManager,
    a_request,
    a_scene,
    saved,
    scene_numbers,
)
from sessionstore.testing.contract.studio import Studio, buy
from sessionstore.testing.contract.tracking import begin

METADATA = SessionRow.__table__.c["metadata"]
# Each to a value that validates, of the first session.
DAMAGE: dict[str, tuple[str, Executable]] = {
    "status": ("state", update(SessionRow).values(status="completed")),
    "progress": ("state", update(SessionRow).values(progress_step=1)),
    "error message": ("state", update(SessionRow).values(error_message="Another.")),
    "start": ("state", update(SessionRow).values(started_at=None)),
    "last access": ("state", update(SessionRow).values(idempotency_key="another")),
    "metadata": ("metadata", update(SessionRow).values({METADATA: "{}"})),
    "request": ("request_data", update(SessionRow).values(request_data='{"story_text":"Another."}')),
    "payload": ("scenes", update(SceneRow).where(SceneRow.scene_number == 1).values(payload=SceneRow.payload + " ")),
    "order": ("scenes", update(SceneRow).values(position=9 - SceneRow.position)),
    "a lost scene": ("scenes", delete(SceneRow).where(SceneRow.scene_number == 1)),
}
WRITES: dict[str, Callable[[Manager, str], Any]] = {
    "status": lambda manager, session_id: manager.update_session_status(session_id, "failed"),
    "progress": lambda manager, session_id: manager.update_session_progress(session_id, 2, 3, "on"),
    "scene": lambda manager, session_id: manager.add_scene_to_session(session_id, a_scene(5)),
    "fields": lambda manager, session_id: manager.atomic_session_update(session_id, {"metadata": {}}),
    "locked": lambda manager, session_id: manager.with_session_lock(session_id, lambda session: None),
}


def create(manager: Manager, **arguments: Any) -> str:
    """A session that is worked on, with two scenes."""
    session_id = manager.create_session(a_request(), metadata={"n": 1}, **arguments)
    manager.update_session_status(session_id, "processing")
    manager.set_session_scenes(session_id, [a_scene(1), a_scene(2)])
    return session_id


class DamageContract(ContractGroup):
    """What was changed behind the store's back is damage."""

    @pytest.mark.parametrize("damage", DAMAGE)
    def test_a_value_that_is_another_than_was_signed_is_refused_wherever_it_is_read(
        self, manager: Manager, execute: Execute, damage: str
    ) -> None:
        session_id = create(manager)
        where, statement = DAMAGE[damage]
        execute(statement)
        status = execute(select(SessionRow.status))[0][0]

        for read in (
            lambda: manager.get_session(session_id),
            manager.list_sessions,
            lambda: manager.get_sessions_by_status(status),
        ):
            with pytest.raises(SessionCorruptedError, match=session_id) as caught:
                read()
            assert caught.value.where == where

    @pytest.mark.parametrize("write", WRITES)
    def test_a_write_refuses_a_damaged_state_and_leaves_it_as_it_is(
        self, open_manager: OpenManager, execute: Execute, write: str
    ) -> None:
        session_id = create(open_manager())
        execute(update(SessionRow).values(progress_step=1, progress_total=9))
        before = execute(select(SessionRow.__table__))

        with pytest.raises(SessionCorruptedError, match=session_id):
            WRITES[write](open_manager(), session_id)

        assert execute(select(SessionRow.__table__)) == before

    @pytest.mark.parametrize("write", WRITES)
    def test_damage_that_came_since_a_store_last_wrote_is_not_signed_by_its_next_write(
        self, manager: Manager, execute: Execute, write: str
    ) -> None:
        session_id = create(manager)
        execute(update(SessionRow).values(media_type="other"))

        with suppress(SessionCorruptedError):
            WRITES[write](manager, session_id)

        with pytest.raises(SessionCorruptedError, match=session_id):
            manager.get_session(session_id)

    def test_other_sessions_are_unaffected(self, manager: Manager, execute: Execute) -> None:
        damaged, sound = create(manager), create(manager)
        execute(update(SessionRow).where(SessionRow.session_id == damaged).values(progress_step=1))

        assert manager.update_session_progress(sound, 1, 2, "on")
        assert saved(manager, sound).progress is not None

    def test_accesses_are_saved_for_all_but_the_damaged(
        self, manager: Manager, execute: Execute, clock: ManualClock, open_manager: OpenManager
    ) -> None:
        damaged, sound = create(manager), create(manager)
        clock.advance(minutes=1)
        for session_id in (damaged, sound):
            manager.get_session(session_id)
        execute(update(SessionRow).where(SessionRow.session_id == damaged).values(progress_step=1))

        assert manager.shutdown()

        accesses = {row.session_id: row.last_accessed for row in execute(select(SessionRow.__table__))}
        assert accesses[sound] == clock()
        assert accesses[damaged] < clock()

    # Nothing goes that only looks as if it should

    def test_a_cleanup_leaves_a_session_whose_damage_makes_it_look_expired(
        self, manager: Manager, execute: Execute, clock: ManualClock
    ) -> None:
        damaged, expired = create(manager), create(manager)
        clock.advance(hours=30)
        young = create(manager)
        long_ago = execute(select(SessionRow.created_at).where(SessionRow.session_id == expired))[0][0]
        execute(update(SessionRow).where(SessionRow.session_id == young).values(created_at=long_ago))
        execute(update(SessionRow).where(SessionRow.session_id == damaged).values(progress_step=1))

        assert manager.cleanup_expired_sessions() == 1

        assert {row.session_id for row in execute(select(SessionRow.session_id))} == {damaged, young}

    def test_a_full_store_evicts_the_oldest_that_is_sound(self, open_manager: OpenManager, execute: Execute) -> None:
        manager = open_manager(max_sessions=3)
        damaged, oldest, newer = (create(manager) for _ in range(3))
        execute(update(SessionRow).where(SessionRow.session_id == damaged).values(progress_step=1))

        newest = create(manager)

        assert {row.session_id for row in execute(select(SessionRow.session_id))} == {damaged, newer, newest}
        assert manager.find_tombstone(oldest) is not None

    @pytest.mark.parametrize("way", ["remove", "clear"])
    def test_who_says_so_can_remove_a_damaged_session(self, manager: Manager, execute: Execute, way: str) -> None:
        session_id = create(manager)
        execute(update(SessionRow).values(attempt=7))

        assert manager.remove_session(session_id) if way == "remove" else manager.force_cleanup_all()

        tombstone = manager.find_tombstone(session_id)
        assert tombstone is not None
        assert (tombstone.status, tombstone.attempt, tombstone.scenes_done) == (GenerationStatus.FAILED, 0, 2)

    # Mending

    @pytest.mark.parametrize("damage", DAMAGE)
    def test_recovery_sets_the_damaged_part_aside_and_keeps_the_others(
        self, manager: Manager, execute: Execute, damage: str
    ) -> None:
        session_id = create(manager)
        where, statement = DAMAGE[damage]
        execute(statement)

        assert manager.recover_corrupted_session(session_id)

        session = saved(manager, session_id)
        assert session.status is GenerationStatus.FAILED
        assert (session.metadata == {"n": 1}) is (where != "metadata")
        assert (session.request_data == a_request()) is (where != "request_data")
        assert (scene_numbers(manager, session_id) == [1, 2]) is (where != "scenes")
        parts = {row.part.split()[0] for row in execute(select(SetAsideRow.part))}
        assert parts == {"payload": {"scene"}, "order": {"scene"}, "a lost scene": set()}.get(damage, {where})
        assert not manager.recover_corrupted_session(session_id)

    def test_a_row_that_nobody_has_signed_is_returned_and_signed_by_its_next_write(
        self, manager: Manager, execute: Execute
    ) -> None:
        session_id = create(manager)
        unsigned = {"state_checksum": None, "metadata_checksum": None}
        execute(update(SessionRow).values({METADATA: '{"n":2}'} | unsigned))

        assert saved(manager, session_id).metadata == {"n": 2}
        manager.atomic_session_update(session_id, {"metadata": {"n": 3}})

        assert None not in execute(select(SessionRow.state_checksum, SessionRow.metadata_checksum))[0]

    # Beside sessions

    def test_a_damaged_tombstone_is_refused(self, manager: Manager, execute: Execute) -> None:
        session_id = create(manager)
        manager.remove_session(session_id)
        execute(update(TombstoneRow).values(scenes_done=5))

        with pytest.raises(SessionCorruptedError, match=session_id) as caught:
            manager.find_tombstone(session_id)
        assert caught.value.where == "tombstone"

    def test_a_damaged_event_is_refused(self, manager: Manager, execute: Execute) -> None:
        session_id = create(manager)
        cursor = next(manager.watch(session_id)).cursor
        manager.update_session_status(session_id, "completed")
        execute(update(EventRow).values(attempt=5))

        with pytest.raises(SessionCorruptedError, match=session_id) as caught:
            next(manager.watch(session_id, after=cursor))
        assert caught.value.where == "history"
        with pytest.raises(SessionCorruptedError, match=session_id):
            manager.report("timeline", session_id=session_id)

    def test_a_damaged_call_is_neither_returned_nor_changed_nor_made_again(
        self, manager: Manager, execute: Execute
    ) -> None:
        run, studio = begin(manager), Studio()
        buy(run, studio)
        execute(update(ProviderCallRow).values(result='{"url":"another"}'))
        before = execute(select(ProviderCallRow.__table__))

        for use in (run.open_calls, lambda: buy(run, studio), lambda: run.add_scene(a_scene(1))):
            with pytest.raises(SessionCorruptedError, match=run.session_id) as caught:
                use()
            assert caught.value.where.startswith("paid call ")

        assert execute(select(ProviderCallRow.__table__)) == before
        assert len(studio.sent) == 1

    # Who does not know of checksums

    @pytest.mark.parametrize("table", [SessionRow.__table__, TombstoneRow.__table__, EventRow.__table__])
    def test_rows_are_signed_from_the_start(self, manager: Manager, execute: Execute, table: Table) -> None:
        manager.remove_session(create(manager))
        create(manager)

        unsigned = [column for column in table.c if column.key.endswith("checksum")]
        assert execute(select(func.count(), *map(func.count, unsigned)))[0] == (
            (execute(select(func.count()).select_from(table))[0][0],) * (1 + len(unsigned))
        )
