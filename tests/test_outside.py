"""The sessions to bank and SMS gateway: whose proxy they take, and that they keep nothing."""

from __future__ import annotations

import pytest
from aiohttp import ClientTimeout

from outside import session_to
from tests.answering import answer, answering

VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.mark.parametrize(
    ("variable", "exempt", "trust_env", "by_proxy"),
    [
        ("HTTP_PROXY", "", True, True),
        ("ALL_PROXY", "other.test", True, True),
        ("HTTPS_PROXY", "", True, False),
        ("HTTP_PROXY", "localhost", True, False),
        ("HTTP_PROXY", "", False, False),
    ],
)
async def test_the_environments_proxy_is_taken_where_it_is_trusted(
    monkeypatch: pytest.MonkeyPatch, variable: str, exempt: str, trust_env: bool, by_proxy: bool
) -> None:
    """Of the address's own scheme, unless the host is exempt; a proxy's password goes to the proxy."""
    async with answering(answer(200)) as party, answering(answer(200)) as proxy:
        for name in VARIABLES:
            monkeypatch.delenv(name, raising=False)
            monkeypatch.delenv(name.upper(), raising=False)
        monkeypatch.setenv(variable, proxy.url.replace("://", "://us:secret@"))
        monkeypatch.setenv("NO_PROXY", exempt)
        async with session_to(party.url, ClientTimeout(total=5), trust_env=trust_env) as http:
            assert (await http.get("transfers")).status == 200
    assert (len(party.asked), len(proxy.asked)) == (0, 1) if by_proxy else (1, 0)
    assert ["proxy-authorization" in asked.headers for asked in proxy.asked] == [True] * by_proxy
    assert [asked.headers["host"] for asked in (*party.asked, *proxy.asked)] == [party.url[len("http://") : -1]]


async def test_no_cookie_is_kept() -> None:
    """What the party wants remembered does not tie one withdrawal's call to another's."""
    async with (
        answering(answer(200, "", "Set-Cookie: seen=1; Path=/")) as party,
        session_to(party.url, ClientTimeout(total=5), trust_env=False) as http,
    ):
        await http.get("transfers")
        await http.get("transfers")
    assert ["cookie" in asked.headers for asked in party.asked] == [False, False]
