"""What operators see of a run in the Temporal UI: the details at its top, and the columns they find it by."""

from __future__ import annotations

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from domain.withdrawal import Standing, Status
    from workflows.details import describe
    from workflows.search_attributes import OVERDUE, STATUS, columns


class Desk:
    """Keeps the run's place on the operators' desk up to date.

    The details cost nothing. Each change of the columns is an event and a billed action: they are set when the status
    changes or the run becomes overdue, not at every step. A start that set them already saves the first time.
    """

    def __init__(self) -> None:
        self._standing: Standing | None = None
        self._note = ""
        self._overdue_in: Status | None = None

    def show(self, standing: Standing) -> None:
        """Where it stands now."""
        self._standing = standing
        self._refresh()

    def note(self, words: str) -> None:
        """Something an operator should read; it stays until there is something newer."""
        self._note = words
        self._refresh()

    def call(self, status: Status) -> None:
        """Somebody has to look after this run: it is overdue for as long as it stands at ``status``."""
        self._overdue_in = status
        self._refresh()

    def _refresh(self) -> None:
        standing = self._standing
        if standing is None:
            workflow.set_current_details(self._note)
            return
        overdue = standing.status in (Status.UNDER_REVIEW, self._overdue_in)
        workflow.set_current_details(describe(standing, self._note, overdue=overdue))
        shown = workflow.info().typed_search_attributes
        if (shown.get(STATUS), shown.get(OVERDUE)) == (str(standing.status), overdue):
            return
        wanted = columns(standing, standing.changed_at or workflow.now(), overdue=overdue)
        # Only what differs: the rest is in the history already.
        changed = [pair.key.value_set(pair.value) for pair in wanted if shown.get(pair.key) != pair.value]
        workflow.upsert_search_attributes(changed)
