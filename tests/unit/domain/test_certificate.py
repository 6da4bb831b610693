"""The certificate's answers, one sentence a test; its laws stand in `tests/property/test_certificate.py`."""

from __future__ import annotations

import msgspec
import pytest

from tests.support.events import filled, gap_opened, gap_repaired, mismatch, order_changed, position_set, snapshot_taken, stream_changed
from userstream.domain.certificate import FLIGHT_MS, Certificate, certify, public_certificate
from userstream.domain.events import Event, stamp
from userstream.domain.evidence import Evidence
from userstream.kernel.ids import AccountId, Millis, VenueName

LIVE = stream_changed(state="live", event_time=100)
PROOF = snapshot_taken(proven_until=150, started_time=160)


def of(*events: Event, heard: int = 200, running: bool = True) -> Evidence:
    evidence = Evidence(AccountId("alice"))
    for sequence, event in enumerate(events, 1):
        stamp(event, sequence, None)
    evidence.take(events)
    evidence.recall(events)
    evidence.heard_until, evidence.gathered, evidence.is_growing = Millis(heard), Millis(300), running
    return evidence


def told(certificate: Certificate) -> list[tuple[int, int, str]]:
    return [(interval.since, interval.until, str(interval.state)) for interval in certificate.intervals]


def asked(evidence: Evidence, since: int | None = None, until: int | None = None) -> Certificate:
    return certify(evidence, None if since is None else Millis(since), None if until is None else Millis(until))


def test_what_only_the_stream_told_at_the_end_is_no_hole() -> None:
    certificate = asked(of(LIVE, PROOF))
    assert told(certificate) == [(100, 150, "PROVEN"), (150, 200, "STREAM_ONLY")]
    assert (certificate.is_whole, certificate.complete_since, certificate.proven_until) == (True, 100, 150)


def test_an_open_gap_is_a_hole_and_takes_completeness_back() -> None:
    certificate = asked(of(LIVE, PROOF, gap_opened(since=140)), until=250)
    assert told(certificate) == [(100, 140, "PROVEN"), (140, 250, "KNOWN_GAP")]
    assert (certificate.is_whole, certificate.complete_since, certificate.proven_until) == (False, None, None)


def test_a_repaired_gap_is_none() -> None:
    certificate = asked(of(LIVE, PROOF, gap_opened(since=140), gap_repaired(since=140, until=180)))
    assert told(certificate) == [(100, 140, "PROVEN"), (140, 180, "REPAIRED"), (180, 200, "STREAM_ONLY")]
    assert (certificate.is_whole, certificate.complete_since, certificate.proven_until) == (True, 100, 180)


def test_neighbours_of_one_kind_are_one_interval() -> None:
    lost = {"subject": "history", "theirs": "kept since 130", "since": 160}
    certificate = asked(of(LIVE, gap_opened(since=110), mismatch(**lost, key="120"), mismatch(**lost, key="115")))
    assert told(certificate) == [(100, 110, "STREAM_ONLY"), (110, 200, "KNOWN_GAP")]


def test_time_that_nobody_speaks_of_is_a_hole() -> None:
    certificate = asked(of(LIVE, PROOF, running=False), since=50, until=260)
    assert told(certificate) == [(50, 100, "UNKNOWN"), (100, 150, "PROVEN"), (150, 200, "STREAM_ONLY"), (200, 260, "UNKNOWN")]
    assert [(hole.since, hole.until) for hole in certificate.holes] == [(50, 100), (200, 260)]


def test_where_no_fills_are_told_only_the_time_of_the_account_can_lack_any() -> None:
    feed = {"venue": "binance-margin-risk"}
    lived = (stream_changed(state="live", event_time=100, **feed), gap_opened(since=140, **feed))
    certificate = msgspec.structs.replace(asked(of(*lived, running=False), since=50, until=260), venue=VenueName(feed["venue"]))
    assert [(hole.since, hole.until, str(hole.state)) for hole in certificate.holes] == [(140, 260, "KNOWN_GAP")]
    unknown = msgspec.structs.replace(asked(of(), since=50, until=260), venue=VenueName(feed["venue"]))
    assert (unknown.holes, unknown.is_whole, public_certificate(unknown)["nothing_to_prove"]) == ((), True, True)


def test_a_run_that_ended_is_asked_up_to_its_end_and_later_questions_up_to_now() -> None:
    ended = of(LIVE, stream_changed(state="stopped", event_time=190), heard=180, running=False)
    assert told(asked(ended)) == [(100, 190, "STREAM_ONLY")]
    assert told(asked(ended, since=250)) == [(250, 300, "UNKNOWN")]


