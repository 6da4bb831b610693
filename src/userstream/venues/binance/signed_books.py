"""Reading a product's books by REST, whatever the product: a question becomes a signed call, its answer facts or the error that says how to
react (Binance USD-M, 3.3, 3.4 and 6.1; Binance Spot, 6.2)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import Final

import msgspec

from userstream.domain.events import Unrecognized
from userstream.domain.words import Source
from userstream.kernel.errors import SettingsError, UserStreamError
from userstream.kernel.ids import Millis
from userstream.kernel.secret import Secret
from userstream.venues.binance.drift import Drift
from userstream.venues.binance.errors import error_of, is_success
from userstream.venues.binance.products import Read
from userstream.venues.binance.signing import key_header, make_signer, signed_query
from userstream.wire.question import Answer, AskClock, AskSymbols, Question
from userstream.wire.request import HttpRequest, HttpResponse
from userstream.wire.venue import AccountPlace

PUBLIC: Final = (AskClock, AskSymbols)
"""Asked without a name."""


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
        return self._read_of(question).weight

    def request(self, question: Question, venue_now: Millis) -> HttpRequest:
        """The call that asks it, signed for `venue_now` (the venue's ms) and good for five seconds."""
        read = self._read_of(question)
        if isinstance(question, PUBLIC):
            return HttpRequest(method="GET", target=Secret(read.path), label=read.label, weight=read.weight, of_host=read.of_host)
        target = Secret(f"{read.path}?{signed_query(self._parameters_of(question), self._sign, venue_now)}")
        return HttpRequest(method="GET", target=target, label=read.label, headers=(self._header,), weight=read.weight)

    def answer(self, question: Question, response: HttpResponse, as_of: Millis, received_time: Millis) -> Answer:
        """Reads the answer. Unknown words come as `Unrecognized` after the facts, once each. Raises the error that says how to react."""
        label = self._read_of(question).label
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
    def _read_of(self, question: Question) -> Read:
        """The call that asks it. Raises RequestRefused for what the product has not."""

    @abstractmethod
    def _parameters_of(self, question: Question) -> Mapping[str, str]:
        """What is said beside where it is asked, of a question that the product has."""

    @abstractmethod
    def _read(self, question: Question, body: bytes, label: str, as_of: Millis, received_time: Millis) -> Answer:
        """What a good answer says. Raises as `answer`."""

    def _refused(self, question: Question, response: HttpResponse, error: UserStreamError, as_of: Millis, received_time: Millis) -> Answer:
        """What a refusal says, where it is an answer after all. Raises the error."""
        raise error
