"""Metadata that is no JSON, or that no JSON column brings back."""

import logging
from typing import Any

import pytest

from sessionstore import SessionManager
from tests.bad_input.conftest import MAX_MESSAGE_CHARACTERS, SECRET, Refuses
from tests.bad_input.values import NO_JSON, NO_JSON_TYPES, TEN_MEGABYTES

REQUEST = {"story_text": "A lamp."}


@pytest.mark.parametrize("bad", NO_JSON + NO_JSON_TYPES)
def test_metadata_that_is_no_json_is_refused_whichever_way_it_comes(
    store: SessionManager, refuses: Refuses, bad: Any
) -> None:
    refuses(lambda: store.create_session(REQUEST, metadata={"note": bad}), "metadata")
    refuses(lambda: store.atomic_session_update("a", {"status": "failed", "metadata": {"note": bad}}), "metadata")
    refuses(lambda: store.with_session_lock("a", lambda session: session.metadata.update(note=bad)), "metadata")


@pytest.mark.parametrize("bad", NO_JSON + NO_JSON_TYPES)
def test_a_bulk_update_leaves_a_session_whose_metadata_became_no_json(
    store: SessionManager, caplog: pytest.LogCaptureFixture, bad: Any
) -> None:
    def spoil_the_first(session: Any) -> None:
        session.metadata = {"note": bad if session.session_id == "a" else "good"}

    with caplog.at_level(logging.ERROR):
        assert store.bulk_update_sessions(["a", "b"], spoil_the_first) == 1
    assert {each.session_id: each.metadata for each in store.list_sessions().sessions} == {
        "a": {"owner": "ann"},
        "b": {"note": "good"},
    }
    assert all(SECRET not in record.getMessage() for record in caplog.records)


@pytest.mark.parametrize(
    "bad", [7, SECRET, [SECRET], [("a", SECRET)], {SECRET}], ids=["7", "text", "list", "pairs", "set"]
)
def test_metadata_that_is_no_dictionary_is_refused(store: SessionManager, refuses: Refuses, bad: Any) -> None:
    refuses(lambda: store.create_session(REQUEST, metadata=bad), "metadata")
    refuses(lambda: store.atomic_session_update("a", {"metadata": bad}), "metadata")


@pytest.mark.parametrize("key", [TEN_MEGABYTES, "x" * 1_000_000], ids=["10 MB", "1 MB"])
def test_a_very_long_key_is_not_repeated(store: SessionManager, refuses: Refuses, key: str) -> None:
    refuses(lambda: store.create_session(REQUEST, metadata={key: float("nan")}), "metadata")
    refuses(lambda: store.create_session(REQUEST, metadata={key: {"x": object()}}), "metadata")


def test_the_names_of_ignored_updates_are_not_repeated_without_end(
    store: SessionManager, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        assert store.atomic_session_update("a", {"x" * 10_000_000: 1} | dict.fromkeys(map(str, range(1000))))
    (record,) = caplog.records
    assert len(record.getMessage()) < MAX_MESSAGE_CHARACTERS


def test_the_path_to_the_bad_value_is_named(store: SessionManager, refuses: Refuses) -> None:
    bad = {"runs": [{"cost": 1.5}, {"cost": float("inf")}]}
    refuses(lambda: store.create_session(REQUEST, metadata=bad), "metadata.runs[1].cost")


@pytest.mark.parametrize(
    "edge", [2**63 - 1, -(2**63), 1.7976931348623157e308, 5e-324, -0.0, "\0", "\N{BRIDGE AT NIGHT}"]
)
def test_the_outermost_values_that_json_can_hold_come_back(store: SessionManager, edge: Any) -> None:
    session = store.get_session(store.create_session(REQUEST, metadata={"edge": edge}))
    assert session is not None
    assert repr(session.metadata) == repr({"edge": edge})
