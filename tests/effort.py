"""How many examples Hypothesis tries of what is slow to try."""

from __future__ import annotations

from hypothesis import settings

USUAL = 50
"""Examples of the usual run; see the profiles in `tests/conftest.py`."""


def examples(count: int) -> int:
    """So many in the usual run, and as many times more as the profile in force tries of everything else."""
    return max(1, count * settings().max_examples // USUAL)
