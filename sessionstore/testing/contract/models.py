"""A backend's own models: what is handed in comes back, as what it was, with nothing dropped."""

from datetime import date, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any
from uuid import UUID

import pytest
from pydantic import BaseModel, ConfigDict, Field, computed_field

from sessionstore.models import GenerationRequest, GenerationSession, GenerationStatus, ScenePrompt
from sessionstore.testing import ManualClock, create_mock_session
from sessionstore.testing.contract.group import ContractGroup, Manager, OpenManager, a_request, a_scene, saved


class Voice(StrEnum):
    LOW = "low"
    HIGH = "high"


class Style(BaseModel):
    name: str
    weight: Decimal


class SongRequest(BaseModel):
    """A request without `media_type` and `num_scenes`, of types that JSON does not have, with an alias."""

    model_config = ConfigDict(extra="forbid")

    lyrics: str = Field(alias="theLyrics")
    voice: Voice = Voice.LOW
    due: date
    order: UUID
    styles: tuple[Style, ...] = ()
    length: timedelta = timedelta(seconds=1)

    @computed_field  # type: ignore[prop-decorator]  # mypy has no support for decorated properties
    @property
    def words(self) -> int:
        return len(self.lyrics.split())


class Verse(BaseModel):
    """A scene that has nothing but its number in common with the store's own."""

    scene_number: int
    voice: Voice
    seconds: float


class NoNumber(BaseModel):
    title: str


def a_song() -> SongRequest:
    return SongRequest(
        theLyrics="La la.",
        voice=Voice.HIGH,
        due=date(2026, 2, 3),
        order=UUID(int=7),
        styles=(Style(name="folk", weight=Decimal("0.10")),),
        length=timedelta(minutes=3, microseconds=1),
    )


