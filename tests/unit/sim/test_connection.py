"""What a connection decides by itself; over real sockets it is tested with the server."""

import asyncio
from typing import cast

from aiohttp import web

from tests.unit.sim.kit import HandClock, open_desk
from userstream.sim.connection import MOST_WAITING, Connection, LifeSettings
from userstream.sim.lanes import Kind, Lane, Parcel


class FakeTransport:
    """A transport that remembers whether it was aborted."""

    aborted = False

    def is_closing(self) -> bool:
        return self.aborted

    def abort(self) -> None:
        self.aborted = True

    def get_extra_info(self, name: str) -> None:
        return None


class FakeRequest:
    def __init__(self) -> None:
        self.transport = FakeTransport()


def connection_of(lane: Lane, clock: HandClock) -> tuple[Connection, FakeTransport]:
    request = FakeRequest()
    life = LifeSettings(ping_interval_ms=100, pong_deadline_ms=250, life_ms=10_000)
    response = web.WebSocketResponse(autoping=False)
    connection = Connection(lane, cast(web.Request, request), response, clock, life, lambda lane, text: None)
    return connection, request.transport


async def test_pings_go_out_once_an_interval_with_payloads_of_their_own() -> None:
    desk = open_desk()
    connection, _ = connection_of(desk.listen(), desk.clock)
    assert desk.lane is not None
    seen = []
    for _ in range(4):
        connection.look(desk.clock.turn(50))
        seen += [parcel.body for parcel in desk.lane.take_due(desk.clock.now()) if parcel.kind is Kind.PING]
    assert len(seen) == len(set(seen)) == 2


async def test_a_reader_that_cannot_keep_up_is_cut() -> None:
    desk = open_desk()
    lane = desk.listen()
    connection, transport = connection_of(lane, desk.clock)
    for _ in range(MOST_WAITING + 1):
        lane.send(Parcel(kind=Kind.TEXT, body=b""))
    connection.look(desk.clock.now())
    assert transport.aborted


async def test_a_connection_whose_client_is_gone_ends() -> None:
    desk = open_desk()
    connection, transport = connection_of(desk.listen(), desk.clock)
    transport.aborted = True
    connection.look(desk.clock.now())
    async with asyncio.timeout(1):
        await connection._read()
