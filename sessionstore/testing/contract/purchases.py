"""What the ledger keeps of a call: its request, its result, and what it cost."""

import logging
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import pytest
from pydantic import AliasChoices, BaseModel, ConfigDict, Field, computed_field
from sqlalchemy import select

from sessionstore.persistence.tables import ProviderCallRow
from sessionstore.providers import Cost
from sessionstore.testing.contract.group import Execute, Manager
from sessionstore.testing.contract.studio import REQUEST, RESULT, Studio, buy, in_the_books, interrupt, raising
from sessionstore.testing.contract.tracking import TrackingGroup, begin, claim


class Style(StrEnum):
    INK = "ink"
    OIL = "oil"


class ImageRequest(BaseModel):
    """A backend's own model, with everything that its JSON does not say."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    prompt: str = Field(validation_alias=AliasChoices("text", "prompt"), serialization_alias="text")
    style: Style = Style.INK
    wanted_by: datetime
    size: tuple[int, int] = (64, 64)

    @computed_field  # type: ignore[prop-decorator]  # mypy has no support for decorated properties
    @property
    def pixels(self) -> int:
        return self.size[0] * self.size[1]


class StrictRequest(BaseModel):
    """One that takes no text for an instant, but in JSON."""

    model_config = ConfigDict(strict=True)

    wanted_by: datetime
    style: Style


MODELS = [
    ImageRequest(text="a fox", style=Style.OIL, wanted_by=datetime(2026, 1, 2, tzinfo=UTC), size=(8, 9)),
    StrictRequest(wanted_by=datetime(2026, 1, 2, tzinfo=UTC), style=Style.OIL),
]

# No JSON holds them, or brings them back.
UNSTORABLE = [
    pytest.param({1, 2}, id="set"),
    pytest.param(b"\xff", id="bytes"),
    pytest.param(object(), id="object"),
    pytest.param({"score": float("nan")}, id="nan"),
    pytest.param(2**63, id="65 bits"),
    pytest.param("\ud800", id="lone surrogate"),
    pytest.param("x" * 2_000_000, id="2 MB"),
]


class PurchasesContract(TrackingGroup):
    """Requests and results of `GenerationRun.call`, and `Provider.cost`."""

    # Requests

    @pytest.mark.parametrize("request_", MODELS, ids=lambda model: type(model).__name__)
    def test_a_request_may_be_a_pydantic_model_and_is_sent_as_one(self, manager: Manager, request_: BaseModel) -> None:
        run, studio = begin(manager), Studio()

        run.call(studio.provider(), 1, request_)

        assert studio.sent == [request_]
        assert type(studio.sent[0]) is type(request_)

    @pytest.mark.parametrize("request_", [None, True, "a fox", "7", [1.5, {"a": None}], {}, 7, 0.5], ids=repr)
    def test_a_request_may_be_whatever_json_holds(self, manager: Manager, request_: Any) -> None:
        run, studio = begin(manager), Studio()

        run.call(studio.provider(), 1, request_)

        assert studio.sent == [request_]
        assert [type(each) for each in studio.sent] == [type(request_)]
        assert [call.request for call in run.open_calls()] == [request_]

    def test_a_later_run_sends_the_model_that_was_intended(self, manager: Manager) -> None:
        run, studio = begin(manager), Studio()
        studio.on_submit = raising(TimeoutError())
        provider = studio.provider(is_repeatable=True)
        with pytest.raises(TimeoutError):
            run.call(provider, 1, MODELS[0])
        studio.on_submit = lambda: None

        run.call(provider, 1, ImageRequest(text="a hare", wanted_by=datetime(2026, 2, 1, tzinfo=UTC)))

        assert studio.sent == [MODELS[0], MODELS[0]]

    def test_a_changed_request_uses_what_was_bought_and_says_so(
        self, manager: Manager, caplog: pytest.LogCaptureFixture
    ) -> None:
        studio = Studio()
        interrupt(manager, studio)
        run = claim(manager, "gpu-2")

        with caplog.at_level(logging.WARNING):
            assert run.call(studio.provider(), 1, {"prompt": "a hare at dawn"}) == RESULT

        (record,) = caplog.records
        assert "the request has changed since call" in record.getMessage()
        assert run.session_id in record.getMessage()
        assert "hare" not in record.getMessage()
        assert (studio.sent, len(studio.asked)) == ([REQUEST], 1)

    def test_the_same_request_in_another_order_has_not_changed(
        self, manager: Manager, caplog: pytest.LogCaptureFixture
    ) -> None:
        run, studio = begin(manager), Studio()
        buy(run, studio)

        run.call(studio.provider(), 1, dict(reversed(REQUEST.items())))

        assert caplog.records == []

    @pytest.mark.parametrize("bad", UNSTORABLE)
    def test_a_request_that_cannot_be_recorded_is_not_sent(self, manager: Manager, execute: Execute, bad: Any) -> None:
        run, studio = begin(manager), Studio()

        with pytest.raises(ValueError, match="request"):
            run.call(studio.provider(), 1, bad)

        assert (studio.sent, in_the_books(execute)) == ([], [])

    # Results

    @pytest.mark.parametrize("result", [None, False, "", [], {}, "7", [1.5, {"a": None}], 0, 0.5, -(2**63)], ids=repr)
    def test_a_result_comes_back_as_it_was_now_and_later(self, manager: Manager, result: Any) -> None:
        studio = Studio()
        studio.results = [result]
        session_id = interrupt(manager, studio)

        later = buy(claim(manager, "gpu-2"), studio)

        assert (later, type(later)) == (result, type(result))
        assert len(studio.asked) == 1
        assert session_id

    def test_a_result_may_be_a_pydantic_model_and_comes_back_as_json_has_it(self, manager: Manager) -> None:
        run, studio = begin(manager), Studio()
        studio.results = [MODELS[1]]

        result = buy(run, studio)

        assert result == {"wanted_by": "2026-01-02T00:00:00Z", "style": "oil"}

    @pytest.mark.parametrize("bad", UNSTORABLE)
    def test_a_result_that_cannot_be_recorded_leaves_the_job_to_be_asked_again(
        self, manager: Manager, execute: Execute, bad: Any
    ) -> None:
        run, studio = begin(manager), Studio()
        studio.results = [bad]
        with pytest.raises(ValueError, match="result of studio"):
            buy(run, studio)
        assert in_the_books(execute) == ["submitted"]

        assert buy(run, studio) == RESULT

        assert (len(studio.sent), studio.asked) == (1, ["job-1", "job-1"])

    # Costs

    def test_the_price_is_known_with_the_submission_and_the_bill_with_the_result(
        self, manager: Manager, execute: Execute
    ) -> None:
        run, studio, seen, asked = begin(manager), Studio(), [], []

        def cost(request: Any, result: Any) -> Cost:
            asked.append((request, result))
            return Cost(40_000, "USD") if result is None else Cost(35_500, "EUR")

        def look() -> None:
            seen.extend(in_the_books(execute, ProviderCallRow.cost_micros, ProviderCallRow.currency))

        studio.on_submit = studio.on_fetch = look
        buy(run, studio, cost=cost)
        look()

        assert seen == [("intended", None, None), ("submitted", 40_000, "USD"), ("fetched", 35_500, "EUR")]
        assert asked == [(REQUEST, None), (REQUEST, RESULT)]

    def test_a_cost_of_none_leaves_what_is_known(self, manager: Manager, execute: Execute) -> None:
        run, studio = begin(manager), Studio()

        buy(run, studio, 1, cost=lambda request, result: Cost(7, "USD") if result is None else None)
        buy(run, studio, 2, cost=lambda request, result: None)
        buy(run, studio, 3)

        rows = execute(
            select(ProviderCallRow.cost_micros, ProviderCallRow.currency).order_by(ProviderCallRow.scene_number)
        )
        assert rows == [(7, "USD"), (None, None), (None, None)]

    @pytest.mark.parametrize(
        ("cost", "name"),
        [
            (Cost(-1, "USD"), "cost"),
            (Cost(10**12 + 1, "USD"), "cost"),
            (Cost(True, "USD"), "cost"),
            ((0.04, "USD"), "cost"),
            (("7", "USD"), "cost"),
            (Cost(7, "usd"), "currency"),
            (Cost(7, "DOLLAR"), "currency"),
            (Cost(7, ""), "currency"),
            (Cost(7, "ÄÖÜ"), "currency"),
        ],
        ids=repr,
    )
    def test_a_price_that_is_none_is_refused_before_anything_is_sent(
        self, manager: Manager, execute: Execute, cost: Any, name: str
    ) -> None:
        run, studio = begin(manager), Studio()

        with pytest.raises(ValueError, match=f"{name} of provider studio"):
            buy(run, studio, cost=lambda *_: cost)

        assert studio.sent == []
        assert execute(select(ProviderCallRow.cost_micros)) in ([], [(None,)])

    def test_a_price_that_cannot_be_told_holds_no_call_for_nothing_was_sent(
        self, manager: Manager, execute: Execute
    ) -> None:
        run, studio = begin(manager), Studio()

        def no_price(request: Any, result: Any) -> Cost:
            raise LookupError("no price list")

        with pytest.raises(LookupError):
            buy(run, studio, cost=no_price)

        assert buy(run, studio) == RESULT
        assert len(studio.sent) == 1

    def test_a_bill_that_cannot_be_told_loses_nothing_that_was_bought(
        self, manager: Manager, execute: Execute, caplog: pytest.LogCaptureFixture
    ) -> None:
        run, studio = begin(manager), Studio()
        assert buy(run, studio, cost=lambda request, result: Cost(7, "USD" if result is None else "?")) == RESULT
        assert in_the_books(execute, ProviderCallRow.cost_micros) == [("fetched", 7)]
        assert "currency of provider studio" in caplog.text

        assert len(studio.sent) == 1
