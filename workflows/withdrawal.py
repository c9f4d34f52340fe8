"""The story of one withdrawal: eligibility, code, freeze, decision, transfer, outcome.

The rows in PostgreSQL say where it stands: each step answers with a ``Standing``, and a run that was lost is started
again at the step the rows prove. Updates, signals and notifications only prompt the story to look. A cancellation asked
for in Temporal is a request that it takes up between two steps, so that no compensation is ever cut in two.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from temporalio import workflow
from temporalio.exceptions import ApplicationError, FailureError

with workflow.unsafe.imports_passed_through():
    from activities.ledger import LedgerActivities
    from activities.refusals import as_application_error, as_broken, as_refusal
    from domain.errors import CodeExpired, InvalidRequest, NotPossibleNow
    from domain.shanghai import end_of
    from domain.withdrawal import WORKFLOW_TYPE, Standing, Status, read_decision
    from payloads.refused import genuine
    from workflows import options, steps
    from workflows.desk import Desk
    from workflows.notices import tell_if_returned
    from workflows.prompts import Prompts, until


@dataclass(frozen=True)
class WithdrawalInput:
    """The id is enough: everything else is read from PostgreSQL."""

    withdrawal_id: UUID


@workflow.defn(name=WORKFLOW_TYPE)
class WithdrawalWorkflow:
    """From application to paid, or from any failure back to whole money."""

    @workflow.init
    def __init__(self, input: WithdrawalInput) -> None:
        self._id = input.withdrawal_id
        self._standing: Standing | None = None
        self._first_code: asyncio.Task[None] | None = None
        self._code_owed = False
        self._bank_asked = False
        self._asking = False
        self._reminders = 0
        self._desk = Desk()
        self._prompts = Prompts()

    @workflow.run
    async def run(self, input: WithdrawalInput) -> Status:
        """Returns the final status. Ends as cancelled if an operator's cancellation was carried out."""
        story = asyncio.create_task(self._tell())
        while not story.done():
            try:
                await asyncio.shield(story)
            except asyncio.CancelledError:
                if workflow.cancellation_reason() is None:
                    raise  # Not a cancellation: this worker only evicts the run from its cache.
                self._prompts.cancel_requested = True
        story.result()
        await until(workflow.all_handlers_finished)
        if self._prompts.cancel_requested and self._here.status is Status.CANCELLED:
            raise asyncio.CancelledError
        return self._here.status

    async def _tell(self) -> None:
        await self._begin()
        while not self._here.status.is_final or self._paid_but_prompted:
            try:
                await self._chapter()
            except FailureError as error:
                await self._show_to_a_person(error)
            self._prompts.answer()
        await self._stop_sending()
        await tell_if_returned(self._id, self._here.status)

    async def _begin(self) -> None:
        """The rules and the first code in one quick step; what is not as quick is done by patient ones."""
        try:
            self._learn(await steps.check_and_send_code(self._id, self._first_send))
        except FailureError:
            self._code_owed = True
            await self._step(LedgerActivities.check_eligibility, "Check the rules")

    async def _chapter(self) -> None:
        if self._prompts.cancel_pending:
            await self._cancel_for_operator()
            return
        match self._here.status:
            case Status.AWAITING_VERIFICATION:
                await self._verification()
            case Status.AWAITING_APPROVAL:
                await self._approval()
            case Status.PROCESSING:
                await self._outcome()
            case Status.UNDER_REVIEW:
                await self._review()
            case _:
                await self._possible_return()

    async def _verification(self) -> None:
        if self._here.verified:  # On record, though whoever recorded it may not have lived to say so.
            await self._step(LedgerActivities.freeze, "Freeze the amount: the phone is verified")
            return
        if self._code_owed and self._first_code is None:
            self._first_code = asyncio.create_task(self._send_first_code())
        expires = self._here.code_expires_at or workflow.now()
        if await self._woken_before(expires, "The phone code's life"):
            await self._step(LedgerActivities.freeze, "Freeze the amount, if the phone is verified")
        else:
            await self._step(LedgerActivities.expire, "Expire, if no right code came in time")

    async def _approval(self) -> None:
        if await self._woken_before(self._next_reminder(), "Reminder: finance has to decide"):
            await self._step(LedgerActivities.read_standing, "Look at the decisions")
        else:
            await self._remind()

    async def _outcome(self) -> None:
        if not self._bank_asked or self._here.window is None:
            await self._ask_bank()
            return
        earliest, latest = end_of(self._here.window.earliest), end_of(self._here.window.latest)
        if workflow.now() >= latest:
            await self._step(LedgerActivities.put_under_review, "The window ended without an answer")
            return
        if workflow.now() < earliest:
            await self._woken_before(earliest, "Day 10: ask the bank")
        else:
            await self._woken_before(latest, "Day 15: ask the bank, then finance")
        if self._here.status is Status.PROCESSING and not self._prompts.cancel_pending:
            await self._look_or_ask()

    async def _review(self) -> None:
        if self._bank_asked and not await self._woken_before(
            self._next_reminder(), "Reminder: finance has to find out what became of the transfer"
        ):
            await self._remind()
        await self._ask_bank()

    async def _possible_return(self) -> None:
        self._prompts.notice()
        # Whoever prompted may have been the only one to know, and does not come again: a bank in doubt is asked on.
        if not await self._look_at_bank() and (asked := await steps.keep_looking_at_bank(self._id)) is not None:
            self._learn(asked.standing)

    # Prompts from outside. Each is answered from the rows, after the story has looked at them.

    @workflow.update
    async def open(self) -> Standing:
        """The application arrived: answered once the rules were checked and the first code was sent."""
        await until(lambda: self._standing is not None)
        if self._here.status is Status.AWAITING_VERIFICATION and self._code_owed:
            await until(
                lambda: self._here.status.is_final or (self._first_code is not None and self._first_code.done())
            )
        return self._here

    @workflow.update
    async def verify(self) -> Standing:
        """The right code may be on record: answered once the money is frozen, or the reason why not."""
        number = self._prompts.give()
        await until(
            lambda: (
                self._standing is not None
                and (self._prompts.answered(number) or self._here.status is not Status.AWAITING_VERIFICATION)
            )
        )
        return self._here

    @workflow.update
    async def resend(self) -> Standing:
        """Sends another code, within the limits of rule 8."""
        await until(lambda: self._standing is not None)
        update = workflow.current_update_info()
        assert update is not None, "this is an update's handler"
        # One send for each update, the same when its step is carried out again.
        await self._refusing(self._send_code(f"{workflow.info().workflow_id}:resend:{update.id}"))
        return self._here

    @workflow.update
    async def cancel(self, instruction_id: UUID) -> Standing:
        """The customer's cancel, as the API recorded it; refused once the bank was asked."""
        await self._refusing(self._step(LedgerActivities.cancel, "Cancel for the customer", instruction_id))
        return self._here

    @workflow.update(name="decide")
    async def decide(self, instruction_id: UUID) -> Standing:
        """Finance's decision, as the API recorded it."""
        await self._refusing(self._step(LedgerActivities.decide, "Finance decides", instruction_id))
        return self._here

    @workflow.signal(name="decide")
    async def decide_by_signal(self, word: Any) -> None:
        """Finance's decision through Temporal's own door; the same rules hold, and the event says the way."""
        # Taken as it comes and read here: a payload of another shape would be dropped without a word.
        try:
            decision = read_decision(genuine(word))
            key = f"{workflow.info().workflow_id}:decide:{decision.approver}:{decision.decision}"
            await self._step(LedgerActivities.decide_by_hand, f"Finance: {decision.decision}", decision, key)
        except (FailureError, ValueError) as refused:
            # A signal has nobody to answer to, and must not end the run.
            workflow.logger.warning("a decision by signal was refused: %s", type(refused).__name__)
            self._desk.note(f"A decision by signal was refused: {refused}")

    @workflow.update
    async def resolve(self, instruction_id: UUID) -> Standing:
        """Finance's word on a transfer under review, unless the bank has an answer after all."""
        await until(lambda: self._standing is not None and not self._asking)
        with suppress(FailureError):
            await self._look_at_bank()
        await self._refusing(self._step(LedgerActivities.resolve, "Finance resolves", instruction_id))
        return self._here

    @open.validator  # noqa: A003 - the update above, not the builtin
    def _may_open(self) -> None:
        self._refuse_when_over()

    @verify.validator
    def _may_verify(self) -> None:
        self._refuse_when_over(code_expired=True)

    @resend.validator
    def _may_resend(self) -> None:
        self._refuse_when_over(code_expired=True)

    @cancel.validator
    def _may_cancel(self, instruction_id: UUID) -> None:
        self._refuse_unnamed(instruction_id)

    @decide.validator
    def _may_decide(self, instruction_id: UUID) -> None:
        self._refuse_unnamed(instruction_id)

    @resolve.validator
    def _may_resolve(self, instruction_id: UUID) -> None:
        self._refuse_unnamed(instruction_id)

    def _refuse_unnamed(self, instruction_id: object) -> None:
        # The type hint is a promise of ours, not of whoever sends an update by hand.
        if not isinstance(instruction_id, UUID):
            raise as_application_error(InvalidRequest())
        self._refuse_when_over()

    def _refuse_when_over(self, *, code_expired: bool = False) -> None:
        if self._standing is None or not self._standing.status.is_final:
            return
        if code_expired and self._standing.status is Status.EXPIRED:
            raise as_application_error(CodeExpired())
        raise as_application_error(NotPossibleNow(status=self._standing.status))

    @workflow.signal
    def look(self) -> None:
        """Something may have changed, at the bank or in the rows."""
        self._prompts.give()

    @workflow.query
    def status(self) -> str:
        """The status by the rows the story last read; ``starting`` before the first."""
        return "starting" if self._standing is None else str(self._standing.status)

    # The verbs of the story.

    async def _step(self, step: Callable[..., Standing], summary: str, *words: Any) -> None:
        """One ledger step; where the withdrawal stands afterwards is where the story goes on."""
        at = () if step is LedgerActivities.read_standing else (workflow.now(),)
        self._learn(await steps.ledger(step, summary, self._id, *words, *at))

    async def _ask_bank(self) -> None:
        """Submits or asks, and the answer moves the money; no answer by the window's end moves nothing."""
        self._bank_asked = self._asking = True
        patience = options.ASK_BANK_AT_LEAST
        if self._here.status is Status.PROCESSING and self._here.window is not None:
            patience = max(patience, end_of(self._here.window.latest) - workflow.now())
        try:
            asked = await steps.ask_bank(self._id, patience)
            self._learn(asked.standing)
            if asked.answer is None and self._paid_but_prompted:
                self._prompts.give()  # Paid by the rows, so nobody was asked: who prompted is not answered by that.
        except FailureError as error:
            if as_broken(error):
                raise
            workflow.logger.warning("the bank did not answer")  # A time-out is not a failure.
        finally:
            self._asking = False

    async def _look_or_ask(self) -> None:
        if not await self._look_at_bank():
            await self._ask_bank()

    async def _look_at_bank(self) -> bool:
        """True if a quick look at the bank's book found an answer; False if it has to be asked with patience."""
        try:
            asked = await steps.look_at_bank(self._id)
        except FailureError as error:
            if as_broken(error):
                raise
            return False
        if asked is None:
            return False
        self._learn(asked.standing)
        return True

    async def _remind(self) -> None:
        self._reminders += 1
        waiting = self._here.status
        await self._step(LedgerActivities.remind_finance, "Remind finance")
        self._desk.call(waiting)

    async def _send_first_code(self) -> None:
        with suppress(FailureError):  # The customer can ask for another one, or let it expire.
            await self._send_code(self._first_send)

    async def _send_code(self, send_key: str) -> None:
        self._learn(await steps.send_code(self._id, send_key))

    @property
    def _first_send(self) -> str:
        return f"{workflow.info().workflow_id}:first"

    async def _stop_sending(self) -> None:
        if self._first_code is not None and not self._first_code.done():
            self._first_code.cancel()
            with suppress(asyncio.CancelledError):
                await self._first_code

    async def _cancel_for_operator(self) -> None:
        """Carries an operator's cancellation out if the bank was not asked yet; else says why not and goes on."""
        self._prompts.cancel_answered = True
        try:
            key = f"{workflow.info().workflow_id}:cancelled"
            await self._step(LedgerActivities.cancel_for_operator, "Cancel for the operator", key)
        except FailureError:
            await self._step(LedgerActivities.read_standing, "Where does it stand?")
            self._desk.note("Cancellation refused: the bank was asked, so only its answer ends this.")

    async def _show_to_a_person(self, error: FailureError) -> None:
        """Something that must not be: nothing moves, the details say what, and the story looks again later."""
        workflow.logger.error("needs a person: %s", error.message)
        self._desk.note(f"Needs a person: {error.message}")
        self._desk.call(self._here.status)
        if not self._here.status.is_final:
            await self._woken_before(workflow.now() + options.NEEDS_A_PERSON, "Needs a person: look again")

    async def _woken_before(self, deadline: datetime, summary: str) -> bool:
        """True as soon as there is something to look at, False once the deadline has come."""
        status = self._here.status
        return await self._prompts.before(deadline, lambda: self._here.status is not status, summary)

    def _next_reminder(self) -> datetime:
        last = len(options.FINANCE_REMINDERS) - 1
        return workflow.now() + options.FINANCE_REMINDERS[min(self._reminders, last)]

    @property
    def _here(self) -> Standing:
        assert self._standing is not None, "every road here begins with a step"
        return self._standing

    def _learn(self, standing: Standing) -> None:
        """Keeps the latest standing: two steps under way at once may answer in either order."""
        if self._standing is None or standing.version >= self._standing.version:
            self._standing = standing
            self._desk.show(standing)

    @property
    def _paid_but_prompted(self) -> bool:
        """A prompt that came while the payment was recorded may be of its return: it is looked at before the end."""
        return self._here.status is Status.PAID and self._prompts.any

    async def _refusing(self, step: Any) -> None:
        """Lets a refusal reach the caller as itself: a local activity's comes bare, a plain one's wrapped."""
        try:
            await step
        except FailureError as error:
            refusal = as_refusal(error)
            if refusal is None:
                raise ApplicationError("the step failed", type="step_failed") from error
            if self._standing is None or getattr(refusal, "status", None) != self._standing.status:
                self._prompts.give()  # The rows went on without this run: a commit outlives a lost workflow task.
            raise as_application_error(refusal) from error
