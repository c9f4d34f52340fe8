"""Chinese and English: the catalogues, and dates and money as a reader of the language writes them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

from babel import Locale
from babel.core import negotiate_locale
from babel.dates import format_date, format_datetime, format_timedelta
from babel.messages.pofile import read_po
from babel.numbers import format_decimal

TRANSLATIONS = Path(__file__).parent / "translations"
SHANGHAI = ZoneInfo("Asia/Shanghai")
"""Times are shown where the customers, the bank and finance are."""

CODES = ("zh", "en")
_TAGS = {"zh": "zh-CN", "en": "en"}
_ITSELF = {"zh": "中文", "en": "English"}
_LOCALES = {"zh": "zh_Hans_CN", "en": "en_US"}


@dataclass(frozen=True)
class Language:
    """One language. Messages are named by their English text; English itself needs no catalogue."""

    code: str
    messages: Mapping[str, tuple[str, ...]] = field(default_factory=dict, repr=False)

    @property
    def tag(self) -> str:
        """As in the attribute ``lang`` (BCP 47)."""
        return _TAGS[self.code]

    @property
    def itself(self) -> str:
        """The language's name in the language."""
        return _ITSELF[self.code]

    @property
    def _locale(self) -> Locale:
        return Locale.parse(_LOCALES[self.code])

    def gettext(self, message: str) -> str:
        """The message in this language; in English where no translation is there."""
        return self.messages.get(message, (message,))[0]

    def ngettext(self, one: str, many: str, n: int) -> str:
        """The form for ``n``. Chinese has a single one."""
        if one in self.messages:
            return self.messages[one][-1]
        return one if n == 1 else many

    def money(self, yuan: str) -> str:
        """``1280.00`` as ``¥1,280.00``, in English with the currency's code before it."""
        amount = format_decimal(abs(Decimal(yuan)), "#,##0.00", locale=self._locale)
        sign = "−" if Decimal(yuan) < 0 else ""
        return f"{sign}¥{amount}" if self.code == "zh" else f"{sign}CNY {amount}"

    def day(self, day: str | date) -> str:
        """A date of the calendar; ``long`` enough to be read without doubt."""
        read = date.fromisoformat(day) if isinstance(day, str) else day
        return format_date(read, "y年M月d日" if self.code == "zh" else "d MMMM y", locale=self._locale)

    def moment(self, moment: str) -> str:
        """A time to the minute, in Shanghai."""
        there = datetime.fromisoformat(moment).astimezone(SHANGHAI)
        pattern = "y年M月d日 HH:mm" if self.code == "zh" else "d MMM y, HH:mm"
        return format_datetime(there, pattern, locale=self._locale)

    def age(self, moment: str, now: datetime) -> str:
        """How long ago, in the largest unit that fits."""
        return format_timedelta(now - datetime.fromisoformat(moment), locale=self._locale)


def load_languages() -> dict[str, Language]:
    """Reads the catalogues as they are committed; nothing has to be compiled."""
    with (TRANSLATIONS / "zh" / "messages.po").open("rb") as file:
        catalogue = read_po(file, locale="zh")
    chinese = {
        (message.id[0] if isinstance(message.id, tuple | list) else message.id): (
            tuple(message.string) if isinstance(message.string, tuple | list) else (message.string,)
        )
        for message in catalogue
        if message.id and message.string and not message.fuzzy
    }
    return {"zh": Language("zh", chinese), "en": Language("en")}


def preferred(accept_language: str) -> str:
    """The code of the language a browser asks for first among ours; Chinese where it names neither."""
    weighted: list[tuple[float, str]] = []
    for part in accept_language.split(",")[:20]:
        tag, _, rest = part.strip().partition(";")
        quality = re.fullmatch(r"\s*q=([01](?:\.[0-9]{1,3})?)\s*", rest)
        weighted.append((float(quality.group(1)) if quality else 1.0, tag.split("-")[0].lower()))
    wanted = [tag for quality, tag in sorted(weighted, key=lambda one: -one[0]) if quality > 0]
    return negotiate_locale(wanted, CODES) or "zh"
