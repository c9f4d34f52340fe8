"""A command on a stack that is up: `python -m stack.run [--state …] [--port-offset …] command …`."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from stack.local import ROOT, room_environment
from stack.ports import Ports, is_free
from stack.postgres import Logins
from stack.state import State


def main() -> None:
    """Becomes the command, with the environment of the stack's own processes; fails where no stack is up."""
    parser = argparse.ArgumentParser(prog="python -m stack.run", description=__doc__)
    parser.add_argument("--state", type=Path, default=Path(".state"))
    parser.add_argument("--port-offset", type=int, default=0)
    parser.add_argument("command", nargs=argparse.REMAINDER)
    options = parser.parse_args()
    ports = Ports.with_offset(options.port_offset)
    state = State(options.state.absolute())
    if is_free(ports.postgres) or not state.postgres.exists():
        sys.exit(f"No stack is up on {state.root} and port {ports.postgres}: `make up` starts one")
    environment = room_environment(state, ports, Logins.stored(state.postgres, ports.postgres))
    os.chdir(ROOT)
    os.execvpe(options.command[0], options.command, environment)  # noqa: S606 - no shell is wanted # nosec B606


if __name__ == "__main__":
    main()
