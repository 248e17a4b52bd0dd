"""What every operation works with: the engine and the settings of one manager."""

import logging
import time
from datetime import datetime
from threading import Lock
from typing import Any

from sessionstore.clock import Clock, as_utc, utc_now
from sessionstore.errors import SessionManagerError
from sessionstore.events import CallbackRegistry
from sessionstore.models import EveryProcessCallback
from sessionstore.operations.accesses import AccessTimes
from sessionstore.operations.clock_jumps import ClockJumps, system_uptime
from sessionstore.operations.feed import Feed
from sessionstore.operations.heartbeats import Heartbeats
from sessionstore.operations.listening import EveryProcessCallbacks
from sessionstore.persistence.codec import SessionCodec
from sessionstore.persistence.engines import open_engine
from sessionstore.persistence.engines.gate import Place
from sessionstore.persistence.payload import Limits
from sessionstore.settings import Settings, load_settings

logger = logging.getLogger(__name__)


class Store:
    """One open database. Shared by all threads; `settings` is replaced as a whole, never changed."""

    def __init__(
        self, settings: Settings, *, request_model: type[Any], scene_model: type[Any], clock: Clock | None
    ) -> None:
        """Opens the database. Raises as `open_engine` does, and TypeError for models it cannot use."""
        self.settings = settings
        self.clock = utc_now if clock is None else clock
        if not callable(self.clock):
            raise TypeError(f"clock must be callable, not {type(clock).__name__}")
        self.now()
        self.callbacks = CallbackRegistry()
        limits = Limits(settings.max_payload_bytes, settings.max_payload_depth, settings.max_scenes)
        self.codec: SessionCodec[Any, Any] = SessionCodec(request_model, scene_model, self.clock, limits)
        self.accesses = AccessTimes()
        self.engine = open_engine(settings, clock=self.clock, codec=self.codec, callbacks=self.callbacks)
        try:
            last_event_at = self.engine.read(lambda unit: unit.history.last_event_at())
        except BaseException:
            # An application may try to open it again and again.
            self.engine.close(0, lambda: None)
            raise
        self.clock_jumps = ClockJumps(self.now(), last_event_at, system_uptime if self.clock is utc_now else None)
        self.heartbeats = Heartbeats(self.engine, self.now)
        self.feed = Feed(self.engine)
        self.every_process_callbacks = EveryProcessCallbacks(self.engine, self.feed)
        # Pending sessions that the models of this store cannot read, by the version that they could not.
        self.unreadable: dict[str, int] = {}
        # Ids of paid calls whose request is on its way from this process.
        self.calls_being_sent: set[str] = set()
        self._reconfiguring = Lock()

    def now(self) -> datetime:
        """What time it is. Raises TypeError or ValueError for a clock that returns anything but aware datetimes."""
        return as_utc(self.clock(), "what the clock returned")

    def reconfigure(self, **changes: Any) -> None:
        """Replaces settings; raises ValueError for values out of range, and then changes nothing."""
        with self._reconfiguring:
            self.settings = load_settings(self.settings, **changes)

    def register_callback(self, event_type: str, callback: EveryProcessCallback, *, every_process: bool) -> None:
        """Adds it to one of the two registries; refused once the store is closed."""
        registry = self.every_process_callbacks if every_process else self.callbacks
        self.engine.gate.run(lambda _, wanted: registry.register(event_type, wanted), callback)

    def unregister_callback(self, event_type: str, callback: EveryProcessCallback) -> bool:
        """Takes one registration back from whichever has it; refused once the store is closed."""

        def unregister(_: Place, callback: EveryProcessCallback) -> bool:
            return self.callbacks.unregister(event_type, callback) or self.every_process_callbacks.unregister(
                event_type, callback
            )

        return self.engine.gate.run(unregister, callback)

    def close(self, timeout: float) -> bool:
        """Lets running calls finish and closes; False when they took over `timeout` seconds. Sessions stay.

        Those that this store's runs hold are given back.
        """
        deadline = time.monotonic() + timeout

        def left() -> float:
            return max(0.0, deadline - time.monotonic())

        # First, so that watchers, who are no running calls, find it shut when they are woken up.
        self.engine.gate.shut(0)
        self.every_process_callbacks.stop(0)
        if not self.feed.stop(left()) or not self.engine.gate.shut(left()):
            return False
        if not self.every_process_callbacks.stop(left()) or not self.heartbeats.stop(left()):
            return False
        return self.engine.close(left(), self._finish)

    def _finish(self) -> None:
        self.heartbeats.finish()
        try:
            self.accesses.save(self.engine)
        except SessionManagerError:
            # They are all that may get lost, and the store must close all the same.
            logger.warning("the last access times could not be saved", exc_info=True)
