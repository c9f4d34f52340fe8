"""What needs no browser: the catalogues, amounts and dates, cells of the export, and addresses."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
from babel.messages.extract import extract_from_dir

from api.problems import STATUS
from console.amounts import as_decimal, read_amount, read_digits
from console.languages import load_languages, preferred
from console.record import plain_cell
from console.refusals import PROBLEMS
from console.seals import Seals
from console.visits import own_path
from console.words import EVENTS, FAILURES, STATUSES
from domain.errors import REFUSALS
from domain.failure import MESSAGES
from domain.withdrawal import FOLLOWS, OPEN, Status
from tests.databases import ROOT

KEYWORDS = {"_": None, "gettext": None, "ngettext": (1, 2), "mark": None}
METHODS = [("**.py", "python"), ("templates/**.html", "jinja2")]
OPTIONS = {"**.html": {"extensions": "jinja2.ext.i18n", "trimmed": "true"}}
KEYS_OF_TABLES = {"status", "invalid_request", "code"}
"""What the extraction takes for messages because it stands inside a call: ``_(PROBLEMS["invalid_request"])``."""

PLACEHOLDERS = re.compile(r"%\(\w+\)s|\{n\}")


def test_every_message_has_chinese_words_with_the_same_figures_in_them() -> None:
    chinese = load_languages()["zh"].messages
    said: set[str | tuple[str, ...]] = {
        message for _, _, message, _, _ in extract_from_dir(ROOT / "console", METHODS, OPTIONS, keywords=KEYWORDS)
    } - KEYS_OF_TABLES
    assert len(said) > 200
    names = {(message if isinstance(message, str) else message[0]) for message in said}
    assert names - set(chinese) == set()
    assert set(chinese) - names == set(), "no longer said anywhere"
    for message in said:
        forms = (message,) if isinstance(message, str) else message
        translated = chinese[forms[0]][-1]
        assert {*PLACEHOLDERS.findall(translated)} == {*PLACEHOLDERS.findall(forms[-1])}, message


def test_the_words_cover_everything_the_api_can_say() -> None:
    """The console imports none of the rooms; that it knows their words is looked after here."""
    assert set(STATUSES) == {str(status) for status in Status}
    assert set(FOLLOWS) == set(Status)
    assert {status for status in STATUSES if Status(status) in OPEN} == {
        "awaiting_verification",
        "awaiting_approval",
        "processing",
        "under_review",
    }
    assert set(MESSAGES) <= set(FAILURES)
    said_otherwise = {"wrong_code", "too_many_requests"}
    assert set(REFUSALS) <= set(PROBLEMS) | said_otherwise
    codes = {refusal.code for refusal in STATUS}
    # Those meet the console as pages, or never, since it sends no such request.
    as_pages = {"unauthenticated", "internal_error", "method_not_allowed", "idempotency_key_missing"}
    as_pages |= {"request_timeout", "headers_too_large"}
    assert codes <= set(PROBLEMS) | said_otherwise | as_pages


def test_every_kind_of_event_has_words() -> None:
    source = "".join(file.read_text() for file in (ROOT / "ledger").glob("*.py"))
    kinds = set(re.findall(r'(?:Happening|happening|said)\(\s*"(\w+)"', source))
    assert {"applied", "frozen", "paid"} <= kinds
    assert kinds <= set(EVENTS)


@pytest.mark.parametrize(
    ("typed", "sent"),
    [
        ("500", "500"),
        (" 1,280.5 ", "1280.5"),
        ("￥１，２８０", "1280"),
        ("CNY 12.30", "12.30"),
        ("1,28", "1,28"),
        ("1.234,56", "1.234,56"),
        ("1 000", "1 000"),
        ("-5", "-5"),
        ("１e3", "1e3"),
    ],
)
def test_an_amount_is_read_where_it_can_mean_one_thing(typed: str, sent: str) -> None:
    assert read_amount(typed) == sent


def test_only_what_the_api_would_take_is_compared() -> None:
    assert as_decimal("1e3") is None
    assert as_decimal("007") is None
    assert str(as_decimal("12.30")) == "12.30"
    assert read_digits("6230 5800-0000 0100 011") == "6230580000000100011"


def test_money_and_dates_are_written_as_the_reader_writes_them() -> None:
    languages = load_languages()
    chinese, english = languages["zh"], languages["en"]
    assert chinese.money("1234567.50") == "¥1,234,567.50"
    assert english.money("-80.50") == "−CNY 80.50"
    assert chinese.day("2026-12-08") == "2026年12月8日"
    assert english.day("2026-12-08") == "8 December 2026"
    # Half past four in London is past midnight in Shanghai.
    assert english.moment("2026-12-08T16:30:00Z") == "9 Dec 2026, 00:30"
    now = datetime.now(UTC)
    assert english.age((now - timedelta(hours=3)).isoformat(), now) == "3 hours"


@pytest.mark.parametrize(
    ("header", "code"),
    [
        ("zh-CN,zh;q=0.9,en;q=0.8", "zh"),
        ("en-GB,en;q=0.9", "en"),
        ("fr,en;q=0.1", "en"),
        ("en;q=0,zh;q=0.2", "zh"),
        ("", "zh"),
        ("*;q=nonsense,\x00", "zh"),
    ],
)
def test_the_first_of_our_languages_that_a_browser_asks_for(header: str, code: str) -> None:
    assert preferred(header) == code


@pytest.mark.parametrize("formula", ["=1+1", "+1", "-1", "@SUM(1)", "\t=1", "  =1", "＝1+1", "\r=1"])
def test_no_cell_of_the_export_is_a_formula(formula: str) -> None:
    assert plain_cell(formula).startswith("'")
    assert plain_cell("平安银行") == "平安银行"


@pytest.mark.parametrize("elsewhere", ["https://evil.example", "//evil.example", "/\\evil.example", "javascript:1", ""])
def test_only_our_own_paths_are_gone_to(elsewhere: str) -> None:
    assert own_path(elsewhere, "/home") == "/home"
    assert own_path("/billing/withdrawal?status=paid", "/home") == "/billing/withdrawal?status=paid"


def test_what_is_sealed_opens_for_its_purpose_and_in_its_time() -> None:
    seals = Seals(b"s" * 32)
    sealed = seals.seal("session", {"a": 1})
    assert seals.open("session", sealed, lasts_s=60) == {"a": 1}
    assert seals.open("draft", sealed, lasts_s=60) is None
    assert seals.open("session", sealed[:-2] + "aa", lasts_s=60) is None
    assert Seals(b"t" * 32).open("session", sealed, lasts_s=60) is None
    assert seals.form_is_ours(seals.form_token("browser", "anna"), "browser", "anna")
    assert not seals.form_is_ours(seals.form_token("browser", "anna"), "browser", "bert")
    with pytest.raises(ValueError, match="too short"):
        Seals(b"short")
