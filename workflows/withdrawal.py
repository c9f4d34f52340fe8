"""The story of one withdrawal: eligibility, code, freeze, decision, transfer, outcome.

Three things hold it together:

* The rows in PostgreSQL say where a withdrawal stands; each step answers with a ``Standing`` and the story goes on
  from there. A run that was lost is simply started again, at whatever step the rows prove.
* An update, a signal or a notification only prompts the story to look: what it finds there decides.
* A cancellation asked for in Temporal is a request that the story takes up between two steps, never an interrupt in
  the middle of one: so there is no half-done compensation, however often it is asked for.
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
    from activities.bank import BankActivities
    from activities.ledger import LedgerActivities
    from activities.refusals import as_application_error, as_refusal
    from activities.sms import SmsActivities
    from domain.errors import CodeExpired, NotPossibleNow
    from domain.shanghai import end_of
    from domain.withdrawal import (
        WORKFLOW_TYPE,
        BankAnswer,
        Decision,
        Door,
        FinanceDecision,
        Resolution,
        Standing,
        Status,
    )
    from ledger.moves import Instruction
    from workflows import options
    from workflows.details import describe


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
        self._bank_asked = False
        self._reminders = 0
        self._note = ""
        # Whoever wants the story to look again takes a number; it is answered once the story has looked.
        self._looks_wanted = 0
        self._looks_noticed = 0
        self._looks_done = 0
        self._cancel_requested = False
        self._cancel_answered = False

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
                self._cancel_requested = True
        story.result()
        await self._until(workflow.all_handlers_finished)
        if self._cancel_requested and self._here.status is Status.CANCELLED:
            raise asyncio.CancelledError
        return self._here.status

    async def _tell(self) -> None:
        await self._step(LedgerActivities.check_eligibility, "Check the rules")
        while not self._here.status.is_final:
            if self._cancel_requested and not self._cancel_answered:
                await self._cancel_for_operator()
                continue
            match self._here.status:
                case Status.AWAITING_VERIFICATION:
                    await self._verification()
                case Status.AWAITING_APPROVAL:
                    await self._approval()
                case Status.PROCESSING:
                    await self._outcome()
                case _:
                    await self._review()
            self._looks_done = self._looks_noticed
        await self._stop_sending()

    async def _verification(self) -> None:
        if self._here.verified:  # On record, though whoever recorded it may not have lived to say so.
            await self._step(LedgerActivities.freeze, "Freeze the amount: the phone is verified")
            return
        if not self._here.code_sent and self._first_code is None:
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
        await self._ask_bank()
        if self._here.status is not Status.PROCESSING or self._here.window is None:
            return
        earliest, latest = end_of(self._here.window.earliest), end_of(self._here.window.latest)
        if workflow.now() >= latest:
            await self._step(LedgerActivities.put_under_review, "The window ended without an answer")
        elif workflow.now() < earliest:
            await self._woken_before(earliest, "Day 10: ask the bank")
        else:
            await self._woken_before(latest, "Day 15: ask the bank, then finance")

    async def _review(self) -> None:
        if self._bank_asked and not await self._woken_before(
            self._next_reminder(), "Reminder: finance has to find out what became of the transfer"
        ):
            await self._remind()
        await self._ask_bank()

    # Prompts from outside. Each is answered from the rows, after the story has looked at them.

    @workflow.update
    async def open(self) -> Standing:
        """The application arrived: answered once the rules were checked and the first code was sent."""
        await self._until(lambda: self._standing is not None)
        if self._here.status is Status.AWAITING_VERIFICATION and not self._here.code_sent:
            await self._until(lambda: self._first_code is not None and self._first_code.done())
        return self._here

    @workflow.update
    async def verify(self) -> Standing:
        """The right code may be on record: answered once the money is frozen, or the reason why not."""
        self._looks_wanted += 1
        wanted = self._looks_wanted
        await self._until(
            lambda: (
                self._standing is not None
                and (self._looks_done >= wanted or self._here.status is not Status.AWAITING_VERIFICATION)
            )
        )
        return self._here

    @workflow.update
    async def resend(self) -> Standing:
        """Sends another code, within the limits of rule 8."""
        await self._until(lambda: self._standing is not None)
        await self._refusing(self._send_code(self._operation_key("resend")))
        return self._here

    @workflow.update
    async def cancel(self, actor: str) -> Standing:
        """The customer's cancel; refused once the bank was asked."""
        await self._refusing(self._cancel(actor, Door.API, self._operation_key("cancel")))
        return self._here

    @workflow.update(name="decide")
    async def decide(self, word: FinanceDecision) -> Standing:
        """Finance's decision through the API."""
        await self._refusing(self._decide(word, Door.API, self._operation_key("decide")))
        return self._here

    @workflow.signal(name="decide")
    async def decide_by_signal(self, word: dict[str, Any]) -> None:
        """Finance's decision through Temporal's own door; the same rules hold, and the event says the way."""
        # Taken as it comes and read here: a payload of another shape would be dropped without a word.
        try:
            decision = FinanceDecision(
                str(word["approver"]), Decision(word["decision"]), str(word.get("note", ""))[:1000]
            )
            key = f"{workflow.info().workflow_id}:decide:{decision.approver}:{decision.decision}"
            await self._refusing(self._decide(decision, Door.TEMPORAL, key))
        except (FailureError, KeyError, ValueError, AttributeError) as refused:
            # A signal has nobody to answer to, and must not end the run.
            workflow.logger.warning("a decision by signal was refused: %s", type(refused).__name__)
            self._show(f"A decision by signal was refused: {refused}")

    @workflow.update
    async def resolve(self, word: Resolution) -> Standing:
        """Finance's word on a transfer under review, unless the bank has an answer after all."""
        await self._until(lambda: self._standing is not None)
        with suppress(FailureError):
            answer = await workflow.execute_activity_method(
                BankActivities.query_bank,
                self._id,
                summary="Does the bank have an answer after all?",
                start_to_close_timeout=options.CHECK_BANK,
                schedule_to_close_timeout=2 * options.CHECK_BANK,
                retry_policy=options.CHECK_BANK_ONCE,
            )
            if answer is not None and answer.is_outcome:
                await self._record(answer)
        instruction = Instruction(word.resolver, Door.API, self._operation_key("resolve"))
        await self._refusing(self._step(LedgerActivities.resolve, f"Finance: {word.outcome}", word, instruction))
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
    def _may_cancel(self, actor: str) -> None:
        self._refuse_when_over()

    @decide.validator
    def _may_decide(self, word: FinanceDecision) -> None:
        self._refuse_when_over()

    @resolve.validator
    def _may_resolve(self, word: Resolution) -> None:
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
        self._looks_wanted += 1

    @workflow.query
    def status(self) -> str:
        """The status by the rows the story last read; ``starting`` before the first."""
        return "starting" if self._standing is None else str(self._standing.status)

    # The verbs of the story.

    async def _step(self, step: Callable[..., Standing], summary: str, *words: Any) -> None:
        """One ledger step; where the withdrawal stands afterwards is where the story goes on."""
        arguments = [self._id, *words]
        if step is not LedgerActivities.read_standing:
            arguments.append(workflow.now())
        standing = await workflow.execute_local_activity_method(
            step,
            args=arguments,
            summary=summary,
            start_to_close_timeout=options.LEDGER_STEP,
            retry_policy=options.LEDGER_RETRIES,
        )
        self._learn(standing)

    async def _ask_bank(self) -> None:
        """Submits or asks, and lets the answer move the money; no answer by the window's end moves nothing."""
        self._bank_asked = True
        patience = options.ASK_BANK_AT_LEAST
        if self._here.status is Status.PROCESSING and self._here.window is not None:
            patience = max(patience, end_of(self._here.window.latest) - workflow.now())
        try:
            answer = await workflow.execute_activity_method(
                BankActivities.ask_bank,
                args=[self._id, workflow.now()],
                summary="Ask the bank",
                start_to_close_timeout=options.ASK_BANK,
                heartbeat_timeout=options.BANK_HEARTBEAT,
                schedule_to_close_timeout=patience,
                retry_policy=options.ASK_BANK_RETRIES,
            )
        except FailureError:
            workflow.logger.warning("the bank did not answer")  # A time-out is not a failure.
            return
        if answer is None:
            await self._step(LedgerActivities.read_standing, "Where does it stand?")
        else:
            await self._record(answer)

    async def _record(self, answer: BankAnswer) -> None:
        await self._step(LedgerActivities.record_answer, f"The bank says: {answer.state}", answer)

    async def _remind(self) -> None:
        self._reminders += 1
        await self._step(LedgerActivities.remind_finance, "Remind finance")

    async def _send_first_code(self) -> None:
        with suppress(FailureError):  # The customer can ask for another one, or let it expire.
            await self._send_code(f"{workflow.info().workflow_id}:first")

    async def _send_code(self, send_key: str) -> None:
        self._learn(
            await workflow.execute_activity_method(
                SmsActivities.send_code,
                args=[self._id, send_key, workflow.now()],
                summary="Send the phone code",
                start_to_close_timeout=options.SEND_CODE,
                schedule_to_close_timeout=options.SEND_CODE_ALTOGETHER,
                retry_policy=options.SEND_CODE_RETRIES,
            )
        )

    async def _stop_sending(self) -> None:
        if self._first_code is not None and not self._first_code.done():
            self._first_code.cancel()
            with suppress(asyncio.CancelledError):
                await self._first_code

    async def _cancel(self, actor: str, door: Door, operation_key: str) -> None:
        await self._step(LedgerActivities.cancel, f"Cancel for {door}", Instruction(actor, door, operation_key))

    async def _cancel_for_operator(self) -> None:
        """Carries an operator's cancellation out if the bank was not asked yet; else says why not and goes on."""
        self._cancel_answered = True
        try:
            await self._cancel("operator", Door.TEMPORAL, f"{workflow.info().workflow_id}:cancelled")
        except FailureError:
            await self._step(LedgerActivities.read_standing, "Where does it stand?")
            self._show("Cancellation refused: the bank was asked, so only its answer ends this.")

    async def _decide(self, word: FinanceDecision, door: Door, operation_key: str) -> None:
        instruction = Instruction(word.approver, door, operation_key)
        await self._step(LedgerActivities.decide, f"Finance: {word.decision}", word, instruction)

    # Waiting.

    async def _woken_before(self, deadline: datetime, summary: str) -> bool:
        """True as soon as there is something to look at, False once the deadline has come."""
        status = self._here.status

        def woken() -> bool:
            return (
                self._looks_wanted > self._looks_done
                or self._here.status is not status
                or (self._cancel_requested and not self._cancel_answered)
            )

        patience = max(deadline - workflow.now(), options.SOON)
        try:
            await workflow.wait_condition(woken, timeout=patience, timeout_summary=summary)
        except TimeoutError:  # Raised, not returned: `if not await` would always be true.
            return False
        except asyncio.CancelledError:
            if workflow.cancellation_reason() is None:
                raise
        self._looks_noticed = self._looks_wanted
        return True

    async def _until(self, condition: Callable[[], bool]) -> None:
        """Waits through an operator's cancellation, which is the story's to answer."""
        while not condition():
            try:
                await workflow.wait_condition(condition)
            except asyncio.CancelledError:
                if workflow.cancellation_reason() is None:
                    raise

    def _next_reminder(self) -> datetime:
        last = len(options.FINANCE_REMINDERS) - 1
        return workflow.now() + options.FINANCE_REMINDERS[min(self._reminders, last)]

    # What is known.

    @property
    def _here(self) -> Standing:
        assert self._standing is not None, "every road here begins with a step"
        return self._standing

    def _learn(self, standing: Standing) -> None:
        """Keeps the latest standing: two steps under way at once may answer in either order."""
        if self._standing is None or standing.version >= self._standing.version:
            self._standing = standing
            self._show()

    def _show(self, note: str = "") -> None:
        self._note = note or self._note
        workflow.set_current_details(describe(self._standing, self._note))

    def _operation_key(self, verb: str) -> str:
        """One key per update, the same when the update's step is carried out again."""
        update = workflow.current_update_info()
        return f"{workflow.info().workflow_id}:{verb}:{update.id if update else workflow.info().run_id}"

    async def _refusing(self, step: Any) -> None:
        """Lets a refusal reach the caller as itself: a local activity's comes bare, a plain one's wrapped."""
        try:
            await step
        except FailureError as error:
            refusal = as_refusal(error)
            if refusal is None:
                raise ApplicationError("the step failed", type="step_failed") from error
            raise as_application_error(refusal) from error
