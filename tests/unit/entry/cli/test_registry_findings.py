"""What is said of an account of the registry: its proof, its listen key, its rights, and the ring of keys."""

from __future__ import annotations

import msgspec
import pytest

from tests.support.vaults import NOW, make_account
from userstream.entry.cli.registry_findings import judge_keys, judge_listen_key, judge_proof, judge_rights_of
from userstream.entry.registry import Looked
from userstream.kernel.ids import Millis
from userstream.wire.registration import SealedListenKey
from userstream.wire.rights import KeyRights, judge_rights

HOUR_MS = 3_600_000
GOOD = KeyRights(read=True, trade=True, withdraw=False, transfer=False, ip_restricted=True)


@pytest.mark.parametrize(
    ("needed", "verdict", "words"),
    [
        ({"new": 5}, "ok", "all accounts need the newest key, new; 1 older in the ring that no account needs"),
        ({"new": 3, "old": 2}, "warning", "2 of 5 accounts need an older key than new: userstream keys rotate"),
        ({"new": 3, "gone": 1}, "problem", "1 need gone; put these keys back into the ring"),
        ({"": 4}, "problem", "4 need a key that their damaged records do not tell"),
    ],
)
def test_the_ring_is_judged_by_what_the_accounts_need(needed: dict[str, int], verdict: str, words: str) -> None:
    found = judge_keys(needed, ("old", "new"), "new")
    assert (found.subject, found.verdict, words in found.words) == ("vault", verdict, True), found


@pytest.mark.parametrize(
    ("ago_ms", "verdict", "words"), [(None, "warning", "never"), (90_000, "ok", "1 min ago"), (25 * HOUR_MS, "warning", "1 d ago")]
)
def test_a_proof_grows_old(ago_ms: int | None, verdict: str, words: str) -> None:
    account = msgspec.structs.replace(make_account(), proven_time=None if ago_ms is None else Millis(NOW - ago_ms))
    found = judge_proof(account, NOW)
    assert (found.subject, found.verdict) == ("account alice: last proven", verdict) and words in found.words


@pytest.mark.parametrize(
    ("left_ms", "words"), [(None, "none is kept"), (30 * 60_000, "good for 30 min more"), (-2 * HOUR_MS, "ended 2 h ago")]
)
def test_a_listen_key_is_good_for_some_time(left_ms: int | None, words: str) -> None:
    kept = None if left_ms is None else SealedListenKey(record="RECORD", expires_at=Millis(NOW + left_ms))
    found = judge_listen_key(msgspec.structs.replace(make_account(), listen_key=kept), NOW)
    assert found.verdict == "ok" and words in found.words and "RECORD" not in found.words


@pytest.mark.parametrize(
    ("rights", "trouble", "widened", "verdict", "words"),
    [
        (GOOD, "", (), "ok", "the key may do nothing that it should not"),
        (msgspec.structs.replace(GOOD, ip_restricted=False), "", (), "warning", "not restricted to IP addresses"),
        (
            msgspec.structs.replace(GOOD, withdraw=True),
            "",
            ("withdraw",),
            "problem",
            "the key may withdraw; the key may do more than before",
        ),
        (GOOD, "", ("trade",), "problem", "more than before: trade: take these rights from the key"),
        (None, "no such page there", (), "warning", "not known: no such page there"),
    ],
)
def test_rights_are_told_with_what_to_do(
    rights: KeyRights | None, trouble: str, widened: tuple[str, ...], verdict: str, words: str
) -> None:
    looked = Looked(rights=rights, verdict=judge_rights(rights), trouble=trouble, widened=widened)
    found = judge_rights_of(make_account(), looked)
    assert (found.subject, found.verdict, words in found.words) == ("account alice: rights", verdict, True), found
