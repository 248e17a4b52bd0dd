"""The manager and the ancestor's plain dict, side by side: whatever is done, both answer and hold the same."""

import tempfile
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from sessionstore import EventType, GenerationRequest, GenerationSession, GenerationStatus, ScenePrompt, SessionManager
from sessionstore.testing import ManualClock
from tests.ancestor import Ancestor

# Few ids, keys and stories, so that they meet again: conflicts, replacements and repeated creations happen.
any_id = st.sampled_from(["a", "b", "c", "d", "e"])
present_id = st.runner().flatmap(lambda machine: st.sampled_from(sorted(machine.ancestor.sessions) or ["a"]))
ids = st.one_of(present_id, present_id, present_id, any_id)
statuses = st.sampled_from(list(GenerationStatus))
given_statuses = st.sampled_from([*GenerationStatus, "lost"])
unfinished = st.sampled_from([status for status in GenerationStatus if not status.is_terminal()])
texts = st.sampled_from(["A lamp.", "Two lamps.", "ein Licht \N{BRIDGE AT NIGHT}"])
requests = st.builds(GenerationRequest, story_text=texts, num_scenes=st.integers(1, 2), style=st.none() | texts)
scenes = st.builds(ScenePrompt, scene_number=st.integers(0, 3), title=texts, description=texts, image_prompt=texts)
json_values = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts
)
metadata = st.dictionaries(st.sampled_from(["owner", "tags", "rank"]), json_values | st.lists(json_values, max_size=2))
errors = st.none() | texts
steps = st.sampled_from([(0, 1), (1, 3), (2, 3), (3, 3), (4, 3), (-1, 2), (0, 0)])
changes = st.fixed_dictionaries(
    {},
    optional={
        "status": unfinished,
        "metadata": metadata,
        "error_message": errors,
        "scenes": st.lists(scenes, max_size=3, unique_by=lambda scene: scene.scene_number),
        "progress": st.none() | st.just({"current_step": 1, "total_steps": 3, "description": "painting"}),
    },
)


