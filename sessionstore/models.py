"""The domain's nouns. What a caller hands in and gets back; no database is known here.

Sessions handed out are snapshots: changing one changes nothing in the store. Fields that a request or
scene carries beyond the declared ones are kept and come back. Validation errors name the field and never
repeat the value.
"""

from collections.abc import Callable
from enum import StrEnum
from typing import Annotated, Any, Generic, Literal, Self

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    StringConstraints,
    computed_field,
    model_validator,
)
from typing_extensions import TypeVar

from sessionstore.clock import Clock, as_utc, utc_now
from sessionstore.errors import SchemaError, SessionManagerError
from sessionstore.identifiers import new_id

MAX_STORY_CHARACTERS = 50_000
MAX_SCENES = 100
# The largest number that an INTEGER column holds on every engine.
MAX_INTEGER = 2**31 - 1

SECONDS_PER_HOUR = 3600

UtcDatetime = Annotated[AwareDatetime, AfterValidator(lambda moment: as_utc(moment, "a time of a session"))]
NonBlank = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


class GenerationStatus(StrEnum):
    """Where a generation stands; the values are what the `status` columns hold."""

    PENDING = "pending"
    PROCESSING = "processing"
    DOWNLOADING = "downloading"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    def is_terminal(self) -> bool:
        """True when nothing more will happen unless somebody asks for it."""
        return self in {self.COMPLETED, self.FAILED, self.CANCELLED}

    def is_active(self) -> bool:
        """True while somebody should be working on it."""
        return self in {self.PROCESSING, self.DOWNLOADING}


class MediaType(StrEnum):
    """The look of the generated media."""

    CINEMATIC = "cinematic"
    CARTOON = "cartoon"
    REALISTIC = "realistic"


class GenerationRequest(BaseModel):
    """What a user asked for: a story of 1 to 50,000 characters (outer white space is cut) in 1 to 100 scenes."""

    model_config = ConfigDict(extra="allow", hide_input_in_errors=True)

    story_text: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_STORY_CHARACTERS)]
    media_type: MediaType = MediaType.CINEMATIC
    num_scenes: int = Field(default=5, ge=1, le=MAX_SCENES)


class ScenePrompt(BaseModel):
    """One scene: its number, its texts, and where its image is once there is one."""

    model_config = ConfigDict(extra="allow", hide_input_in_errors=True)

    scene_number: int = Field(ge=0, le=MAX_INTEGER)
    title: NonBlank
    description: NonBlank
    image_prompt: NonBlank
    image_url: str | None = None
    image_path: str | None = None

    def is_generated(self) -> bool:
        """True once the provider has made the image: there is a URL."""
        return self.image_url is not None

    def is_downloaded(self) -> bool:
        """True once the image is here: there is a path."""
        return self.image_path is not None


class ProgressUpdate(BaseModel):
    """How far a generation is: step `current_step` of `total_steps`, never beyond it."""

    model_config = ConfigDict(validate_assignment=True, hide_input_in_errors=True)

    current_step: int = Field(ge=0, le=MAX_INTEGER)
    total_steps: int = Field(ge=1, le=MAX_INTEGER)
    description: str

    @model_validator(mode="after")
    def _current_never_above_total(self) -> Self:
        if self.current_step > self.total_steps:
            raise ValueError("current_step must not be above total_steps")
        return self

    @computed_field  # type: ignore[prop-decorator]  # mypy has no support for decorated properties
    @property
    def percentage(self) -> float:
        """Per cent done, one decimal."""
        return round(100 * self.current_step / self.total_steps, 1)


RequestT = TypeVar("RequestT", bound=BaseModel, default=GenerationRequest)
SceneT = TypeVar("SceneT", bound=BaseModel, default=ScenePrompt)


class GenerationSession(BaseModel, Generic[RequestT, SceneT]):
    """A snapshot of one session, from one moment of the database.

    `attempt` counts the times a worker has claimed it; `version` counts its saved changes. Instants are aware
    UTC, to the millisecond. `started_at` is when it first became active, `finished_at` when it became terminal.
    """

    model_config = ConfigDict(validate_assignment=True, hide_input_in_errors=True)

    session_id: str = Field(default_factory=lambda: new_id(utc_now()))
    status: GenerationStatus = GenerationStatus.PENDING
    request_data: RequestT
    scenes: list[SceneT] = Field(default_factory=list)
    progress: ProgressUpdate | None = None
    error_message: str | None = None
    metadata: dict[str, Any] = Field(default_factory=dict)
    created_at: UtcDatetime = Field(default_factory=utc_now)
    last_accessed: UtcDatetime = Field(default_factory=utc_now)
    updated_at: UtcDatetime = Field(default_factory=utc_now)
    started_at: UtcDatetime | None = None
    finished_at: UtcDatetime | None = None
    attempt: int = 0
    version: int = 1

    # The clock of the store that made the snapshot, so that ages agree with what the store would say. In a tuple,
    # because pydantic would bind a bare function to the session, as a method.
    _clock: tuple[Clock] = PrivateAttr(default_factory=lambda: (utc_now,))

    @classmethod
    def snapshot(cls, fields: dict[str, Any], clock: Clock) -> Self:
        """A session of values that are valid already, all fields given. For the store; ages are told by `clock`.

        As `model_construct` does it, without looking each field up again.
        """
        session = cls.__new__(cls)
        object.__setattr__(session, "__dict__", fields)
        object.__setattr__(session, "__pydantic_fields_set__", set(fields))
        object.__setattr__(session, "__pydantic_extra__", None)
        object.__setattr__(session, "__pydantic_private__", {"_clock": (clock,)})
        return session

    def get_age_hours(self) -> float:
        """Hours since the session was created."""
        return (self._clock[0]() - self.created_at).total_seconds() / SECONDS_PER_HOUR

    def get_scene_by_number(self, scene_number: int) -> SceneT | None:
        """The scene with that number, or None while it has not been saved."""
        matches = (scene for scene in self.scenes if getattr(scene, "scene_number", None) == scene_number)
        return next(matches, None)

    def get_completion_percentage(self) -> float:
        """100.0 once completed, else what the last progress tick said, else 0.0."""
        if self.status is GenerationStatus.COMPLETED:
            return 100.0
        return self.progress.percentage if self.progress else 0.0

    def is_expired(self, max_age_hours: float = 24) -> bool:
        """True past `max_age_hours`: counted from creation, or from the finish once there is one.

        A long run is not expired at the moment it finishes.
        """
        since = self.finished_at or self.created_at
        return (self._clock[0]() - since).total_seconds() > max_age_hours * SECONDS_PER_HOUR


