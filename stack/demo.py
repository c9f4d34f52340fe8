"""`make demo`: the whole stack on free state and ports of its own, and the story of two withdrawals on it."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

import httpx
from rich.console import Console

from stack.local import LocalStack, running_stack
from stack.ports import Ports, PortTaken
from stack.processes import ProcessFailed, tail
from stack.signals import Stopped, stopped_by_signals
from stack.state import State
from stack.story import Story, StoryBroken


def main() -> int:
    """0 only if both withdrawals ended as told, with every amount right; leaves nothing behind."""
    console = Console(highlight=False, soft_wrap=True)
    begun = time.monotonic()
    os.umask(0o077)
    try:
        with stopped_by_signals(), tempfile.TemporaryDirectory(prefix="withdrawals-demo-") as folder:
            # PostgreSQL's unprivileged user passes through it.
            Path(folder).chmod(0o711)
            console.print("[bold]Two withdrawals, on real servers of their own[/]")
            with (
                State.locked(Path(folder) / "state") as state,
                # Its data is thrown away in a minute: no need to wait for the disk.
                running_stack(state, Ports.free(), durable=False, tell=lambda what: _tell(console, what)) as stack,
            ):
                console.print(f"   ready after {time.monotonic() - begun:.0f} s")
                _tell_story(console, stack)
    except Stopped:
        console.print("\nstopped")
        return 1
    except (PortTaken, ProcessFailed) as failed:
        print(f"\nThe demo failed: {failed}", file=sys.stderr)
        return 1
    except StoryBroken:
        return 1
    console.print(f"\n[bold green]Both ended as told[/], after {time.monotonic() - begun:.0f} s.")
    console.print(
        "Everything is gone again. `make up` keeps a stack running, with the console and the Temporal UI to look at."
    )
    return 0


def _tell(console: Console, what: str) -> None:
    console.print(f"   starting {what} …", style="dim")


def _tell_story(console: Console, stack: LocalStack) -> None:
    """Raises StoryBroken after saying what broke and what the logs say, while the logs are still there."""
    with (
        httpx.Client(base_url=stack.api_url, trust_env=False, timeout=20) as api,
        httpx.Client(base_url=stack.sandbox_url, trust_env=False, timeout=20) as sandbox,
    ):
        try:
            Story(console, api, sandbox, stack.temporal_ui_url).tell()
        except (StoryBroken, httpx.TransportError) as broken:
            print(f"\nThe demo failed: {broken}", file=sys.stderr)
            for process in (stack.api, stack.worker, stack.sandbox):
                print(f"\nThe end of the log of {process.name}:\n{tail(process.log)}", file=sys.stderr)
            raise StoryBroken(str(broken)) from broken


if __name__ == "__main__":
    sys.exit(main())
