"""Consoles beside the stack's own, with other settings, served in this process."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import uvicorn

from console.app import create_app
from console.settings import Settings
from stack.ports import HOST, free_ports


@contextlib.asynccontextmanager
async def served(app: Any) -> AsyncIterator[str]:
    """The address of an ASGI app, while the block lasts."""
    (port,) = free_ports(1)
    server = uvicorn.Server(uvicorn.Config(app, host=HOST, port=port, log_level="error", access_log=False, ws="none"))
    task = asyncio.create_task(server.serve())
    try:
        while not server.started:
            assert not task.done()
            await asyncio.sleep(0.02)
        yield f"http://{HOST}:{port}"
    finally:
        server.should_exit = True
        await task


@contextlib.asynccontextmanager
async def another_console(folder: Path, **settings: Any) -> AsyncIterator[str]:
    """The address of a console with these settings."""
    secret = folder / "secret"
    secret.write_bytes(b"for tests only, and long enough for it")
    given = {"api_url": "http://127.0.0.1:1", "secret_file": secret, "secure_cookies": False} | settings
    async with served(create_app(Settings.model_validate(given))) as address:
        yield address
