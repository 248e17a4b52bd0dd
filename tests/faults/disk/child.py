"""What a forked child does: one deed, of which a call is refused, and then it looks at what there is.

What must not be it reports as sentences; of a store that behaves there are none.
"""

import errno
import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from sessionstore import SessionManager, SessionManagerError
from sessionstore.persistence.engines.sqlite.writer import Writer
from tests.concurrency import scene, wait_until
from tests.faults.disk.deeds import COPY, DEEDS, STORE, STORY, Deed, acknowledged, open_store
from tests.faults.disk.flaws import FLAWS
from tests.faults.disk.state import descriptors_in, scenes_in, state_of
from tests.faults.injection.shim import FOREVER, Action, Control, Kind, Rule, attach
from tests.faults.injection.zygote import Say


@dataclass(frozen=True)
class Fault:
    """The `first` call of these kinds is refused or shortened; or, `for_good`, each one from that on."""

    kinds: tuple[int, ...]
    first: int = 1
    error: int = 0
    action: int = Action.FAIL
    for_good: bool = False

    def __str__(self) -> str:
        what = errno.errorcode.get(self.error, Action(self.action).name.lower())
        names = "/".join(Kind(each).name.lower() for each in self.kinds[:3])
        return f"{what} at the call {self.first}{' and all later ones' if self.for_good else ''} of {names}..."

    def arm(self, control: Control) -> Rule:
        kinds = {Kind(each) for each in self.kinds}
        last = FOREVER if self.for_good else None
        return control.arm(Action(self.action), kinds, first=self.first, last=last, error=self.error)


@dataclass(frozen=True)
class Rehearsal:
    """What a deed is like undisturbed: each state that the database goes through, and what the deed returns."""

    states: list[str]
    result: str


@dataclass
class Report:
    """What became of a deed: "done" or "refused"; on how many calls the fault `acted`; and what must not be."""

    outcome: str = ""
    error: str = ""
    is_in_doubt: bool = False
    acted: int = 0
    findings: list[str] = field(default_factory=list)
    # What the database holds in the end, for who looks at it once this process was killed.
    state: str = ""


def count_calls(say: Say, folder: str, control: str, name: str, durability: str, kinds: list[list[int]]) -> None:
    """Does the deed undisturbed, and says how many calls of each of these sets of kinds it takes."""
    attach(Path(control))
    watched, deed, place = Control.reopen(Path(control)), DEEDS[name], Path(folder)
    manager = _prepared(deed, place, durability)
    rules = [watched.arm(Action.COUNT, {Kind(each) for each in chosen}, place=at) for at, chosen in enumerate(kinds)]
    _do(deed, manager, place, durability)
    say(json.dumps([rule.seen for rule in rules]))


def rehearse(say: Say, folder: str, name: str, durability: str) -> None:
    """Does the deed undisturbed, and says what it is like."""
    deed, place = DEEDS[name], Path(folder)
    manager = _prepared(deed, place, durability)
    states, commit = [state_of(place / STORE)], Writer.commit

    def commit_and_look(self: Writer, *arguments: Any) -> None:
        commit(self, *arguments)
        states.append(state_of(place / STORE))

    Writer.commit = commit_and_look  # type: ignore[assignment,method-assign]
    result = _do(deed, manager, place, durability)
    states.append(state_of(place / STORE))
    say(json.dumps(asdict(Rehearsal(list(dict.fromkeys(states)), _plain(result)))))


def attempt(
    say: Say,
    folder: str,
    control: str,
    name: str,
    durability: str,
    rehearsal: dict[str, Any],
    fault: dict[str, Any],
    ending: str,
    flaw: str,
) -> None:
    """Does the deed while a call of it fails, looks, works on, and is closed or killed; says a `Report`.

    With a `flaw`, the store is one that breaks a promise, which has to be found.
    """
    if flaw:
        FLAWS[flaw]()
    attach(Path(control))
    trial = Trial(Path(folder), Control.reopen(Path(control)), DEEDS[name], durability)
    manager = trial.run(Fault(**fault), Rehearsal(**rehearsal))
    if manager is not None:
        trial.end(manager, is_closing=ending == "close")
    say(json.dumps(asdict(trial.report)))
    if ending == "kill":
        os.kill(os.getpid(), signal.SIGKILL)


def open_again(say: Say, folder: str, durability: str) -> None:
    """After the end of another process: opens the store, and says what it holds, or what is wrong with it."""
    with open_store(Path(folder), durability) as manager:
        wrong = [each.message for each in manager.check() if each.severity == "error"]
        say("; ".join(wrong) or state_of(Path(folder) / STORE))


def accompany(say: Say, folder: str, durability: str, until: str) -> None:
    """Another process on the store: open while the deed is done, writing once the file `until` is there."""
    with open_store(Path(folder), durability) as manager:
        say("open")
        wait_until(Path(until).exists, "the deed to be done")
        manager.create_session(STORY, session_id="companion")
        wrong = [each.message for each in manager.check() if each.severity == "error"]
        say("; ".join(wrong) or "ok")


def leave_a_wal(say: Say, folder: str) -> None:
    """Writes, and is killed before anything of it is in the database file itself."""
    manager = open_store(Path(folder))
    manager.create_session(STORY, session_id="in the WAL")
    os.kill(os.getpid(), signal.SIGKILL)


