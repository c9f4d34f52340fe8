"""Reads a CycloneDX document and writes what it says of the packages: names, versions, hashes.

Where a package was or could be downloaded from is left out: it differs from machine to machine, and a mirror's name is
nobody's business.
"""

from __future__ import annotations

import json
import sys


def main() -> None:
    """From standard input to standard output."""
    document = json.load(sys.stdin)
    for component in document["components"]:
        hashes = [found for reference in component.pop("externalReferences", []) for found in reference["hashes"]]
        component.pop("description", None)
        component["hashes"] = hashes
        component["bom-ref"] = component["purl"]
    document.pop("dependencies", None)
    document["metadata"] = {"component": {"type": "application", "name": "balance-withdrawal", "bom-ref": "root"}}
    json.dump(document, sys.stdout, indent=2, sort_keys=True)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
