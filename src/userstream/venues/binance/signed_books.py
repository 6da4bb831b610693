"""Reading a product's books by REST, whatever the product: a question becomes a signed call, its answer facts or the error that says how to
react (Binance USD-M, 3.3, 3.4 and 6.1; Binance Spot, 6.2)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Final

import msgspec

from userstream.domain.events import Unrecognized
from userstream.domain.words import Source
from userstream.kernel.errors import SettingsError, UserStreamError
from userstream.kernel.ids import Millis
from userstream.kernel.secret import Secret
from userstream.venues.binance.drift import Drift
from userstream.venues.binance.errors import error_of, is_success
from userstream.venues.binance.signing import key_header, make_signer, signed_query
from userstream.wire.question import Answer, AskClock, AskSymbols, Question
from userstream.wire.request import HttpRequest, HttpResponse
from userstream.wire.venue import AccountPlace

PUBLIC: Final = (AskClock, AskSymbols)
"""Asked without a name."""


class Call(msgspec.Struct, frozen=True):
    """A read of the venue's books. `weight`: per address. `of_host`: it counts in the budget of the host (see `HttpRequest`)."""

    path: str
    weight: int
    parameters: dict[str, str] = {}
    of_host: bool = False

    @property
    def label(self) -> str:
        return f"GET {self.path}"


class SignedBooks(ABC):
    """What the `RestDialect`s of the family have in common. Owned by one account; holds the signer and the counts of unknown words."""

    def __init__(self, place: AccountPlace, unsaid: str) -> None:
        """Raises SettingsError where the key cannot sign. `unsaid`: what cannot be done then."""
        if place.credentials.api_secret is None:
            raise SettingsError(f"api_secret is missing: {unsaid}")
        self._header = key_header(place.credentials.api_key)
        self._sign = make_signer(place.credentials.api_secret)
        self._hidden = (place.credentials.api_key, place.credentials.api_secret)
        self._drift = Drift(place.account, place.venue)

    def weight(self, question: Question) -> int:
        """Weight per IP; signs nothing. Raises RequestRefused for what the product has not."""
        return self._call(question).weight

    def request(self, question: Question, venue_now: Millis) -> HttpRequest:
        """The call that asks it, signed for `venue_now` (the venue's ms) and good for five seconds."""
        call = self._call(question)
        if isinstance(question, PUBLIC):
            return HttpRequest(method="GET", target=Secret(call.path), label=call.label, weight=call.weight, of_host=call.of_host)
        target = Secret(f"{call.path}?{signed_query(call.parameters, self._sign, venue_now)}")
        return HttpRequest(method="GET", target=target, label=call.label, headers=(self._header,), weight=call.weight)

    def answer(self, question: Question, response: HttpResponse, as_of: Millis, received_time: Millis) -> Answer:
        """Reads the answer. Unknown words come as `Unrecognized` after the facts, once each. Raises the error that says how to react."""
        label = self._call(question).label
        if not is_success(response):
            error = error_of(response, label, repeatable=True, venue_now=as_of, hidden=self._hidden)
            return self._refused(question, response, error, as_of, received_time)
        answer = self._read(question, response.body, label, as_of, received_time)
        if not self._drift.news:
            return answer
        return msgspec.structs.replace(answer, events=(*answer.events, *self._told(response.body, as_of, received_time)))

    def _told(self, body: bytes, as_of: Millis, received_time: Millis) -> Iterator[Unrecognized]:
        news, self._drift.news = self._drift.news, []
        for name, reason in news:
            told = self._drift.unrecognized(name, reason, body, as_of, received_time)
            yield msgspec.structs.replace(told, source=Source.SNAPSHOT, as_of=as_of)

    # --- what each product says for itself ---

    @abstractmethod
    def _call(self, question: Question) -> Call:
        """The call that asks it. Raises RequestRefused for what the product has not."""

    @abstractmethod
    def _read(self, question: Question, body: bytes, label: str, as_of: Millis, received_time: Millis) -> Answer:
        """What a good answer says. Raises as `answer`."""

    def _refused(self, question: Question, response: HttpResponse, error: UserStreamError, as_of: Millis, received_time: Millis) -> Answer:
        """What a refusal says, where it is an answer after all. Raises the error."""
        raise error
