"""The ledger's own stories, and a console's backend that listens."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import httpx
import pytest

from ledger.outbox import Outbox
from tests.ledger.conftest import empty_database, ledger, stories
from tests.ledger.stories import Ledger, Stories
from tests.webhooks.listening import SECRET, Listener, listening
from webhooks.delivery import Delivery
from webhooks.receiver import HttpReceiver

__all__ = ["empty_database", "ledger", "stories"]


@pytest.fixture
def listener() -> Iterator[Listener]:
    """Takes everything, unless the test says otherwise."""
    with listening() as listener:
        yield listener


@pytest.fixture
def outbox(ledger: Ledger) -> Outbox:
    """The test's own."""
    return Outbox(ledger.database)


@pytest.fixture
async def delivery(outbox: Outbox, listener: Listener, stories: Stories) -> AsyncIterator[Delivery]:
    """A deliverer on the story's clock; what it signs is dated now, as the receiver's clock is the real one."""
    async with httpx.AsyncClient(trust_env=False) as client:
        yield Delivery(outbox, HttpReceiver(client, listener.url, [SECRET]))
