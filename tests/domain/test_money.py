"""Money is read strictly and written exactly."""

from __future__ import annotations

import re
from typing import Any, cast

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from domain.money import format_yuan, parse_yuan

_CONTRACT = re.compile(r"^(0|[1-9][0-9]{0,11})(\.[0-9]{1,2})?\Z")
_MOST = 999_999_999_999_99


@given(st.integers(1, _MOST))
@example(1)
@example(_MOST)
def test_an_amount_survives_being_written_and_read(fen: int) -> None:
    """What is written as yuan is read back as the same fen."""
    assert parse_yuan(format_yuan(fen)) == fen


@given(st.integers(-_MOST, _MOST))
def test_an_amount_is_written_with_two_decimals_and_its_sign(fen: int) -> None:
    """The written form is yuan, a point and two digits; arrears carry one minus sign in front."""
    text = format_yuan(fen)
    assert re.fullmatch(r"-?(0|[1-9][0-9]*)\.[0-9]{2}", text)
    assert int(text.replace(".", "")) == fen


@pytest.mark.parametrize(
    ("text", "fen"),
    [
        ("0.01", 1),
        ("0.1", 10),
        ("1", 100),
        ("1.5", 150),
        ("1234.56", 123456),
        ("999999999999.99", _MOST),
    ],
)
def test_the_forms_of_the_contract_are_read_as_fen(text: str, fen: int) -> None:
    """No, one and two decimals are all accepted, up to twelve digits of yuan."""
    assert parse_yuan(text) == fen


@pytest.mark.parametrize(
    "text",
    [
        "", "0", "0.0", "0.00", ".5", "5.", "1.234", "1,000", "1 000", "00", "01", "01.00", "1000000000000",
        "+1", "-1", "−1", "1e3", "1E3", "0x10", "1_000", " 1", "1 ", "1\n", "\t1", "1\u3000", "\u20071",
        "１", "１２.３４", "1．5", "٣", "१", "²", "½", "Ⅷ", "一", "NaN", "nan", "inf", "Infinity", "¥1", "1元",
        "True", "None", "1.0\x00", "\ufeff1", "1\u200b",
    ],
)  # fmt: skip
def test_everything_else_is_refused(text: str) -> None:
    """Signs, exponents, separators, spaces, other scripts' digits and nothing at all are no amount."""
    with pytest.raises(ValueError, match="an amount is"):
        parse_yuan(text)


@given(st.one_of(st.text(max_size=20), st.text("0123456789.+-eE,_ ０１２９٣\n", max_size=18)))
def test_exactly_the_contracts_pattern_is_read(text: str) -> None:
    """A text is read if and only if it has the form of the contract and is more than zero."""
    if _CONTRACT.match(text) and text.strip("0."):
        assert parse_yuan(text) > 0
    else:
        with pytest.raises(ValueError, match="an amount is"):
            parse_yuan(text)


@pytest.mark.parametrize("value", [True, 1, 1.5, None, b"1"])
def test_what_is_no_text_is_no_amount(value: object) -> None:
    """A number or a truth value, as a careless JSON reader would pass on, is not taken for yuan."""
    with pytest.raises(TypeError):
        parse_yuan(cast(Any, value))