class ManagerBesideAncestor(RuleBasedStateMachine):
    """Every rule asks both the same. The clock ticks before each, so that no two sessions are equally old."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory(prefix="sessionstore-state-machine-")
        self.clock = ManualClock()
        self.heard: list[tuple[str, str]] = []
        self.versions: dict[tuple[str, datetime], tuple[int, int]] = {}

    @initialize(max_sessions=st.integers(2, 5), eviction=st.sampled_from(["oldest", "oldest", "finished", "reject"]))
    def begin(self, max_sessions: int, eviction: str) -> None:
        self.ancestor = Ancestor(self.clock, max_sessions=max_sessions, eviction=eviction)
        self.open()
        for session_id in ("a", "b"):
            self.create(session_id, GenerationRequest(story_text="A lamp."), None, None)

    def open(self) -> None:
        self.manager = SessionManager(
            self.ancestor.max_sessions,
            None,
            database_url=f"sqlite:///{Path(self.folder.name) / 'sessions.db'}",
            clock=self.clock,
            eviction=self.ancestor.eviction,
        )
        for event_type in EventType:
            self.manager.register_session_callback(event_type, self.listener(event_type))

    def listener(self, event_type: str) -> Callable[[str, GenerationSession[Any, Any]], None]:
        return lambda session_id, session: self.heard.append((event_type, session_id))

    def teardown(self) -> None:
        if hasattr(self, "manager"):
            assert self.manager.shutdown(timeout=10)
        self.folder.cleanup()

    def both(self, act: Callable[[Any], Any]) -> None:
        """Does the same with both; they must answer the same, or refuse with the same kind of error."""
        self.clock.advance(milliseconds=1)
        assert outcome(act, self.manager) == outcome(act, self.ancestor)

    # One thing at a time

    @rule(
        session_id=st.none() | any_id,
        request=requests,
        metadata=st.none() | metadata,
        key=st.sampled_from([None, None, None, "k1", "k2"]),
    )
    def create(self, session_id: str | None, request: Any, metadata: Any, key: str | None) -> None:
        given = {"metadata": metadata, "idempotency_key": key}
        if session_id is None and key is None and self.ancestor.eviction == "oldest":
            # The manager chooses the id, and the ancestor is told it.
            self.clock.advance(milliseconds=1)
            chosen = self.manager.create_session(request, **given)
            assert self.ancestor.create_session(request, session_id=chosen, **given) == chosen
        else:
            self.both(lambda store: store.create_session(request, session_id=session_id or "a", **given))

    @rule(session_id=ids)
    def get(self, session_id: str) -> None:
        self.both(lambda store: comparable(store.get_session(session_id)))

    @rule(
        session_id=ids, status=given_statuses, error=errors, expected=st.sampled_from([None, None, *GenerationStatus])
    )
    def update_status(self, session_id: str, status: str, error: str | None, expected: str | None) -> None:
        self.both(lambda store: store.update_session_status(session_id, status, error, expected_status=expected))

    @rule(session_id=ids, step=steps, description=texts)
    def update_progress(self, session_id: str, step: tuple[int, int], description: str) -> None:
        self.both(lambda store: store.update_session_progress(session_id, *step, description))

    @rule(session_id=ids, scene=scenes)
    def add_scene(self, session_id: str, scene: ScenePrompt) -> None:
        self.both(lambda store: store.add_scene_to_session(session_id, scene))

    @rule(session_id=ids, given=st.lists(scenes, max_size=4))
    def set_scenes(self, session_id: str, given: list[ScenePrompt]) -> None:
        self.both(lambda store: store.set_session_scenes(session_id, given))

    @rule(session_id=ids)
    def remove(self, session_id: str) -> None:
        self.both(lambda store: store.remove_session(session_id))

    # Several things at once

    @rule(session_id=ids, changes=changes, status=st.none() | given_statuses)
    def update_atomically(self, session_id: str, changes: dict[str, Any], status: str | None) -> None:
        updates = changes | ({} if status is None else {"status": status}) | {"session_id": "z", "color": "red"}
        self.both(lambda store: store.atomic_session_update(session_id, updates))

    @rule(session_id=ids, changes=changes, scene=st.none() | scenes, fails=st.booleans())
    def lock(self, session_id: str, changes: dict[str, Any], scene: ScenePrompt | None, fails: bool) -> None:
        def operate(store: Any, session: GenerationSession) -> str:
            if scene is not None:
                store.add_scene_to_session(session_id, scene)
            change(session, changes)
            if fails:
                raise LookupError("an operation that fails")
            return session.session_id

        self.both(lambda store: store.with_session_lock(session_id, lambda session: operate(store, session)))

    @rule(session_ids=st.lists(ids, max_size=4), changes=changes, scene=scenes, failing=ids)
    def update_in_bulk(self, session_ids: list[str], changes: dict[str, Any], scene: ScenePrompt, failing: str) -> None:
        def operate(store: Any, session: GenerationSession) -> None:
            store.add_scene_to_session(session.session_id, scene)
            change(session, changes)
            if session.session_id == failing:
                raise LookupError("an operation that fails")

        self.both(lambda store: store.bulk_update_sessions(session_ids, lambda session: operate(store, session)))

    @rule(session_id=ids, other=ids, request=requests, scene=scenes, status=unfinished, fails=st.booleans())
    def transact(
        self, session_id: str, other: str, request: Any, scene: ScenePrompt, status: GenerationStatus, fails: bool
    ) -> None:
        def act(store: Any) -> list[Any]:
            with store.transaction():
                done = [
                    outcome(lambda store: store.create_session(request, session_id=session_id), store),
                    store.add_scene_to_session(session_id, scene),
                    store.update_session_status(other, status),
                    outcome(lambda store: store.set_session_scenes(other, [scene, scene]), store),
                    store.get_session_count(),
                    store.remove_session(other) if fails else None,
                ]
                if fails:
                    raise LookupError("a transaction that fails")
            return done

        self.both(act)

    # Retention and life

    @rule(
        session_id=present_id,
        hours=st.sampled_from([0.5, 1, 6, 24]),
        late=st.booleans(),
        verb=st.sampled_from(["expired", "expired", "completed", "completed", "failed", "all"]),
    )
    def clean_up_at_a_limit(self, session_id: str, hours: float, late: bool, verb: str) -> None:
        """When a session is exactly so old, or one millisecond more."""
        session = self.ancestor.sessions.get(session_id)
        if session is not None:
            limit = (session.finished_at or session.created_at) + timedelta(hours=hours, milliseconds=late - 1)
            self.clock.now = max(self.clock.now, limit)
        clean_up: dict[str, Callable[[Any], int]] = {
            "expired": lambda store: store.cleanup_expired_sessions(hours),
            "completed": lambda store: store.cleanup_completed_sessions(hours),
            "failed": lambda store: store.cleanup_failed_sessions(),
            "all": lambda store: store.force_cleanup_all(),
        }
        self.both(clean_up[verb])

    @rule(max_sessions=st.integers(2, 5))
    def change_capacity(self, max_sessions: int) -> None:
        self.both(lambda store: store.reconfigure(max_sessions=max_sessions))

    @rule(hours=st.sampled_from([0.01, 0.6, 5, 25]))
    def advance_the_clock(self, hours: float) -> None:
        self.clock.advance(hours=hours)

    @rule()
    def close_and_reopen(self) -> None:
        assert self.manager.shutdown(timeout=10)
        self.open()

    # What must hold after each of them

    @invariant()
    def both_are_in_the_same_state(self) -> None:
        self.compare_sessions()
        self.compare_versions()
        self.compare_events()
        self.compare_tombstones()
        self.compare_figures()

    def compare_sessions(self) -> None:
        listed = [comparable(session) for session in self.manager.list_sessions(limit=1000).sessions]
        expected = [comparable(session) for session in reversed(self.ancestor.oldest_first())]
        # Access times are written behind, so that only these answers know the newest.
        assert [without(each, "last_accessed") for each in listed] == [
            without(each, "last_accessed") for each in expected
        ]
        assert self.manager.get_all_sessions_info() == self.ancestor.get_all_sessions_info()

    def compare_versions(self) -> None:
        """A version grows when something was saved, and only then."""
        versions = {}
        for session in self.manager.list_sessions(limit=1000).sessions:
            key = session.session_id, session.created_at
            now = versions[key] = session.version, self.ancestor.sessions[session.session_id].version
            before = self.versions.get(key, (0, 0))
            assert (now[0] > before[0]) == (now[1] > before[1])
        self.versions = versions

    def compare_events(self) -> None:
        assert self.heard == self.ancestor.events
        self.heard.clear()
        self.ancestor.events.clear()

    def compare_tombstones(self) -> None:
        for session_id, expected in self.ancestor.tombstones.items():
            found = self.manager.find_tombstone(session_id)
            assert found is not None
            assert (found.reason, found.status, found.scenes_done) == expected

    def compare_figures(self) -> None:
        for status in GenerationStatus:
            listed, expected = (each.get_sessions_by_status(status) for each in (self.manager, self.ancestor))
            assert [each.session_id for each in listed] == [each.session_id for each in expected]
        assert self.manager.get_session_count() == self.ancestor.get_session_count()
        assert self.manager.get_health_status() == self.ancestor.get_health_status()
        figures, expected_figures = self.manager.get_performance_stats(), self.ancestor.get_performance_stats()
        for name, figure in expected_figures.items():
            assert figures[name] == (pytest.approx(figure, abs=0.006) if name.endswith("_hours") else figure), name


def outcome(act: Callable[[Any], Any], store: Any) -> tuple[str, Any]:
    """What came of it: the answer, or the kind of error (a validation error is a ValueError)."""
    try:
        return "answered", act(store)
    except ValueError as error:
        return "refused", type(error).__name__ if type(error).__module__ == "sessionstore.errors" else "ValueError"
    except Exception as error:  # noqa: BLE001 - its kind is what is compared
        return "refused", type(error).__name__


def change(session: GenerationSession, changes: dict[str, Any]) -> None:
    for name, value in changes.items():
        setattr(session, name, value)


def comparable(session: GenerationSession | None) -> dict[str, Any] | None:
    """A session as plain data, without `version`: see `compare_versions`."""
    return None if session is None else session.model_dump(exclude={"version"})


def without(fields: dict[str, Any] | None, name: str) -> dict[str, Any]:
    return {key: value for key, value in (fields or {}).items() if key != name}


def test_whatever_is_done_the_manager_answers_and_holds_what_the_plain_dict_does() -> None:
    run_state_machine_as_test(
        ManagerBesideAncestor,
        settings=settings(
            max_examples=60,
            stateful_step_count=40,
            deadline=None,
            database=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
        ),
    )
