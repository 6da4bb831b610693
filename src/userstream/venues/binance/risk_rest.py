"""The REST language of a margin account's risk feed: its warnings have no past that could be asked, but the level and the debts have a
present; the account's books are read beside its trade events (Binance margin, 2.4 and 2.5)."""

from __future__ import annotations

import msgspec

from userstream.kernel.ids import Millis
from userstream.venues.binance.answers import Reading, read_row
from userstream.venues.binance.drift import Drift
from userstream.venues.binance.margin_risk import risk_facts
from userstream.venues.binance.spot_rest import SpotDialect
from userstream.venues.binance.spot_rows import CrossAccountRow
from userstream.venues.binance.wallet_books import CROSS_BOOKS
from userstream.wire.question import Answer, AskBalances, AskClock, Question, Traits
from userstream.wire.request import HttpRequest, HttpResponse
from userstream.wire.venue import AccountPlace


class RiskDialect:
    """The `RestDialect` of the risk feed. The account is asked for the margin level and the debts as they are now. Nothing else of them is
    told, because nothing of the books comes by this feed."""

    def __init__(self, place: AccountPlace) -> None:
        """Raises SettingsError where the key cannot sign."""
        self._books = SpotDialect(msgspec.structs.replace(place, symbols=(), close_listen_key_on_stop=False, events=()), CROSS_BOOKS)
        self._drift = Drift(place.account, place.venue)

    def traits(self) -> Traits:
        """No books of its own."""
        return Traits(positions=False, settings=False, conditional_orders=False, movements=False, by_symbol=True)

    def weight(self, question: Question) -> int:
        """As of the cross account's books."""
        return self._books.weight(question)

    def request(self, question: Question, venue_now: Millis) -> HttpRequest:
        """As of the cross account's books."""
        return self._books.request(question, venue_now)

    def answer(self, question: Question, response: HttpResponse, as_of: Millis, received_time: Millis) -> Answer:
        """The venue's time; the level and the debts that are listed; of all else only whether it was answered. Raises the error that says
        how to react."""
        told = self._books.answer(question, response, as_of, received_time)
        if isinstance(question, AskBalances):
            row = read_row(response.body, CrossAccountRow, CROSS_BOOKS.account.path)
            return Answer(events=risk_facts(Reading(self._drift, CROSS_BOOKS.account.path, as_of, received_time), row))
        return told if isinstance(question, AskClock) else Answer()

    def history_depth_ms(self) -> int:
        """As of the cross account's books."""
        return self._books.history_depth_ms()

    def unfilled_depth_ms(self) -> int:
        """As of the cross account's books."""
        return self._books.unfilled_depth_ms()
