"""What docs/reporting.md says of the views: their columns, their types, and the answers to its ten questions."""

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.dialects import postgresql

from sessionstore import CallNotSentError, Cost, MediaType, Provider
from sessionstore.persistence.views import REPORTS
from tests.history import AWKWARD_MESSAGE, TIMED_OUT, make_history, studio

GUIDE = (Path(__file__).parent.parent / "docs" / "reporting.md").read_text(encoding="utf-8")
POSTGRESQL_TYPES = {"TEXT": "text", "TIMESTAMP WITH TIME ZONE": "timestamptz", "DOUBLE PRECISION": "double precision"}
MARCH_1, MARCH_2 = "2024-03-01", "2024-03-02"


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sqlite3.Connection]:
    """The small history, opened as the guide says."""
    file = tmp_path_factory.mktemp("history") / "sessions.db"
    make_history(file)
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as connection:
        yield connection


def questions() -> list[str]:
    return re.findall(r"^```sql\n(.*?)^```", GUIDE, re.DOTALL | re.MULTILINE)


def section(heading: str) -> str:
    return GUIDE.split(f"\n{heading}\n")[1].split("\n#")[0]


def columns_in_the_guide(view: str) -> list[list[str]]:
    return table_under(f"### `{view}`")


def table_under(heading: str) -> list[list[str]]:
    """The cells of the rows below the head, without the marks of code around them."""
    lines = [line for line in section(heading).splitlines() if line.startswith("| ")]
    return [[cell.strip(" `") for cell in re.split(r"(?<!\\)\|", line.strip("|"))] for line in lines[2:]]


@pytest.mark.parametrize("name", REPORTS)
def test_the_columns_of_a_view_are_those_of_the_guide_in_its_order(name: str, database: sqlite3.Connection) -> None:
    view = REPORTS[name].table.name

    there = [row[1] for row in database.execute("SELECT * FROM pragma_table_info(?)", (view,))]

    assert [cells[0] for cells in columns_in_the_guide(view)] == there


@pytest.mark.parametrize("name", REPORTS)
def test_the_types_of_a_view_are_those_of_the_guide(name: str, database: sqlite3.Connection) -> None:
    table = REPORTS[name].table
    guide = {column: (types.split(" / "), is_null) for column, types, _, is_null in columns_in_the_guide(table.name)}

    for column, ((in_sqlite, in_postgresql), means) in guide.items():
        found = {kind for (kind,) in database.execute(f'SELECT DISTINCT typeof("{column}") FROM {table.name}')}  # noqa: S608
        declared = table.c[column].type.compile(postgresql.dialect())  # type: ignore[no-untyped-call]
        assert found - {"null"} <= {in_sqlite.lower()}, column
        assert POSTGRESQL_TYPES.get(declared, declared.lower()) == in_postgresql, column
        assert not (means == "never" and "null" in found), f"{column} is NULL, which the guide says it never is"


def test_every_view_of_the_database_is_in_the_guide_or_named_as_a_helper(database: sqlite3.Connection) -> None:
    views = {name for (name,) in database.execute("SELECT name FROM sqlite_schema WHERE type = 'view'")}

    contract = set(re.findall(r"^### `(\w+)`$", GUIDE, re.MULTILINE))
    assert contract == {view.table.name for view in REPORTS.values()}
    assert all(helper.startswith(("every_", "unsummed_")) for helper in views - contract)


INDEXES = {cells[0]: cells for cells in table_under("## What makes it fast")}


@pytest.mark.parametrize("name", INDEXES)
def test_an_index_that_the_guide_names_is_there_as_it_says(name: str, database: sqlite3.Connection) -> None:
    _, place, condition, _ = INDEXES[name]
    table, _, columns = place.partition(" ")

    schema = "SELECT sql FROM sqlite_schema WHERE name = ? AND tbl_name = ?"
    if name.startswith("pk_"):
        ((made_by,),) = database.execute(schema, (table, table))
        assert f"CONSTRAINT {name} PRIMARY KEY {columns}\n" in made_by
    else:
        ((made_by,),) = database.execute(schema, (name, table))
        assert made_by == f"CREATE INDEX {name} ON {place}" + (f" WHERE {condition}" if condition else "")


