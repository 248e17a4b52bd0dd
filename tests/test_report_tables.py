"""How a report looks to people: figures in words, lines and bars of blocks, and what a narrow terminal leaves out."""

from datetime import UTC, datetime, timedelta

import pytest

from sessionstore import Report
from sessionstore.cli.reports.highlights import with_empty_classes
from sessionstore.cli.reports.kinds import KINDS
from sessionstore.cli.reports.readable import amount, duration, share
from sessionstore.cli.reports.sparklines import bar, evenly, sparkline
from sessionstore.cli.reports.tables import LEAST_IMPORTANT, Column, fitting
from sessionstore.duration_classes import class_ends, ends_reaching, lower_end
from sessionstore.operations.reporting import NAMES
from sessionstore.persistence.views import REPORTS

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.mark.parametrize(
    ("milliseconds", "in_words"),
    [
        (0, "0 ms"),
        (454.25, "454 ms"),
        (999.6, "1.0 s"),
        (1234, "1.2 s"),
        (59_949, "59.9 s"),
        (59_951, "1 min"),
        (184_000, "3 min 4 s"),
        (3_599_600, "1 h"),
        (7_198_000, "2 h"),
        (7_260_000, "2 h 1 min"),
        (86_399_000, "24 h"),
        (273_600_000, "3 d 4 h"),
    ],
)
def test_a_duration_is_said_in_two_units_at_most(milliseconds: float, in_words: str) -> None:
    assert duration(milliseconds) == in_words


@pytest.mark.parametrize(
    ("micros", "in_words"),
    [
        (0, "0.00"),
        (40_000, "0.04"),
        (1_500, "0.0015"),
        (1, "0.000001"),
        (4_480_000, "4.48"),
        (1_234_500_000, "1,234.50"),
    ],
)
def test_an_amount_hides_no_millionth(micros: int, in_words: str) -> None:
    assert amount(micros) == in_words


def test_a_share_is_a_per_cent() -> None:
    assert share(1 / 9) == "11.1 %"


def test_a_line_is_as_high_as_its_largest_figure_and_nothing_is_no_column() -> None:
    assert sparkline([0, 1, 4, 8]) == "·▁▄█"
    assert sparkline([1000, 1]) == "█▁"
    assert sparkline([0, 0]) == "··"


def test_a_bar_shows_eighths_and_something_of_all_but_nothing() -> None:
    assert [bar(figure, 16, 2) for figure in (16, 8, 9, 1, 0)] == ["██", "█", "█▏", "▏", ""]


def test_hours_without_any_are_as_wide_as_others() -> None:
    assert evenly({NOON: 3, NOON + 3 * HOUR: 1}, HOUR, 80) == ([3, 0, 0, 1], 1)


def test_more_hours_than_there_is_room_for_are_added_up() -> None:
    figures = {NOON + number * HOUR: 1 for number in range(10)}

    assert evenly(figures, HOUR, 4) == ([3, 3, 3, 1], 3)


def test_classes_are_about_as_wide_in_every_power_of_ten() -> None:
    assert class_ends(0, 20) == [0, 1, 2, 3, 5, 7, 10, 15, 20]
    assert class_ends(700, 3000) == [700, 1000, 1500, 2000, 3000]
    assert [*ends_reaching(1_000_001)][-2:] == [1_000_000, 1_500_000]
    assert [lower_end(end) for end in (0, 1, 2, 10, 15)] == [0, 0, 1, 7, 10]


def test_a_class_without_any_between_two_others_is_a_row_too() -> None:
    report = Report(
        name="distribution",
        columns=["media_type", "measure", "up_to_ms", "session_count"],
        rows=[("cartoon", "queue", 1000, 4), ("cartoon", "queue", 3000, 1), ("cinematic", "queue", 10, 2)],
    )

    assert with_empty_classes(report).rows == [
        ("cartoon", "queue", 1000, 4),
        ("cartoon", "queue", 1500, 0),
        ("cartoon", "queue", 2000, 0),
        ("cartoon", "queue", 3000, 1),
        ("cinematic", "queue", 10, 2),
    ]


def column(name: str, width: int, text: str = "x") -> Column:
    return Column(name, name[:1], [text.ljust(width)] if text else [""], is_number=False)


def test_what_holds_nothing_goes_first_then_the_least_important() -> None:
    columns = [column("session_id", 36), column("media_type", 10), column("gone_at", 19), column("worker", 8, "")]

    assert [each.name for each in fitting(columns, 80)] == ["session_id", "media_type", "gone_at", "worker"]
    assert [each.name for each in fitting(columns, 70)] == ["session_id", "media_type", "gone_at"]
    assert [each.name for each in fitting(columns, 50)] == ["session_id", "media_type"]
    assert [each.name for each in fitting(columns, 20)] == ["session_id"]


def test_only_columns_that_there_are_can_be_left_out() -> None:
    there = {name for view in REPORTS.values() for name in view.table.c.keys()}  # noqa: SIM118 - its items are columns

    assert set(LEAST_IMPORTANT) <= there


def test_the_command_line_offers_the_reports_that_there_are() -> None:
    assert tuple(KINDS) == NAMES
