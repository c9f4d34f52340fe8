"""The runbook speaks of what there is: every alert has its section, and every command it names can be called."""

from __future__ import annotations

import inspect
import re

import pytest
import yaml

from ledger.cases import BANK_OVERDUE, CODE_OVERDUE, FINANCE_OVERDUE, Unfinished
from operations import looking, runs
from operations.__main__ import parser
from operations.answers import how_long
from operations.looking import JUST_NOW
from tests.databases import ROOT

RUNBOOK = (ROOT / "docs" / "operations.md").read_text("utf-8")
RULES = list((ROOT / "deploy" / "prometheus").glob("*alerts.yml"))


def anchors(text: str) -> set[str]:
    """The names under which a page's headings are linked to."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_alert_has_a_section() -> None:
    """Whoever is woken up finds it by the alert's own link."""
    assert RULES
    for file in RULES:
        for group in yaml.safe_load(file.read_text("utf-8"))["groups"]:
            for rule in group["rules"]:
                page, _, anchor = rule["annotations"]["runbook"].partition("#")
                assert page == "docs/operations.md"
                assert anchor == rule["alert"].lower()
                assert anchor in anchors(RUNBOOK), rule["alert"]


def test_every_link_inside_the_page_leads_somewhere() -> None:
    """In the tables and in the sections."""
    for anchor in re.findall(r"\]\(#([^)]+)\)", RUNBOOK):
        assert anchor in anchors(RUNBOOK), anchor


@pytest.mark.parametrize("command", ["show", "stuck", "nudge", "restart", "verify", "letters", "export"])
def test_every_command_of_the_runbook_can_be_called(command: str) -> None:
    """And none is left out of it."""
    assert re.search(rf"^\| `{command}[ `]", RUNBOOK, re.MULTILINE)
    assert parser().parse_args(["stuck", "--all"]).all
    words = {"show": ["0" * 32], "nudge": ["0" * 32], "restart": ["0" * 32], "export": ["2026-11-25"]}
    assert parser().parse_args([command, *words.get(command, [])]).command == command


def test_everything_that_is_wrong_with_a_withdrawal_is_explained() -> None:
    """In the words that are shown, with what to do about it."""
    by_its_rows = inspect.getsource(Unfinished.trouble) + inspect.getsource(Unfinished._at_the_bank)
    said = re.findall(r'return "([^"]+)"', by_its_rows)
    assert len(said) == 7
    elsewhere = inspect.getsource(looking) + inspect.getsource(runs)
    for words in (
        "the bank does not know the transfer",
        "was tried",
        "its workflow task fails",
        "no run tells its story",
    ):
        assert words in elsewhere
        said.append(words)
    explained = "\n".join(re.findall(r"^\| ([^|]+) \| [^|]+ \| [^|]+ \|$", RUNBOOK, re.MULTILINE))
    assert [words for words in said if words not in explained] == []


def test_the_ages_that_stuck_goes_by_are_those_of_the_code() -> None:
    """Whoever is on call has to know what is not shown yet."""
    [table] = re.findall(r"^\| while it waits for \| after \|\n\|---\|---\|\n((?:\|.*\n)+)", RUNBOOK, re.MULTILINE)
    ages = [row.split("|")[2].strip() for row in table.splitlines()]
    kept = (CODE_OVERDUE, BANK_OVERDUE, BANK_OVERDUE, FINANCE_OVERDUE)
    assert ages == [*map(how_long, kept), "at once", how_long(JUST_NOW)]


def test_every_target_of_make_it_names_is_there() -> None:
    """`make secrets`, `make capacity` and the others."""
    makefile = (ROOT / "Makefile").read_text("utf-8")
    for target in set(re.findall(r"make ([a-z-]+)", RUNBOOK)):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
