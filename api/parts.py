"""What the routes work with; the app factory puts it together, tests bring their own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, cast

from fastapi import Depends, Request

from api.authentication import Authenticator
from api.bank_signature import BankSignature
from api.engine import Engine
from api.rate_limits import CallLimits
from ledger.accounts import Accounts
from ledger.applications import Applications
from ledger.database import Database
from ledger.notifications import SeenNotifications
from ledger.outbox import Outbox
from ledger.reads import Reads
from ledger.statements import Statements
from ledger.verifications import Verifications

Clock = Callable[[], datetime]


@dataclass(frozen=True)
class Parts:
    """The ledger, the engine and who is believed; ``clock`` gives aware datetimes."""

    database: Database
    accounts: Accounts
    applications: Applications
    verifications: Verifications
    reads: Reads
    statements: Statements
    outbox: Outbox
    engine: Engine
    authenticator: Authenticator
    bank_signature: BankSignature
    notifications: SeenNotifications
    limits: CallLimits
    clock: Clock


async def parts_of(request: Request) -> Parts:
    """The parts of the app that serves this request."""
    return cast(Parts, request.app.state.parts)


AppParts = Annotated[Parts, Depends(parts_of)]
