"""A shared Spot socket for tests: two lines, the frames that the venue sends, what becomes of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final

from userstream.kernel.secret import Secret
from userstream.venues.binance.switchboard import SpotSwitchboard
from userstream.wire.switchboard import NOBODY, Deliver, SwitchEffect, Transmit, Warn

SUBSCRIBE: Final = "userDataStream.subscribe.signature"
UNSUBSCRIBE: Final = "userDataStream.unsubscribe"
SHUTDOWN: Final = b'{"event":{"e":"serverShutdown","E":1790000000000}}'
ALICE, BOB, CAROL = Secret("key-of-alice"), Secret("key-of-bob"), Secret("key-of-carol")


def asking(number: str, method: str = SUBSCRIBE) -> Secret:
    return Secret(json.dumps({"id": number, "method": method, "params": {"apiKey": "k", "signature": "s"}}))


def opened(number: str | int, subscription: int) -> bytes:
    return json.dumps({"id": number, "status": 200, "result": {"subscriptionId": subscription}, "rateLimits": []}).encode()


def refused(number: str | None, code: int, status: int = 400) -> bytes:
    return json.dumps({"id": number, "status": status, "error": {"code": code, "msg": "no"}}).encode()


def event(subscription: int, name: str = "balanceUpdate", time: int = 1_790_000_000_000) -> bytes:
    return b'{"subscriptionId":%d,"event":{"e":"%s","E":%d,"a":"BTC","d":"1","T":1}}' % (subscription, name.encode(), time)


def route(board: SpotSwitchboard, frame: bytes) -> list[SwitchEffect]:
    """As a driver does."""
    line = board.line_of(frame)
    return [Deliver((line,))] if line != NOBODY else board.sort(frame)


def heard(board: SpotSwitchboard, frame: bytes) -> list[int]:
    return [line for effect in route(board, frame) if isinstance(effect, Deliver) for line in effect.lines]


def sent(effects: Sequence[SwitchEffect]) -> list[dict[str, object]]:
    return [json.loads(effect.text.reveal()) for effect in effects if isinstance(effect, Transmit)]


def make_board() -> SpotSwitchboard:
    """Alice is line 1 with subscription 0, Bob line 2 with 1."""
    made = SpotSwitchboard()
    for line, owner in ((1, ALICE), (2, BOB)):
        assert made.can_take(owner)
        made.join(line, owner)
        made.send(line, asking(f"id-{line}"))
    for line in (1, 2):
        assert route(made, opened(f"id-{line}", line - 1)) == [Deliver((line,))]
    return made


def warned(effects: Sequence[SwitchEffect]) -> list[int]:
    return [line for effect in effects if isinstance(effect, Warn) for line in effect.lines]
