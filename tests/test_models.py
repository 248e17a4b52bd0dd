"""The domain's nouns by themselves: what they accept, compute and refuse, without any store."""

from datetime import UTC, datetime, timedelta, timezone
from enum import StrEnum
from typing import Any
from uuid import UUID

import hypothesis.strategies as st
import pytest
from hypothesis import given
from pydantic import ValidationError

from sessionstore import (
    EventType,
    GenerationRequest,
    GenerationSession,
    GenerationStatus,
    MediaType,
    ProgressUpdate,
    ScenePrompt,
    SessionManager,
    TombstoneReason,
)
from sessionstore.testing import ManualClock, create_mock_session

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
TERMINAL = {GenerationStatus.COMPLETED, GenerationStatus.FAILED, GenerationStatus.CANCELLED}
ACTIVE = {GenerationStatus.PROCESSING, GenerationStatus.DOWNLOADING}


def request(**fields: Any) -> GenerationRequest:
    return GenerationRequest(**({"story_text": "A lamp."} | fields))


def scene(**fields: Any) -> ScenePrompt:
    return ScenePrompt(**({"scene_number": 1, "title": "t", "description": "d", "image_prompt": "p"} | fields))


def session(**fields: Any) -> GenerationSession:
    return GenerationSession(**({"request_data": request()} | fields))


# Statuses and kinds


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (GenerationStatus, ["pending", "processing", "downloading", "completed", "failed", "cancelled"]),
        (MediaType, ["cinematic", "cartoon", "realistic"]),
        (TombstoneReason, ["expired", "evicted", "removed", "cleared"]),
        (
            EventType,
            [
                "created",
                "status_changed",
                "progress",
                "scene_added",
                "scenes_set",
                "updated",
                "completed",
                "failed",
                "cancelled",
                "removed",
                "expired",
                "evicted",
                "recovered",
            ],
        ),
    ],
)
def test_the_words_are_those_of_the_design_and_are_their_values_in_capitals(
    kind: type[StrEnum], values: list[str]
) -> None:
    assert [(word.name, word.value) for word in kind] == [(value.upper(), value) for value in values]


@pytest.mark.parametrize("status", GenerationStatus)
def test_a_status_is_terminal_or_active_or_waiting(status: GenerationStatus) -> None:
    assert status.is_terminal() == (status in TERMINAL)
    assert status.is_active() == (status in ACTIVE)


# Requests


def test_a_request_needs_a_story_only() -> None:
    assert (request().media_type, request().num_scenes) == (MediaType.CINEMATIC, 5)


def test_the_white_space_around_a_story_does_not_count() -> None:
    assert request(story_text=" \n A lamp.\t ").story_text == "A lamp."
    assert len(request(story_text=f"{' ' * 100}{'x' * 50_000}{' ' * 100}").story_text) == 50_000


@pytest.mark.parametrize("bad", ["", "  \n", "x" * 50_001, None, 7])
def test_a_story_has_1_to_50_000_characters(bad: Any) -> None:
    with pytest.raises(ValidationError, match="story_text"):
        request(story_text=bad)


@pytest.mark.parametrize("number", [1, 100])
def test_a_request_may_ask_for_1_to_100_scenes(number: int) -> None:
    assert request(num_scenes=number).num_scenes == number


@pytest.mark.parametrize("bad", [0, 101, -1, 1.5, None])
def test_a_request_may_not_ask_for_another_number_of_scenes(bad: Any) -> None:
    with pytest.raises(ValidationError, match="num_scenes"):
        request(num_scenes=bad)


def test_a_media_type_may_be_given_by_its_value_and_no_other_exists() -> None:
    assert request(media_type="cartoon").media_type is MediaType.CARTOON
    with pytest.raises(ValidationError, match="media_type"):
        request(media_type="opera")


