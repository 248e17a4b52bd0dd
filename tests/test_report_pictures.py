"""`sessionstore report --plot`: pictures that are what they say, read back from the SVG."""

import re
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from sessionstore import MediaType
from sessionstore.cli import main
from sessionstore.testing import wait_for_cleanup
from tests.history import TIMED_OUT, make_history, studio

SVG = "{http://www.w3.org/2000/svg}"
Draw = Callable[..., "Picture"]


class Picture:
    """A drawn SVG."""

    def __init__(self, path: Path) -> None:
        self.root = ET.parse(path).getroot()
        self.texts = ["".join(text.itertext()) for text in self.root.iter(f"{SVG}text")]
        # The title is the one text in bold.
        self.title = next(
            "".join(text.itertext())
            for text in self.root.iter(f"{SVG}text")
            if "font-weight: 700" in text.get("style", "")
        )

    def drawn(self, status: str) -> list[list[tuple[float, float]]]:
        """The corners of all shapes of a status."""
        groups = [group for group in self.root.iter(f"{SVG}g") if group.get("id") == status]
        paths = [path.get("d", "") for group in groups for path in group.iter(f"{SVG}path")]
        return [
            [(float(x), float(y)) for x, y in re.findall(r"[ML] (-?[\d.]+) (-?[\d.]+)", path)] for path in paths if path
        ]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small history; nobody changes it."""
    file = tmp_path_factory.mktemp("history") / "sessions.db"
    make_history(file)
    return file


@pytest.fixture
def run(store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """The exit code of `sessionstore report` on that history, in a folder of its own."""
    monkeypatch.chdir(tmp_path)

    def report(*arguments: str, database: Path = store) -> int:
        monkeypatch.setattr(sys, "argv", ["sessionstore", "report", *arguments, "--database", str(database)])
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0)

    return report


@pytest.fixture
def draw(run: Callable[..., int]) -> Draw:
    """Draws a report and reads the picture."""

    def report(*arguments: str, database: Path | None = None) -> Picture:
        given = {} if database is None else {"database": database}
        assert run(*arguments, "--plot", "picture.svg", **given) == 0
        return Picture(Path("picture.svg"))

    return report


def test_a_png_is_one_and_takes_the_place_of_the_one_before(
    run: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("hourly", "durations"):
        assert run(name, "--plot", "picture.PNG") == 0
        assert Path("picture.PNG").read_bytes().startswith(b"\x89PNG\r\n")

    assert capsys.readouterr() == ("Saved picture.PNG.\n" * 2, "")


@pytest.mark.parametrize(
    "arguments", [["hourly"], ["durations"], ["timeline", "--session", "b1"]], ids=lambda each: each[0]
)
def test_the_same_rows_draw_the_same_svg(arguments: list[str], run: Callable[..., int]) -> None:
    for name in ("first.svg", "second.svg"):
        assert run(*arguments, "--plot", name) == 0

    assert Path("first.svg").read_bytes() == Path("second.svg").read_bytes()


def test_throughput_says_what_it_shows(draw: Draw) -> None:
    picture = draw("hourly")

    assert picture.title == "Sessions finished by hour"
    assert {"completed", "failed", "cancelled", "hour (UTC)", "sessions an hour", "02 Mar"} <= {*picture.texts}
    facts = "4 completed, 3 failed, 1 cancelled; 2024-03-01 08:00 to 2024-03-02 10:00, times in UTC"
    assert facts in picture.texts


def test_hours_without_any_are_gaps_of_their_length(draw: Draw) -> None:
    (completed,) = draw("hourly").drawn("completed")

    floor = max(y for _, y in completed)
    columns = sorted({round(x, 2) for x, y in completed if y < floor})
    # Left and right edges of the columns of 8:00, 11:00, and 9:00 on the day after.
    assert len(columns) == 6
    hour = (columns[2] - columns[0]) / 3
    assert (columns[4] - columns[0]) / hour == pytest.approx(25, abs=0.01)


def test_failed_sessions_stand_on_the_completed_ones(draw: Draw) -> None:
    picture = draw("daily")
    (completed,), (failed,) = picture.drawn("completed"), picture.drawn("failed")

    def heights(corners: list[tuple[float, float]]) -> list[float]:
        return sorted({y for _, y in corners}, reverse=True)

    floor = max(y for _, y in completed)
    one = (floor - min(y for _, y in completed)) / 3
    # 3 completed and 1 failed on the first day, 1 and 2 on the second.
    assert heights(completed) == pytest.approx([floor, floor - one, floor - 3 * one], abs=0.01)
    assert heights(failed) == pytest.approx([floor, floor - one, floor - 3 * one, floor - 4 * one], abs=0.01)


def test_a_window_is_shown_whole_also_where_nothing_happened(draw: Draw) -> None:
    picture = draw("daily", "--since", "2024-02-01", "--until", "2024-04-01", "--media-type", "cartoon")

    facts = "2 completed, 2 failed, 0 cancelled; media type cartoon; 2024-02-01 00:00 to 2024-04-01 00:00, times in UTC"
    assert facts in picture.texts
    (completed,) = picture.drawn("completed")
    day = (max(x for x, _ in completed) - min(x for x, _ in completed)) / (2 - 0.14)
    assert min(x for x, _ in completed) > 29 * day


def test_durations_are_panels_on_an_axis_that_people_read(draw: Draw) -> None:
    picture = draw("durations")

    assert picture.title == "How long sessions took, by media type"
    assert {"1 s", "10 s", "1 min", "sessions"} <= {*picture.texts}
    assert "cinematic: 4 sessions, median 1.0 s, 95 % within 4.0 s" in picture.texts
    assert "cartoon: 3 sessions, median 40.0 s, 95 % within 1 min" in picture.texts
    assert "Generation time, from start to finish (logarithmic)" in picture.texts


def test_a_distribution_is_drawn_like_the_durations(run: Callable[..., int]) -> None:
    for name in ("durations", "distribution"):
        assert run(name, "--plot", f"{name}.svg") == 0

    assert Path("durations.svg").read_bytes() == Path("distribution.svg").read_bytes()


def test_only_the_most_frequent_media_types_get_a_panel(draw: Draw, tmp_path: Path) -> None:
    file = tmp_path / "many.db"
    with studio(file) as made:
        for session_id in ("00", *(f"{number}{each}" for number in range(1, 8) for each in range(2))):
            made.create(session_id, MediaType.CARTOON)
            made.work(session_id, queue=1, scene=1)
    # A backend's own request model may have any media types.
    with closing(sqlite3.connect(file, isolation_level=None)) as database:
        database.execute("UPDATE sessions SET media_type = 'type ' || substr(session_id, 1, 1)")

    picture = draw("durations", database=file)

    panels = {text.split(":")[0] for text in picture.texts if " sessions, median" in text}
    assert panels == {f"type {number}" for number in range(1, 7)}
    assert any("the 6 most frequent of 8 media types" in text for text in picture.texts)


def test_a_timeline_has_a_lane_for_each_status_and_a_bar_for_each_turn(draw: Draw) -> None:
    picture = draw("timeline", "--session", "b1")

    assert picture.title == "Session b1"
    assert "created 2024-03-02 09:00:00; completed after 46.0 s; 2 attempts; times in UTC" in picture.texts
    assert [text for text in picture.texts if text in {"pending", "processing", "failed", "completed"}] == [
        "pending",
        "processing",
        "failed",
        "completed",
    ]
    assert {"attempt 1", "attempt 2", "6.0 s", "20.0 s", "09:00:46", "time (UTC)"} <= {*picture.texts}
    widths = [max(x for x, _ in bar) - min(x for x, _ in bar) for bar in picture.drawn("pending")]
    assert widths[1] / widths[0] == pytest.approx(20 / 6, abs=0.01)


def test_the_end_of_a_session_that_is_gone_takes_no_room(draw: Draw) -> None:
    picture = draw("timeline", "--session", "a3")

    facts = "created 2024-03-01 08:20:00; failed after 6.0 s; gone 2024-03-02 08:00:00; times in UTC"
    assert facts in picture.texts
    (bar,) = picture.drawn("processing")
    assert max(x for x, _ in bar) - min(x for x, _ in bar) > 300


def test_a_status_that_lasts_reaches_until_now(draw: Draw) -> None:
    picture = draw("timeline", "--session", "b3")

    assert any(text.endswith(" so far") for text in picture.texts)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("hourly", "No session finished in this time."),
        ("daily", "No session finished in this time."),
        ("distribution", "No session started in this time."),
    ],
)
def test_without_rows_the_picture_says_so(name: str, sentence: str, draw: Draw) -> None:
    picture = draw(name, "--since", "2024-05-01")

    assert sentence in picture.texts
    assert "since 2024-05-01 00:00; times in UTC" in " ".join(picture.texts)


def test_a_timeline_whose_events_are_pruned_says_so(draw: Draw, tmp_path: Path) -> None:
    file = tmp_path / "old.db"
    with studio(file) as made:
        made.create("old", MediaType.CARTOON)
        made.work("old", queue=1, scene=1, error=TIMED_OUT)
        made.clock.advance(days=40)
        assert wait_for_cleanup(made.manager)

    picture = draw("timeline", "--session", "old", database=file)

    assert "Nothing is kept any more of the statuses that it went through." in picture.texts


def test_without_matplotlib_a_line_says_what_to_install_before_the_store_is_opened(
    run: Callable[..., int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)

    code = run("hourly", "--plot", "hourly.svg", database=tmp_path / "nothing.db")

    assert code == 3
    assert capsys.readouterr().err.splitlines() == [
        "sessionstore: --plot needs matplotlib, from the extra plot: pip install 'sessionstore[plot]'"
    ]


def test_a_report_that_is_not_drawn_does_without_matplotlib(
    run: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)

    assert run("hourly") == 0
