"""A rehearsal of a release: withdrawals that one version started are finished by the next, which found them waiting.

Both ways of decision 41 are played on the real server: a worker that takes the place of another, and two versions of
the worker deployment, of which operators make one current.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import pytest
from temporalio.api.enums.v1 import RoutingConfigUpdateState
from temporalio.api.workflowservice.v1 import (
    DescribeWorkerDeploymentRequest,
    SetWorkerDeploymentCurrentVersionRequest,
)
from temporalio.client import WorkflowHistory
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.service import RPCError
from temporalio.worker import Replayer
from temporalio.workflow import NondeterminismError

from domain.withdrawal import Decision, Status, TransferState
from tests.workflows.house import House, now, until
from tests.workflows.next_release import PATCH, CarelessRelease, ClockRelease, PatchedRelease
from tests.workflows.restricted import restricted_runner
from tests.workflows.test_replay import RECORDED
from worker import DEPLOYMENT, WORKFLOWS
from workflows.bank_return import BankReturnWorkflow
from workflows.withdrawal import WithdrawalWorkflow

LARGE = 50_000_00
UPDATED = RoutingConfigUpdateState.ROUTING_CONFIG_UPDATE_STATE_COMPLETED
NEXT = [PatchedRelease, *(one for one in WORKFLOWS if one is not WithdrawalWorkflow)]


@dataclass
class Waiting:
    """Three withdrawals of three accounts, each waiting for somebody else."""

    house: House
    for_code: tuple[House, UUID] = field(init=False)
    for_finance: tuple[House, UUID] = field(init=False)
    for_bank: tuple[House, UUID] = field(init=False)

    async def begin(self) -> None:
        """As far as the release that starts them takes them."""
        for_finance, for_bank = self._neighbour(), self._neighbour()
        for_finance.accounts.top_up(for_finance.account_id, "rich", 1_000_000_00, now=now())
        self.for_finance = for_finance, await for_finance.verified(LARGE)
        self.for_bank = for_bank, await for_bank.verified()
        await for_bank.asked(self.for_bank[1])
        self.for_code = self.house, await self.house.open()

    async def end(self) -> None:
        """Whoever they wait for acts, and each is paid."""
        house, withdrawal_id = self.for_code
        house.enter_code(withdrawal_id)
        await house.update(WithdrawalWorkflow.verify, withdrawal_id)
        house, withdrawal_id = self.for_finance
        await house.decide(withdrawal_id, "finance_1", Decision.APPROVE)
        for house, withdrawal_id in (self.for_code, self.for_finance, self.for_bank):
            await house.asked(withdrawal_id)
            await house.bank_says(withdrawal_id, TransferState.SUCCEEDED)
            assert await house.handle(withdrawal_id).result() is Status.PAID
            assert self.house.bank.submissions.count(withdrawal_id) == 1

    def _neighbour(self) -> House:
        house = self.house
        return House(house.client, house.database, house.bank, house.sms, house.task_queue)


async def test_the_next_release_takes_over_what_waits_and_finishes_it(house: House) -> None:
    """The new step is taken by runs that had not come to it, and not by the one that had passed it by."""
    waiting = Waiting(house)
    async with house.worker():
        await waiting.begin()
    async with house.worker_with(house.bank, workflows=NEXT):
        await waiting.end()
    assert await steps_that_are_new(waiting.for_code) == 1
    assert await steps_that_are_new(waiting.for_finance) == 1
    assert await steps_that_are_new(waiting.for_bank) == 0


async def test_of_two_versions_of_the_deployment_the_current_one_gets_the_runs(house: House) -> None:
    """Both are up; the one operators make current starts what is new, and goes on with what waits."""
    waiting, old, new = Waiting(house), f"old-{uuid4()}", f"new-{uuid4()}"
    async with house.worker_with(house.bank, build_id=old):
        await make_current(house, old)
        await waiting.begin()
        async with house.worker_with(house.bank, build_id=new, workflows=NEXT):
            house_waiting, withdrawal_id = waiting.for_bank
            await house_waiting.handle(withdrawal_id).signal(WithdrawalWorkflow.look)
            await until(lambda: len(house.bank.queries) == 1)
            await asyncio.sleep(0.5)
            assert await build_ids(waiting.for_bank) == {old}
            await make_current(house, new)
            await waiting.end()
    for one in (waiting.for_code, waiting.for_finance, waiting.for_bank):
        assert await build_ids(one) == {old, new}
    assert await steps_that_are_new(waiting.for_code) == 1


@pytest.mark.parametrize("name", ["paid", "approved_by_two", "resolved", "started_again"])
async def test_a_release_that_changes_the_commands_without_a_patch_does_not_replay(name: str) -> None:
    """What CI says before such a release reaches anybody's run; with the patch the same histories replay."""
    history = WorkflowHistory.from_json(name, RECORDED[name])
    await replayer_of(PatchedRelease).replay_workflow(history)
    with pytest.raises(NondeterminismError):
        await replayer_of(CarelessRelease).replay_workflow(history)


async def test_a_release_that_looks_at_the_machines_clock_is_noticed() -> None:
    """The commands are the same, today; only the sandbox that the tests run in knows (decision 53)."""
    history = WorkflowHistory.from_json("paid", RECORDED["paid"])
    with pytest.raises(RuntimeError, match=r"datetime\.datetime\.now"):
        await replayer_of(ClockRelease).replay_workflow(history)


def replayer_of(release: type) -> Replayer:
    """As the worker of that release would."""
    return Replayer(
        workflows=[release, BankReturnWorkflow],
        workflow_runner=restricted_runner(),
        data_converter=pydantic_data_converter,
    )


async def make_current(house: House, build_id: str) -> None:
    """What `temporal worker deployment set-current-version` does, once the version has polled."""
    request = SetWorkerDeploymentCurrentVersionRequest(
        namespace=house.client.namespace,
        deployment_name=DEPLOYMENT,
        build_id=build_id,
        identity="operator",
        ignore_missing_task_queues=True,
    )
    for attempt in range(100):
        try:
            await house.client.workflow_service.set_worker_deployment_current_version(request)
        except RPCError:
            assert attempt < 99, "the version never polled"
            await asyncio.sleep(0.1)
        else:
            break
    wanted = DescribeWorkerDeploymentRequest(namespace=house.client.namespace, deployment_name=DEPLOYMENT)
    for _ in range(100):
        described = await house.client.workflow_service.describe_worker_deployment(wanted)
        if described.worker_deployment_info.routing_config_update_state == UPDATED:
            return
        await asyncio.sleep(0.1)
    raise AssertionError("the task queues never heard of it")


async def build_ids(one: tuple[House, UUID]) -> set[str]:
    """Which versions have carried a run on."""
    house, withdrawal_id = one
    history = await house.handle(withdrawal_id).fetch_history()
    done = (event.workflow_task_completed_event_attributes for event in history.events)
    return {task.deployment_version.build_id for task in done if task.HasField("deployment_version")}


async def steps_that_are_new(one: tuple[House, UUID]) -> int:
    """How often a run took the next release's new road."""
    house, withdrawal_id = one
    history: Any = await house.handle(withdrawal_id).fetch_history()
    markers = (event.marker_recorded_event_attributes for event in history.events)
    return sum(PATCH in str(marker.details) for marker in markers if marker.marker_name == "core_patch")