@pytest.mark.parametrize("made", [request(style="ink"), scene(style="ink")], ids=["request", "scene"])
def test_fields_beyond_the_declared_ones_are_kept(made: Any) -> None:
    assert made.style == "ink"
    assert made.model_dump()["style"] == "ink"


def test_a_validation_error_names_the_field_and_not_the_value() -> None:
    makers: list[Any] = [request, scene, session, ProgressUpdate]
    for make in makers:
        with pytest.raises(ValidationError) as caught:
            make(story_text=["hunter2"], title=["hunter2"], session_id=["hunter2"], description=["hunter2"])
        assert "hunter2" not in str(caught.value)


# Scenes


@pytest.mark.parametrize("field", ["title", "description", "image_prompt"])
@pytest.mark.parametrize("bad", ["", " \n", None])
def test_the_texts_of_a_scene_are_not_empty(field: str, bad: Any) -> None:
    with pytest.raises(ValidationError, match=field):
        scene(**{field: bad})


@pytest.mark.parametrize("bad", [-1, 2**31, None, "one"])
def test_a_scene_number_counts_from_zero(bad: Any) -> None:
    assert scene(scene_number=0).scene_number == 0
    with pytest.raises(ValidationError, match="scene_number"):
        scene(scene_number=bad)


def test_a_scene_is_generated_once_it_has_a_url_and_downloaded_once_it_has_a_path() -> None:
    assert (scene().image_url, scene().image_path) == (None, None)
    assert (scene().is_generated(), scene().is_downloaded()) == (False, False)
    made = scene(image_url="https://images.example/1.png")
    assert (made.is_generated(), made.is_downloaded()) == (True, False)
    fetched = scene(image_path="/images/1.png")
    assert (fetched.is_generated(), fetched.is_downloaded()) == (False, True)


# Progress


@pytest.mark.parametrize(
    ("current", "total", "percentage"),
    [(0, 1, 0.0), (1, 3, 33.3), (2, 3, 66.7), (3, 3, 100.0), (1, 1000, 0.1), (1, 2**31 - 1, 0.0)],
)
def test_a_percentage_is_computed_to_one_decimal(current: int, total: int, percentage: float) -> None:
    progress = ProgressUpdate(current_step=current, total_steps=total, description="d")
    assert progress.percentage == percentage
    assert progress.model_dump()["percentage"] == percentage


@given(st.integers(0, 2**31 - 1), st.integers(1, 2**31 - 1))
def test_a_percentage_lies_between_0_and_100(one: int, other: int) -> None:
    progress = ProgressUpdate(current_step=min(one, other), total_steps=other, description="")
    assert 0 <= progress.percentage <= 100


@pytest.mark.parametrize(("current", "total"), [(-1, 1), (0, 0), (2, 1), (1, -1), (2**31, 2**31)])
def test_progress_counts_from_zero_and_never_beyond_its_total(current: int, total: int) -> None:
    with pytest.raises(ValidationError, match=r"current_step|total_steps"):
        ProgressUpdate(current_step=current, total_steps=total, description="d")


def test_progress_cannot_be_pushed_beyond_its_total_later() -> None:
    progress = ProgressUpdate(current_step=1, total_steps=3, description="d")
    with pytest.raises(ValidationError, match="current_step"):
        progress.current_step = 4


# Sessions


def test_a_new_session_is_pending_and_has_nothing_yet() -> None:
    new = session()
    assert (new.status, new.scenes, new.progress, new.error_message) == (GenerationStatus.PENDING, [], None, None)
    assert (new.metadata, new.started_at, new.finished_at) == ({}, None, None)
    assert (new.attempt, new.version) == (0, 1)
    assert (datetime.now(UTC) - new.created_at) < timedelta(minutes=1)
    assert [moment.microsecond % 1000 for moment in (new.created_at, new.last_accessed, new.updated_at)] == [0, 0, 0]


