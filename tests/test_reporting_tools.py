"""The tools people have: each reads the views unchanged, gets numbers for numbers, and the rows of `manager.report`."""

import importlib.resources
import json
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import date, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import duckdb
import pandas
import pytest

from sessionstore import GenerationRequest, SessionManager
from sessionstore.operations import interrupted
from sessionstore.persistence.views import REPORTS
from sessionstore.testing import ManualClock
from sessionstore.testing.contract.days import Song, TwoDays
from tests.dumps import text_of

pytestmark = pytest.mark.xdist_group("reporting tools")

Rows = list[tuple[Any, ...]]

# What tools take a column for, by how its name ends; all others are text.
KINDS = {"_at": "instant", "day": "day", "_count": "integer", "_micros": "integer", "_step": "integer"}
FLOATS = ("_ratio", "avg_queue_ms", "avg_generation_ms", "avg_ms", "_per_minute")

# Asked of every tool in the same words, and answered from the rows of `manager.report`.
QUESTIONS = {
    "SELECT media_type, sum(created_count), sum(scene_count) FROM report_daily WHERE media_type IS NOT NULL "
    "GROUP BY media_type ORDER BY media_type": [("cartoon", 2, 2), ("cinematic", 4, 2), ("realistic", 1, 2)],
    "SELECT count(*) FROM report_hourly WHERE hour_at >= '2026-03-02 00:00:00' AND hour_at < '2026-03-02 01:00:00'": [
        (4,)
    ],
    "SELECT session_id, queue_ms / 1000.0 AS seconds FROM report_sessions "
    "WHERE gone_reason IS NULL AND queue_ms > 20000 ORDER BY session_id": [("bee", 1800.001)],
    "SELECT sum(cost_micros) / 1000000.0 AS paid FROM report_costs WHERE currency = 'USD'": [(1.54,)],
    "SELECT max(avg_generation_ms) AS slowest FROM report_hourly": [(4_200_001.0,)],
}


class Store:
    """A closed store with two days in it and a session that is stuck; and what its manager reported."""

    def __init__(self, path: Path) -> None:
        self.path = path
        clock = ManualClock()
        plain: dict[str, Any] = {"database_url": f"sqlite:///{path}", "clock": clock, "durability": "normal"}
        plain |= {"recovery_interval": None, "cleanup_interval": None}
        with SessionManager(**plain) as manager, SessionManager(**plain, request_model=Song) as songs:
            TwoDays(manager, songs, clock).pass_by()
            manager.create_session(GenerationRequest(story_text="A lamp."), session_id="yeti")
            manager.track("yeti", "gpu-1").update_progress(1, 5, "sketching")
            reports = {name: manager.report(name) for name in REPORTS}
        self.columns = {name: report.columns for name, report in reports.items()}
        self.rows = {name: report.rows for name, report in reports.items()}

    def as_text(self, name: str) -> Rows:
        """The rows as they stand in the views: instants and days are text."""
        return [tuple(text_of(value) for value in row) for row in self.rows[name]]


def every_row(name: str) -> str:
    return f"SELECT * FROM report_{name}"  # noqa: S608 - the names are ours


def kind_of(column: str) -> str:
    if column.endswith(FLOATS):
        return "float"
    ending = next((each for each in KINDS if column.endswith(each)), None)
    if ending is None and (column.endswith("_ms") or column == "progress_total"):
        return "integer"
    return "text" if ending is None else KINDS[ending]


def assert_same(found: Rows, store: Store, name: str, *, as_text: bool) -> None:
    """The same rows with values of the same types, in whatever order; but for how long a stuck session is quiet now."""
    expected = store.as_text(name) if as_text else store.rows[name]
    if name == "stuck":
        quiet = store.columns[name].index("quiet_ms")
        assert len(found) == 1
        assert int(found[0][quiet]) > int(expected[0][quiet])
        found, expected = ([(*row[:quiet], *row[quiet + 1 :]) for row in rows] for rows in (found, expected))
    found, expected = (sorted(rows, key=lambda row: [str(value) for value in row[:4]]) for rows in (found, expected))
    assert len(found) == len(expected)
    for row, wanted in zip(found, expected, strict=True):
        assert [type(value) for value in row] == [type(value) for value in wanted]
        assert row == pytest.approx(wanted) if all(isinstance(value, float) for value in row) else row == wanted


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(interrupted, "CONFIRM_SECONDS", 0.0)
        return Store(tmp_path_factory.mktemp("tools") / "sessions.db")


def test_there_is_something_in_every_report(store: Store) -> None:
    assert [name for name, rows in store.rows.items() if not rows] == []


# SQLite's own


def test_the_sqlite3_program_gives_the_rows_of_every_report(store: Store) -> None:
    program = shutil.which("sqlite3")
    if program is None:
        pytest.skip("the program sqlite3 is not installed")

    def ask(statement: str) -> Any:
        command = [program, "-readonly", "-json", str(store.path), statement]
        answer = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
        return json.loads(answer) if answer.strip() else []

    for name, columns in store.columns.items():
        found = ask(every_row(name))
        assert list(found[0]) == columns
        # It prints fifteen digits of a number.
        assert_same(rounded(tuple(row.values()) for row in found), rounded_store(store), name, as_text=True)
    for question, answer in QUESTIONS.items():
        assert [tuple(row.values()) for row in ask(question)] == answer


def rounded(rows: Any) -> Rows:
    return [tuple(float(f"{value:.12g}") if isinstance(value, float) else value for value in row) for row in rows]


