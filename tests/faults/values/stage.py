"""Where a value is handed in: a store with a session to change, another that must stay, and the log of it all."""

import itertools
import logging
import sqlite3
import traceback
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from sessionstore import GenerationRun, Provider, SessionManager, SessionManagerError
from tests.bad_input.conftest import SECRET

# An error is for a person to read, in one look.
MAX_MESSAGE_CHARACTERS = 600
REFUSALS = (ValueError, TypeError, SessionManagerError)
LOGGERS = ("sessionstore", "sqlalchemy", "alembic")

REQUEST = {"story_text": "A lamp."}
SCENE = {"scene_number": 1, "title": "t", "description": "d", "image_prompt": "p"}
BYSTANDER = "bystander"


class Ears(logging.Handler):
    """Everything that is logged, at every level, with tracebacks."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.heard: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.heard.append(self.format(record))


class Stage:
    """A store on `database`. Each case gets a session of its own, the target; the bystander is never named."""

    def __init__(self, database: Path) -> None:
        # First, since a connection asks only once whether it is to log.
        self._ears = Ears()
        for name in LOGGERS:
            logging.getLogger(name).addHandler(self._ears)
            logging.getLogger(name).setLevel(logging.DEBUG)
        self.manager = SessionManager(
            None, None, database_url=f"sqlite:///{database}", durability="normal", recovery_interval=None
        )
        self.target = ""
        self.answer: Any = None
        self.sent: Any = None
        self._numbers = itertools.count(1)
        self._eye = sqlite3.connect(database, isolation_level=None)
        self.manager.create_session(REQUEST, session_id=BYSTANDER, metadata={"owner": "ann"})
        self.manager.add_scene_to_session(BYSTANDER, SCENE)
        # Active, and so nothing that is claimed or cleaned up.
        self.manager.update_session_status(BYSTANDER, "processing")
        self._schema, self._stood = self.schema(), self._bystander()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for name in LOGGERS:
            logging.getLogger(name).removeHandler(self._ears)
            logging.getLogger(name).setLevel(logging.NOTSET)
        self._eye.close()
        assert self.manager.shutdown(timeout=10)

    def new_target(self, status: str = "pending") -> str:
        """A session for the next case."""
        self.target = self.manager.create_session(REQUEST, session_id=f"target-{next(self._numbers)}")
        if status != "pending":
            self.manager.update_session_status(self.target, status)
        return self.target

    def new_run(self) -> GenerationRun:
        """A run of a new target."""
        return self.manager.track(self.new_target(), "gpu-1")

    def session(self) -> Any:
        """The target as it stands."""
        return self.manager.get_session(self.target)

    def note_request(self, request: Any) -> str:
        """What a provider is sent; for its `submit`."""
        self.sent = request
        return "job-1"

    def session_is_there(self) -> bool:
        """Whether what was written can be read back: a name that nobody has changes nothing."""
        return not self.target or self.session() is not None

    def scene(self) -> Any:
        """The last scene of the target."""
        return self.session().scenes[-1]

    def heard(self) -> str:
        """What was logged since this was asked last."""
        heard, self._ears.heard = "\n".join(self._ears.heard), []
        return heard

    def clear(self) -> None:
        """Removes the target, so that lists stay short."""
        if self.target:
            self.manager.remove_session(self.target)
        self.target, self.answer = "", None

    def assert_unharmed(self) -> None:
        """The schema is what it was, the bystander too, and the manager reads and writes."""
        assert self.schema() == self._schema
        assert self._bystander() == self._stood
        assert self.manager.get_session(BYSTANDER) is not None
        assert not self.manager.update_session_progress("nobody", 1, 2, "")

    def schema(self) -> list[Any]:
        return self._eye.execute("SELECT type, name, tbl_name, sql FROM sqlite_schema").fetchall()

    def _bystander(self) -> list[Any]:
        rows = self._eye.execute(
            "SELECT session_id, status, version, metadata, request_data, error_message, "
            "(SELECT group_concat(payload) FROM scenes WHERE scenes.session_id = sessions.session_id) "
            "FROM sessions WHERE session_id = ?",
            (BYSTANDER,),
        )
        return rows.fetchall()


def studio(**fields: Any) -> Provider:
    """A provider whose jobs are done at once."""
    known: dict[str, Any] = {
        "name": "studio",
        "submit": lambda *_: "job-1",
        "fetch": lambda _: 1,
        "poll_seconds": 0.001,
    }
    return Provider(**known | fields)


def shown(error: BaseException) -> str:
    """What a traceback prints of an error: also of its causes, and notes."""
    return "".join(traceback.format_exception(error))


def assert_refused_in_words(error: BaseException, *, may_name: bool) -> None:
    """A refusal of the store's: short, on one line, without the value, also in what it was raised from.

    `may_name` for the id of a session, worker or call: those are no secrets, and say which one is meant.
    """
    assert isinstance(error, REFUSALS), f"{type(error).__name__} is no refusal"
    message = str(error)
    assert 0 < len(message) < MAX_MESSAGE_CHARACTERS
    assert message.isprintable()
    if not may_name:
        assert SECRET not in shown(error)
