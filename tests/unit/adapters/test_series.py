"""The text of numbers: what Prometheus's own reader reads out of it is what was put in."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from userstream.adapters.series import BUCKETS, Histograms, Line, Series, head_of, shown, written

GAUGE = Line("queue_depth", "gauge", 'Items "waiting" in a\nqueue \\ or two.', ("venue", "account"))
COUNTER = Line("fills_total", "counter", "Fills.", ("venue", "account"))
PLAIN = Line("journal_backlog", "gauge", "Records.")
HISTOGRAM = Line("stage_latency_seconds", "histogram", "Time.", ("stage",))
# lines end at these for the reader, whatever a label holds
TEXTS = st.text(st.characters(blacklist_categories=["Cs", "Cc", "Zl", "Zp"]) | st.just("\n"), max_size=12)


def read(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    families = text_string_to_metric_families(text)
    return {(each.name, tuple(sorted(each.labels.items()))): each.value for family in families for each in family.samples}


@given(st.dictionaries(st.tuples(TEXTS, TEXTS), st.floats(allow_nan=False), max_size=8))
def test_every_gauge_is_read_back_with_its_labels_whatever_they_hold(values: dict[tuple[str, str], float]) -> None:
    series = Series(GAUGE)
    for labels, value in values.items():
        series.set(labels, 1.0)
        series.set(labels, value)
    expected = {("userstream_queue_depth", (("account", account), ("venue", venue))): value for (venue, account), value in values.items()}
    assert read(series.text()) == expected


@given(st.lists(st.tuples(st.sampled_from(["alice", "bob"]), st.integers(0, 1_000))))
def test_a_counter_is_the_sum_of_what_was_added(added: list[tuple[str, int]]) -> None:
    series = Series(COUNTER)
    for account, amount in added:
        series.add(("binance-usdm", account), amount)
    for (_, labels), value in read(series.text()).items():
        assert value == sum(amount for account, amount in added if account == dict(labels)["account"])


def test_a_histogram_is_read_back_with_its_buckets() -> None:
    histograms = Histograms(HISTOGRAM)
    histograms.add(("to_journal",), {0.001: 3, 0.2: 1})
    histograms.add(("to_journal",), {100.0: 2})
    told = read(histograms.text())
    name, labels = "userstream_stage_latency_seconds", (("stage", "to_journal"),)
    assert told[f"{name}_count", labels] == 6 and told[f"{name}_sum", labels] == pytest.approx(200.203)
    buckets = {dict(key)["le"]: value for (each, key), value in told.items() if each == f"{name}_bucket"}
    assert len(buckets) == len(BUCKETS) + 1 and (buckets["0.0005"], buckets["0.001"], buckets["0.25"], buckets["+Inf"]) == (0, 3, 4, 6)


def test_what_is_forgotten_is_gone_and_the_rest_is_not() -> None:
    series = Series(COUNTER)
    for account in ("alice", "bob"):
        series.add(("alice", account), 1)
    series.forget("account", "alice")
    series.forget("stage", "bob")
    assert [dict(labels)["account"] for _, labels in read(series.text())] == ["bob"]


def test_a_number_without_labels_is_there_from_the_beginning() -> None:
    assert read(Series(PLAIN).text()) == {("userstream_journal_backlog", ()): 0}
    assert written((), ()) == "" and written(("b", "a"), ("2", '"1"')) == r'{a="\"1\"",b="2"}'
    assert head_of(GAUGE).count("\n") == 2


@pytest.mark.parametrize(("value", "text"), [(3.0, "3.0"), (math.inf, "+Inf"), (-math.inf, "-Inf"), (math.nan, "NaN"), (1e-5, "1e-05")])
def test_numbers_that_are_no_digits(value: float, text: str) -> None:
    assert shown(value) == text
