"""What authenticated callers asked for. A prompt in Temporal only names such a row; it can't make one up."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import uuid_utils.compat as uuid7s
from sqlalchemy import bindparam, select

from domain.errors import NotFound
from domain.withdrawal import Door, Verb
from ledger.database import Database
from ledger.moves import Instruction
from ledger.tables import instructions


@dataclass(frozen=True)
class Recorded:
    """An instruction as it was recorded: ``word`` is the decision or the outcome, ``note`` what was written to it."""

    instruction: Instruction
    word: str
    note: str


_BY_ID = select(instructions).where(
    instructions.c.id == bindparam("id"),
    instructions.c.withdrawal_id == bindparam("withdrawal_id"),
    instructions.c.verb == bindparam("verb"),
)


@dataclass(frozen=True)
class Instructions:
    """Written by the API once it knows who calls, read by the step that carries them out."""

    database: Database

    def record(
        self, withdrawal_id: UUID, verb: Verb, actor: str, *, word: str = "", note: str = "", now: datetime
    ) -> UUID:
        """Writes the instruction down and returns its id. It moves nothing by itself."""
        instruction_id: UUID = uuid7s.uuid7()
        with self.database.transaction() as connection:
            connection.execute(
                instructions.insert(),
                {
                    "id": instruction_id,
                    "withdrawal_id": withdrawal_id,
                    "verb": str(verb),
                    "actor": actor,
                    "word": word,
                    "note": note,
                    "recorded_at": now,
                },
            )
        return instruction_id

    def read(self, withdrawal_id: UUID, verb: Verb, instruction_id: UUID) -> Recorded:
        """The instruction, if it was recorded for this withdrawal and this verb; ``NotFound`` for anything else."""
        wanted = {"id": instruction_id, "withdrawal_id": withdrawal_id, "verb": str(verb)}
        with self.database.transaction() as connection:
            row = connection.execute(_BY_ID, wanted).mappings().first()
        if row is None:
            raise NotFound
        return Recorded(Instruction(row["actor"], Door.API, f"instruction:{row['id']}"), row["word"], row["note"])
