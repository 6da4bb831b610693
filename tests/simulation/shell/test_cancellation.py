"""Cancelled at every turn of the loop until it gets through: whatever was cancelled half way can be done again, and leaves nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Final, TypeAlias

import pytest

from tests.simulation.shell.loop import VirtualLoop
from tests.simulation.shell.process import Process
from tests.simulation.shell.world import VENUE, World
from userstream.adapters.http import AiohttpClient
from userstream.adapters.ws import PicowsTransport
from userstream.domain.words import StreamState
from userstream.kernel.errors import ConnectionError, SettingsError, UserStreamError
from userstream.kernel.secret import Secret
from userstream.wire.request import HttpRequest

ACCOUNTS: Final = ("alice", "bob")
HOUR_MS: Final = 3_600_000
EVERY_TURN_UNTIL: Final = 40
"""From there on a tenth of the turns so far is passed over: what is waited for then are other programs' turns."""

MOST_TURNS: Final = 2_000
BOUND_S: Final = 10.0
"""Whatever is done after a cancellation must come to its end in so long; longer means that somebody holds a lock for ever."""

TIME: Final = HttpRequest(method="GET", target=Secret("/fapi/v1/time"), label="GET /fapi/v1/time")

State: TypeAlias = Callable[[World], Coroutine[object, object, None]]
Scenario: TypeAlias = Callable[[World, int], Coroutine[object, object, bool]]
"""Cancels something after so many turns. False if it got through before."""


async def cancelled_after(world: World, work: Coroutine[object, object, object], turns: int) -> bool:
    """False if the work got through before so many turns of the loop."""
    task = world.loop.create_task(work)
    world.loop.interrupt_after(turns, task.cancel)
    try:
        await task
    except asyncio.CancelledError:
        return True
    finally:
        world.loop.interrupt_after(0, lambda: None)
        await asyncio.sleep(0)
    return False


def process_of(world: World) -> Process:
    assert world.process is not None
    return world.process


async def in_bounds(work: Coroutine[object, object, object]) -> None:
    async with asyncio.timeout(BOUND_S):
        await work


async def proven(world: World) -> None:
    for account in process_of(world).application.accounts.values():
        await account.wait_proven(BOUND_S)


async def assert_nothing_runs(*fronts: str) -> None:
    """No task whose name begins so, two turns after the cancellation."""
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    names = [task.get_name() for task in asyncio.all_tasks()]
    assert [name for name in names if name.startswith(fronts)] == []


# --- in what state ---


async def calm(world: World) -> None:
    """Everything is proven, nothing is on its way."""


async def dark(world: World) -> None:
    """Sockets are being dialed, calls wait for their answers, a handler will be behind for an hour."""
    world.network.frozen_until_s = world.loop.time() + 0.7
    for wire in world.network.open_wires():
        wire.reset()
    clock = process_of(world).clock
    for account in process_of(world).application.accounts.values():
        account.on(handler=lambda event: clock.sleep(HOUR_MS))
    world.exchange.trade("alice")
    await asyncio.sleep(0.25)


# --- what is cancelled ---


async def stop(world: World, turns: int) -> bool:
    application = process_of(world).application
    was_cancelled = await cancelled_after(world, application.stop(), turns)
    if application.accounts:  # it did not even begin
        assert StreamState.STOPPED not in {account.state for account in application.accounts.values()}
    else:
        await assert_nothing_runs("alice:", "bob:", "gate")
    await in_bounds(application.stop())
    assert application.accounts == {}
    with pytest.raises(UserStreamError):
        await process_of(world).start(world.settings("alice"))
    await in_bounds(world.stop())
    await world.start()
    await proven(world)
    return was_cancelled


