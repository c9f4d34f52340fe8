"""Names nobody has: whatever text is sent, it is taken as it is or refused as a whole, never met with a 5xx."""

from __future__ import annotations

import json
import unicodedata

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from domain.names import folded, same_name
from tests.api.console import Console, application, refused, registration

_TRICKS = st.sampled_from(
    [
        *("\u202e", "\u2066", "\u200b", "\u200d", "\u00ad", "\ufeff", "\u2028", "\x00", "\x1f", "\x7f", "\u0300"),
        *("\ud800", "\udfff", "\ufffe", "\U000e0041", "\U0010ffff", "\ue000", "ﬁ", "Ａ", "㍿", "ª", "·", "‧", "\u3000"),
        *("а", "ο", "张", "張", "%", "_", "'", '"', "\\", "<script>", "${7*7}", "{{7*7}}", "; DROP TABLE accounts"),
    ]
)
NAMES = st.one_of(
    st.text(st.characters(), max_size=120),
    st.lists(st.one_of(_TRICKS, st.text(min_size=1, max_size=3)), max_size=40).map("".join),
)
_UNSEEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def may_pass(name: str) -> bool:
    """By the contract: 1 to 100 characters after trimming, all of them to be seen."""
    text = unicodedata.normalize("NFC", name).strip()
    seen = all(
        unicodedata.category(character) not in _UNSEEN or 0x20000 <= ord(character) < 0x3FFFE for character in text
    )
    return 1 <= len(text) <= 100 and seen


@settings(max_examples=120)
@given(name=NAMES)
@example(name="\ud800")
@example(name="a" * 101)
@example(name="é" * 100)
@example(name="e\u0301" * 100)
async def test_a_registered_name_is_kept_as_it_is_or_refused(console: Console, name: str) -> None:
    """Whatever billing sends; and the customer's own name is equal to itself, in whichever form it is written."""
    body = json.dumps(registration(name)).encode()
    headers = {"Content-Type": "application/json"}
    answer = await console.as_billing("PUT", "/v1/accounts/acct_named", content=body, headers=headers)
    if not may_pass(name):
        refused(answer, 422, "invalid_request")
        return
    assert answer.status_code == 200, answer.text
    card = application()["bank_card"] | {"account_name": unicodedata.normalize("NFD", name)}
    form = application("acct_named", bank_card=card, amount="1.00")
    applied = await console.as_customer(
        "POST", "/v1/withdrawals", of="acct_named", content=json.dumps(form).encode(),
        headers=headers | {"Idempotency-Key": "k"},
    )  # fmt: skip
    # There is no money on the account; but the name is never what is wrong.
    problem = applied.json()
    assert applied.status_code == 422, problem
    mismatch = "bank_account_name_mismatch" in [error["code"] for error in problem["errors"]]
    assert mismatch == (folded(name) == ""), problem


@given(one=NAMES, other=NAMES)
def test_names_are_compared_alike_from_either_side(one: str, other: str) -> None:
    """Comparing never fails, is the same both ways, and every name equals itself; dots and spaces are no name."""
    assert same_name(one, one) == (folded(one) != "")
    assert same_name(one, other) == same_name(other, one)


@pytest.mark.parametrize(
    ("registered", "typed"),
    [
        ("Ivan", "Іvan"),  # a Cyrillic І
        ("张三", "張三"),
        ("ООО Облако", "OOO Облако"),
        ("Bob", "B0b"),
        ("王一", "王—"),
    ],
)
async def test_look_alikes_are_not_equal(console: Console, registered: str, typed: str) -> None:
    """What only looks like the subject's name is somebody else's account (rule 5)."""
    await console.open_account("acct_named", cash="100.00", name=registered)
    card = application()["bank_card"] | {"account_name": typed}
    problem = refused(await console.apply(of="acct_named", amount="1.00", bank_card=card), 422, "not_eligible")
    assert [error["code"] for error in problem["errors"]] == ["bank_account_name_mismatch"]
