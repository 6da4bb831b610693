import asyncio
import contextlib
import gc
from collections.abc import AsyncIterator, Sequence

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from tests.support.loopback import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, Frame, LoopbackServer, Peer, frame_bytes
from tests.support.transport import RecordingEvents
from userstream.adapters.clock import SystemClock
from userstream.adapters.ws import LARGEST_MESSAGE, LARGEST_SAMPLE, PicowsSocket, PicowsTransport
from userstream.kernel.secret import Secret

CANARY = "canaryListenKey0123456789"
LIMIT_MS = 10_000


def url_of(server: LoopbackServer, scheme: str = "ws") -> Secret:
    return Secret(f"{scheme}://127.0.0.1:{server.port}/private/ws/{CANARY}?listenKey={CANARY}&events=ORDER_TRADE_UPDATE")


class Line:
    """One open socket with both ends in hand."""

    def __init__(self, client: PicowsSocket, events: RecordingEvents, peer: Peer) -> None:
        self.client = client
        self.events = events
        self.peer = peer

    async def closed(self) -> str:
        await self.events.until(lambda: bool(self.events.closed))
        [reason] = self.events.closed
        return reason

    async def frames(self, count: int) -> list[bytes]:
        await self.events.until(lambda: len(self.events.frames) >= count)
        return self.events.frames


@contextlib.asynccontextmanager
async def opened_line() -> AsyncIterator[Line]:
    async with LoopbackServer.listening() as server:
        transport, events = PicowsTransport(SystemClock()), RecordingEvents()
        client = await transport.connect(url_of(server), events, time_limit_ms=LIMIT_MS)
        yield Line(client, events, await server.next_peer())
        await transport.close()
        assert len(events.closed) == 1
        assert events.told[-1][0] == "closed"


@pytest.fixture
async def line() -> AsyncIterator[Line]:
    async with opened_line() as opened:
        yield opened


# ---------------------------------------------------------------- messages


async def test_whole_messages_come_in_order_as_they_are(line: Line) -> None:
    line.peer.write(b"".join(frame_bytes(b'{"n":%d}' % number) for number in range(200)))
    assert await line.frames(200) == [b'{"n":%d}' % number for number in range(200)]


async def test_the_largest_message_still_passes(line: Line) -> None:
    assert LARGEST_MESSAGE == 1024 * 1024
    line.peer.say(b"x" * LARGEST_MESSAGE)
    assert await line.frames(1) == [b"x" * LARGEST_MESSAGE]


async def test_bytes_that_are_no_utf8_pass_untouched(line: Line) -> None:
    line.peer.say(b"\xff\xfe")
    assert await line.frames(1) == [b"\xff\xfe"]


@given(st.lists(st.binary(max_size=40), min_size=1, max_size=6), st.booleans(), st.integers(1, 30))
def test_a_message_in_fragments_is_the_message(parts: list[bytes], with_ping: bool, cut: int) -> None:
    async def run() -> None:
        async with opened_line() as line:
            stream = b"".join(
                frame_bytes(part, TEXT if number == 0 else CONTINUATION, fin=number == len(parts) - 1)
                + (frame_bytes(b"!", PING) if with_ping else b"")
                for number, part in enumerate(parts)
            )
            for start in range(0, len(stream), cut):
                line.peer.write(stream[start : start + cut])
            line.peer.say(b"next")
            assert await line.frames(2) == [b"".join(parts), b"next"]

    asyncio.run(run())


async def test_a_binary_message_is_odd_and_the_socket_goes_on(line: Line) -> None:
    line.peer.say(b"\x00" * 5_000, BINARY)
    line.peer.say(b"ab", BINARY, fin=False)
    line.peer.say(b"cd", CONTINUATION)
    line.peer.say("after")
    assert await line.frames(1) == [b"after"]
    assert line.events.told == [("odd", b"\x00" * LARGEST_SAMPLE, "binary frame"), ("odd", b"abcd", "binary frame"), ("frame", b"after")]


@pytest.mark.parametrize("reserved", [1, 2, 4, 7])
async def test_a_message_with_reserved_bits_is_odd_and_the_socket_goes_on(line: Line, reserved: int) -> None:
    line.peer.say(b"\x01\x02", reserved=reserved)
    line.peer.say(b"\x03", fin=False, reserved=reserved)
    line.peer.say(b"\x04", CONTINUATION)
    line.peer.say("after")
    await line.frames(1)
    assert line.events.told[:2] == [("odd", b"\x01\x02", "compressed frame"), ("odd", b"\x03\x04", "compressed frame")]


async def test_fragments_over_the_limit_are_told_once_and_end_the_socket(line: Line) -> None:
    line.peer.say(b"a" * 900_000, fin=False)
    line.peer.say(b"b" * 900_000, CONTINUATION, fin=False)
    line.peer.say(b"c" * 900_000, CONTINUATION)
    line.peer.say("after")
    assert await line.closed() == "message over 1 MiB"
    assert line.events.told == [("odd", b"a" * LARGEST_SAMPLE, "message over 1 MiB"), ("closed", "message over 1 MiB")]


