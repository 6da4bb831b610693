"""What a run claims at a moment, and how it ends where the claim does not hold."""

from __future__ import annotations


class Violation(AssertionError):
    """An invariant does not hold."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(f"{name}: {text}")
        self.name = name


def check(name: str, holds: bool, text: str) -> None:
    """Raises Violation unless the claim holds. `name`: the invariant, as `docs/proof.md` calls it."""
    if not holds:
        raise Violation(name, text)
