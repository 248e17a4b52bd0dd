"""What every operation works with: the engine and the settings of one manager."""

import logging
import time
from datetime import datetime
from threading import Lock
from typing import Any

from sessionstore.clock import Clock, as_utc, utc_now
from sessionstore.errors import SessionManagerError
from sessionstore.events import CallbackRegistry
from sessionstore.models import SessionCallback
from sessionstore.operations.accesses import AccessTimes
from sessionstore.operations.heartbeats import Heartbeats
from sessionstore.persistence.codec import SessionCodec
from sessionstore.persistence.engines import open_engine
from sessionstore.settings import Settings, load_settings

logger = logging.getLogger(__name__)


class Store:
    """One open database. Shared by all threads; `settings` is replaced as a whole, never changed."""

    def __init__(
        self, settings: Settings, *, request_model: type[Any], scene_model: type[Any], clock: Clock | None
    ) -> None:
        """Opens the database. Raises as `open_engine` does, and TypeError for models it cannot use."""
        self.settings = settings
        self.clock = clock or utc_now
        if not callable(self.clock):
            raise TypeError(f"clock must be callable, not {type(clock).__name__}")
        self.now()
        self.callbacks = CallbackRegistry()
        self.codec: SessionCodec[Any, Any] = SessionCodec(
            request_model, scene_model, self.clock, settings.max_payload_bytes
        )
        self.accesses = AccessTimes()
        self.engine = open_engine(settings, clock=self.clock, codec=self.codec, callbacks=self.callbacks)
        self.heartbeats = Heartbeats(self.engine, self.now)
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

    def register_callback(self, event_type: str, callback: SessionCallback) -> None:
        """As `CallbackRegistry.register`; refused once the store is closed."""
        self.engine.gate.run(lambda _, wanted: self.callbacks.register(event_type, wanted), callback)

    def unregister_callback(self, event_type: str, callback: SessionCallback) -> bool:
        """As `CallbackRegistry.unregister`; refused once the store is closed."""
        return self.engine.gate.run(lambda _, wanted: self.callbacks.unregister(event_type, wanted), callback)

    def close(self, timeout: float) -> bool:
        """Lets running calls finish and closes; False when they took over `timeout` seconds. Sessions stay.

        Those that this store's runs hold are given back.
        """
        deadline = time.monotonic() + timeout
        if not self.engine.gate.shut(timeout) or not self.heartbeats.stop(max(0.0, deadline - time.monotonic())):
            return False
        return self.engine.close(max(0.0, deadline - time.monotonic()), self._finish)

    def _finish(self) -> None:
        self.heartbeats.finish()
        try:
            self.accesses.save(self.engine)
        except SessionManagerError:
            # They are all that may get lost, and the store must close all the same.
            logger.warning("the last access times could not be saved", exc_info=True)
