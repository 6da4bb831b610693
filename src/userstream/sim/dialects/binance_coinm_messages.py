"""The events of the private stream as Binance COIN-M writes them: those of USD-M with what differs (Binance COIN-M, 4.2)."""

import random
from collections.abc import Iterator, Mapping

from userstream.sim.books import AccountHappened, AssetModeHappened, Happening, Instrument, MarginCallHappened, Millis, OrderHappened
from userstream.sim.dialects import binance_futures_messages
from userstream.sim.dialects.binance_futures_messages import MessageWriter, frame_of, message_of
from userstream.sim.dialects.binance_futures_objects import alias_of
from userstream.sim.venue import Frame, Json

USDM_ONLY = ("si", "ss", "gtd")
SYMBOLS_OF_SAMPLES = {"BTCUSDT": "BTCUSD_PERP", "ETHUSDT": "ETHUSD_PERP"}
NOT_HERE = "CONDITIONAL_ORDER_TRIGGER_REJECT"


class CoinmWriter(MessageWriter):
    """Writes happenings as frames of COIN-M: no TRADE_LITE, an alias of the account, the margin asset of each order."""

    event_names = MessageWriter.event_names - {"TRADE_LITE", NOT_HERE}

    def __init__(self, chance: random.Random, instruments: Mapping[str, Instrument]) -> None:
        super().__init__(chance)
        self._instruments = instruments

    def _frames(self, happening: Happening, now: Millis) -> Iterator[Frame]:
        # A mode that only USD-M has cannot change here.
        if not isinstance(happening, AssetModeHappened):
            yield frame_of(happening.account, self._message(happening, now))

    def _message(self, happening: Happening, now: Millis) -> dict[str, Json]:
        match happening:
            case OrderHappened(order=order):
                return self.order_trade_update(happening, now, self._instruments[order.symbol].margin_asset)
            case AccountHappened() | MarginCallHappened():
                return message_of(happening, now) | {"i": alias_of(happening.account)}
        return message_of(happening, now)

    def order_trade_update(self, happening: OrderHappened, now: Millis, margin_asset: str) -> dict[str, Json]:
        """ORDER_TRADE_UPDATE: quantities are contracts, `b` and `a` are coins, `ma` is the margin asset."""
        message = binance_futures_messages.order_trade_update(happening, now)
        body = message["o"]
        if not isinstance(body, dict):
            raise TypeError("an order update without its order")
        shown = {name: value for name, value in body.items() if name not in USDM_ONLY}
        return message | {"i": alias_of(happening.account), "o": shown | {"ma": margin_asset}}

    def rare_event(self, account: str, name: str, fields: Mapping[str, str | int | bool], now: Millis) -> dict[str, Json]:
        if name == NOT_HERE:
            raise ValueError(f"no rare event {name!r} on COIN-M; there are STRATEGY_UPDATE, GRID_UPDATE")
        message = super().rare_event(account, name, fields, now)
        return {part: self._own_symbol(value, fields) for part, value in message.items()}

    def _own_symbol(self, value: Json, fields: Mapping[str, str | int | bool]) -> Json:
        """A sample names a contract of USD-M; here it is the one of COIN-M, unless somebody chose another."""
        if isinstance(value, dict) and "s" in value and "s" not in fields:
            return value | {"s": SYMBOLS_OF_SAMPLES.get(str(value["s"]), str(value["s"]))}
        return value
