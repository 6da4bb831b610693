"""Small builders for the tests of the Binance dialect: frames from the tables, places, answers."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from userstream.domain.events import Event
from userstream.kernel.ids import AccountId, Millis, VenueName
from userstream.kernel.secret import Secret
from userstream.venues.binance.decoding import Decoder
from userstream.wire.request import HttpResponse
from userstream.wire.session import Effect
from userstream.wire.venue import AccountPlace, Credentials, Endpoints

ALICE: Final = AccountId("alice")
USDM: Final = VenueName("binance-usdm")
COINM: Final = VenueName("binance-coinm")
RECEIVED: Final = Millis(1_790_000_009_999)
API_KEY: Final = "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A"
API_SECRET: Final = "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j"
LISTEN_KEY: Final = "pqia91ma19a5s61cv6a81va65sdf19v8a65a1a5s61cv6a81va65sdf19v8a65a1"
GOLDEN: Final = Path(__file__).resolve().parents[3] / "golden" / "binance_usdm"

Kind = TypeVar("Kind")

ORDER: Final[Mapping[str, object]] = {
    "s": "BTCUSDT",
    "c": "svc7-000123",
    "S": "BUY",
    "o": "LIMIT",
    "f": "GTC",
    "q": "0.050",
    "p": "81000.0",
    "ap": "0",
    "sp": "0",
    "x": "NEW",
    "X": "NEW",
    "i": 3300012345,
    "l": "0",
    "z": "0",
    "L": "0",
    "n": "0",
    "N": "USDT",
    "T": 1790000001200,
    "t": 0,
    "b": "4050.00",
    "a": "0",
    "m": False,
    "R": False,
    "wt": "CONTRACT_PRICE",
    "ot": "LIMIT",
    "ps": "BOTH",
    "cp": False,
    "rp": "0",
    "pP": False,
    "si": 0,
    "ss": 0,
    "V": "EXPIRE_MAKER",
    "pm": "NONE",
    "gtd": 0,
    "er": "0",
}
FILL: Final[Mapping[str, object]] = {
    "x": "TRADE",
    "X": "PARTIALLY_FILLED",
    "l": "0.020",
    "z": "0.020",
    "L": "80999.5",
    "ap": "80999.5",
    "t": 5200001,
    "n": "0.32399800",
    "m": True,
}


class Case(msgspec.Struct, frozen=True):
    """One golden payload: the raw frame and what it means."""

    name: str
    frame: msgspec.Raw
    events: list[dict[str, object]]


class GoldenFile(msgspec.Struct, frozen=True):
    section: str
    cases: list[Case]


def golden_cases() -> Iterator[tuple[str, Case]]:
    for path in sorted(GOLDEN.glob("*.json")):
        for case in msgspec.json.decode(path.read_bytes(), type=GoldenFile).cases:
            yield f"{path.stem}: {case.name}", case


def encoded(frame: object) -> bytes:
    return json.dumps(frame, separators=(",", ":")).encode()


def order_frame(*drop: str, **fields: object) -> bytes:
    """An ORDER_TRADE_UPDATE with the given fields of its object `o`, and without those in `drop`."""
    order = {key: value for key, value in {**ORDER, **fields}.items() if key not in drop}
    return encoded({"e": "ORDER_TRADE_UPDATE", "T": 1790000001200, "E": 1790000001203, "o": order})


def decoder() -> Decoder:
    return Decoder(ALICE, USDM)


def decode(frame: bytes) -> tuple[Event, ...]:
    return decoder().decode(frame, RECEIVED)


def the_only(kind: type[Kind], things: tuple[Event, ...] | list[Effect]) -> Kind:
    """The one event or effect of that type among others."""
    found = [thing for thing in things if isinstance(thing, kind)]
    assert len(found) == 1, things
    return found[0]


def place(**fields: object) -> AccountPlace:
    defaults: dict[str, object] = {
        "account": ALICE,
        "venue": USDM,
        "credentials": Credentials(api_key=Secret(API_KEY), api_secret=Secret(API_SECRET)),
        "endpoints": Endpoints(rest_url="https://fapi.example", ws_url="wss://fstream.example"),
    }
    return msgspec.structs.replace(AccountPlace(**defaults), **fields)  # type: ignore[arg-type]


def answer(body: object, status: int = 200, **headers: str) -> HttpResponse:
    """A JSON answer; header names with underscores for dashes."""
    raw = body if isinstance(body, bytes) else encoded(body)
    return HttpResponse(status=status, body=raw, headers={name.replace("_", "-"): value for name, value in headers.items()})


def refusal(code: int, text: str = "no", status: int = 400, **headers: str) -> HttpResponse:
    return answer({"code": code, "msg": text}, status, **headers)