async def remove(world: World, turns: int) -> bool:
    application = process_of(world).application
    was_cancelled = await cancelled_after(world, application.remove("alice"), turns)
    if "alice" in application.accounts:
        await in_bounds(application.remove("alice"))
    await assert_nothing_runs("alice:")
    with pytest.raises(SettingsError, match="is not running"):
        await application.remove("alice")
    world.watches["alice"].stopped(world.loop.now_ms)
    await process_of(world).start(world.settings("alice"))
    await proven(world)
    return was_cancelled


async def add(world: World, turns: int) -> bool:
    process = process_of(world)
    await process.application.remove("alice")
    world.watches["alice"].stopped(world.loop.now_ms)
    was_cancelled = await cancelled_after(world, process.start(world.settings("alice")), turns)
    if "alice" not in process.application.accounts:
        await assert_nothing_runs("alice:")
        await process.start(world.settings("alice"))
    await proven(world)
    return was_cancelled


async def wait(world: World, turns: int) -> bool:
    account = process_of(world).application.accounts["alice"]
    was_cancelled = await cancelled_after(world, account.wait_proven(BOUND_S), turns)
    await assert_nothing_runs("time limit")
    await proven(world)
    return was_cancelled


class Deaf:
    """An owner that does not care what its socket tells."""

    def on_frames(self, frames: Sequence[bytes]) -> None: ...

    def on_odd_frame(self, frame: bytes, reason: str) -> None: ...

    def on_ping(self) -> None: ...

    def on_closed(self, reason: str) -> None: ...


async def dial(world: World, turns: int) -> bool:
    """A socket of a transport of its own: none may stay at the venue."""
    transport, ws_url = PicowsTransport(process_of(world).clock), world.server.listing.venues[VENUE].ws_url
    url = Secret(f"{ws_url}/private/ws?listenKey={process_of(world).application.accounts['alice'].listen_key_in_use}")
    await world.stop()

    async def connect() -> None:
        await transport.connect(url, Deaf(), time_limit_ms=2_000)

    was_cancelled = await cancelled_after(world, connect(), turns)
    await in_bounds(transport.close())
    await asyncio.sleep(0.5)
    assert world.network.open_wires() == []
    with pytest.raises(ConnectionError, match="404"):
        await transport.connect(Secret(f"{ws_url}/private/nowhere"), Deaf(), time_limit_ms=2_000)
    return was_cancelled


async def call(world: World, turns: int) -> bool:
    """A call of a client of its own: its connection is given back or closed, and the next call is answered."""
    client, base_url = AiohttpClient(), world.server.listing.venues[VENUE].rest_url
    await world.stop()
    was_cancelled = await cancelled_after(world, client.send(base_url, TIME, time_limit_ms=2_000), turns)
    assert (await client.send(base_url, TIME, time_limit_ms=2_000)).status == 200
    await in_bounds(client.close())
    await asyncio.sleep(0.5)
    assert world.network.open_wires() == []
    return was_cancelled


# --- the loop over all turns ---


def run_scenario(scenario: Scenario, state: State, turns: int) -> bool:
    """One world, one cancellation, then everything is ended in order and looked through for what stayed."""
    loop = VirtualLoop()
    world = World(loop, turns, ACCOUNTS)

    async def live() -> bool:
        try:
            await world.open()
            await proven(world)
            for account in ACCOUNTS:
                world.exchange.trade(account)
            await state(world)
            was_cancelled = await scenario(world, turns)
            world.network.clear()
            await world.close()
            return was_cancelled
        finally:
            world.network.close()

    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        return runner.run(live())


@pytest.mark.parametrize(
    ("scenario", "state"),
    [*((scenario, state) for scenario in (stop, remove, add, wait) for state in (calm, dark)), (dial, calm), (call, calm)],
)
@pytest.mark.timeout(240)
def test_what_was_cancelled_anywhere_can_be_done_again_and_leaves_nothing(scenario: Scenario, state: State) -> None:
    turns = 1
    while run_scenario(scenario, state, turns):
        turns += max(1, turns // 10) if turns > EVERY_TURN_UNTIL else 1
        assert turns < MOST_TURNS, "never got through"
