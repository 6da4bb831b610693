"""The audit log's chain: every edit and every cut is seen."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from userstream.domain.audit import BEGINNING, AuditEntry, AuditHead, AuditNote, head_of, link, verify_chain
from userstream.kernel.ids import Millis

NOTES = st.lists(
    st.builds(
        AuditNote,
        time=st.integers(0, 2**62).map(Millis),
        actor=st.text(max_size=8),
        origin=st.text(max_size=8),
        action=st.text(max_size=8),
        subject=st.text(max_size=8),
        result=st.text(max_size=8),
        detail=st.text(max_size=8),
    ),
    min_size=1,
    max_size=8,
)
TEXTS = ("actor", "origin", "action", "subject", "result", "detail")


def chain_of(notes: list[AuditNote]) -> list[AuditEntry]:
    head, entries = AuditHead(), []
    for note in notes:
        entries.append(link(head, note))
        head = head_of(entries[-1])
    return entries


@given(NOTES)
def test_a_whole_log_is_whole(notes: list[AuditNote]) -> None:
    entries = chain_of(notes)
    assert entries[0].previous == BEGINNING
    head = head_of(entries[-1])
    assert [verify_chain(entries, head, head_of(entry)) for entry in entries] == [""] * len(entries)
    assert verify_chain(entries, head, AuditHead()) == ""
    assert verify_chain([], AuditHead()) == ""


@given(NOTES, st.data())
def test_an_edited_entry_is_named(notes: list[AuditNote], data: st.DataObject) -> None:
    entries = chain_of(notes)
    place = data.draw(st.integers(0, len(entries) - 1))
    field = data.draw(st.sampled_from((*TEXTS, "time", "hash", "previous")))
    entries[place] = edited(entries[place], field)
    assert verify_chain(entries, head_of(chain_of(notes)[-1])) == f"entry {place + 1} of the audit log was changed"


def edited(entry: AuditEntry, field: str) -> AuditEntry:
    if field in ("hash", "previous"):
        return msgspec.structs.replace(entry, **{field: "f" * 64})
    value = entry.note.time + 1 if field == "time" else getattr(entry.note, field) + "x"
    return msgspec.structs.replace(entry, note=msgspec.structs.replace(entry.note, **{field: value}))


@given(NOTES, st.data())
def test_a_removed_entry_or_a_cut_end_is_seen(notes: list[AuditNote], data: st.DataObject) -> None:
    entries = chain_of(notes)
    head = head_of(entries[-1])
    place = data.draw(st.integers(0, len(entries) - 1))
    found = verify_chain([*entries[:place], *entries[place + 1 :]], head)
    assert found == (
        f"entry {place + 1} of the audit log is missing"
        if place + 1 < len(entries)
        else f"the audit log ends at entry {place}, but it went on to entry {place + 1}"
    )
    assert verify_chain(entries[:place], head) == f"the audit log ends at entry {place}, but it went on to entry {len(entries)}"


@given(NOTES, NOTES)
def test_a_log_that_was_written_anew_lacks_the_head_that_was_noted(notes: list[AuditNote], others: list[AuditNote]) -> None:
    noted, entries = head_of(chain_of(notes)[-1]), chain_of(others)
    is_kept = others[: len(notes)] == notes
    assert (verify_chain(entries, head_of(entries[-1]), noted) == "") is is_kept


def test_words_that_run_into_each_other_have_other_hashes() -> None:
    one, other = (AuditNote(time=Millis(1), actor=a, origin=b, action="x", subject="y") for a, b in (("ab", "c"), ("a", "bc")))
    assert link(AuditHead(), one).hash != link(AuditHead(), other).hash
