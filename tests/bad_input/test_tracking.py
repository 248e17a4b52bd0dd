"""Workers, leases, scene numbers, providers, calls and jobs that are none."""

from collections.abc import Callable
from typing import Any

import pytest

from sessionstore import CallHeldError, GenerationRun, LeaseLostError, Provider, SessionManager
from tests.bad_input.conftest import SECRET, Refuses
from tests.bad_input.values import BAD_IDS, BAD_STATUSES, BAD_TEXTS, NO_JSON, TEN_MEGABYTES

SCENE = {"scene_number": 3, "title": "t", "description": "d", "image_prompt": "p"}

BAD_LEASES = [
    pytest.param(bad, id=str(bad)[:20])
    for bad in (0, -1, 0.999, 86_400.001, 2**70, float("nan"), float("inf"), float("-inf"), None, "60", True, [60])
]
BAD_NUMBERS = [
    pytest.param(bad, id=str(bad)[:20]) for bad in (-1, 2**31, 2**70, 1.0, float("nan"), None, "1", True, [1])
]


def never_asked(*_: object) -> str:
    """A function of a provider that nobody may call."""
    raise AssertionError("the provider was asked")


def studio(**fields: Any) -> Provider:
    """A provider, good but for `fields`."""
    functions: dict[str, Any] = {"submit": never_asked, "fetch": never_asked}
    return Provider(**({"name": "studio"} | functions | fields))


@pytest.fixture
def run(store: SessionManager) -> GenerationRun:
    """Holds session `a`."""
    return store.track("a", "gpu-1")


@pytest.fixture
def held(store: SessionManager, run: GenerationRun) -> str:
    """A held call of session `a`, which has failed for it; its id."""
    with pytest.raises(CallHeldError), run:
        run.call(studio(), 3, {"prompt": "a lamp"})
    (call,) = store.list_held_calls()
    return call.call_id


# Claims


@pytest.mark.parametrize("bad", BAD_IDS)
def test_no_worker_has_a_name_that_cannot_be_shown(store: SessionManager, refuses: Refuses, bad: Any) -> None:
    refuses(lambda: store.claim_next_session(bad), "worker")
    refuses(lambda: store.track("a", bad), "worker")


@pytest.mark.parametrize("bad", BAD_LEASES)
def test_no_lease_is_too_short_or_endless(store: SessionManager, refuses: Refuses, bad: Any) -> None:
    refuses(lambda: store.claim_next_session("gpu-1", lease_seconds=bad), "lease_seconds")
    refuses(lambda: store.track("a", "gpu-1", lease_seconds=bad), "lease_seconds")


@pytest.mark.parametrize("good", [1, 1.0, 86_400, 1.5])
def test_the_shortest_and_the_longest_lease_are_not_too_much(store: SessionManager, good: float) -> None:
    store.track("a", "gpu-1", lease_seconds=good).complete()


@pytest.mark.parametrize("bad", BAD_IDS)
@pytest.mark.parametrize(
    "act",
    [
        lambda store, bad: store.track(bad, "gpu-1"),
        lambda store, bad: store.cancel_session(bad),
        lambda store, bad: store.retry_session(bad),
        lambda store, bad: store.retry_session(bad, [1]),
    ],
    ids=["track", "cancel", "retry", "retry scenes"],
)
def test_no_session_has_an_id_that_cannot_be_shown(
    store: SessionManager, refuses: Refuses, act: Callable[[SessionManager, Any], Any], bad: Any
) -> None:
    refuses(lambda: act(store, bad), "session_id")


@pytest.mark.parametrize("bad", BAD_IDS)
def test_bad_input_is_refused_in_an_empty_queue_too(store: SessionManager, refuses: Refuses, bad: Any) -> None:
    store.update_session_status("a", "completed")
    refuses(lambda: store.claim_next_session(bad), "worker")
    refuses(lambda: store.claim_next_session("gpu-1", lease_seconds=0), "lease_seconds")


# Retries


@pytest.mark.parametrize("bad", BAD_NUMBERS)
def test_no_scene_is_made_again_under_a_bad_number(store: SessionManager, refuses: Refuses, bad: Any) -> None:
    refuses(lambda: store.retry_session("b", [1, bad]), "scenes")


@pytest.mark.parametrize("bad", [7, SECRET, b"\1\2", True, 1.5, object()], ids=lambda bad: type(bad).__name__)
def test_scenes_to_be_made_again_are_a_list_of_numbers(store: SessionManager, refuses: Refuses, bad: Any) -> None:
    refuses(lambda: store.retry_session("b", bad), "scenes", TypeError)


def test_a_list_of_scenes_that_raises_changes_nothing(store: SessionManager, refuses: Refuses) -> None:
    def numbers() -> Any:
        yield 1
        raise LookupError("no more")

    refuses(lambda: store.retry_session("b", numbers()), "no more", LookupError)


# Runs


@pytest.mark.parametrize(
    "bad", [*BAD_STATUSES, *(pytest.param(each, id=each) for each in ("pending", "completed", "failed", "cancelled"))]
)
def test_a_run_takes_no_status_but_the_active_ones(refuses: Refuses, run: GenerationRun, bad: Any) -> None:
    refuses(lambda: run.update_status(bad), "status", ValueError)
    run.heartbeat()


@pytest.mark.parametrize("bad", BAD_TEXTS)
def test_a_run_does_not_fail_with_a_text_that_cannot_be_stored(refuses: Refuses, run: GenerationRun, bad: Any) -> None:
    refuses(lambda: run.fail(bad), "error_message")
    run.heartbeat()


