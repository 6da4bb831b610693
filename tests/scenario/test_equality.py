"""The look at a store that ends a scenario: it sees a store that comes late, and waits for what happens while it looks."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final, cast

import pytest

from tests.support.desk import Desk, open_desk
from tests.support.equality import until_equal
from userstream.runtime.pump import Pump

LATE: Final = 20


class OddPump:
    """Drains as the true one does, then something happens; the number of the look is told."""

    def __init__(self, true: Pump, then: Callable[[int], None]) -> None:
        self._true, self._then = true, then
        self.looks = 0

    def __getattr__(self, name: str) -> object:
        return getattr(self._true, name)

    async def drain(self) -> None:
        await self._true.drain()
        self.looks += 1
        self._then(self.looks)


@contextmanager
def drained_by(desk: Desk, then: Callable[[int], None]) -> Iterator[OddPump]:
    true = desk.application.pump
    assert true is not None
    odd = OddPump(true, then)
    desk.application.pump = cast(Pump, odd)
    try:
        yield odd
    finally:
        desk.application.pump = true


def copy_store(source: Path, target: Path) -> None:
    with closing(sqlite3.connect(source)) as theirs, closing(sqlite3.connect(target)) as ours:
        theirs.backup(ours)


async def test_a_store_that_lacks_after_the_drain_what_was_told_is_seen_though_it_has_it_a_little_later(tmp_path: Path) -> None:
    store, late = tmp_path / "desk.db", tmp_path / "late.db"
    async with open_desk(store=store) as desk:
        desk.trade()
        await until_equal(desk, store)
        copy_store(store, late)
        desk.trade(side="sell")

        def catch_up(look: int) -> None:
            if look == LATE:
                copy_store(store, late)

        with drained_by(desk, catch_up) as pump, pytest.raises(AssertionError, match="stored fill"):
            await until_equal(desk, late)
        assert pump.looks < LATE
        await until_equal(desk, store)


async def test_what_is_filled_while_the_store_is_looked_at_is_waited_for(tmp_path: Path) -> None:
    store = tmp_path / "desk.db"
    async with open_desk(store=store) as desk:
        desk.trade()

        def fill_once(look: int) -> None:
            if look == 1:
                desk.trade(side="sell")

        with drained_by(desk, fill_once) as pump:
            await until_equal(desk, store)
        assert pump.looks > 1