class Trial:
    """One deed, with a fault; `report` collects what must not be."""

    def __init__(self, folder: Path, control: Control, deed: Deed, durability: str) -> None:
        self.report = Report()
        self._folder, self._store = folder, folder / STORE
        self._control = control
        self.deed = deed
        self._durability = durability

    def run(self, fault: Fault, rehearsal: Rehearsal) -> SessionManager | None:
        """Does the deed while the fault lasts, and judges what is there then; the manager, once it works again."""
        manager = _prepared(self.deed, self._folder, self._durability)
        database, *beside = [
            self._control.arm(Action.COUNT, {Kind.UNLINK, Kind.RENAME}, suffix=f"/{STORE}{suffix}", place=place)
            for place, suffix in enumerate(("", "-wal", "-shm"), start=1)
        ]
        rule = fault.arm(self._control)
        result = self._perform(manager)
        if fault.for_good and manager is not None and self.deed is not DEEDS["shutdown"]:
            with self._finding("a read while the disk is full"):
                self._read(manager)
        self.report.acted = rule.done
        rule.disarm()
        self._judge_state(rehearsal, _plain(result))
        self._judge_copy(is_unlinking=fault.kinds == (Kind.UNLINK,))
        manager = self._manager_to_work_on(manager, result)
        if manager is not None:
            self._require_healed(manager)
        self._require(database.seen == 0, "the database file was removed or renamed")
        is_closed_meanwhile = self.deed.opens or self.deed is DEEDS["shutdown"]
        self._require(is_closed_meanwhile or not any(each.seen for each in beside), "the WAL was removed in use")
        return manager

    def end(self, manager: SessionManager, *, is_closing: bool) -> None:
        """Notes what there is, and closes if that is wanted."""
        with self._finding("the end"):
            if self.deed.is_exact:
                self.report.state = state_of(self._store)
            if is_closing:
                self.close(manager)

    def close(self, manager: SessionManager) -> None:
        """Shuts down: nothing stays open, and nothing is lost by it."""
        with self._finding("the shutdown"):
            self._require(manager.shutdown(timeout=20), "the store did not close")
        left = descriptors_in(self._folder)
        self._require(not left, f"left open: {', '.join(left)}")
        self._require(self.report.state in {"", state_of(self._store)}, "the shutdown changed what is there")

    def _perform(self, manager: SessionManager | None) -> Any:
        try:
            result = _do(self.deed, manager, self._folder, self._durability)
        except SessionManagerError as error:
            self.report.outcome, self.report.error = "refused", f"{type(error).__name__}: {error}"
            self.report.is_in_doubt = getattr(error, "in_doubt", False)
            return None
        except Exception as error:  # noqa: BLE001 - reported
            self.report.outcome, self.report.error = "refused", f"{type(error).__name__}: {error}"
            self.report.is_in_doubt = True
            self.report.findings.append(f"raised {type(error).__name__}: {error}")
            return None
        self.report.outcome = "done"
        return result

    def _judge_state(self, rehearsal: Rehearsal, result: str) -> None:
        found, states = state_of(self._store), rehearsal.states
        lost = set(acknowledged) - scenes_in(self._store)
        self._require(not lost, f"acknowledged scenes are not there: {lost}")
        if self.report.outcome == "done":
            if self.deed.is_exact and result == rehearsal.result:
                self._require(found == states[-1], "what was acknowledged is not there, or something else is")
            return
        if not self.deed.is_exact:
            return
        self._require(found in states, "what was refused is there in part")
        if len(states) == 2 and not self.report.is_in_doubt and not self.deed.opens:
            self._require(found == states[0], "what was refused without doubt is there")

    def _judge_copy(self, *, is_unlinking: bool) -> None:
        copy = self._folder / COPY
        if self.deed.copies and self.report.outcome == "done":
            self._require(state_of(copy) == state_of(self._store), "the copy is not like the store")
        elif not is_unlinking:
            left = [each.name for each in self._folder.iterdir() if COPY in each.name]
            self._require(not left, f"of a copy that was refused there is {', '.join(left)}")

    def _manager_to_work_on(self, manager: SessionManager | None, result: Any) -> SessionManager | None:
        if isinstance(result, SessionManager):
            return result
        if self.deed.opens:
            left = descriptors_in(self._folder)
            self._require(not left, f"left open by an opening that failed: {', '.join(left)}")
        elif self.deed is DEEDS["shutdown"]:
            assert manager is not None
            self.report.state = state_of(self._store)
            self.close(manager)
        else:
            return manager
        with self._finding("opening the store again"):
            return open_store(self._folder, self._durability)
        return None

    def _require_healed(self, manager: SessionManager) -> None:
        with self._finding("the manager afterwards"):
            manager.create_session(STORY, session_id="healed")
            manager.add_scene_to_session("healed", scene(1))
            self._require(self._read(manager) == 1, "a session that was written afterwards is not read")
            manager._store.accesses.save(manager._store.engine)
            wrong = [each.message for each in manager.check() if each.severity == "error"]
            self._require(not wrong, f"the check says: {'; '.join(wrong)}")
            self._require(manager._upkeep._loop.is_alive(), "the background thread died")

    @staticmethod
    def _read(manager: SessionManager) -> int:
        session = manager.get_session("healed")
        return len(session.scenes) if session else 0

    def _require(self, holds: bool, finding: str) -> None:
        if not holds:
            self.report.findings.append(finding)

    @contextmanager
    def _finding(self, what: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # noqa: BLE001 - reported
            self.report.findings.append(f"{what}: {type(error).__name__}: {error}")


def _prepared(deed: Deed, folder: Path, durability: str) -> SessionManager | None:
    if deed.opens:
        return None
    manager = open_store(folder, durability)
    deed.prepare(manager)
    return manager


def _do(deed: Deed, manager: SessionManager | None, folder: Path, durability: str) -> Any:
    return open_store(folder, durability) if manager is None else deed.act(manager, folder)


def _plain(result: Any) -> str:
    return repr(result) if isinstance(result, str | int | None) else type(result).__name__
