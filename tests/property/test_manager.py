"""A law of the manager: whatever is changed in the registry, and whenever, in the end exactly what is active runs, with its newest key, and
whoever was left alone all the time was never begun anew."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Final

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.managed import Managed, key_of, listen_key, open_managed
from userstream.domain.words import StreamState
from userstream.entry.configuration import ManagerSection
from userstream.kernel.ids import AccountId

NAMES: Final = ("alice", "bob", "dora")
CALM: Final = "calm"
DEEDS: Final = ("add", "remove", "enable", "disable", "rotate", "cut", "refuse", "take_up", "disconnect", "connect")

Step = tuple[str, str, int]


class Desk:
    """What a person expects of the registry, beside it."""

    def __init__(self, managed: Managed) -> None:
        self._managed = managed
        self.active: dict[str, bool] = {}
        self.versions: dict[str, int] = {}
        self.held: set[str] = set()
        self.touched: set[str] = set()

    async def do(self, deed: str, name: str) -> None:
        """One deed, if it can be done now."""
        managed, account = self._managed, AccountId(name)
        self.touched.add(name)
        match deed:
            case "add" if name not in self.active:
                self.versions[name] = self.versions.get(name, 0) + 1
                await managed.add(name, version=self.versions[name])
                self.active[name] = True
            case "remove" if name in self.active:
                await managed.desk.remove(account)
                del self.active[name]
            case "enable" | "disable" if name in self.active:
                self.active[name] = deed == "enable"
                await managed.desk.set_active(account, self.active[name])
            case "rotate" if name in self.active:
                self.versions[name] += 1
                await managed.rotate(name, self.versions[name])
            case "cut":
                for socket in managed.sockets(name, self.versions.get(name, 0)):
                    socket.cut()
            case "refuse" if name in self.active:
                managed.bad.add(key_of(name, self.versions[name]))
            case "take_up":
                await managed.drive(managed.manager.take_up())
            case _:
                await self._switch(deed, name)

    async def _switch(self, deed: str, name: str) -> None:
        manager = self._managed.manager
        if deed == "disconnect" and name in manager.wanted:
            await self._managed.drive(manager.disconnect(name))
        elif deed == "connect" and name in manager.wanted:
            await self._managed.drive(manager.connect(manager.wanted[name]))

    def expected(self) -> dict[str, int]:
        """Which accounts run in the end, and with which version of their key."""
        held = {name for name in self.active if self._managed.manager.why_dark(name)}
        return {name: self.versions[name] for name, is_active in self.active.items() if is_active and name not in held}


async def live_through(folder: Path, steps: list[Step]) -> None:
    async with open_managed(folder, settings=ManagerSection(retry_s=10)) as managed:
        desk = Desk(managed)
        for name in (CALM, *NAMES[:2]):
            await desk.do("add", name)
        await managed.begin()
        await managed.pass_s(5)
        for deed, name, pause_ms in steps:
            await desk.do(deed, name)
            await managed.clock.advance(pause_ms)
        managed.bad.clear()
        # in so few steps no pause after a refusal grows beyond this
        await managed.pass_s(200)
        expected = desk.expected()
        assert managed.running == sorted(expected)
        for name, version in expected.items():
            assert managed.application.accounts[name].state is StreamState.LIVE
            used = [socket.url.reveal() for socket in managed.transport.open_sockets]
            assert any(listen_key(key_of(name, version)) in url for url in used), f"{name} runs with an older key"
        assert len(managed.transport.open_sockets) == len(expected)
        assert managed.started.count(CALM) == 1 and len(managed.sockets(CALM)) == 1
        assert set(managed.started) <= {CALM, *NAMES}


STEPS: Final = st.lists(st.tuples(st.sampled_from(DEEDS), st.sampled_from(NAMES), st.integers(0, 8_000)), max_size=14)


@settings(max_examples=30)
@given(STEPS)
def test_in_the_end_what_is_active_runs_with_its_newest_key_and_who_was_left_alone_was_never_begun_anew(steps: list[Step]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(live_through(Path(folder), steps))