async def test_a_frame_over_the_limit_ends_the_socket_after_what_came_before_it(line: Line) -> None:
    line.peer.write(frame_bytes(b"before") + frame_bytes(b"x" * (LARGEST_MESSAGE + 1)) + frame_bytes(b"after"))
    assert await line.closed() == "message over 1 MiB"
    assert line.events.told == [("frame", b"before"), ("odd", b"", "message over 1 MiB"), ("closed", "message over 1 MiB")]


async def test_endless_empty_fragments_hold_no_memory(line: Line) -> None:
    line.peer.say(b"", fin=False)
    line.peer.write(frame_bytes(b"", CONTINUATION, fin=False) * 10_000)
    line.peer.say(b"end", CONTINUATION)
    assert await line.frames(1) == [b"end"]


@pytest.mark.parametrize(
    "stream",
    [
        pytest.param(frame_bytes(b"lost", CONTINUATION), id="a continuation of nothing"),
        pytest.param(frame_bytes(b"half", fin=False) + frame_bytes(b"lost"), id="a message within a message"),
    ],
)
async def test_fragments_out_of_order_end_the_socket(line: Line, stream: bytes) -> None:
    line.peer.write(stream + frame_bytes(b"after"))
    assert await line.closed() == "fragment out of order"
    assert line.events.told[0] == ("odd", b"lost", "fragment out of order")
    assert line.events.frames == []


@pytest.mark.parametrize(
    "stream",
    [
        pytest.param(frame_bytes(b"", 0x3), id="an unknown opcode"),
        pytest.param(frame_bytes(b"", PING, fin=False), id="a ping in fragments"),
        pytest.param(bytes([0x81, 0x82, 1, 2, 3, 4, 5, 6]), id="a masked frame"),
        pytest.param(bytes([0x81, 126, 0, 5]) + b"short", id="a length written too long"),
        pytest.param(frame_bytes(b"\x03", CLOSE), id="half a close code"),
        pytest.param(frame_bytes(b"\x00\x05", CLOSE), id="an impossible close code"),
    ],
)
async def test_broken_framing_ends_the_socket_after_what_came_before_it(line: Line, stream: bytes) -> None:
    line.peer.write(frame_bytes(b"long before") + frame_bytes(b"before") + stream)
    reason = await line.closed()
    assert line.events.frames[0] == b"long before"
    assert reason.startswith("broken framing: Received ")


async def test_a_broken_socket_leaves_no_forgotten_exception() -> None:
    failures: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: failures.append(context["message"]))
    async with opened_line() as line:
        line.peer.say(b"", 0x3)
        await line.closed()
        line.client.pause()
    del line
    for _ in range(8):  # picows lets go of a broken socket a few milliseconds later
        await asyncio.sleep(0.003)
        gc.collect()
    assert failures == []


@given(st.binary(min_size=1, max_size=300))
def test_no_bytes_of_the_venue_raise(noise: bytes) -> None:
    async def run() -> None:
        failures: list[object] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: failures.append(context))
        with structlog.testing.capture_logs() as lines:
            async with opened_line() as line:
                line.peer.write(noise)
                line.peer.write(frame_bytes(b"\x03\xe8", CLOSE) * 3)
                await asyncio.sleep(0.001)
        assert failures == []
        assert lines == []

    asyncio.run(run())


# ---------------------------------------------------------------- pings, sending, pausing


async def test_a_ping_is_answered_with_its_own_payload_and_told(line: Line) -> None:
    line.peer.say(b"1499827319559", PING)
    assert await line.peer.hear() == Frame(PONG, b"1499827319559")
    assert line.events.told == [("ping",)]


async def test_a_pong_is_told(line: Line) -> None:
    line.client.ping()
    assert await line.peer.hear() == Frame(PING, b"")
    line.peer.say(b"", PONG)
    await line.events.until(lambda: line.events.told == [("ping",)])


async def test_text_is_sent_in_order(line: Line) -> None:
    line.client.send('{"op":"login"}')
    line.client.send("é" * 300)
    assert [await line.peer.hear() for _ in range(2)] == [Frame(TEXT, b'{"op":"login"}'), Frame(TEXT, ("é" * 300).encode())]


async def test_a_paused_socket_leaves_the_rest_with_the_system(line: Line) -> None:
    line.client.pause()
    line.client.pause()
    line.peer.say("waits")
    await asyncio.sleep(0.002)
    assert line.events.told == []
    line.client.resume()
    line.client.resume()
    assert await line.frames(1) == [b"waits"]


# ---------------------------------------------------------------- the end


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"", "closed by the venue: no code"),
        (b"\x03\xe9", "closed by the venue: 1001 going away"),
        (b"\x03\xf0bad request\x1b[2J", "closed by the venue: 1008 bad request?[2J"),
        (b"\x0f\xa1", "closed by the venue: 4001"),
        (b"\x03\xf0no such key " + CANARY.encode(), "closed by the venue: 1008 no such key ***"),
    ],
)
async def test_the_venues_close_is_answered_and_told_once_in_clean_words(line: Line, payload: bytes, reason: str) -> None:
    line.peer.write(frame_bytes(payload, CLOSE) + frame_bytes(b"never read"))
    assert await line.closed() == reason
    assert await line.peer.hear() == Frame(CLOSE, payload[:2])
    await line.peer.gone()
    assert line.events.frames == []


