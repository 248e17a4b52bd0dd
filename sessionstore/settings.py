"""Every value that can be chosen: as an argument, in the environment (`SESSIONSTORE_...`), or by default."""

import difflib
import os
import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from sessionstore.identifiers import name_in_message

ENVIRONMENT_PREFIX = "SESSIONSTORE_"
# Variables for the test suite, which are no settings of a store.
TEST_PREFIX = "SESSIONSTORE_TEST_"
# Which SQLite all stores of a process run on. No setting, for a store cannot have its own.
SQLITE_LIBRARY_VARIABLE = "SESSIONSTORE_SQLITE_LIBRARY"


def _none_by_name(value: object) -> object:
    return None if type(value) is str and value.strip().lower() in {"none", "unbounded"} else value


OrNone = BeforeValidator(_none_by_name)


class Settings(BaseSettings):
    """The settings of a store. Names carry their unit, but for the two that the ancestor named."""

    model_config = SettingsConfigDict(
        env_prefix=ENVIRONMENT_PREFIX, extra="forbid", frozen=True, hide_input_in_errors=True
    )

    database_url: str = Field("sqlite:///sessionstore.db", strict=True, description="where the sessions are kept")
    max_sessions: Annotated[int | None, OrNone] = Field(
        100, ge=1, description="capacity; none (or unbounded) for no limit"
    )
    eviction: Literal["oldest", "finished", "reject"] = Field(
        "oldest", description="what a full store does: forget the oldest, only finished ones, or refuse"
    )
    cleanup_interval: Annotated[float | None, OrNone] = Field(
        3600,
        gt=0,
        allow_inf_nan=False,
        description="seconds between scheduled cleanups; none for no schedule",
    )
    cleanup_batch_sessions: int = Field(
        500, ge=1, le=10_000, description="sessions that one cleanup transaction deletes at most"
    )
    session_max_age_hours: float = Field(
        24, ge=0, allow_inf_nan=False, description="an unfinished session expires so long after its creation"
    )
    failed_retention_hours: float = Field(
        1, ge=0, allow_inf_nan=False, description="a failed session expires so long after it failed"
    )
    completed_retention_hours: float = Field(
        6, ge=0, allow_inf_nan=False, description="a completed session expires so long after its completion"
    )
    cancelled_retention_hours: float = Field(
        6, ge=0, allow_inf_nan=False, description="a cancelled session expires so long after it was cancelled"
    )
    event_retention_days: float = Field(
        30, ge=0, allow_inf_nan=False, description="rows of session_events are kept so long"
    )
    tombstone_retention_days: float = Field(
        365, ge=0, allow_inf_nan=False, description="rows of session_tombstones are kept so long"
    )
    stuck_after_minutes: float = Field(
        30, ge=0, allow_inf_nan=False, description="a processing session without a write for so long is stuck"
    )
    recovery_interval: Annotated[float | None, OrNone] = Field(
        1,
        gt=0,
        allow_inf_nan=False,
        description="seconds between two looks for sessions whose worker died; none for no looks",
    )
    max_attempts: int = Field(
        3, ge=1, description="a session whose workers died so often in a row is failed instead of tried again"
    )
    summary_interval: Annotated[float | None, OrNone] = Field(
        1,
        gt=0,
        allow_inf_nan=False,
        description="seconds between two looks whether events are to be summed up; none for cleanups only",
    )
    durability: Literal["full", "normal"] = Field(
        "full",
        description="full: every write is on disk when it returns; normal: a power cut may lose the last",
    )
    lock_timeout: float = Field(
        30,
        gt=0,
        allow_inf_nan=False,
        description="seconds a write waits for its turn before SessionLockError",
    )
    touch_interval: float = Field(
        5, gt=0, allow_inf_nan=False, description="seconds within which access times are saved"
    )
    auto_migrate: bool = Field(
        True, description="whether opening a database brings its schema up to date, or only checks it"
    )
    max_payload_bytes: int = Field(
        1_048_576,
        ge=1024,
        description="the largest request, scene, metadata or text that is accepted, as JSON in UTF-8",
    )
    # 150: what looks through a document calls itself for each level, twice, and Python allows 1,000 calls in all.
    max_payload_depth: int = Field(64, ge=1, le=150, description="how deep lists and objects in one may be nested")
    max_scenes: int = Field(10_000, ge=1, description="scenes that a session may have")
    max_bulk_sessions: int = Field(10_000, ge=1, description="ids that bulk_update_sessions takes at once")
    # 50 is what list_sessions gives to who names no limit.
    max_page_sessions: int = Field(
        1000, ge=50, le=100_000, description="sessions that list_sessions gives at once, at most"
    )

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        for name, value in super().__repr_args__():
            yield name, without_secrets(value) if name == "database_url" else value


# Of a URL: the password, or a token in place of a name, whatever it holds; and options that are named like a secret.
_LOGIN = re.compile(r"(://(?!/)(?:[^/@:]*:)?).*@", re.DOTALL)
_SECRET_OPTION = re.compile(r"([?&;][^=&;]*(?:pass|pwd|secret|token|key)[^=&;]*=)[^&;]*", re.IGNORECASE)


def without_secrets(database_url: str) -> str:
    """The URL as it may be shown."""
    return _SECRET_OPTION.sub(r"\1***", _LOGIN.sub(r"\1***@", database_url))


def load_settings(settings: Settings | None = None, **given: Any) -> Settings:
    """`given`, over `settings` or else the environment, over the defaults.

    Raises:
        TypeError: when `settings` are none.
        ValueError: naming each field or variable that is unknown or out of range; values are not repeated.
    """
    if settings is not None and not isinstance(settings, Settings):
        raise TypeError(f"settings must be a Settings, not {type(settings).__name__}")
    unknown = [name for name in given if name not in Settings.model_fields]
    if unknown:
        name = name_in_message(unknown[0])
        near = difflib.get_close_matches(name, Settings.model_fields, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise ValueError(f"{name} is no setting of sessionstore{hint}")
    if settings is not None:
        given = settings.model_dump() | given
    else:
        _refuse_unknown_variables()
    try:
        return Settings(**given)
    except ValidationError as error:
        raise ValueError("; ".join(_sentence(detail, given) for detail in error.errors())) from None


def _refuse_unknown_variables() -> None:
    known = {SQLITE_LIBRARY_VARIABLE} | {ENVIRONMENT_PREFIX + name.upper() for name in Settings.model_fields}
    for variable in sorted(os.environ):
        name = variable.upper()
        if name.startswith(ENVIRONMENT_PREFIX) and not name.startswith(TEST_PREFIX) and name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]}?" if near else "`sessionstore config` lists those there are"
            shown = name_in_message(variable)
            raise ValueError(f"the environment variable {shown} is no setting of sessionstore; {hint}")


def _sentence(detail: Any, given: dict[str, Any]) -> str:
    name = str(detail["loc"][0])
    source = name if name in given else f"{name} (environment variable {ENVIRONMENT_PREFIX}{name.upper()})"
    return f"{source}: {detail['msg'][0].lower()}{detail['msg'][1:]}"
