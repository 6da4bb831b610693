"""What every exchange stands on, whatever is traded there: instruments, markets, books, accounts, counters, its time and the news."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Generic, TypeVar

from userstream.sim.books import AccountSettings, Happening, Instrument, Millis, Refused
from userstream.sim.engine import Book
from userstream.sim.market import Market


class Owner:
    """One account without its money and its paper. Owned by the ground."""

    def __init__(self, name: str, now: Millis) -> None:
        self.name = name
        self.settings = AccountSettings(updated_time=now)
        self.fee_asset = ""  # empty: fees are paid as the venue does without a wish


OwnerT = TypeVar("OwnerT", bound=Owner)


class Ground(Generic[OwnerT]):
    """The one mutable state of an exchange. The exchange's parts change it in turn, never at the same time."""

    def __init__(
        self, instruments: Sequence[Instrument], seed: int, start_time: Millis, *, first_order_id: int, first_trade_id: int
    ) -> None:
        if not instruments:
            raise ValueError("an exchange needs at least one instrument")
        self.seed = seed
        self.now = start_time
        self.instruments: dict[str, Instrument] = {instrument.symbol: instrument for instrument in instruments}
        self.markets: Mapping[str, Market] = {instrument.symbol: Market(instrument, seed) for instrument in instruments}
        self.books: Mapping[str, Book] = {instrument.symbol: Book() for instrument in instruments}
        self.accounts: dict[str, OwnerT] = {}
        self.news: list[Happening] = []
        self._last_order_id = first_order_id
        self._last_trade_ids = dict.fromkeys(self.instruments, first_trade_id)

    def account(self, name: str) -> OwnerT:
        found = self.accounts.get(name)
        if found is None:
            raise Refused("unknown_account", "account does not exist")
        return found

    def instrument(self, symbol: str) -> Instrument:
        found = self.instruments.get(symbol)
        if found is None:
            raise Refused("unknown_symbol", "symbol does not exist")
        return found

    def next_order_id(self) -> int:
        self._last_order_id += 1
        return self._last_order_id

    def next_trade_id(self, symbol: str) -> int:
        self._last_trade_ids[symbol] += 1
        return self._last_trade_ids[symbol]

    def step_markets(self) -> None:
        """One step of the outside: prices move, strangers trade."""
        last_trade_ids = self._last_trade_ids
        for symbol, market in self.markets.items():
            market.step()
            last_trade_ids[symbol] += market.trades_elsewhere

    def drain(self) -> list[Happening]:
        """Everything that happened since the last call, in order."""
        news, self.news = self.news, []
        return news
