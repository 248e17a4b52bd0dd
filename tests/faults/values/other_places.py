"""Where else a value can be handed in: to runs, providers, settings, pools, and the helpers for tests."""

from collections.abc import Callable
from typing import Any

from sessionstore import Cost, SessionManager, Settings
from sessionstore.settings import load_settings
from sessionstore.testing import wait_for_cleanup
from sessionstore.worker import WorkerPool, generate
from tests.faults.values.places import Place, as_text, field_of, in_json, of_session, step, stripped
from tests.faults.values.stage import SCENE, Stage, studio

OTHER_PLACES: dict[str, Place] = {}

# Wrong by design where they are accepted: a clock that is none of these types is asked for the time at once.
NO_URL = "sqlite:///?"


def bought(stage: Stage, *, request: Any = None, scene_number: Any = 1, **fields: Any) -> None:
    """Makes a paid call in a run of a new target."""
    stage.answer = stage.new_run().call(studio(**fields), scene_number, request)


def set_to(name: str) -> Callable[[Stage, Any], None]:
    """Hands a value in as a setting; no store is opened with it."""

    def act(stage: Stage, value: Any) -> None:
        stage.answer = getattr(load_settings(**{name: value}), name)

    return act


def _not_none(value: Any) -> Any:
    """None is the system's clock."""
    return 7 if value is None else value


def the_answer(stage: Stage) -> Any:
    return stage.answer


OTHER_PLACES |= {
    "run.update_status": Place(lambda stage, value: stage.new_run().update_status(value)),
    "run.fail": Place(lambda stage, value: stage.new_run().fail(value), of_session("error_message")),
    "run.add_scene": Place(lambda stage, value: stage.new_run().add_scene(value)),
    "run.add_scene: title": Place(
        lambda stage, value: stage.new_run().add_scene(SCENE | {"title": value}), field_of("scene", "title"), stripped
    ),
    "run.update_progress: step": Place(lambda stage, value: stage.new_run().update_progress(value, 2**31 - 1, "")),
    "run.update_progress: description": Place(
        lambda stage, value: stage.new_run().update_progress(0, 1, value), step("description"), as_text
    ),
    "run.call: provider": Place(lambda stage, value: stage.new_run().call(value, 1, None)),
    "run.call: scene_number": Place(lambda stage, value: bought(stage, scene_number=value)),
    "run.call: request": Place(
        lambda stage, value: bought(stage, request=[value], submit=stage.note_request),
        lambda stage: stage.sent[0],
    ),
    "run.call: result": Place(lambda stage, value: bought(stage, fetch=lambda job: value), the_answer, in_json),
    "run.call: in the result": Place(
        lambda stage, value: bought(stage, fetch=lambda job: {"k": value}), lambda stage: stage.answer["k"], in_json
    ),
    "run.call: job": Place(lambda stage, value: bought(stage, submit=lambda sent: value)),
    "run.call: cost": Place(lambda stage, value: bought(stage, cost=lambda *_: value)),
    "run.call: micros": Place(lambda stage, value: bought(stage, cost=lambda *_: Cost(value, "USD"))),
    "run.call: currency": Place(lambda stage, value: bought(stage, cost=lambda *_: Cost(1, value))),
    "generate": Place(lambda stage, value: generate(stage.new_run(), lambda run: [value])),
    "generate: returns": Place(lambda stage, value: generate(stage.new_run(), lambda run: value), asks=True),
    "pool: name": Place(lambda stage, value: WorkerPool(stage.manager, print, name=value), names=True),
    "pool: threads": Place(lambda stage, value: WorkerPool(stage.manager, print, name="pool", threads=value)),
    "pool: generator": Place(lambda stage, value: WorkerPool(stage.manager, value, name="pool")),
    "pool: lease": Place(lambda stage, value: WorkerPool(stage.manager, print, name="pool", lease_seconds=value)),
    "pool: poll": Place(lambda stage, value: WorkerPool(stage.manager, print, name="pool", poll_seconds=value)),
    "settings": Place(lambda stage, value: load_settings(value if value is not None else object())),  # type: ignore[arg-type]
    "settings: a name": Place(lambda stage, value: load_settings(None, **{value: 1}), asks=True),
    "manager: database_url": Place(lambda stage, value: SessionManager(database_url=[value])),  # type: ignore[arg-type]
    "manager: path": Place(lambda stage, value: SessionManager(database_url="sqlite://" + value)),
    "manager: request_model": Place(lambda stage, value: SessionManager(request_model=value, database_url=NO_URL)),
    "manager: clock": Place(
        lambda stage, value: SessionManager(clock=_not_none(value), database_url=NO_URL), asks=True
    ),
    "create_with_config": Place(lambda stage, value: SessionManager.create_with_config({"database_url": [value]})),
    "wait_for_cleanup": Place(lambda stage, value: wait_for_cleanup(stage.manager, value)),
}
for field, is_named in (("name", True), ("submit", False), ("fetch", False), ("cost", False), ("poll_seconds", False)):
    OTHER_PLACES[f"provider: {field}"] = Place(
        lambda stage, value, field=field: studio(**{field: value}),  # type: ignore[misc]  # bound here
        names=is_named,
    )
OTHER_PLACES["provider: is_repeatable"] = Place(lambda stage, value: bought(stage, is_repeatable=value))
for name in Settings.model_fields:
    OTHER_PLACES[f"setting {name}"] = Place(set_to(name))
