"""The pages about security keep what they say: no test they name is gone, no row is left open."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from tests.databases import ROOT

PAGES = [ROOT / "SECURITY.md", *sorted((ROOT / "docs" / "security").glob("*.md"))]
NAMED = re.compile(r"`(?:tests/)?([a-z_/]+\.py)::(\w+)`")
PAGE = re.compile(r"`(?:docs/security/)?(asvs-\w+)\.md`")
CLAUSE = re.compile(r"\| (?:\d+\.\d+\.\d+)")

OF_OTHER_PAGES = {"asvs-data", "asvs-payloads"}


@cache
def named_in(file: Path) -> frozenset[str]:
    """The names of a file's tests."""
    return frozenset(
        node.name
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
    )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_test_that_is_named_exists(page: Path) -> None:
    """By file and name; a renamed test is renamed here, too."""
    for file, name in NAMED.findall(page.read_text()):
        assert (ROOT / "tests" / file).is_file(), file
        assert name in named_in(ROOT / "tests" / file), f"{file}::{name}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_only_known_pages_are_referred_to(page: Path) -> None:
    """Rows that another page has say which."""
    assert set(PAGE.findall(page.read_text())) <= OF_OTHER_PAGES


def test_every_clause_says_where_it_stands() -> None:
    """Its last column has a test, a check, another page, or *not met*; and what is met has a test."""
    rows = [line for line in (ROOT / "docs/security/asvs.md").read_text().splitlines() if CLAUSE.match(line)]
    assert len(rows) > 100
    for row in rows:
        stands = row.rstrip("| ").rsplit("|", 1)[1]
        assert NAMED.search(stands) or "`make check`" in stands or "see " in stands or "**not met**" in stands, row


def test_every_chapter_is_gone_through() -> None:
    """V1 to V17, none left out."""
    headings = re.findall(r"^## V(\d+) ", (ROOT / "docs/security/asvs.md").read_text(), re.MULTILINE)
    assert [int(number) for number in headings] == list(range(1, 18))
