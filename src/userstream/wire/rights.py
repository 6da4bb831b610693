"""What a key may do at its venue, and whether an account may be run with it. How a venue is asked stands in its own folder."""

from __future__ import annotations

from typing import Protocol

import msgspec

from userstream.kernel.ids import Millis, VenueName
from userstream.wire.request import HttpRequest, HttpResponse
from userstream.wire.venue import Credentials


class KeyRights(msgspec.Struct, frozen=True, kw_only=True):
    """What the venue says of a key. `unknown`: rights that are granted and have a name nobody here knows."""

    read: bool
    trade: bool
    withdraw: bool
    transfer: bool
    ip_restricted: bool
    unknown: tuple[str, ...] = ()


class RightsVerdict(msgspec.Struct, frozen=True):
    """`refusals`: why no account should be run with the key; `warnings`: what should be better. Both in words."""

    refusals: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


class RightsDialect(Protocol):
    """How a venue is asked for the rights of a key. Pure."""

    real_url: str
    """Where the venue answers the question, when the account is at the real venue."""

    def request(self, credentials: Credentials, venue_now: Millis) -> HttpRequest:
        """The call, signed for `venue_now` (the venue's ms). Raises SettingsError where the key cannot sign."""

    def answer(self, credentials: Credentials, response: HttpResponse, venue_now: Millis) -> KeyRights:
        """Raises the error that says how to react; DecodeError for an answer that does not tell all that must be known."""


class IdentityDialect(Protocol):
    """How a venue product is asked whose account a key opens. Pure."""

    counted_with: VenueName | None
    """The product in whose budget the real venue counts the question; None where it is the account's own."""

    def request(self, credentials: Credentials, venue_now: Millis) -> HttpRequest:
        """The call, signed for `venue_now` (the venue's ms). Raises SettingsError where the key cannot sign."""

    def answer(self, credentials: Credentials, response: HttpResponse, venue_now: Millis) -> str:
        """What the venue calls the account, the same for all its keys and for no other account; empty where it does not tell. Raises the
        error that says how to react, DecodeError for an answer that is none."""


def judge_rights(rights: KeyRights | None, *, monitor_only: bool = False) -> RightsVerdict:
    """None: they could not be read, which is refused like a key that may do everything. `monitor_only`: the key must not trade either."""
    if rights is None:
        return RightsVerdict(refusals=("what the key may do is not known",))
    refused = (
        (not rights.read, "the key may not read the account"),
        (rights.withdraw, "the key may withdraw"),
        (rights.transfer, "the key may transfer to other wallets or accounts"),
        (monitor_only and rights.trade, "the key may trade, and the account is only to be watched"),
    )
    warned = (
        (not rights.ip_restricted, "the key is not restricted to IP addresses"),
        (bool(rights.unknown), f"the key has rights of unknown meaning: {', '.join(rights.unknown)}"),
    )
    return RightsVerdict(tuple(words for holds, words in refused if holds), tuple(words for holds, words in warned if holds))