def test_a_run_that_was_killed_listened_until_its_last_record() -> None:
    assert told(asked(of(LIVE, heard=130, running=False), until=200)) == [(100, 130, "STREAM_ONLY"), (130, 200, "UNKNOWN")]


def test_an_account_of_which_nothing_is_known_has_one_hole() -> None:
    certificate = asked(of(heard=0))
    assert [interval.state for interval in certificate.intervals] == ["UNKNOWN"]
    assert not certificate.is_whole
    assert told(asked(of(order_changed(filled_quantity="0.100"), filled(transaction_time=120)))) == [(120, 200, "UNKNOWN")]


def test_history_that_the_venue_no_longer_keeps_is_a_hole_for_ever() -> None:
    lost = {"subject": "history", "key": "110", "theirs": "kept since 130", "since": 160}
    certificate = asked(
        of(LIVE, mismatch(**lost), gap_opened(since=105), gap_repaired(since=105, until=170), mismatch(**lost, resolved=True))
    )
    assert told(certificate) == [
        (100, 105, "STREAM_ONLY"),
        (105, 110, "REPAIRED"),
        (110, 130, "KNOWN_GAP"),
        (130, 170, "REPAIRED"),
        (170, 200, "STREAM_ONLY"),
    ]
    assert certificate.mismatches == ()


@pytest.mark.parametrize("until", [120, 180, None])
def test_an_open_mismatch_may_have_begun_at_any_time(until: int | None) -> None:
    certificate = asked(of(LIVE, PROOF, mismatch(since=180)), until=until)
    assert not certificate.is_whole
    assert [found.key for found in certificate.mismatches] == ["BTCUSDT both"]


def test_an_order_that_lacks_a_fill_makes_a_hole_where_it_lies() -> None:
    short = [order_changed(filled_quantity="0", transaction_time=110), order_changed(filled_quantity="1", transaction_time=120)]
    certificate = asked(of(LIVE, PROOF, *short, running=False))
    assert told(certificate) == [(100, 110, "PROVEN"), (110, 121, "KNOWN_GAP"), (121, 150, "PROVEN"), (150, 200, "STREAM_ONLY")]
    assert [found.subject for found in certificate.mismatches] == ["order"]
    assert certificate.complete_since == 121
    assert asked(of(LIVE, PROOF, *short, running=False), since=125).is_whole


def test_while_an_account_runs_a_sum_gets_time_to_add_up() -> None:
    short = [order_changed(filled_quantity="0", transaction_time=110), order_changed(filled_quantity="1", transaction_time=120)]
    assert asked(of(LIVE, *short, heard=120 + FLIGHT_MS)).is_whole
    assert not asked(of(LIVE, *short, heard=121 + FLIGHT_MS)).is_whole


def test_fills_are_counted_where_they_lie_by_how_they_were_learned() -> None:
    fills = [
        filled(trade_id=str(time), transaction_time=time, source=source)
        for time, source in ((100, "stream"), (149, "snapshot"), (150, "stream"), (151, "poll"))
    ]
    certificate = asked(of(LIVE, PROOF, *fills))
    assert [interval.fills for interval in certificate.intervals] == [{"snapshot": 1, "stream": 1}, {"poll": 1, "stream": 1}]


@pytest.mark.parametrize(("since", "until"), [(200, 100), (100, 100), (300, None)])
def test_an_interval_without_length_is_refused(since: int, until: int | None) -> None:
    with pytest.raises(ValueError, match="must end after it begins"):
        asked(of(LIVE), since, until)


def test_the_public_form_is_json_with_words_and_milliseconds() -> None:
    form = msgspec.json.decode(
        msgspec.json.encode(public_certificate(asked(of(LIVE, gap_opened(since=150), position_set(), mismatch(since=160)))))
    )
    assert form["intervals"][0] == {"since": 100, "until": 150, "state": "STREAM_ONLY", "fills": {}}
    assert (form["account"], form["is_whole"], form["is_growing"], form["complete_since"]) == ("alice", False, True, None)
    assert form["holes"] == [{"since": 150, "until": 200, "state": "KNOWN_GAP", "fills": {}}]
    assert (form["mismatches"][0]["kind"], form["mismatches"][0]["ours"]) == ("mismatch", "0.100")


def test_an_interval_that_ends_before_it_begins_is_no_hole() -> None:
    lost = {"subject": "history", "key": "130", "theirs": "kept since 110", "since": 160}
    certificate = asked(of(LIVE, PROOF, mismatch(**lost), mismatch(**lost, resolved=True)))
    assert told(certificate) == [(100, 150, "PROVEN"), (150, 200, "STREAM_ONLY")]
