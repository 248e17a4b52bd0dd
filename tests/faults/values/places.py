"""Every argument of `SessionManager` that a value can be handed in by, and what the store has of it afterwards."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter
from pydantic_core import to_jsonable_python

from sessionstore import GenerationRequest
from sessionstore.models import NonBlank
from tests.faults.values.stage import REQUEST, SCENE, Stage

Act = Callable[[Stage, Any], object]
Read = Callable[[Stage], Any]
Means = Callable[[Any], Any]

_TEXT, _INTEGER, _STRIPPED = TypeAdapter(str | None), TypeAdapter(int), TypeAdapter(NonBlank)


def itself(value: Any) -> Any:
    """What comes back of most values."""
    return value


def as_text(value: Any) -> Any:
    """What pydantic makes of a value where a model wants text: bytes are decoded."""
    return _TEXT.validate_python(value)


def stripped(value: Any) -> Any:
    """The same, where outer white space is cut."""
    return _STRIPPED.validate_python(value)


def as_integer(value: Any) -> Any:
    """What pydantic makes of a value where a model wants an integer: True is 1, and "5" is 5."""
    return _INTEGER.validate_python(value)


def in_json(value: Any) -> Any:
    """What pydantic makes of a value where a model declares nothing: text of a date, a list of a set."""
    return to_jsonable_python(value)


@dataclass(frozen=True)
class Place:
    """`act(stage, value)` hands a value in, and `read(stage)` looks at what came of one that was accepted.

    `means(value)` is what that has to be. `names` where messages may repeat the value: ids, and paths. `asks` where the
    value's own methods are asked, whose errors pass through: what is gone through, keys, and enumerations of pydantic.
    """

    act: Act
    read: Read | None = None
    means: Means = itself
    names: bool = False
    asks: bool = False


PLACES: dict[str, Place] = {}
MADE_ID = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")

# Which of them name no session, or are given one here.
WITHOUT_SESSION = {
    *("create_session", "get_sessions_by_status", "list_sessions", "attach_job", "allow_retry", "bulk_update_sessions"),
    *("count_expired_sessions", "cleanup_completed_sessions", "claim_next_session"),
    *(
        "report",
        "backup",
        "snapshot",
        "register_session_callback",
        "unregister_session_callback",
        "reconfigure",
        "check",
    ),
}


def place(
    method: str,
    argument: str,
    note: str = "",
    read: Read | None = None,
    means: Means = itself,
    *,
    around: Means = itself,
    starting: str = "pending",
    names: bool = False,
    asks: bool = False,
    **given: Any,
) -> None:
    """Notes an argument of a method of the manager. `around(value)` is what is handed in, when `value` stands in it."""

    def act(stage: Stage, value: Any) -> None:
        needs_session = method not in WITHOUT_SESSION and argument != "session_id"
        target = {"session_id": stage.new_target(starting)} if needs_session else {}
        stage.answer = getattr(stage.manager, method)(**target | given | {argument: around(value)})
        if method == "create_session":
            stage.target = stage.answer
        if hasattr(stage.answer, "close"):
            stage.answer.close()
        if method == "reconfigure":
            stage.manager.reconfigure(cleanup_interval=3600)

    PLACES[f"{method}({argument}){f': {note}' if note else ''}"] = Place(act, read, means, names, asks)


def field_of(part: str, name: str) -> Read:
    """Reads a field of the target's request, or of its last scene."""
    return lambda stage: getattr(stage.scene() if part == "scene" else stage.session().request_data, name)


def of_session(name: str) -> Read:
    return lambda stage: getattr(stage.session(), name)


def step(name: str) -> Read:
    return lambda stage: getattr(stage.session().progress, name)


def adding(known: dict[str, Any], name: str) -> Means:
    """A request or scene that is good but for one field."""
    return lambda value: known | {name: value}


def putting(name: str) -> Means:
    """An operation that puts the value into a session, past the model's own validation."""
    return lambda value: lambda session: session.__dict__.update({name: value})


# Ids

for each in ("get_session", "remove_session", "find_tombstone", "cancel_session", "retry_session", "watch"):
    place(each, "session_id", names=True)
place("recover_corrupted_session", "session_id", names=True)
place("update_session_status", "session_id", names=True, status="failed")
place("update_session_progress", "session_id", names=True, current_step=1, total_steps=2, description="")
place("add_scene_to_session", "session_id", names=True, scene=SCENE)
place("set_session_scenes", "session_id", names=True, scenes_=[SCENE])
place("track", "session_id", names=True, worker="gpu-1")
place("with_session_lock", "session_id", names=True, operation=print)
place("atomic_session_update", "session_id", names=True, updates={"metadata": {}})
place("wait_for", "session_id", names=True, timeout=0)
# None has one made.
PLACES["create_session(session_id)"] = Place(
    lambda stage, value: setattr(stage, "target", stage.manager.create_session(REQUEST, session_id=value)),
    lambda stage: None if MADE_ID.fullmatch(stage.target) else stage.session().session_id,
    names=True,
)
place("create_session", "idempotency_key", names=True, request=REQUEST)
place("attach_job", "call_id", names=True, job_id="job-1")
place("allow_retry", "call_id", names=True)
place("track", "worker", "", lambda stage: stage.answer.worker, names=True)
place("claim_next_session", "worker", names=True)

