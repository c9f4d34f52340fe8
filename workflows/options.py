"""Every time-out and retry policy by name."""

from __future__ import annotations

from datetime import timedelta

from temporalio.common import RetryPolicy

LEDGER_STEP = timedelta(seconds=20)
LEDGER_RETRIES = RetryPolicy(initial_interval=timedelta(milliseconds=200), maximum_interval=timedelta(minutes=2))
LEDGER_AWAY = timedelta(seconds=5)
"""A transaction of ours: milliseconds, or as long as the database is away. It is never given up, and after five
seconds it waits on a timer: a step that waits inside its workflow task would grow the history every few seconds."""

SEND_CODE = timedelta(seconds=10)
SEND_CODE_ALTOGETHER = timedelta(minutes=2)
SEND_CODE_RETRIES = RetryPolicy(initial_interval=timedelta(seconds=1), maximum_interval=timedelta(seconds=15))
"""After two minutes the customer may ask for another code; the ten minutes run all the same."""

TELL_ALTOGETHER = timedelta(days=1)
TELL_RETRIES = RetryPolicy(initial_interval=timedelta(seconds=1), maximum_interval=timedelta(minutes=10))
"""A notice is worth a day of trying; the page says the same all along."""

ASK_BANK = timedelta(minutes=1)
ASK_BANK_AT_LEAST = timedelta(minutes=10)
ASK_BANK_RETRIES = RetryPolicy(initial_interval=timedelta(seconds=1), maximum_interval=timedelta(minutes=1))
"""Asked again until it answers or the window ends, and for ten minutes at least."""
BANK_HEARTBEAT = timedelta(seconds=15)
"""A worker that is silent for longer counts as dead, and another one asks the bank."""

QUICK = timedelta(seconds=2)
ONCE = RetryPolicy(maximum_attempts=1)
"""A step outside that is tried inside its workflow task first: what takes longer than this, or fails, is left to a
step that the server keeps (decision 52). Well below the ten seconds that a workflow task may take."""

ASK_FOR_RETURN = timedelta(days=3)
"""How long a bank that does not answer is asked whether it sent a payment back."""

FINANCE_REMINDERS = (timedelta(days=1), timedelta(days=2), timedelta(days=4), timedelta(days=7))
"""How long finance is waited for before each reminder; the last one repeats."""

NEEDS_A_PERSON = timedelta(hours=1)
"""How long a run that met something that must not be waits before it looks again by itself."""

SOON = timedelta(seconds=1)
"""The shortest timer: a deadline that has just passed is looked at once more, not in a loop."""

SWEEP_STEP = timedelta(minutes=5)
SWEEP_HEARTBEAT = timedelta(seconds=10)
"""No sweep begins while one is under way: a worker killed in the middle of it must not stop all sweeping for long."""
SWEEP_RETRIES = RetryPolicy(maximum_attempts=2)
"""The schedule is the retry: the next sweep does what this one could not."""

STATEMENT_WITHIN = timedelta(hours=20)
"""A bank whose statement is late is asked until the next day's is due."""

UPKEEP_STEP = timedelta(hours=1)
"""The first batch seals everything there is, and a first clean-up may find years: neither is in a hurry."""
