"""Between the caller's pydantic models and what the columns hold. Rows end here; models begin.

Models are stored by field name and without computed fields, and each text is validated once before it is
written: what could not be read back is refused while its writer still knows what it meant.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any, Generic, Protocol

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails, from_json

from sessionstore.clock import Clock
from sessionstore.errors import SessionCorruptedError
from sessionstore.identifiers import name_in_message
from sessionstore.models import (
    MAX_INTEGER,
    GenerationSession,
    GenerationStatus,
    ProgressUpdate,
    RequestT,
    SceneT,
)
from sessionstore.persistence.payload import Limits, checked_text, json_text, model_text

_STATUSES = {status.value: status for status in GenerationStatus}
_make_progress = ProgressUpdate.__pydantic_validator__.validate_python

# In one message: the first ones tell the mistake, and a message has an end.
MAX_FAULTS_NAMED = 5

NO_LONGER_VALID = "no longer validates"


class SessionColumns(Protocol):
    """The columns of a `sessions` row that a session is made of."""

    session_id: str
    status: str
    progress_step: int | None
    progress_total: int | None
    progress_description: str | None
    attempt: int
    version: int
    created_at: datetime
    last_accessed: datetime
    updated_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    error_message: str | None
    metadata: str
    request_data: str


@dataclass(frozen=True, slots=True)
class EncodedRequest:
    """A request as its columns: the JSON, and what reports filter by when the model has it."""

    text: str
    media_type: str | None
    num_scenes: int | None

    def columns(self) -> dict[str, Any]:
        return {"request_data": self.text, "media_type": self.media_type, "num_scenes": self.num_scenes}


@dataclass(frozen=True, slots=True)
class EncodedScene:
    """A scene as its columns."""

    scene_number: int
    text: str


class SessionCodec(Generic[RequestT, SceneT]):
    """Encodes and decodes the parts of a session for one request model and one scene model. Stateless."""

    def __init__(self, request_model: type[RequestT], scene_model: type[SceneT], clock: Clock, limits: Limits) -> None:
        for model, name in ((request_model, "request_model"), (scene_model, "scene_model")):
            if not (isinstance(model, type) and issubclass(model, BaseModel)):
                raise TypeError(f"{name} must be a pydantic model class")
        if "scene_number" not in scene_model.model_fields:
            raise TypeError("scene_model needs a field scene_number: it says which scene is replaced")
        self._request_model = request_model
        self._scene_model = scene_model
        self._session_model = GenerationSession[request_model, scene_model]  # type: ignore[valid-type]
        self._clock = clock
        self.limits = limits

    # Encoding: what cannot be stored raises ValueError, which pydantic's ValidationError is too.

    def encode_request(self, request: object) -> EncodedRequest:
        """`request`, an instance of the request model or what it validates from."""
        model, text = self._encode(self._request_model, request, "request")
        media_type = getattr(model, "media_type", None)
        num_scenes = getattr(model, "num_scenes", None)
        return EncodedRequest(
            text,
            None if media_type is None else checked_text(str(media_type), "media_type", 255),
            num_scenes if isinstance(num_scenes, int) and abs(num_scenes) <= MAX_INTEGER else None,
        )

    def encode_scene(self, scene: object) -> EncodedScene:
        """`scene`, an instance of the scene model or what it validates from."""
        model, text = self._encode(self._scene_model, scene, "scene")
        scene_number = getattr(model, "scene_number", None)
        if not isinstance(scene_number, int) or not 0 <= scene_number <= MAX_INTEGER:
            raise ValueError(f"scene_number must be an integer from 0 to {MAX_INTEGER}")
        return EncodedScene(scene_number, text)

    def encode_scenes(self, scenes: Iterable[object]) -> list[EncodedScene]:
        """All of `scenes`, in order; a number given twice is refused."""
        if isinstance(scenes, str | Mapping) or not isinstance(scenes, Iterable):
            raise TypeError(f"scenes must be a list of scenes, not {type(scenes).__name__}")
        encoded = [self.encode_scene(scene) for scene in islice(scenes, self.limits.scenes + 1)]
        self.require_room(len(encoded))
        times_given = Counter(scene.scene_number for scene in encoded)
        twice = [number for number, times in times_given.items() if times > 1]
        if twice:
            raise ValueError(f"scene_number must be given once each; given again: {twice[:MAX_FAULTS_NAMED]}")
        return encoded

    def require_room(self, scenes: int) -> None:
        """Raises ValueError when a session may not have so many."""
        if scenes > self.limits.scenes:
            raise ValueError(f"scenes: a session has at most {self.limits.scenes:,} (setting max_scenes)")

    def encode_metadata(self, metadata: object) -> str:
        """`metadata`, a JSON object."""
        if not isinstance(metadata, Mapping):
            raise TypeError(f"metadata must be a dict, not {type(metadata).__name__}")
        return json_text(dict(metadata), "metadata", self.limits)

    def encode_progress(self, progress: object) -> dict[str, Any]:
        """The three progress columns; None empties them."""
        if progress is None:
            return {"progress_step": None, "progress_total": None, "progress_description": None}
        if isinstance(progress, ProgressUpdate):
            progress = progress.model_dump(round_trip=True, warnings=False)
        try:
            valid: ProgressUpdate = _make_progress(progress)
        except ValidationError as error:
            raise _named(error, "progress") from None
        return {
            "progress_step": valid.current_step,
            "progress_total": valid.total_steps,
            "progress_description": checked_text(valid.description, "description", self.limits.bytes),
        }

    def encode_document(self, document: object, name: str) -> str:
        """A pydantic model, or whatever else JSON can hold."""
        if isinstance(document, BaseModel):
            return model_text(document, name, self.limits)
        return json_text(document, name, self.limits)

    def checked_text(self, text: object, name: str) -> str:
        """Text that a column can hold."""
        return checked_text(text, name, self.limits.bytes)

    def encode_error_message(self, error_message: object) -> str | None:
        """The text of an error, or None."""
        return None if error_message is None else checked_text(error_message, "error_message", self.limits.bytes)

    def is_same_request(self, stored: str, given: EncodedRequest) -> bool:
        """Whether two stored requests ask for the same, whatever the order of their fields.

        Compared as text: to Python, 1 and true are equal.
        """
        return stored == given.text or _sorted_text(stored) == _sorted_text(given.text)

    def _encode(self, model: type[BaseModel], value: object, name: str) -> tuple[BaseModel, str]:
        # The exact type first: asking whether a value is of an abstract one costs a microsecond.
        if type(value) is not model and not isinstance(value, BaseModel | Mapping):
            raise TypeError(f"{name} must be a {model.__name__}, not {type(value).__name__}")
        try:
            given = value if type(value) is model or isinstance(value, BaseModel) else model.model_validate(value)
            text = model_text(given, name, self.limits)
            return _read(model, text), text
        except ValidationError as error:
            raise _named(error, name) from None

    # Decoding: what does not validate raises SessionCorruptedError.

    def decode_session(self, row: SessionColumns, payloads: Iterable[str]) -> GenerationSession[Any, Any]:
        """The session of one row and of its scenes' payloads, in their order.

        Raises:
            SessionCorruptedError: naming the part that no longer validates.
        """
        try:
            where = "state"
            status = _STATUSES[row.status]
            _require_types(row)
            where = "request_data"
            request = _read(self._request_model, row.request_data)
            where = "scenes"
            scenes = [_read(self._scene_model, payload) for payload in payloads]
            where = "metadata"
            metadata = self.decode_metadata(row.metadata)
            where = "progress"
            progress = self._decode_progress(row)
        except (ValueError, KeyError) as error:
            is_unfit = isinstance(error, ValidationError) and where in {"request_data", "scenes"} and _is_json(error)
            faults = f" ({_named(error, where)})" if isinstance(error, ValidationError) else ""
            raise corrupted(row.session_id, where, NO_LONGER_VALID + faults, is_unfit=is_unfit) from None
        # All that is in it has been looked at; to have it validated again would cost as much as reading three scenes.
        return self._session_model.snapshot(
            {
                "session_id": row.session_id,
                "status": status,
                "request_data": request,
                "scenes": scenes,
                "progress": progress,
                "error_message": row.error_message,
                "metadata": metadata,
                "created_at": row.created_at,
                "last_accessed": row.last_accessed,
                "updated_at": row.updated_at,
                "started_at": row.started_at,
                "finished_at": row.finished_at,
                "attempt": row.attempt,
                "version": row.version,
            },
            self._clock,
        )

    def decode_request(self, text: str) -> BaseModel:
        return _read(self._request_model, text)

    def decode_scene(self, text: str) -> BaseModel:
        return _read(self._scene_model, text)

    def decode_metadata(self, text: str) -> dict[str, Any]:
        metadata = from_json(text)
        if not isinstance(metadata, dict):
            raise ValueError("metadata is no JSON object")
        return metadata

    def _decode_progress(self, row: SessionColumns) -> ProgressUpdate | None:
        if row.progress_step is None:
            return None
        progress: ProgressUpdate = _make_progress(
            {
                "current_step": row.progress_step,
                "total_steps": row.progress_total,
                "description": row.progress_description,
            }
        )
        return progress


def corrupted(
    session_id: str, where: str, why: str = NO_LONGER_VALID, *, is_unfit: bool = False
) -> SessionCorruptedError:
    """What to say of a session of which a part cannot be read any more. To be raised from nothing.

    Not from the error that told so: what pydantic and the JSON parser say repeats what is stored.
    """
    return SessionCorruptedError(
        f"session {session_id!r}: the stored {where} {why}; "
        "recover_corrupted_session() resets it and keeps what is still good",
        session_id=session_id,
        where=where,
        is_unfit=is_unfit,
    )


def _is_json(error: ValidationError) -> bool:
    details = error.errors(include_url=False, include_context=False, include_input=False)
    return all(detail["type"] != "json_invalid" for detail in details)


def _read(model: type[BaseModel], text: str) -> BaseModel:
    """By field name, as everything is stored. The method around the validator costs a third of what it wraps."""
    valid: BaseModel = model.__pydantic_validator__.validate_json(text, by_name=True, by_alias=False)
    return valid


def _require_types(row: SessionColumns) -> None:
    """SQLite keeps what it is given: a column's type is only what was meant to be in it."""
    if type(row.attempt) is not int or type(row.version) is not int:
        raise ValueError("a count is no integer")
    if row.error_message is not None and type(row.error_message) is not str:
        raise ValueError("error_message is no text")


