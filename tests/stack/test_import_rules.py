from __future__ import annotations

import tomllib

from tests.databases import ROOT

# Not entered by any import rule: started as commands, or not part of what runs.
_NO_ROOMS = {"bench", "docs", "migrations", "tests"}


def test_every_room_is_under_the_import_rules() -> None:
    """A new folder with code is added to import-linter's list, or its imports would go unchecked."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    rooms = {folder.name for folder in ROOT.iterdir() if not folder.name.startswith(".") and [*folder.glob("*.py")]}
    assert rooms - _NO_ROOMS <= set(project["tool"]["importlinter"]["root_packages"])
