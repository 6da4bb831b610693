"""Counting what is new, and showing it without secrets or control characters."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.venues.binance.kit import ALICE, LISTEN_KEY, USDM
from userstream.domain.words import Side
from userstream.kernel.text import printable
from userstream.venues.binance.drift import MOST_NAMES, NAME_LENGTH, OVERFLOW, Drift, sample_of, short, without_secrets


def drift() -> Drift:
    return Drift(ALICE, USDM)


def test_a_name_is_news_once_and_counted_each_time() -> None:
    seen = drift()
    assert [seen.count("event x") for _ in range(3)] == [True, False, False]
    assert seen.counts == {"event x": 3}


def test_words_and_fields_are_told_once() -> None:
    seen = drift()
    assert [seen.word("M.S", "UP", Side.UNKNOWN) for _ in range(2)] == [Side.UNKNOWN, Side.UNKNOWN]
    assert [seen.text("M.o", "NEW_KIND") for _ in range(2)] == ["new_kind", "new_kind"]
    assert seen.text("M.o", "") == ""
    seen.field("M.zz")
    seen.field("M.zz")
    assert seen.counts == {"word M.S=UP": 2, "word M.o=NEW_KIND": 2, "field M.zz": 2}
    assert [name for name, _ in seen.news] == ["word M.S=UP", "word M.o=NEW_KIND", "field M.zz"]


def test_a_feed_of_ever_new_names_does_not_fill_the_memory() -> None:
    seen = drift()
    told = [seen.count(f"event {number}") for number in range(MOST_NAMES + 50)]
    assert sum(told) == MOST_NAMES + 1
    assert len(seen.counts) == MOST_NAMES + 1
    assert seen.counts[OVERFLOW] == 50
    assert not seen.count("event 7") and seen.counts["event 7"] == 2


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ö", "plain ö"),
        ("a\x1b[2Jb\n\u202ec\x00", "a\ufffd[2Jb\ufffd\ufffdc\ufffd"),
    ],
)
def test_control_characters_are_neutralised(text: str, shown: str) -> None:
    assert printable(text) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"x {LISTEN_KEY} y", "x *** y"),
        ('{"listenKey" : "short"}', '{"listenKey" : "***"}'),
        ('{"stream":"short","data":1}', '{"stream":"***","data":1}'),
        ("svc7-000123", "svc7-000123"),
        ("a" * 36, "a" * 36),
    ],
)
def test_what_is_or_looks_like_a_key_is_cut_out(text: str, shown: str) -> None:
    assert without_secrets(text) == shown


@given(before=st.binary(max_size=5_000), after=st.binary(max_size=200))
def test_a_sample_is_short_printable_and_without_the_key(before: bytes, after: bytes) -> None:
    sample = sample_of(before + LISTEN_KEY.encode() + after)
    assert len(sample) <= 200 and sample.isprintable()
    assert LISTEN_KEY[:30] not in sample


@pytest.mark.parametrize("at", range(4_000, 4_100))
def test_a_key_at_the_edge_of_what_is_looked_at_does_not_show(at: int) -> None:
    frame = b"a" * (at // 64 * 64) + b" " * (at % 64) + LISTEN_KEY.encode()
    assert LISTEN_KEY[:6] not in sample_of(frame)


def test_names_are_cut() -> None:
    assert short("word " + "long " * 100) == ("word " + "long " * 100)[:NAME_LENGTH]
