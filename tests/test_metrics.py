"""Metrics for Prometheus: the collector in an application, and the command."""

import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.openmetrics import parser as openmetrics_parser
from prometheus_client.parser import text_string_to_metric_families
from pydantic import BaseModel

from sessionstore import Cost, SessionManager
from sessionstore.metrics import FAMILIES, SessionStoreCollector, as_text
from sessionstore.testing import ManualClock
from sessionstore.testing.contract.group import Manager, a_request, a_scene
from sessionstore.testing.contract.studio import Studio
from tests.concurrency import Holder
from tests.conftest import OpenManager

# By the name of a sample and its labels.
Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


class Picture(BaseModel):
    """A request whose media type may be any text, or none."""

    media_type: str | None = None


def registry_with(manager: Manager) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(SessionStoreCollector(manager))
    return registry


def samples_in(text: bytes) -> Samples:
    """What the text says, by a reader of the format."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


def scrape(registry: CollectorRegistry) -> Samples:
    return samples_in(generate_latest(registry))


def value(samples: Samples, name: str, **labels: str) -> float:
    return samples[f"sessionstore_{name}", tuple(sorted(labels.items()))]


def command(*arguments: str | Path, code: str = "", **environment: str) -> subprocess.CompletedProcess[bytes]:
    """`sessionstore` in a process of its own; `code` runs in it first."""
    program = f"{code}\nfrom sessionstore.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", program, *arguments],
        env=os.environ | environment,
        capture_output=True,
        stdin=subprocess.DEVNULL,
        timeout=60,
        check=False,
    )


def only_down(samples: Samples) -> bool:
    return samples == {("sessionstore_up", ()): 0.0}


# The collector


def test_a_scrape_says_how_the_store_stands_and_what_happened(manager: SessionManager, clock: ManualClock) -> None:
    for session_id in ("a", "b"):
        manager.create_session(a_request(), session_id=session_id)
    clock.advance(seconds=1.5)
    manager.update_session_status("a", "processing")
    manager.add_scene_to_session("a", a_scene(1))
    clock.advance(seconds=2)
    manager.update_session_status("a", "completed")
    manager.remove_session("a")

    found = scrape(registry_with(manager))

    assert value(found, "up") == 1
    assert value(found, "sessions", status="pending") == 1
    assert value(found, "sessions", status="completed") == 0
    assert value(found, "capacity_sessions") == 100
    assert value(found, "oldest_pending_seconds") == 3.5
    assert value(found, "unsummed_events") == 6
    assert value(found, "schema_info", revision=manager.get_metrics().schema_revision) == 1
    assert value(found, "sessions_created_total", media_type="cinematic") == 2
    assert value(found, "sessions_finished_total", media_type="cinematic", status="completed") == 1
    assert value(found, "sessions_departed_total", reason="removed") == 1
    assert value(found, "scenes_saved_total", media_type="cinematic") == 1
    assert value(found, "queue_seconds_sum", media_type="cinematic") == 1.5
    assert value(found, "generation_seconds_sum", media_type="cinematic") == 2
    assert value(found, "generation_seconds_count", media_type="cinematic") == 1
    assert value(found, "status_seconds_sum", status="processing") == 2


def test_sizes_are_those_of_the_files(manager: SessionManager, database: Path) -> None:
    manager.create_session(a_request())

    found = scrape(registry_with(manager))

    assert value(found, "database_bytes", file="database") == database.stat().st_size
    assert value(found, "database_bytes", file="wal") == Path(f"{database}-wal").stat().st_size > 0


def test_costs_are_in_units_of_their_currency(manager: SessionManager) -> None:
    manager.create_session(a_request())
    run = manager.claim_next_session("w")
    assert run is not None
    run.call(Studio().provider(cost=lambda *_: Cost(40_000, "USD")), 1, {})
    run.add_scene(a_scene(1))

    found = scrape(registry_with(manager))

    assert value(found, "provider_calls_total", provider="studio") == 1
    assert value(found, "provider_cost_total", provider="studio", currency="USD") == 0.04


def test_an_unbounded_store_has_no_capacity(open_manager: OpenManager) -> None:
    found = scrape(registry_with(open_manager(max_sessions=None)))

    assert ("sessionstore_capacity_sessions", ()) not in found


@pytest.mark.parametrize("media_type", ['say "fox"', "back\\slash", "two\nlines", "\N{BRIDGE AT NIGHT}", "a,b={c}", ""])
def test_any_media_type_comes_back_from_the_text_as_it_was(open_manager: OpenManager, media_type: str) -> None:
    manager: Manager = open_manager(request_model=Picture)
    manager.create_session(Picture(media_type=media_type))

    found = scrape(registry_with(manager))

    assert value(found, "sessions_created_total", media_type=media_type) == 1


def test_no_media_type_is_an_empty_label(open_manager: OpenManager) -> None:
    manager: Manager = open_manager(request_model=Picture)
    manager.create_session(Picture())

    assert value(scrape(registry_with(manager)), "sessions_created_total", media_type="") == 1


def test_every_family_has_a_name_by_the_conventions_and_a_help_text(manager: SessionManager) -> None:
    families = {
        family.name: family for family in text_string_to_metric_families(as_text(manager.get_metrics()).decode())
    }

    assert {name.removesuffix("_total") for name in FAMILIES} >= set(families)
    for name, family in FAMILIES.items():
        assert name.startswith("sessionstore_")
        assert name.endswith("_total") == (family.kind.__name__ == "CounterMetricFamily")
        assert len(family.help) > 20
        assert family.help.endswith(".")


def test_the_strict_reader_of_openmetrics_takes_them_too(manager: SessionManager) -> None:
    manager.create_session(a_request())

    write: Any = openmetrics.generate_latest
    read: Any = openmetrics_parser.text_string_to_metric_families

    assert "sessionstore_up" in {family.name for family in read(write(registry_with(manager)).decode())}


def test_a_second_store_in_one_registry_is_refused(open_manager: OpenManager) -> None:
    registry = registry_with(open_manager())

    with pytest.raises(ValueError, match="Duplicated"):
        registry.register(SessionStoreCollector(open_manager()))


def test_every_sample_belongs_to_a_name_that_was_registered(manager: SessionManager) -> None:
    manager.create_session(a_request())
    registry = registry_with(manager)

    for name, _ in scrape(registry):
        assert name in registry._names_to_collectors


def test_a_scrape_waits_for_no_writer(open_manager: OpenManager) -> None:
    manager = open_manager(lock_timeout=0.1)
    registry = registry_with(manager)
    with Holder(manager):
        assert value(scrape(registry), "up") == 1


# When the store is away


def test_without_its_database_a_store_is_down_and_that_is_logged_once_a_row(
    manager: SessionManager, database: Path, caplog: pytest.LogCaptureFixture
) -> None:
    registry, elsewhere = registry_with(manager), database.with_name("elsewhere.db")
    assert value(scrape(registry), "up") == 1
    for _ in range(2):
        database.rename(elsewhere)
        assert [only_down(scrape(registry)) for _ in range(3)] == [True] * 3
        elsewhere.rename(database)
        assert value(scrape(registry), "up") == 1

    warnings = [record for record in caplog.records if record.name == "sessionstore.metrics"]
    assert [record.levelno for record in warnings] == [logging.WARNING] * 2


def test_with_another_file_in_its_place_a_store_is_down(manager: SessionManager, database: Path) -> None:
    registry, original = registry_with(manager), database.with_name("original.db")
    manager.backup(database.with_name("copy.db"))
    database.rename(original)
    database.with_name("copy.db").rename(database)

    assert only_down(scrape(registry))

    original.replace(database)


def test_after_a_shutdown_a_store_is_down(open_manager: OpenManager) -> None:
    manager = open_manager()
    registry = registry_with(manager)
    manager.shutdown()

    assert only_down(scrape(registry))


def test_registering_a_collector_reads_no_store(open_manager: OpenManager, caplog: pytest.LogCaptureFixture) -> None:
    manager = open_manager()
    manager.shutdown()

    registry_with(manager)

    assert caplog.records == []


# The command


def test_the_command_prints_what_the_applications_own_process_says(manager: SessionManager, database: Path) -> None:
    manager.create_session(a_request(), session_id="a")
    manager.update_session_status("a", "failed")
    registry = registry_with(manager)
    before = scrape(registry)
    assert command("retry", "a", "--database", database).returncode == 0

    done, here = command("metrics", "--database", database), scrape(registry)

    assert (done.returncode, done.stderr) == (0, b"")
    there = samples_in(done.stdout)
    own = {("sessionstore_capacity_sessions", ()), ("sessionstore_database_bytes", (("file", "wal"),))}
    # The clock of the test stands still; that of the command is the system's.
    own |= {("sessionstore_oldest_pending_seconds", ())} | {key for key in here if "status_seconds" in key[0]}
    assert {key: each for key, each in there.items() if key not in own} == {
        key: each for key, each in here.items() if key not in own
    }
    assert value(here, "sessions_retried_total") == value(before, "sessions_retried_total") + 1


def test_the_command_prints_utf_8_whatever_the_locale(open_manager: OpenManager, database: Path) -> None:
    manager: Manager = open_manager(request_model=Picture)
    manager.create_session(Picture(media_type="漫画"))

    done = command("metrics", "--database", database, PYTHONIOENCODING="latin-1")

    assert value(samples_in(done.stdout), "sessions_created_total", media_type="漫画") == 1


def test_without_its_extra_the_command_says_which_one_in_a_line(tmp_path: Path) -> None:
    done = command(
        "metrics", "--database", tmp_path / "none.db", code="import sys; sys.modules['prometheus_client'] = None"
    )

    assert done.returncode == 3
    (line,) = done.stderr.decode().splitlines()
    assert line.endswith("pip install 'sessionstore[metrics]'")


def test_nothing_but_the_collector_imports_prometheus(tmp_path: Path) -> None:
    look = (
        "import sys, sessionstore, sessionstore.manager, sessionstore.worker, sessionstore.cli.app\n"
        "print('prometheus_client' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", look], cwd=tmp_path, capture_output=True, text=True, check=True)

    assert done.stdout == "False\n"
