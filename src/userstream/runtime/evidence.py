"""What the journal alone holds of an account, where there are no tables beside it."""

from __future__ import annotations

from typing import Final

from userstream.domain.evidence import Evidence
from userstream.kernel.ids import AccountId
from userstream.ports import Clock, Journal

READ_BATCH: Final = 1_000


class JournalEvidence:
    """`EvidenceReader` over a journal: as far back as that can still be read."""

    def __init__(self, journal: Journal, clock: Clock) -> None:
        self._journal, self._clock = journal, clock

    async def gather(self, account: AccountId) -> Evidence:
        """As in `EvidenceReader`. Raises StoreError when the journal cannot be read."""
        evidence, after = Evidence(account), 0
        while records := await self._journal.read_account(account, after=after, limit=READ_BATCH):
            evidence.is_cut = evidence.is_cut or (after == 0 and records[0].sequence > 1)
            for record in records:
                evidence.take(record.events)
                evidence.recall(record.events)
                evidence.heard_until = record.received_time
            after = max(after, records[-1].sequence, *(event.sequence for event in records[-1].events))
        evidence.gathered = self._clock.wall()
        return evidence
