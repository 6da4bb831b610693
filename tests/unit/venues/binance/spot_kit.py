"""Small builders for the tests of Spot: places, frames of the socket, keys of every kind."""

from __future__ import annotations

from typing import Final

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.unit.venues.binance.kit import encoded, place
from userstream.kernel.ids import Millis, VenueName
from userstream.kernel.secret import Secret
from userstream.wire.session import Send
from userstream.wire.venue import AccountPlace, Credentials, Endpoints

SPOT: Final = VenueName("binance-spot")
VENUE_TIME: Final = Millis(1_790_000_000_000)
PLACES: Final = Endpoints(rest_url="https://api.example", ws_url="", ws_api_url="wss://ws-api.example/ws-api/v3")
PRIVATE: Final = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
ED25519: Final = PRIVATE.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def spot_place(**fields: object) -> AccountPlace:
    return place(**{"venue": SPOT, "endpoints": PLACES, **fields})


def with_secret(secret: str | None) -> Credentials:
    return Credentials(api_key=Secret("publicKey123"), api_secret=None if secret is None else Secret(secret))


def asked(effect: object) -> dict[str, object]:
    """The request in a wish to send."""
    assert isinstance(effect, Send)
    return msgspec.json.decode(effect.text.reveal(), type=dict[str, object])


def wallet_frame(number: int | None = 0, *, asset: str = "BTC", free: str = "1.5", locked: str = "0", time: int = VENUE_TIME) -> bytes:
    event = {"e": "outboundAccountPosition", "E": time + 1, "u": time, "B": [{"a": asset, "f": free, "l": locked}]}
    return encoded({"event": event} if number is None else {"subscriptionId": number, "event": event})


def event_frame(name: str, number: int | None = 0) -> bytes:
    event = {"e": name, "E": VENUE_TIME}
    return encoded({"event": event} if number is None else {"subscriptionId": number, "event": event})


def reply(request: object, result: object) -> bytes:
    """A good answer to a request that was sent."""
    return encoded({"id": asked(request)["id"], "status": 200, "result": result, "rateLimits": []})


def refused(request: object, code: int, text: str = "no", status: int = 400, data: object = None) -> bytes:
    """A refusal of a request that was sent; of the session itself where that is None."""
    error: dict[str, object] = {"code": code, "msg": text}
    error |= {} if data is None else {"data": data}
    return encoded({"id": None if request is None else asked(request)["id"], "status": status, "error": error})