@pytest.mark.parametrize(
    ("question", "searches"),
    [
        (
            "SELECT * FROM report_sessions WHERE created_at >= '2024-03-02' AND created_at < '2024-03-03'",
            {
                "ix_sessions_created_at_session_id (created_at>? AND created_at<?)",
                "ix_session_tombstones_created_at (created_at>? AND created_at<?)",
            },
        ),
        (
            "SELECT * FROM report_failures",
            {
                "ix_sessions_status_finished_at (status=? AND finished_at>?)",
                "ix_session_tombstones_failed (finished_at>?)",
            },
        ),
    ],
    ids=["a span of creation", "failures"],
)
def test_a_report_searches_the_indexes_that_the_guide_names_for_it_and_no_other(
    question: str, searches: set[str], database: sqlite3.Connection
) -> None:
    plan = "\n".join(row[3] for row in database.execute(f"EXPLAIN QUERY PLAN {question}"))

    used = set(re.findall(r"USING (?:COVERING )?INDEX (.*)", plan))
    assert used == searches
    report = question.split()[3]
    named_for_it = {name for name, (*_, purpose) in INDEXES.items() if purpose.startswith(f"{report}`")}
    assert {search.split()[0] for search in used} == named_for_it


ANSWERS: dict[int, list[tuple[Any, ...]]] = {
    1: [
        (f"{MARCH_2} 09:00:00.000", 1, 2, 0),
        (f"{MARCH_1} 11:00:00.000", 1, 0, 1),
        (f"{MARCH_1} 08:00:00.000", 2, 1, 0),
    ],
    2: [
        ("cartoon", "generation", 2, 40_000, 60_000),
        ("cartoon", "queue", 2, 3000, 6000),
        ("cinematic", "generation", 2, 20_000, 40_000),
        ("cinematic", "queue", 2, 2000, 4000),
    ],
    3: [
        (MARCH_2, "cinematic", 1, 0, 100.0),
        (MARCH_2, "cartoon", 1, 1, 50.0),
        (MARCH_1, "cartoon", 1, 1, 50.0),
        (MARCH_1, "cinematic", 0, 2, 0.0),
    ],
    4: [
        (AWKWARD_MESSAGE, 1, f"{MARCH_2} 09:30:04.000", f"{MARCH_2} 09:30:04.000"),
        (TIMED_OUT, 1, f"{MARCH_1} 08:20:06.000", f"{MARCH_1} 08:20:06.000"),
    ],
    5: [
        (f"{MARCH_2} 09:00:00.000", 3, 0.05, 10.0),
        (f"{MARCH_1} 11:00:00.000", 2, 0.03, 30.0),
        (f"{MARCH_1} 08:00:00.000", 5, 0.08, 20.0),
    ],
    7: [(0, 3, 0), (1, 5, 3), (2, 1, 1)],
    8: [(MARCH_2, 3, 1, 0), (MARCH_1, 4, 0, 0)],
    9: [("2024-03", "images", "USD", 10, 0.4)],
    10: [
        ("completed", 1, f"{MARCH_2} 09:00:00.000"),
        ("failed", 1, f"{MARCH_2} 09:30:00.000"),
        ("pending", 1, f"{MARCH_2} 09:40:00.000"),
        ("processing", 1, f"{MARCH_2} 09:40:00.000"),
    ],
    11: [(MARCH_2, "expired", "completed", 3), (MARCH_2, "expired", "cancelled", 1), (MARCH_2, "expired", "failed", 1)],
    13: [
        ("processing", 7, 148.0, 21.1),
        ("pending", 9, 37.0, 4.1),
        ("failed", 1, 0.0, 0.0),
    ],
}