def rounded_store(store: Store) -> Store:
    copy = Store.__new__(Store)
    copy.columns, copy.rows = store.columns, {name: rounded(rows) for name, rows in store.rows.items()}
    return copy


def test_pythons_sqlite3_gives_the_rows_of_every_report(store: Store) -> None:
    with closing(sqlite3.connect(f"file:{store.path}?mode=ro", uri=True)) as connection:
        for name, columns in store.columns.items():
            cursor = connection.execute(every_row(name))
            assert [column[0] for column in cursor.description] == columns
            assert_same(cursor.fetchall(), store, name, as_text=True)
        for question, answer in QUESTIONS.items():
            assert connection.execute(question).fetchall() == answer


# pandas


def test_pandas_reads_numbers_as_numbers_and_instants_as_instants(store: Store) -> None:
    dtypes = {"integer": "int64", "float": "float64", "instant": "datetime64", "day": "datetime64"}
    with closing(sqlite3.connect(f"file:{store.path}?mode=ro", uri=True)) as connection:
        for name, columns in store.columns.items():
            when = [column for column in columns if kind_of(column) in {"instant", "day"}]

            frame = pandas.read_sql(every_row(name), connection, parse_dates=when)

            assert list(frame.columns) == columns
            assert len(frame) == len(store.rows[name])
            for index, column in enumerate(columns):
                values = [row[index] for row in store.rows[name]]
                dtype = dtypes.get(kind_of(column))
                # pandas has no column of whole numbers in which one is missing.
                if dtype == "int64" and None in values:
                    dtype = "object" if set(values) == {None} else "float64"
                if dtype is not None and set(values) != {None}:
                    assert str(frame[column].dtype).startswith(dtype), (name, column)
        hourly = pandas.read_sql("SELECT * FROM report_hourly", connection, parse_dates=["hour_at"])
    by_day = hourly.groupby(hourly["hour_at"].dt.date)["created_count"].sum()
    assert dict(by_day) == {date(2026, 3, 1): 4, date(2026, 3, 2): 4}
    assert sorted(instant.to_pydatetime() for instant in hourly["hour_at"]) == [
        row[0].replace(tzinfo=None) for row in store.rows["hourly"]
    ]


# DuckDB


@pytest.fixture(scope="module")
def duck(store: Store) -> Iterator[Any]:
    folder = importlib.resources.files("duckdb_extension_sqlite_scanner")
    (extension,) = Path(str(folder)).rglob("*.duckdb_extension")
    with closing(duckdb.connect(config={"allow_unsigned_extensions": True})) as connection:
        connection.execute(f"LOAD '{extension}'")
        connection.execute(f"ATTACH '{store.path}' AS store (TYPE sqlite, READ_ONLY)")
        connection.execute("USE store")
        yield connection


DUCK_TYPES = {"integer": "BIGINT", "float": "DOUBLE", "instant": "TIMESTAMP", "day": "DATE", "text": "VARCHAR"}


def test_duckdb_takes_each_column_for_what_it_is(store: Store, duck: Any) -> None:
    for name, columns in store.columns.items():
        described = duck.execute(f"DESCRIBE {every_row(name)}").fetchall()
        found = {column: kind for column, kind, *_ in described}
        if name != "stuck":
            assert found == {column: DUCK_TYPES[kind_of(column)] for column in columns}, name
        else:
            assert list(found) == columns


def test_duckdb_gives_the_rows_of_every_report(store: Store, duck: Any) -> None:
    for name in store.columns:
        found = duck.execute(every_row(name)).fetchall()
        if name == "stuck":
            # It asks the clock, and DuckDB makes text of what it then cannot tell the type of.
            assert [row[0] for row in found] == ["yeti"]
            continue
        expected = [tuple(without_zone(value) for value in row) for row in store.rows[name]]
        assert sorted(found, key=repr) == sorted(expected, key=repr), name


def without_zone(value: Any) -> Any:
    return value.replace(tzinfo=None) if isinstance(value, datetime) else value


def test_duckdb_answers_the_questions_that_sqlite_answers(duck: Any) -> None:
    for question, answer in QUESTIONS.items():
        found = duck.execute(question).fetchall()
        assert [tuple(float(each) if not isinstance(each, str | int) else each for each in row) for row in found] == (
            answer
        )


# Datasette


def test_datasette_gives_the_rows_of_every_report_with_numbers_as_numbers(store: Store) -> None:
    paths = [f"/sessions/report_{name}.json?_shape=objects&_size=max" for name in store.columns]
    paths += [f"/sessions.json?{urlencode({'sql': question, '_shape': 'arrays'})}" for question in QUESTIONS]
    script = Path(__file__).with_name("datasette_answers.py")

    command = [sys.executable, "-W", "ignore", str(script), str(store.path)]
    done = subprocess.run(command, input="\n".join(paths), capture_output=True, text=True, check=True, timeout=60)

    answers = json.loads(done.stdout)
    assert [answer["status"] for answer in answers] == [200] * len(paths)
    pages, told = answers[: len(store.columns)], answers[len(store.columns) :]
    for (name, columns), page in zip(store.columns.items(), pages, strict=True):
        assert list(page["rows"][0]) == columns
        assert_same([tuple(row.values()) for row in page["rows"]], store, name, as_text=True)
    assert [[tuple(row) for row in answer["rows"]] for answer in told] == list(QUESTIONS.values())
