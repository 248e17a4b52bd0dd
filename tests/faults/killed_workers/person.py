"""The person who answers for held calls: looks them up in the provider's dashboard, and says what was found."""

from sessionstore import SessionManager
from tests.faults.killed_workers.service import Service


class Person:
    """Counts what it did."""

    def __init__(self, manager: SessionManager, service: Service) -> None:
        self._manager = manager
        self._service = service
        self.attached = 0
        self.allowed = 0

    @property
    def settled(self) -> int:
        return self.attached + self.allowed

    def settle(self) -> None:
        """Answers for every call that is held now. Their workers are dead, so the dashboard shows all they bought."""
        for call in self._manager.list_held_calls():
            jobs = self._service.look_up(call.session_id, call.scene_number)
            if jobs:
                assert self._manager.attach_job(call.call_id, jobs[0].job_id)
                self.attached += 1
            else:
                assert self._manager.allow_retry(call.call_id)
                self.allowed += 1