@pytest.mark.parametrize("number", ANSWERS)
def test_a_question_gets_the_answer_of_the_history(number: int, database: sqlite3.Connection) -> None:
    answer = database.execute(questions()[number - 1]).fetchall()

    assert sorted(answer, key=str) == sorted(ANSWERS[number], key=str)
    assert answer[0] == ANSWERS[number][0]


def test_what_is_stuck_is_found_with_how_long(database: sqlite3.Connection) -> None:
    ((session_id, worker, *_, quiet_minutes),) = database.execute(questions()[5])

    assert (session_id, worker) == ("b3", None)
    assert quiet_minutes > 30


def test_the_slowest_sessions_come_first(database: sqlite3.Connection) -> None:
    answer = database.execute(questions()[11]).fetchall()

    assert answer[0] == ("a4", "cartoon", "completed", 2, 1, 60.0)
    assert [row[-1] for row in answer] == [60, 40, 40, 20, 5, 3]


def test_every_question_is_tried_here() -> None:
    assert {*ANSWERS, 6, 12} == set(range(1, len(questions()) + 1))


def test_a_call_is_counted_from_its_intention_and_moves_to_its_currency_with_its_price(tmp_path: Path) -> None:
    seen: list[list[tuple[Any, ...]]] = []

    with studio(tmp_path / "sessions.db") as made:

        def look() -> None:
            costs = made.manager.report("costs")
            which = [costs.columns.index(name) for name in ("currency", "call_count", "cost_micros")]
            seen.append([tuple(row[place] for place in which) for row in costs.rows])

        def submit(request: dict[str, int]) -> str:
            look()
            if request["scene"] == 2:
                raise CallNotSentError("too many requests")
            return "job"

        def fetch(job_id: str) -> dict[str, str]:
            look()
            return {}

        def cost(request: object, result: object) -> Cost:
            return Cost(30_000 if result is None else 45_000, "USD")

        images = Provider(name="images", submit=submit, fetch=fetch, cost=cost)
        made.create("a", MediaType.CARTOON)
        with suppress(CallNotSentError), made.manager.track("a", "worker-1") as run:
            for number in (1, 2):
                run.call(images, number, {"scene": number})
        look()

    unpriced, billed = (None, 1, 0), ("USD", 1, 45_000)
    assert seen == [[unpriced], [("USD", 1, 30_000)], [unpriced, billed], [unpriced, billed]]


def test_what_a_cleanup_changes_is_what_the_guide_says(tmp_path: Path) -> None:
    file = tmp_path / "sessions.db"
    with_cleanup = _rows_before_and_after_a_cleanup(file)

    changed = {view for view, (before, after) in with_cleanup.items() if before != after}
    assert changed == {"report_sessions", "report_departures"}
    assert [row[:-2] for row in with_cleanup["report_sessions"][0]] == [
        row[:-2] for row in with_cleanup["report_sessions"][1]
    ]


def _rows_before_and_after_a_cleanup(file: Path) -> dict[str, tuple[list[Any], list[Any]]]:
    with studio(file) as made:
        made.create("done", MediaType.CARTOON)
        made.work("done", queue=1, scene=2)
        made.create("failed", MediaType.CARTOON)
        made.work("failed", queue=1, scene=2, error=TIMED_OUT)
        before = _rows_of_all_views(file)
        made.clock.advance(hours=7)
        assert made.manager.cleanup_expired_sessions() == 2
        return {view: (rows, _rows_of_all_views(file)[view]) for view, rows in before.items()}


def _rows_of_all_views(file: Path) -> dict[str, list[Any]]:
    views = [view.table.name for view in REPORTS.values()]
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as connection:
        return {view: sorted(connection.execute(f"SELECT * FROM {view}"), key=str) for view in views}  # noqa: S608
