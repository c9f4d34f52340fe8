"""Arms the failpoints of the running processes, the one that was taken least first, and counts what was taken."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

from failpoints import HIT, POINTS


class Arming:
    """The folder that the processes look into; a file is an armed point."""

    def __init__(self, folder: Path, chance: random.Random) -> None:
        folder.mkdir(mode=0o700, exist_ok=True)
        self._folder = folder
        self._chance = chance

    def arm_one(self) -> None:
        """Arms a point that is not armed, of those taken least."""
        taken = self.taken()
        free = [point for point in POINTS if not (self._folder / point).exists()]
        if free:
            fewest = min(taken[point] for point in free)
            point = self._chance.choice([point for point in free if taken[point] == fewest])
            (self._folder / point).touch(mode=0o600)

    def disarm(self) -> None:
        """No point ends a process any more."""
        for point in POINTS:
            (self._folder / point).unlink(missing_ok=True)

    def taken(self) -> Counter[str]:
        """How often a process died at each point; every point is named."""
        taken = Counter(dict.fromkeys(POINTS, 0))
        taken.update(file.name.partition(HIT)[0] for file in self._folder.glob(f"*{HIT}.*"))
        return taken
