"""An account that does not run, as the store knows it: its newest checkpoint and what was kept after it."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from userstream.domain.account import Account
from userstream.domain.events import Event
from userstream.domain.fold import apply, checkpoint_of
from userstream.kernel.ids import AccountId, Millis, VenueName
from userstream.ports import Clock, Journal
from userstream.runtime.live import LiveAccount

READ_BATCH = 256


class LastKnown(msgspec.Struct, frozen=True, kw_only=True):
    """The account after the event `sequence`. known_until: when the newest of it was received (our clock, ms); 0 where the store knows
    nothing of it. What happened later is not in it."""

    account: Account
    sequence: int
    known_until: Millis


async def read_last_known(journal: Journal, clock: Clock, name: AccountId, venue: VenueName) -> LastKnown:
    """Other accounts' messages may pass after every batch. Raises StoreError."""
    sequence, events = await journal.load_checkpoint(name)
    account = Account(name, venue)
    known_until = _fold(account, events)
    while records := await journal.read_account(name, after=sequence, limit=READ_BATCH):
        for record in records:
            sequence = max(sequence, record.last_sequence)
            known_until = max(known_until, record.received_time)
            _fold(account, record.events)
        await clock.sleep(0)
    return LastKnown(account=account, sequence=sequence, known_until=known_until)


def known_of_ended(live: LiveAccount) -> LastKnown:
    """Of an account that was given up and is still at hand: nothing is told of it any more."""
    account = live.parts[0].account
    known_until = max((event.received_time for event in checkpoint_of(account)), default=Millis(0))
    return LastKnown(account=account, sequence=live.sequence, known_until=known_until)


def _fold(account: Account, events: Iterable[Event]) -> Millis:
    newest = Millis(0)
    for event in events:
        apply(account, event)
        newest = max(newest, event.received_time)
    return newest
