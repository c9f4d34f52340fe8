"""How long property tests search: the same examples on every run in CI, new ones on a desk."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings


def load_profile() -> None:
    """No deadline, since a busy machine is no bug; ``CI`` in the environment makes every run the same."""
    # A shared database is no shared state: each example opens accounts of its own.
    calm = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    settings.register_profile("desk", calm)
    settings.register_profile("ci", calm, derandomize=True, database=None)
    settings.load_profile("ci" if os.environ.get("CI") else "desk")