def test_sessions_share_no_lists_and_dictionaries() -> None:
    first, second = session(), session()
    first.scenes.append(scene())
    first.metadata["owner"] = "ann"
    assert (second.scenes, second.metadata) == ([], {})


def test_instants_are_utc_to_the_millisecond() -> None:
    given_at = datetime(2026, 1, 1, 14, 30, 0, 123_999, tzinfo=timezone(timedelta(hours=2, minutes=30)))
    kept = session(created_at=given_at).created_at
    assert (kept, kept.tzinfo) == (NOW.replace(microsecond=123_000), UTC)


@pytest.mark.parametrize("field", ["created_at", "last_accessed", "updated_at", "started_at", "finished_at"])
def test_a_naive_instant_is_refused(field: str) -> None:
    with pytest.raises(ValidationError, match=field):
        session(**{field: datetime(2026, 1, 1)})  # noqa: DTZ001 - the point


def test_what_is_assigned_to_a_session_is_validated() -> None:
    changed = session()
    changed.status = "failed"  # type: ignore[assignment]  # the point
    assert changed.status is GenerationStatus.FAILED
    with pytest.raises(ValidationError, match="status"):
        changed.status = "lost"  # type: ignore[assignment]  # the point
    assert changed.status is GenerationStatus.FAILED


def test_a_scene_is_found_by_its_number() -> None:
    held = session(scenes=[scene(scene_number=3), scene(scene_number=1, title="first")])
    found = held.get_scene_by_number(1)
    assert found is not None
    assert found.title == "first"
    assert held.get_scene_by_number(2) is None


@pytest.mark.parametrize("status", GenerationStatus)
def test_completion_is_what_the_last_tick_said_until_it_is_completed(status: GenerationStatus) -> None:
    progress = ProgressUpdate(current_step=1, total_steps=3, description="d")
    is_completed = status is GenerationStatus.COMPLETED
    assert session(status=status).get_completion_percentage() == (100.0 if is_completed else 0.0)
    assert session(status=status, progress=progress).get_completion_percentage() == (100.0 if is_completed else 33.3)


def test_an_age_counts_from_the_creation_by_the_clock_of_the_store(manager: SessionManager, clock: ManualClock) -> None:
    held = manager.get_session(manager.create_session(request()))
    assert held is not None
    clock.advance(hours=1.5)
    assert held.get_age_hours() == 1.5


def test_a_session_is_expired_past_its_age_and_not_at_it(manager: SessionManager, clock: ManualClock) -> None:
    held = manager.get_session(manager.create_session(request()))
    assert held is not None
    clock.advance(hours=24)
    assert not held.is_expired()
    assert held.is_expired(max_age_hours=23)
    clock.advance(milliseconds=1)
    assert held.is_expired()
    assert not held.is_expired(max_age_hours=25)


def test_a_finished_session_expires_by_its_finish(manager: SessionManager, clock: ManualClock) -> None:
    session_id = manager.create_session(request())
    clock.advance(hours=30)
    manager.update_session_status(session_id, "completed")
    held = manager.get_session(session_id)
    assert held is not None
    assert not held.is_expired()
    clock.advance(hours=24, milliseconds=1)
    assert held.is_expired()


def test_a_session_survives_json_both_ways() -> None:
    held = session(
        scenes=[scene(seed=[1, None])],
        progress=ProgressUpdate(current_step=1, total_steps=3, description="d"),
        metadata={"tags": ["a", 1.5]},
        finished_at=NOW,
    )
    copy = GenerationSession.model_validate_json(held.model_dump_json(round_trip=True))
    assert copy.model_dump() == held.model_dump()


def test_a_mock_session_is_as_it_is_asked_for() -> None:
    assert create_mock_session().status is GenerationStatus.PENDING
    mock = create_mock_session("mine", GenerationStatus.FAILED)
    assert (mock.session_id, mock.status) == ("mine", GenerationStatus.FAILED)
    assert UUID(create_mock_session().session_id).version == 7
