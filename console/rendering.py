"""The templates, one environment a language, and what every page is given."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from console import words
from console.languages import Language

if TYPE_CHECKING:
    from console.visits import Visit

HERE = Path(__file__).parent
STATIC = HERE / "static"


class Templates:
    """Renders pages; everything a page shows is escaped unless a template of ours says otherwise."""

    def __init__(self, languages: Mapping[str, Language]) -> None:
        self._environments = {code: _environment(language, languages) for code, language in languages.items()}

    def render(self, visit: Visit, template: str, context: Mapping[str, Any]) -> str:
        """The page in the visit's language."""
        environment = self._environments[visit.language.code]
        return environment.get_template(template).render(visit=visit, person=visit.person, **context)


def _environment(language: Language, languages: Mapping[str, Language]) -> Environment:
    environment = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.i18n"],
    )
    environment.install_gettext_callables(  # type: ignore[attr-defined]
        language.gettext, language.ngettext, newstyle=True
    )
    environment.filters |= {"money": language.money, "day": language.day, "moment": language.moment}
    environment.globals |= {
        "language": language,
        "languages": list(languages.values()),
        "words": words,
        "version_of": _versions(),
    }
    return environment


def _versions() -> dict[str, str]:
    """A part of each static file's digest: its address changes with it, so browsers may keep it."""
    return {
        file.name: f"/static/{file.name}?v={hashlib.sha256(file.read_bytes()).hexdigest()[:12]}"
        for file in STATIC.iterdir()
    }