async def test_a_connection_without_a_word_of_goodbye_is_told(line: Line) -> None:
    line.peer.hang_up()
    assert await line.closed() == "the connection broke off"


async def test_close_is_told_once_and_makes_everything_else_harmless(line: Line) -> None:
    line.client.close()
    assert line.events.closed == []
    line.client.close()
    for call in (line.client.ping, line.client.pause, line.client.resume):
        call()
    line.client.send("too late")
    assert await line.closed() == "closed by us"
    line.client.send("far too late")
    line.client.close()
    await line.peer.gone()
    assert repr(line.client) == "PicowsSocket(closed by us)"


async def test_after_close_only_what_is_being_taken_still_comes(line: Line) -> None:
    line.events.on_each = line.client.close
    line.peer.write(frame_bytes(b"1") + frame_bytes(b"2") + frame_bytes(b"", PING) + frame_bytes(b"3"))
    await line.closed()
    assert line.events.frames == [b"1", b"2"]
    assert line.events.closed == ["closed by us"] and len(line.events.told) == 3


async def test_what_came_in_one_packet_is_taken_together_and_in_its_order() -> None:
    class Packets(RecordingEvents):
        def __init__(self) -> None:
            super().__init__()
            self.packets: list[list[bytes]] = []

        def on_frames(self, frames: Sequence[bytes]) -> None:
            super().on_frames(frames)
            self.packets.append(list(frames))

    async with LoopbackServer.listening() as server:
        transport, events = PicowsTransport(SystemClock()), Packets()
        await transport.connect(url_of(server), events, time_limit_ms=LIMIT_MS)
        peer = await server.next_peer()
        peer.write(frame_bytes(b"1") + frame_bytes(b"2") + frame_bytes(b"", PING) + frame_bytes(b"3") + frame_bytes(b"4")[:2])
        await events.until(lambda: b"3" in events.frames)
        assert (events.packets, [entry[0] for entry in events.told]) == ([[b"1", b"2"], [b"3"]], ["frame", "frame", "ping", "frame"])
        peer.write(frame_bytes(b"4")[2:])
        await events.until(lambda: b"4" in events.frames)
        await transport.close()
    assert events.packets[2:] == [[b"4"]]


async def test_an_owner_that_raises_is_logged_and_loses_the_socket() -> None:
    class Faulty(RecordingEvents):
        def on_frames(self, frames: Sequence[bytes]) -> None:
            super().on_frames(frames)
            raise LookupError("no such order")

    async with LoopbackServer.listening() as server:
        transport, events = PicowsTransport(SystemClock()), Faulty()
        with structlog.testing.capture_logs() as lines:
            await transport.connect(url_of(server), events, time_limit_ms=LIMIT_MS)
            (await server.next_peer()).write(frame_bytes(b"1") + frame_bytes(b"", PING) + frame_bytes(b"2"))
            await events.until(lambda: bool(events.closed))
    assert events.closed == ["our own fault while handling a message: LookupError"]
    assert events.frames == [b"1"]
    assert [entry["action"] for entry in lines] == ["socket_owner_failed"]


async def test_closing_the_transport_ends_all_its_sockets() -> None:
    async with LoopbackServer.listening() as server:
        transport, recorded = PicowsTransport(SystemClock()), [RecordingEvents() for _ in range(3)]
        for events in recorded:
            await transport.connect(url_of(server), events, time_limit_ms=LIMIT_MS)
        await transport.close()
        assert [events.closed for events in recorded] == [["closed by us"]] * 3
        await transport.close()


# ---------------------------------------------------------------- before the owner knows the socket


async def test_what_comes_with_the_handshake_waits_for_the_owner() -> None:
    async def greet(peer: Peer) -> None:
        await peer.read_request()
        peer.accept(then=frame_bytes(b"welcome") + frame_bytes(b"", PING) + frame_bytes(b"\x00", BINARY) + frame_bytes(b"\x03\xe9", CLOSE))

    async with LoopbackServer.listening(greet) as server:
        transport, events = PicowsTransport(SystemClock()), RecordingEvents()
        await transport.connect(url_of(server), events, time_limit_ms=LIMIT_MS)
        assert events.told == []
        await events.until(lambda: bool(events.closed))
    assert [entry[0] for entry in events.told] == ["frame", "ping", "odd", "closed"]


async def test_an_owner_may_close_in_the_middle_of_what_waited() -> None:
    async def greet(peer: Peer) -> None:
        await peer.read_request()
        peer.accept(then=frame_bytes(b"1") + frame_bytes(b"", PING) + frame_bytes(b"2"))

    async with LoopbackServer.listening(greet) as server:
        transport, events = PicowsTransport(SystemClock()), RecordingEvents()
        client = await transport.connect(url_of(server), events, time_limit_ms=LIMIT_MS)
        events.on_each = client.close
        await events.until(lambda: bool(events.closed))
    assert events.told == [("frame", b"1"), ("closed", "closed by us")]
