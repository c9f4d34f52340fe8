"""How the bank and the SMS gateway are called: a session each, for as long as the process lives."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp

BANK_TIMEOUT = aiohttp.ClientTimeout(total=10, sock_connect=3)
SMS_TIMEOUT = aiohttp.ClientTimeout(total=5, sock_connect=2)
"""Seconds, until the last byte of the answer."""

KEPT_S = 4.0
"""How long an idle connection is kept: servers close theirs after five and more, and a call must not meet that."""


def session_to(
    url: str, timeout: aiohttp.ClientTimeout, *, trust_env: bool, traces: Sequence[aiohttp.TraceConfig] = ()
) -> aiohttp.ClientSession:
    """For calls below ``url``, to be closed by the caller; through the environment's proxy where that is trusted.

    The proxy is looked up here once. aiohttp's own ``trust_env`` would ask two threads before each call, and send what
    a ``.netrc`` says of the host along.
    """
    return aiohttp.ClientSession(
        url if url.endswith("/") else f"{url}/",
        connector=aiohttp.TCPConnector(keepalive_timeout=KEPT_S),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=timeout,
        proxy=_proxy(url) if trust_env else None,
        trace_configs=[*traces],
    )


def _proxy(url: str) -> str | None:
    """What ``HTTPS_PROXY``, ``HTTP_PROXY``, ``ALL_PROXY`` and ``NO_PROXY`` say of this address."""
    asked, known = urlsplit(url), getproxies()
    proxy = known.get(asked.scheme) or known.get("all")
    if not proxy or proxy_bypass(asked.hostname or ""):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"
