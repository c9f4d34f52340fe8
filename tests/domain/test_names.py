"""Rule 5: the same name in another spelling is the same name; a look-alike is not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.names import folded, same_name


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("张三", "张三"),
        ("张三", " 张 三\u3000"),
        ("张三", "张\u00a0三\t\n"),
        ("阿依古丽·买买提", "阿依古丽买买提"),
        ("阿依古丽·买买提", "阿依古丽•买买提"),
        ("阿依古丽·买买提", "阿依古丽・买买提"),
        ("阿依古丽·买买提", "阿依古丽‧买买提"),
        ("阿依古丽·买买提", "阿依古丽･买买提"),
        ("ＡＢＣ（上海）有限公司", "ABC(上海)有限公司"),
        ("ABC（上海）有限公司", "ABC (上海) 有限公司"),
        ("José", "Jose\u0301"),
        ("㈱山田", "(株)山田"),
    ],
)
def test_rule_5_spelling_does_not_matter(one: str, other: str) -> None:
    """Width, composition, white space and the four middle dots make no difference."""
    assert same_name(one, other)
    assert same_name(other, one)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("ABC有限公司", "АBC有限公司"),  # Cyrillic А
        ("ABC有限公司", "ΑBC有限公司"),  # Greek Α
        ("Apple", "Αpple"),
        ("paypal", "pаypal"),  # Cyrillic а
        ("日日", "曰日"),
        ("王土", "王士"),
        ("已", "己"),
        ("ABC", "abc"),
        ("张三", "张三丰"),
        ("张三", "三张"),
        ("张三", "張三"),
        ("张三", "张\u200b三"),
        ("张三", "张-三"),
        ("张三", "张.三"),
        ("口", "ロ"),  # the katakana, not the mouth
    ],
)  # fmt: skip
def test_rule_5_look_alikes_are_other_people(one: str, other: str) -> None:
    """Other scripts' look-alikes, letter case, invisible characters and similar strokes stay different."""
    assert not same_name(one, other)
    assert not same_name(other, one)


@pytest.mark.parametrize("nobody", ["", " ", "\u3000", "·", " •・‧ "])
def test_nobody_is_nobody(nobody: str) -> None:
    """Two empty names are not the same person."""
    assert not same_name(nobody, nobody)


@given(st.text("张三丰阿依买提ABCabc123", min_size=1), st.text(" \t\n\u00a0\u3000·•・‧", min_size=1))
def test_white_space_and_dots_anywhere_change_nothing(name: str, between: str) -> None:
    """Whatever stands between the characters, before and behind them, the name is the same."""
    assert same_name(between + between.join(name) + between, name)


@given(st.text(), st.text())
def test_the_same_is_the_same_both_ways(one: str, other: str) -> None:
    """Comparing is symmetric, and a name that is one at all is the same as itself."""
    assert same_name(one, other) == same_name(other, one)
    assert same_name(one, one) == (folded(one) != "")
