"""The command ``python -m operations``: 0 all is well, 1 something is wrong, 2 it was called wrongly."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from pydantic import ValidationError
from rich.console import Console
from temporalio.client import Client
from temporalio.envconfig import ClientConfig

from bank.client import HttpBank
from domain.errors import NotFound, TemporarilyUnavailable
from ledger.cases import Cases
from ledger.database import Database
from ledger.outbox import Outbox
from operations.answers import Answer, NotUsable
from operations.checking import Checking
from operations.engine import TemporalAway
from operations.exporting import open_new, write_day
from operations.freeing import Freeing
from operations.looking import Looking
from operations.runs import Runs
from operations.schedules import Schedules
from outside import BANK_TIMEOUT, session_to
from payloads.encryption import data_converter
from settings import Settings, what_is_missing

USAGE = 2


async def answer(asked: argparse.Namespace, settings: Settings) -> Answer:
    """Carries one command out."""
    database = Database.connect(settings.database_url.get_secret_value(), pool_size=2)
    try:
        match asked.command:
            case "letters":
                return await _letters(database, replay=asked.replay)
            case "export":
                return await asyncio.to_thread(_export, Cases(database), asked.day, asked.output)
            case _:
                return await _with_temporal(asked, settings, database)
    finally:
        database.close()


async def _with_temporal(asked: argparse.Namespace, settings: Settings, database: Database) -> Answer:
    connection: dict[str, Any] = {"target_host": "localhost:7233", **ClientConfig.load_client_connect_config()}
    converter = data_converter(settings.payload_keys(), connection.get("namespace", "default"))
    client = await Client.connect(**connection, lazy=True, data_converter=converter)
    match asked.command:
        case "verify":
            checking = Checking(database, anchored=settings.audit_anchor_file is not None)
            return await checking.verify(Schedules(client), now=_now())
        case "schedules":
            return await Schedules(client).show(now=_now(), resume=asked.resume)
        case _:
            return await _withdrawals(asked, settings, Cases(database), Runs(client, settings.task_queue))


async def _withdrawals(asked: argparse.Namespace, settings: Settings, cases: Cases, runs: Runs) -> Answer:
    async with session_to(settings.bank_url, BANK_TIMEOUT, trust_env=False) as http:
        looking, freeing = Looking(cases, runs, HttpBank(http)), Freeing(cases, runs)
        match asked.command:
            case "stuck":
                return await looking.stuck(now=_now(), everything=asked.all)
            case "of":
                return await looking.of(asked.account, now=_now())
            case "nudge":
                return await freeing.nudge(asked.withdrawal)
            case "restart":
                return await freeing.restart(asked.withdrawal)
            case _:
                return await looking.show(asked.withdrawal, now=_now())


async def _letters(database: Database, *, replay: Sequence[int] | None) -> Answer:
    if replay is None:
        return await Checking(database).letters()
    replayed = await asyncio.to_thread(Outbox(database).replay, replay or None, now=_now())
    return Answer({"replayed": replayed}, lines=[f"{replayed} messages are sent again"])


def _export(cases: Cases, day: date, output: Path | None) -> Answer:
    if output is None:
        write_day(cases, day, sys.stdout)
        return Answer({})
    try:
        sheet = open_new(output)
    except OSError as error:
        raise NotUsable(f"{output}: {error.strerror}") from None
    with sheet:
        count = write_day(cases, day, sheet)
    return Answer({"lines": count, "file": str(output)}, lines=[f"{count} lines in {output}"])


def _now() -> datetime:
    return datetime.now(UTC)


def parser() -> argparse.ArgumentParser:
    """What can be asked."""
    everything = argparse.ArgumentParser(prog="python -m operations", description=__doc__)
    everything.add_argument("--json", action="store_true", help="one JSON document instead of tables")
    commands = everything.add_subparsers(dest="command", required=True)
    for name, does in (
        ("show", "one withdrawal in PostgreSQL, in Temporal and at the bank"),
        ("nudge", "lets a withdrawal's run look at the rows and the bank again"),
        ("restart", "starts the run of a withdrawal that has none"),
    ):
        commands.add_parser(name, help=does).add_argument("withdrawal", type=_withdrawal_id)
    commands.add_parser("of", help="the withdrawals of an account, newest first").add_argument("account")
    stuck = commands.add_parser("stuck", help="the withdrawals that take too long, and why")
    stuck.add_argument("--all", action="store_true", help="every unfinished one, and what it waits for")
    commands.add_parser("verify", help="invariants, schedules, sweep, statements, audit chain, dead letters")
    schedules = commands.add_parser("schedules", help="what runs by the clock: paused or not, last run, next run")
    schedules.add_argument("--resume", action="store_true", help="let all that are paused go on")
    letters = commands.add_parser("letters", help="what the console's backend could not be told")
    letters.add_argument("--replay", nargs="*", type=int, metavar="LETTER", help="send these again, or all of them")
    export = commands.add_parser("export", help="everything that happened on a day, as CSV")
    export.add_argument("day", type=date.fromisoformat, help="a Shanghai day, such as 2026-11-25")
    export.add_argument("--output", type=Path, help="a new file instead of the terminal")
    return everything


def _withdrawal_id(word: str) -> UUID:
    """An id as it is, or as the workflow id has it."""
    try:
        return UUID(word.removeprefix("withdrawal-"))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{word!r} is not a withdrawal's number, such as 01a2133f-8732-7cc1-a5a3-0f4f8d8a4f6e;"
            f" the numbers of an account's withdrawals: `of ACCOUNT`"
        ) from None


def main() -> int:
    """Reads the command line, prints the answer, and returns the exit code."""
    asked = parser().parse_args()
    complaints = Console(stderr=True, soft_wrap=True, highlight=False, markup=False)
    try:
        said = asyncio.run(answer(asked, Settings()))
    except ValidationError as incomplete:
        complaints.print(what_is_missing(incomplete))
        return USAGE
    except NotFound:
        complaints.print(f"there is no withdrawal or letter of that number: {getattr(asked, 'withdrawal', '')}")
        return USAGE
    except NotUsable as no:
        complaints.print(str(no))
        return USAGE
    except BrokenPipeError:
        # Whoever read along has read enough; the interpreter must not complain at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except TemporarilyUnavailable:
        complaints.print("PostgreSQL is away")
        return 1
    except TemporalAway as away:
        complaints.print(f"Temporal is away: {away}")
        return 1
    said.print(Console(width=None if sys.stdout.isatty() else 160), as_json=asked.json)
    return said.exit_code


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    # Not sys.exit: Temporal's client has threads of its own, and one that is still at work when the interpreter goes
    # aborts the process with another exit code than ours.
    os._exit(code)