@pytest.mark.parametrize(("current", "total", "name"), [(4, 3, "current_step"), (1, 0, "total_steps")])
def test_a_run_saves_no_nonsense_as_progress(
    refuses: Refuses, run: GenerationRun, current: int, total: int, name: str
) -> None:
    refuses(lambda: run.update_progress(current, total, "painting"), name)


@pytest.mark.parametrize("bad", BAD_TEXTS)
def test_a_run_saves_no_description_that_cannot_be_stored(refuses: Refuses, run: GenerationRun, bad: Any) -> None:
    refuses(lambda: run.update_progress(1, 3, bad), "description")


@pytest.mark.parametrize(
    ("field", "bad"), [("scene_number", -1), ("scene_number", SECRET), ("title", " "), ("image_prompt", None)]
)
def test_a_run_saves_no_bad_scene(refuses: Refuses, run: GenerationRun, field: str, bad: Any) -> None:
    refuses(lambda: run.add_scene(SCENE | {field: bad}), field)


@pytest.mark.parametrize("bad", [None, 7, SECRET, [SCENE]], ids=["none", "number", "text", "list"])
def test_a_run_saves_nothing_that_is_no_scene(refuses: Refuses, run: GenerationRun, bad: Any) -> None:
    refuses(lambda: run.add_scene(bad), "scene")


def test_bad_input_does_not_hide_that_the_lease_is_lost(store: SessionManager, run: GenerationRun) -> None:
    store.cancel_session("a")
    with pytest.raises(LeaseLostError):
        run.add_scene(SCENE)


# Providers and their calls


@pytest.mark.parametrize("bad", BAD_IDS)
def test_no_provider_has_a_name_that_cannot_be_shown(refuses: Refuses, bad: Any) -> None:
    refuses(lambda: studio(name=bad), "name of a provider")


@pytest.mark.parametrize("name", ["submit", "fetch"])
@pytest.mark.parametrize("bad", [None, 7, SECRET], ids=["none", "number", "text"])
def test_the_functions_of_a_provider_can_be_called(refuses: Refuses, name: str, bad: Any) -> None:
    refuses(lambda: studio(**{name: bad}), name, TypeError)


@pytest.mark.parametrize("bad", [7, SECRET, (1, "USD")], ids=["number", "text", "tuple"])
def test_the_cost_of_a_provider_is_a_function_or_none(refuses: Refuses, bad: Any) -> None:
    refuses(lambda: studio(cost=bad), "cost", TypeError)


@pytest.mark.parametrize("bad", [-1, -0.001, float("nan"), None, SECRET, [1]], ids=str)
def test_the_pause_of_a_provider_is_a_number_of_seconds(refuses: Refuses, bad: Any) -> None:
    refuses(lambda: studio(poll_seconds=bad), "poll_seconds")


@pytest.mark.parametrize("bad", [None, 7, SECRET, Provider, {"name": "studio"}], ids=lambda bad: type(bad).__name__)
def test_only_a_provider_is_called(refuses: Refuses, run: GenerationRun, bad: Any) -> None:
    refuses(lambda: run.call(bad, 3, {}), "provider", TypeError)


@pytest.mark.parametrize("bad", BAD_NUMBERS)
def test_no_call_is_made_for_a_scene_of_a_bad_number(refuses: Refuses, run: GenerationRun, bad: Any) -> None:
    refuses(lambda: run.call(studio(), bad, {}), "scene_number")


@pytest.mark.parametrize("bad", NO_JSON)
def test_no_request_is_sent_that_could_not_be_recorded(refuses: Refuses, run: GenerationRun, bad: Any) -> None:
    refuses(lambda: run.call(studio(), 3, {"seed": bad}), "request")


@pytest.mark.parametrize("bad", [object(), {SECRET}, SECRET.encode()], ids=["object", "set", "bytes"])
def test_no_request_is_sent_that_is_no_json(refuses: Refuses, run: GenerationRun, bad: Any) -> None:
    refuses(lambda: run.call(studio(), 3, bad), "request")


# Decisions


@pytest.mark.parametrize("bad", BAD_IDS)
def test_no_call_has_an_id_that_cannot_be_shown(store: SessionManager, refuses: Refuses, held: str, bad: Any) -> None:
    refuses(lambda: store.attach_job(bad, "job-1"), "call_id")
    refuses(lambda: store.allow_retry(bad), "call_id")


@pytest.mark.parametrize("bad", [*BAD_TEXTS, "", " \n", None], ids=lambda bad: repr(bad)[:12])
def test_no_job_is_attached_whose_id_cannot_be_stored(
    store: SessionManager, refuses: Refuses, held: str, bad: Any
) -> None:
    refuses(lambda: store.attach_job(held, bad), "job_id")


def test_a_bad_job_id_is_refused_for_a_call_that_is_not_there_too(store: SessionManager, refuses: Refuses) -> None:
    refuses(lambda: store.attach_job("nothing", TEN_MEGABYTES), "job_id")


# Settings


@pytest.mark.parametrize("bad", [0, -1, 1.5, None, SECRET], ids=str)
def test_max_attempts_is_a_number_from_1_up(refuses: Refuses, bad: Any) -> None:
    refuses(lambda: SessionManager(max_attempts=bad), "max_attempts")


@pytest.mark.parametrize("bad", [0, -1, float("nan"), float("inf"), SECRET, [1]], ids=str)
def test_recovery_interval_is_a_number_of_seconds(refuses: Refuses, bad: Any) -> None:
    refuses(lambda: SessionManager(recovery_interval=bad), "recovery_interval")
