import asyncio

import pytest

from tests.support.transport import PipeTransport, RecordingEvents, RecordingHttp, json_answer
from userstream.kernel.errors import ConnectionError
from userstream.kernel.secret import Secret
from userstream.ports import HttpClient, Transport
from userstream.wire.request import HttpRequest, HttpResponse

URL = Secret("wss://pipe/key")


def request_of(label: str) -> HttpRequest:
    return HttpRequest(method=label.split()[0], target=Secret(label.split()[1]), label=label)


async def test_every_connect_gives_a_socket_of_its_own() -> None:
    transport = PipeTransport()
    port: Transport = transport
    first, second = RecordingEvents(), RecordingEvents()
    await port.connect(URL, first, time_limit_ms=5)
    await port.connect(URL, second, time_limit_ms=6)
    await asyncio.sleep(0)
    transport.sockets[1].deliver("for the second")
    transport.sockets[0].cut()
    await asyncio.sleep(0)
    assert (first.told, second.told) == ([("closed", "the connection broke off")], [("frame", b"for the second")])
    assert transport.open_sockets == [transport.sockets[1]]
    assert transport.time_limits == [5, 6]


async def test_refusals_are_used_up_in_order() -> None:
    transport = PipeTransport()
    transport.refusals.extend(["refused", "no answer within 5 ms"])
    for reason in ("refused", "no answer"):
        with pytest.raises(ConnectionError, match=reason):
            await transport.connect(URL, RecordingEvents(), time_limit_ms=5)
    await transport.connect(URL, RecordingEvents(), time_limit_ms=5)
    assert len(transport.sockets) == 1


async def test_a_held_connect_waits_and_can_be_cancelled() -> None:
    transport = PipeTransport()
    transport.hold()
    attempts = [asyncio.get_running_loop().create_task(transport.connect(URL, RecordingEvents(), time_limit_ms=5)) for _ in range(2)]
    await asyncio.sleep(0)
    attempts[0].cancel()
    transport.let_go()
    await asyncio.wait(attempts)
    assert [task.cancelled() for task in attempts] == [True, False]
    assert len(transport.sockets) == 1


async def test_the_venues_side_may_answer_what_is_sent() -> None:
    transport, events = PipeTransport(), RecordingEvents()
    transport.on_connect = lambda opened: setattr(opened, "on_sent", lambda text: opened.deliver(f"echo {text}"))
    opened = await transport.connect(URL, events, time_limit_ms=5)
    opened.send("hello")
    assert events.told == []
    await events.until(lambda: events.frames == [b"echo hello"])


async def test_a_venue_may_leave_pings_unanswered() -> None:
    transport, events = PipeTransport(), RecordingEvents()
    opened = await transport.connect(URL, events, time_limit_ms=5)
    opened.answers_pings = False
    opened.ping()
    opened.deliver_odd(b"\x00", "binary frame")
    await asyncio.sleep(0)
    assert (opened.pings, events.told) == (1, [("odd", b"\x00", "binary frame")])


async def test_a_cut_loses_what_waits_behind_a_pause() -> None:
    transport, events = PipeTransport(), RecordingEvents()
    opened = await transport.connect(URL, events, time_limit_ms=5)
    await asyncio.sleep(0)
    opened.pause()
    opened.deliver("unread")
    assert opened.is_paused
    opened.cut("reset")
    opened.resume()
    await events.until(lambda: bool(events.closed))
    assert events.told == [("closed", "reset")]


async def test_answers_come_by_label_the_last_for_ever() -> None:
    http = RecordingHttp({"GET /a": [json_answer({"n": 1}), json_answer({"n": 2}, 503, retry_after="3")]})
    port: HttpClient = http
    answers = [await port.send("https://venue", request_of("GET /a"), time_limit_ms=5) for _ in range(3)]
    assert [answer.body for answer in answers] == [b'{"n":1}', b'{"n":2}', b'{"n":2}']
    assert answers[1].headers == {"retry-after": "3"}
    assert (await port.send("https://venue", request_of("GET /b"), time_limit_ms=5)).status == 0
    assert http.labels == ["GET /a", "GET /a", "GET /a", "GET /b"]


async def test_an_answer_may_be_made_from_the_request() -> None:
    http = RecordingHttp(default=lambda request: HttpResponse(status=200, body=request.label.encode()))
    http.plan("GET /a", json_answer([]))
    assert (await http.send("https://venue", request_of("GET /a"), time_limit_ms=5)).body == b"[]"
    assert (await http.send("https://venue", request_of("POST /b"), time_limit_ms=5)).body == b"POST /b"


async def test_a_held_request_is_written_down_and_waits() -> None:
    http = RecordingHttp(default=json_answer({}))
    http.hold()
    call = asyncio.get_running_loop().create_task(http.send("https://venue", request_of("GET /a"), time_limit_ms=5))
    await asyncio.sleep(0)
    assert (http.labels, call.done()) == (["GET /a"], False)
    http.let_go()
    assert (await call).status == 200
    await http.close()
    assert http.closed