class ModelsContract(ContractGroup):
    """`request_model`, `scene_model`, extra fields, and the methods of sessions that were handed out."""

    def test_extra_fields_of_a_request_come_back(self, manager: Manager) -> None:
        request = a_request(seed=7, style={"name": "ink", "weights": [0.5, None]})

        session = saved(manager, manager.create_session(request))

        assert session.request_data == request
        assert session.request_data.model_extra == {"seed": 7, "style": {"name": "ink", "weights": [0.5, None]}}

    def test_extra_fields_of_a_scene_come_back(self, manager: Manager) -> None:
        session_id = manager.create_session(a_request())

        manager.add_scene_to_session(session_id, a_scene(1, seed=7, camera={"angle": -3}))

        (scene,) = saved(manager, session_id).scenes
        assert scene.model_extra == {"seed": 7, "camera": {"angle": -3}}

    def test_fields_of_a_request_of_a_subclass_come_back_as_extra_fields(self, manager: Manager) -> None:
        class WithSeed(GenerationRequest):
            seed: int

        session = saved(manager, manager.create_session(WithSeed(story_text="A fox.", seed=7)))

        assert session.request_data.model_extra == {"seed": 7}

    def test_text_comes_back_character_by_character(self, manager: Manager) -> None:
        text = "Ä 狐 🦊 \u202e \x01 \\u0041 'quoted\" \r\n\t --; %s :name"

        session_id = manager.create_session(a_request(f"{text}."), metadata={text: text})
        manager.update_session_status(session_id, "failed", text)

        session = saved(manager, session_id)
        assert session.request_data.story_text == f"{text}."
        assert (session.metadata, session.error_message) == ({text: text}, text)

    def test_the_longest_story_comes_back_whole(self, manager: Manager) -> None:
        story = "狐" * 50_000

        assert saved(manager, manager.create_session(a_request(story))).request_data.story_text == story

    # A backend's own

    def test_a_request_of_the_callers_model_comes_back_as_it(self, open_manager: OpenManager) -> None:
        manager = open_manager(request_model=SongRequest)

        session = saved(manager, manager.create_session(a_song()))

        assert type(session.request_data) is SongRequest
        assert session.request_data == a_song()

    def test_a_scene_of_the_callers_model_comes_back_as_it(self, open_manager: OpenManager) -> None:
        manager = open_manager(scene_model=Verse)
        session_id = manager.create_session(a_request())

        manager.set_session_scenes(session_id, [Verse(scene_number=2, voice=Voice.HIGH, seconds=0.1)])

        (scene,) = saved(manager, session_id).scenes
        assert type(scene) is Verse
        assert scene == Verse(scene_number=2, voice=Voice.HIGH, seconds=0.1)

    def test_a_mapping_is_validated_by_the_callers_model(self, open_manager: OpenManager) -> None:
        manager = open_manager(request_model=SongRequest, scene_model=Verse)

        session_id = manager.create_session({"theLyrics": "La.", "due": "2026-02-03", "order": str(UUID(int=7))})
        with pytest.raises(ValueError, match="seconds"):
            manager.add_scene_to_session(session_id, {"scene_number": 1, "voice": "low"})

        session = saved(manager, session_id)
        assert (session.request_data.lyrics, session.request_data.due) == ("La.", date(2026, 2, 3))
        assert session.scenes == []

    def test_the_callers_models_work_in_every_other_way_to_get_a_session(self, open_manager: OpenManager) -> None:
        manager = open_manager(request_model=SongRequest, scene_model=Verse)
        got: list[GenerationSession[Any, Any]] = []
        manager.register_session_callback("created", lambda _, session: got.append(session))
        session_id = manager.create_session(a_song(), idempotency_key="order-1")
        manager.create_session(a_song(), idempotency_key="order-1")

        manager.with_session_lock(
            session_id, lambda session: session.scenes.append(Verse(scene_number=1, voice=Voice.LOW, seconds=2))
        )
        got += [*manager.list_sessions().sessions, *manager.get_sessions_by_status("pending")]

        assert [type(session.request_data) for session in got] == [SongRequest] * 3
        assert [type(scene) for session in got for scene in session.scenes] == [Verse] * 2
        assert len(manager.get_all_sessions_info()) == 1

    def test_a_scene_model_without_a_number_is_refused(self, open_manager: OpenManager) -> None:
        with pytest.raises(TypeError, match="scene_number"):
            open_manager(scene_model=NoNumber)

    @pytest.mark.parametrize("name", ["request_model", "scene_model"])
    def test_a_model_that_is_none_is_refused_by_name(self, open_manager: OpenManager, name: str) -> None:
        with pytest.raises(TypeError, match=name):
            open_manager(**{name: dict})

    # What a session can tell

    def test_a_session_knows_its_age_by_the_clock_of_its_store(self, manager: Manager, clock: ManualClock) -> None:
        session = saved(manager, manager.create_session(a_request()))

        clock.advance(hours=25)

        assert session.get_age_hours() == 25.0
        assert session.is_expired()
        assert not session.is_expired(max_age_hours=25)

    def test_a_finished_session_expires_by_its_finish(self, manager: Manager, clock: ManualClock) -> None:
        session_id = manager.create_session(a_request())
        clock.advance(hours=30)
        manager.update_session_status(session_id, "completed")
        session = saved(manager, session_id)

        assert not session.is_expired()
        clock.advance(hours=25)
        assert session.is_expired()

    def test_a_session_finds_its_scenes_by_number(self, manager: Manager) -> None:
        session_id = manager.create_session(a_request())
        manager.set_session_scenes(session_id, [a_scene(2), a_scene(0)])

        session = saved(manager, session_id)

        assert [session.get_scene_by_number(number) for number in (0, 1, 2)] == [a_scene(0), None, a_scene(2)]

    def test_a_completed_session_is_complete_whatever_its_last_tick(self, manager: Manager) -> None:
        session_id = manager.create_session(a_request())
        assert saved(manager, session_id).get_completion_percentage() == 0.0
        manager.update_session_progress(session_id, 1, 8, "")
        assert saved(manager, session_id).get_completion_percentage() == 12.5

        manager.update_session_status(session_id, "completed")

        assert saved(manager, session_id).get_completion_percentage() == 100.0

    def test_a_mock_session_is_a_session_without_a_store(self) -> None:
        session = create_mock_session("mine", GenerationStatus.COMPLETED)

        assert (session.session_id, session.status) == ("mine", GenerationStatus.COMPLETED)
        assert isinstance(session.request_data, GenerationRequest)
        assert create_mock_session().status is GenerationStatus.PENDING
        assert create_mock_session().session_id != create_mock_session().session_id

    def test_a_scene_knows_whether_it_is_generated_and_downloaded(self, manager: Manager) -> None:
        session_id = manager.create_session(a_request())
        scenes: list[ScenePrompt] = [a_scene(0), a_scene(1, image_url="u"), a_scene(2, image_url="u", image_path="p")]
        manager.set_session_scenes(session_id, scenes)

        told = [(scene.is_generated(), scene.is_downloaded()) for scene in saved(manager, session_id).scenes]

        assert told == [(False, False), (True, False), (True, True)]