SessionCallback = Callable[[str, GenerationSession[Any, Any]], object]
EveryProcessCallback = Callable[[str, GenerationSession[Any, Any] | None], object]


class SessionPage(BaseModel, Generic[RequestT, SceneT]):
    """One page of `list_sessions`, newest first; `next_cursor` is None on the last one."""

    sessions: list[GenerationSession[RequestT, SceneT]]
    next_cursor: str | None


class SessionChange(BaseModel, Generic[RequestT, SceneT]):
    """One item of `watch`: what happened to a session, and how the session stood when that was read.

    `event_type` is "state" (how it stands, the first item), "progress" (ticks, coalesced), or one of the history:
    created, status_changed, scene_added, scenes_set, updated, recovered; removed, expired, evicted, cleared. `status`
    and `attempt` are those right after the event; `session` may be ahead of it, and is None once it is gone.
    `occurred_at` of a state or progress is the time of the last write. `cursor` is for `watch(after=...)`: opaque text,
    of use to any process, which goes on right behind this item.
    """

    cursor: str
    event_type: str
    session_id: str
    status: GenerationStatus
    scene_number: int | None
    attempt: int
    occurred_at: UtcDatetime
    session: GenerationSession[RequestT, SceneT] | None


class TombstoneReason(StrEnum):
    """Why a session is gone."""

    EXPIRED = "expired"
    EVICTED = "evicted"
    REMOVED = "removed"
    CLEARED = "cleared"


class RunOutcome(StrEnum):
    """How one attempt of a worker at a session ended; the values are what `runs.outcome` holds."""

    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    RELEASED = "released"
    CRASHED = "crashed"


class Tombstone(BaseModel):
    """What is kept of a session that is gone: why, when, and its figures; never the story.

    The columns of table `session_tombstones`. `queue_ms` is the time from creation to the first start,
    `generation_ms` from there to the finish; both None when that never happened.
    """

    session_id: str
    reason: TombstoneReason
    status: GenerationStatus
    media_type: str | None
    num_scenes: int | None
    scenes_done: int
    attempt: int
    error_message: str | None
    created_at: UtcDatetime
    started_at: UtcDatetime | None
    finished_at: UtcDatetime | None
    queue_ms: int | None
    generation_ms: int | None
    gone_at: UtcDatetime


class Report(BaseModel):
    """An answer in rows: the columns are those of the view `report_` and its name, where it is one."""

    name: str
    columns: list[str]
    rows: list[tuple[Any, ...]]


# Of errors that a finding names, what `sessionstore check` exits with; of all others 1.
FAILED, SCHEMA_OUT_OF_DATE, DAMAGED = 1, 4, 5
EXIT_CODES = {
    "schema_revision": SCHEMA_OUT_OF_DATE,
    "schema_objects": DAMAGED,
    "integrity": DAMAGED,
    "foreign_keys": DAMAGED,
    "rows": DAMAGED,
    "audit": DAMAGED,
    "counts": DAMAGED,
    "checksums": DAMAGED,
}


class Finding(BaseModel):
    """One answer of the doctor: what was looked at, how it stands, and what to do about it.

    `repaired` says what a repair has just done.
    """

    check: str
    severity: Literal["ok", "warning", "error"]
    message: str
    remedy: str | None = None
    repaired: str | None = None

    @computed_field  # type: ignore[prop-decorator]
    @property
    def exit_code(self) -> int:
        """What `sessionstore check` exits with when nothing is worse: 0, 1, 4 (schema out of date) or 5 (damage)."""
        return EXIT_CODES.get(self.check, FAILED) if self.severity == "error" else 0

    @classmethod
    def unreadable(cls, check: str, error: Exception) -> Self:
        """What to say when it could not even be looked at."""
        return cls(
            check=check,
            severity="error",
            message=f"it could not be examined: {error}",
            remedy="stop writing to the database, keep the file, and restore a backup",
        )

    @classmethod
    def unopened(cls, error: SessionManagerError) -> Self:
        """What to say of a database that could not even be opened. Errors end with what to do, behind a semicolon."""
        if isinstance(error, SchemaError):
            check = "schema_revision"
        else:
            check = "integrity" if getattr(error, "is_damaged", False) else "opening"
        message, _, remedy = str(error).rpartition("; ")
        return cls(check=check, severity="error", message=message or remedy, remedy=remedy if message else None)