# Requests and metadata

place("create_session", "request")
for name, means in (("story_text", stripped), ("num_scenes", as_integer), ("more", in_json)):
    place("create_session", "request", name, field_of("request", name), means, around=adding(REQUEST, name))
place("create_session", "request", "media_type", around=adding(REQUEST, "media_type"), asks=True)
place("create_session", "request", "name of a field", around=lambda value: REQUEST | {value: 1}, asks=True)
place(
    "create_session",
    "request",
    "field of a model",
    field_of("request", "more"),
    in_json,
    around=lambda value: GenerationRequest(story_text="A lamp.", more=value),
)
place(
    "create_session",
    "request",
    "past validation",
    around=lambda value: GenerationRequest.model_construct(story_text=value),
)
place(
    "create_session",
    "metadata",
    "",
    of_session("metadata"),
    lambda value: {} if value is None else value,
    request=REQUEST,
)
place(
    "create_session",
    "metadata",
    "in it",
    lambda stage: stage.session().metadata["k"][1],
    around=lambda value: {"k": [0, value]},
    request=REQUEST,
)
place(
    "create_session",
    "metadata",
    "key",
    of_session("metadata"),
    lambda value: {value: 1},
    around=lambda value: {value: 1},
    asks=True,
    request=REQUEST,
)

# Status and progress

place("update_session_status", "status", "", of_session("status"))
place("update_session_status", "error_message", "", of_session("error_message"), status="failed")
place("update_session_status", "expected_status", status="failed")
TICK: dict[str, Any] = {"current_step": 0, "total_steps": 2**31 - 1, "description": ""}
for name, means in (("current_step", as_integer), ("total_steps", as_integer), ("description", as_text)):
    rest = {known: value for known, value in TICK.items() if known != name}
    place("update_session_progress", name, "", step(name), means, **rest)

# Scenes

place("add_scene_to_session", "scene")
for name, means in (("scene_number", as_integer), ("title", stripped), ("image_url", as_text), ("more", in_json)):
    place("add_scene_to_session", "scene", name, field_of("scene", name), means, around=adding(SCENE, name))
place("set_session_scenes", "scenes_", asks=True)
place("set_session_scenes", "scenes_", "second", around=lambda value: [SCENE, value])
place("retry_session", "scenes", starting="failed", asks=True)
place("retry_session", "scenes", "one", around=lambda value: [value], starting="failed")

# Several at once

place("with_session_lock", "operation", asks=True)
place("atomic_session_update", "updates", asks=True)
place("atomic_session_update", "updates", "key", around=lambda value: {value: 1}, asks=True)
for name in ("status", "error_message", "metadata", "scenes", "progress", "request_data"):
    is_read_back = name in {"status", "error_message", "metadata"}
    read = of_session(name) if is_read_back else None
    place("atomic_session_update", "updates", name, read, around=adding({}, name), asks=name == "scenes")
    place("with_session_lock", "operation", f"puts {name}", read, around=putting(name), asks=name == "scenes")
place("bulk_update_sessions", "session_ids", operation=print, names=True, asks=True)
place("bulk_update_sessions", "session_ids", "one", around=lambda value: [value], operation=print, names=True)
place("bulk_update_sessions", "operation", session_ids=["nobody"])

# Looking, following and clearing up

place("get_sessions_by_status", "status")
for name in ("status", "media_type", "created_after", "created_before", "limit", "cursor"):
    place("list_sessions", name)
place("report", "name")
for name in ("since", "until", "media_type", "limit"):
    place("report", name, name="sessions")
place("report", "session_id", name="timeline", names=True)
place("watch", "after")
place("watch", "timeout")
place("wait_for", "timeout", starting="failed")
place("claim_next_session", "lease_seconds", worker="gpu-1")
place("track", "lease_seconds", worker="gpu-1")
place("attach_job", "job_id", call_id="nothing")
for each in ("count_expired_sessions", "cleanup_completed_sessions"):
    place(each, "max_age_hours")
place("register_session_callback", "event_type", callback=print)
place("register_session_callback", "every_process", asks=True, event_type="evicted", callback=print)
place("unregister_session_callback", "event_type", callback=print)
place("unregister_session_callback", "callback", event_type="created")
PLACES["register_session_callback(callback)"] = Place(
    lambda stage, value: (
        stage.manager.register_session_callback("evicted", value),
        stage.manager.unregister_session_callback("evicted", value),
    )
)
place("reconfigure", "cleanup_interval")
place("check", "deep", asks=True)
for each in ("backup", "snapshot"):
    place(each, "path", names=True)
