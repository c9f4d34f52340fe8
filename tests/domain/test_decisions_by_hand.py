"""A decision as somebody types it into the Temporal UI."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.withdrawal import Decision, FinanceDecision, read_decision


def test_a_decision_with_and_without_a_note_is_read() -> None:
    """The note may be left out."""
    word = {"approver": "li.wei@example.com", "decision": "approve"}
    assert read_decision(word) == FinanceDecision("li.wei@example.com", Decision.APPROVE, "")
    assert read_decision(word | {"note": "两行\nok"}).note == "两行\nok"


@pytest.mark.parametrize(
    "approver", ["", " ", "li ", " li", "l i", "li\t", "li\u3000", "li\x00", "x" * 256, None, True, 7]
)
def test_nobody_is_two_people_by_a_blank(approver: object) -> None:
    """White space, control characters and what is no text name no one."""
    with pytest.raises(ValueError, match="approver"):
        read_decision({"approver": approver, "decision": "approve"})


@given(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.text(), st.lists(st.text()), st.dictionaries(st.text(), st.text())
    )
)
def test_anything_else_is_a_value_error_and_nothing_worse(word: object) -> None:
    """Whatever JSON holds: the workflow catches exactly this."""
    with pytest.raises(ValueError, match="approver"):
        read_decision(word)
