"""`make up`: the whole stack in the foreground, until Ctrl-C or SIGTERM."""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

from stack.local import LocalStack, running_stack
from stack.ports import HOST, Ports, PortTaken
from stack.postgres import DATABASE, DirectoryInUse
from stack.processes import ProcessFailed
from stack.signals import Stopped, stopped_by_signals
from stack.state import State, StateInUse


def main() -> int:
    """0 after it was asked to end; 1 where something could not start, or ended by itself."""
    options = _options()
    # Whatever the stack writes is the owner's alone.
    os.umask(0o077)
    try:
        with (
            stopped_by_signals(),
            State.locked(options.state) as state,
            running_stack(state, Ports.with_offset(options.port_offset), tell=_tell) as stack,
        ):
            print(_where_everything_is(stack), flush=True)
            while True:
                stack.require_running()
                time.sleep(0.5)
    except Stopped:
        print("stopped; the data stays in", options.state)
        return 0
    except (PortTaken, StateInUse, DirectoryInUse, ProcessFailed, PermissionError) as failed:
        print(f"\nThe stack has ended: {failed}", file=sys.stderr)
        return 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m stack", description=__doc__)
    parser.add_argument("--state", type=Path, default=Path(".state"), help="keeps the data (default: .state)")
    parser.add_argument("--port-offset", type=int, default=0, help="added to every port (default: 0)")
    return parser.parse_args()


def _tell(what: str) -> None:
    print(f"starting {what} …", flush=True)


def _where_everything_is(stack: LocalStack) -> str:
    rows = (
        ("API", stack.api_url),
        ("OpenAPI", f"{stack.api_url}/openapi.json"),
        ("Temporal UI", stack.temporal_ui_url),
        ("Temporal", stack.temporal.address),
        ("codec server", stack.codec_url),
        ("sandbox", f"{stack.sandbox_url}/docs"),
        ("PostgreSQL", f"{HOST}:{stack.ports.postgres}/{DATABASE}, {stack.state.postgres}/passwords.json"),
        ("logs", str(stack.state.logs)),
    )
    lines = (f"  {name:<12} {place}" for name, place in rows)
    return "\n".join(("", *lines, "", "Everything works. Ctrl-C ends it.", ""))


if __name__ == "__main__":
    sys.exit(main())
