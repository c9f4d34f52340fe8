"""The OpenAPI document as a file: ``python -m api.openapi --write FILE`` or ``--check FILE``."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from api.app import build_app


def document() -> str:
    """The document as text, the same every time for the same code."""
    return json.dumps(build_app().openapi(), indent=2, ensure_ascii=False, sort_keys=True) + "\n"


def main() -> int:
    """Writes the file, or exits with 1 if it does not say what the code says."""
    parser = argparse.ArgumentParser(description=__doc__)
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--write", type=Path, metavar="FILE")
    action.add_argument("--check", type=Path, metavar="FILE")
    wanted = parser.parse_args()
    if wanted.write is not None:
        wanted.write.write_text(document())
    elif not wanted.check.is_file() or wanted.check.read_text() != document():
        sys.stderr.write(f"{wanted.check} is out of date: python -m api.openapi --write {wanted.check}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
