"""The audit log as a chain: each entry holds the hash of the one before it. Who may write it, and where it is kept, stands elsewhere.

An edit, a removed or a moved entry breaks the chain; a cut end is seen by the head, the last entry's number and hash, that is kept beside
the log and, better, also somewhere else.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Final

import msgspec

from userstream.kernel.ids import Millis

BEGINNING: Final = "0" * 64
"""What the first entry holds in place of its predecessor's hash."""


class AuditNote(msgspec.Struct, frozen=True, kw_only=True):
    """One deed. `actor`: who; `origin`: from where; `action`: what, one word with a dot; `subject`: to which account or key; `result`: done
    or refused; `detail`: in words. Never a secret."""

    time: Millis
    """Our clock, ms since 1970."""
    actor: str
    origin: str
    action: str
    subject: str
    result: str = "done"
    detail: str = ""


class AuditEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A note at its place in the log; sequences count from 1 without holes."""

    sequence: int
    note: AuditNote
    previous: str
    hash: str


class AuditHead(msgspec.Struct, frozen=True, kw_only=True):
    """Where the log ends: the last entry's sequence and hash; of an empty log, 0 and the beginning."""

    sequence: int = 0
    hash: str = BEGINNING


def link(head: AuditHead, note: AuditNote) -> AuditEntry:
    """The entry that follows the head."""
    sequence = head.sequence + 1
    return AuditEntry(sequence=sequence, note=note, previous=head.hash, hash=_hash(sequence, head.hash, note))


def head_of(entry: AuditEntry) -> AuditHead:
    """The head of a log that ends with this entry."""
    return AuditHead(sequence=entry.sequence, hash=entry.hash)


def verify_chain(entries: Iterable[AuditEntry], head: AuditHead, known: AuditHead | None = None) -> str:
    """What is wrong with a whole log, in one line; empty if nothing is. `known`: a head noted earlier, elsewhere: the log must still hold
    that entry."""
    reached = AuditHead()
    is_known = known is None or known == reached
    for entry in entries:
        if entry.sequence != reached.sequence + 1:
            return f"entry {reached.sequence + 1} of the audit log is missing"
        if entry.previous != reached.hash or entry.hash != _hash(entry.sequence, entry.previous, entry.note):
            return f"entry {entry.sequence} of the audit log was changed"
        reached = head_of(entry)
        is_known = is_known or reached == known
    if reached != head:
        return f"the audit log ends at entry {reached.sequence}, but it went on to entry {head.sequence}"
    return "" if is_known else "the audit log is not the one whose head was noted: it was written anew"


def _hash(sequence: int, previous: str, note: AuditNote) -> str:
    parts = (str(sequence), previous, str(note.time), note.actor, note.origin, note.action, note.subject, note.result, note.detail)
    chain = hashlib.sha256(b"userstream audit v1")
    for part in parts:
        data = part.encode("utf-8", "surrogatepass")
        chain.update(len(data).to_bytes(4, "big"))
        chain.update(data)
    return chain.hexdigest()