def _named(error: ValidationError, name: str) -> ValueError:
    """Says in one line which fields do not validate, and why; pydantic's own message takes three for each."""
    details = error.errors(include_url=False, include_context=False, include_input=False)
    faults = [f"{name}{''.join(map(_step, detail['loc']))}: {_complaint(detail)}" for detail in details]
    more = f" (and {len(faults) - MAX_FAULTS_NAMED} more)" if len(faults) > MAX_FAULTS_NAMED else ""
    return ValueError("; ".join(faults[:MAX_FAULTS_NAMED]) + more)


def _step(step: int | str) -> str:
    """Of a path: a field, an index, or a key of a dictionary, which is a value of somebody's."""
    return f".{step}" if isinstance(step, int) else f".{name_in_message(step)}"


def _complaint(detail: ErrorDetails) -> str:
    # What a mapping's own method raised stands behind a comma, and may say anything.
    return detail["msg"].partition(", error: ")[0] if detail["type"] == "mapping_type" else detail["msg"]


def fingerprint_of(document: str) -> str:
    """The SHA-256 of a JSON text, whatever the order of its fields."""
    return hashlib.sha256(_sorted_text(document).encode()).hexdigest()


def _sorted_text(document: str) -> str:
    return json.dumps(from_json(document), sort_keys=True)
