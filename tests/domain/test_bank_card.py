"""A card number is checked strictly and never shown whole."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stdnum import luhn

from domain.bank_card import BankCard, is_card_number, last_four, masked_card, masked_phone, passes_luhn

_DIGITS = st.text("0123456789", min_size=12, max_size=19)


@given(_DIGITS)
def test_luhn_agrees_with_another_implementation(card_number: str) -> None:
    """The check digit is that of ISO/IEC 7812-1, as python-stdnum has it."""
    assert passes_luhn(card_number) == luhn.is_valid(card_number)


@given(_DIGITS, st.integers(0, 18), st.integers(1, 9))
def test_one_wrong_digit_is_always_caught(payload: str, place: int, change: int) -> None:
    """No single typing error in a valid number passes."""
    valid = payload[:-1] + luhn.calc_check_digit(payload[:-1])
    place %= len(valid)
    wrong = valid[:place] + str((int(valid[place]) + change) % 10) + valid[place + 1 :]
    assert passes_luhn(valid)
    assert not passes_luhn(wrong)


@pytest.mark.parametrize(
    ("text", "good"),
    [
        ("6" * 11, False),
        ("6" * 12, True),
        ("6" * 19, True),
        ("6" * 20, False),
        ("", False),
        ("622848 0000 0000 0001", False),
        ("６" * 16, False),
        ("٣" * 16, False),
        ("6" * 16 + "\n", False),
        ("-" + "6" * 15, False),
    ],
)
def test_a_card_number_is_12_to_19_ascii_digits(text: str, good: bool) -> None:
    """Spaces, signs, line ends and other scripts' digits are refused."""
    assert is_card_number(text) is good


def test_card_and_phone_are_masked() -> None:
    """Four digits of a card, three and four of a phone are all that is shown."""
    assert masked_card(last_four("6230580000000000018")) == "**** 0018"
    assert masked_phone("13812341234") == "138****1234"


def test_a_card_does_not_show_itself_in_a_log() -> None:
    """The repr carries the last four digits and nothing else of the person."""
    card = BankCard("张三", "平安银行", "上海分行营业部", "6230580000000000018")
    for text in (repr(card), str(card), f"{card}", repr([card])):
        assert "0018" in text
        for secret in ("张三", "平安银行", "上海分行营业部", "623058"):
            assert secret not in text
