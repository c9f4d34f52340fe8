"""Commands on a PostgreSQL that is thrown away: `python -m stack.throwaway 'command' 'command' …`."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

from stack.local import ROOT
from stack.postgres import APP_ROLE, OWNER_ROLE, Postgres
from stack.signals import Stopped, stopped_by_signals


def main() -> int:
    """Runs the commands in turn on a database that starts empty; ends with the first failure's code."""
    try:
        with stopped_by_signals(), tempfile.TemporaryDirectory(prefix="throwaway-postgres-") as folder:
            # PostgreSQL's unprivileged user passes through it.
            Path(folder).chmod(0o711)
            with Postgres.running(Path(folder) / "postgres", durable=False) as postgres:
                environment = os.environ | {
                    "WITHDRAWALS_DATABASE_URL": postgres.url(APP_ROLE),
                    "WITHDRAWALS_MIGRATION_DATABASE_URL": postgres.url(OWNER_ROLE),
                }
                for command in sys.argv[1:]:
                    done = subprocess.run(shlex.split(command), env=environment, cwd=ROOT, check=False)
                    if done.returncode != 0:
                        return done.returncode
    except Stopped:
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
