"""Two days in the life of a store, made with a clock that a test moves: what the golden reports tell of."""

from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import BaseModel

from sessionstore.errors import JobFailedError
from sessionstore.operations import interrupted
from sessionstore.providers import Cost
from sessionstore.testing import ManualClock
from sessionstore.testing.contract.group import Manager, OpenManager, a_request, a_scene
from sessionstore.testing.contract.studio import REQUEST, Studio, raising
from sessionstore.testing.contract.tracking import TrackingGroup, die


class Song(BaseModel):
    """A request without `media_type` and `num_scenes`."""

    lyrics: str


def instant(text: str) -> datetime:
    """`day hour:minute:second.millisecond` of March 2026, in UTC."""
    return datetime.fromisoformat(f"2026-03-{text}").replace(tzinfo=UTC)


class TwoDays:
    """Seven sessions around a midnight, of which five are gone in the end; every reason to go is among theirs."""

    def __init__(self, manager: Manager, songs: Manager, clock: ManualClock) -> None:
        self.manager = manager
        self._songs = songs
        self._clock = clock
        self._studio = Studio()

    def pass_by(self) -> None:
        """All of it, in order."""
        self._evening()
        self._midnight()
        self._night()
        self._departures()

    def _at(self, text: str) -> Manager:
        self._clock.now = instant(text)
        return self.manager

    def _create(self, session_id: str, media_type: str, num_scenes: int) -> None:
        self.manager.create_session(a_request(media_type=media_type, num_scenes=num_scenes), session_id=session_id)

    def _provider(self, micros: int, currency: str, **fields: Any) -> Any:
        return self._studio.provider(cost=lambda request, result: Cost(micros, currency), **fields)

    def _evening(self) -> None:
        """A run that buys its two scenes and completes; a session by hand that fails and is put back."""
        self._at("01 22:00:00")
        self._create("fox", "cinematic", 2)
        self._at("01 22:00:10")
        self._create("owl", "cartoon", 1)
        with self._at("01 22:00:20").track("fox", "gpu-1", lease_seconds=24 * 3600) as run:
            run.call(self._provider(40_000, "USD"), 1, REQUEST)
            run.call(self._studio.provider(name="foley"), 9, REQUEST)
            self._at("01 22:00:50")
            run.add_scene(a_scene(1))
            run.call(self._provider(25_000, "EUR"), 2, REQUEST)
            self._at("01 22:01:30.500")
            run.add_scene(a_scene(2))
            self._at("01 22:01:31")
        self._at("01 22:59:59.999").update_session_status("owl", "processing")
        self._at("01 23:00:00").add_scene_to_session("owl", a_scene(1))
        self.manager.add_scene_to_session("owl", a_scene(1, title="Again"))
        self._at("01 23:30:00").update_session_status("owl", "failed", "no paint")
        self._at("01 23:40:00").retry_session("owl")
        self._at("01 23:50:00")
        self._create("elk", "realistic", 3)
        self._at("01 23:59:59.999")
        self._songs.create_session(Song(lyrics="La la."), session_id="bee")

    def _midnight(self) -> None:
        """A worker dies and its lease runs out; sessions end without ever having started."""
        self._at("02 00:00:00")
        assert die(self.manager, "gpu-2", lease_seconds=60) == "owl"
        self._at("02 00:00:30").set_session_scenes("elk", [a_scene(1), a_scene(2)])
        assert self._at("02 00:01:01").recover_interrupted_sessions() == 1
        self._at("02 00:10:00").update_session_status("owl", "failed", "no paint")
        assert self._at("02 00:20:00").cancel_session("elk")
        for text, status in (("30:00", "processing"), ("31:00", "downloading"), ("32:00", "completed")):
            self._at(f"02 00:{text}")
            self._songs.update_session_status("bee", status)

    def _night(self) -> None:
        """A paid job that fails, and its session with it; one that nobody ever claims."""
        self._at("02 00:40:00")
        self._create("yak", "cinematic", 1)
        run = self._at("02 00:40:05").track("yak", "gpu-1", lease_seconds=24 * 3600)
        self._studio.on_fetch = raising(JobFailedError("out of film"))
        with pytest.raises(JobFailedError):
            run.call(self._provider(1_500_000, "USD"), 1, REQUEST)
        self._at("02 00:40:10")
        run.fail("no power")
        self._at("02 00:45:00")
        self._create("ant", "cinematic", 5)

    def _departures(self) -> None:
        assert self._at("02 01:00:00").remove_session("fox")
        assert self._at("02 02:00:00").cleanup_expired_sessions() == 2
        self._at("02 02:10:00")
        self._create("gnu", "cartoon", 1)
        self._at("02 02:20:00").reconfigure(max_sessions=3)
        self._at("02 02:30:00").update_session_status("gnu", "failed")
        assert self._at("02 03:00:00").cleanup_failed_sessions() == 1


class TwoDaysGroup(TrackingGroup):
    """The store at the end of them."""

    @pytest.fixture
    def after_two_days(self, open_manager: OpenManager, clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> Manager:
        """The manager, which does nothing of its own accord. Not fully durable, for the reports do not ask for that."""
        monkeypatch.setattr(interrupted, "CONFIRM_SECONDS", 0.0)
        alone: dict[str, Any] = {"recovery_interval": None, "cleanup_interval": None, "durability": "normal"}
        manager, songs = open_manager(**alone), open_manager(**alone, request_model=Song)
        TwoDays(manager, songs, clock).pass_by()
        return manager
