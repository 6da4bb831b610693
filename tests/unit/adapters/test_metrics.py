import ast
import asyncio
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

import userstream
from tests.support.clock import ManualClock
from userstream.adapters.metrics import CONTENT_TYPE, TABLE, PrometheusMetrics
from userstream.adapters.series import BUCKETS
from userstream.kernel.errors import SettingsError
from userstream.ports import Metrics

ALICE = {"venue": "binance-usdm", "account": "alice"}
BOB = {"venue": "binance-usdm", "account": "bob"}


def lines(metrics: PrometheusMetrics) -> list[str]:
    return [line for line in metrics.render().decode().splitlines() if line.startswith("userstream_")]


def test_counts_add_up_and_gauges_are_set() -> None:
    metrics = PrometheusMetrics(strict=True)
    port: Metrics = metrics
    port.count("fills_total", labels=ALICE)
    port.count("fills_total", 2, labels=ALICE)
    port.count("fills_total", labels=BOB)
    port.gauge("staleness_seconds", 1.5, labels=ALICE)
    port.gauge("staleness_seconds", 0.25, labels=ALICE)
    port.gauge("journal_backlog", 7)
    written = lines(metrics)
    assert 'userstream_fills_total{account="alice",venue="binance-usdm"} 3.0' in written
    assert 'userstream_fills_total{account="bob",venue="binance-usdm"} 1.0' in written
    assert 'userstream_staleness_seconds{account="alice",venue="binance-usdm"} 0.25' in written
    assert "userstream_journal_backlog 7.0" in written


@given(st.lists(st.tuples(st.sampled_from(["alice", "bob"]), st.integers(0, 1_000)), max_size=20))
def test_a_counter_is_the_sum_of_what_was_counted(counted: list[tuple[str, int]]) -> None:
    metrics = PrometheusMetrics(strict=True)
    for account, amount in counted:
        metrics.count("handler_errors_total", amount, {"account": account})
    for account in {account for account, _ in counted}:
        total = sum(amount for each, amount in counted if each == account)
        assert f'userstream_handler_errors_total{{account="{account}"}} {float(total)}' in lines(metrics)


@given(st.lists(st.dictionaries(st.floats(0, 200), st.integers(1, 9), max_size=5), max_size=8))
def test_a_histogram_counts_every_value_in_its_bucket_and_below(batches: list[dict[float, int]]) -> None:
    metrics = PrometheusMetrics(strict=True)
    for batch in batches:
        metrics.observe("stage_latency_seconds", batch, {"stage": "x"})
    values = [value for batch in batches for value, times in batch.items() for _ in range(times)]
    told = dict(line.rsplit(" ", 1) for line in lines(metrics))
    if batches:
        for end in BUCKETS:
            assert float(told[f'userstream_stage_latency_seconds_bucket{{le="{end}",stage="x"}}']) == sum(each <= end for each in values)
        assert float(told['userstream_stage_latency_seconds_bucket{le="+Inf",stage="x"}']) == len(values)
        assert float(told['userstream_stage_latency_seconds_count{stage="x"}']) == len(values)
        assert float(told['userstream_stage_latency_seconds_sum{stage="x"}']) == pytest.approx(sum(values))


def test_a_label_left_out_is_empty() -> None:
    metrics = PrometheusMetrics(strict=True)
    metrics.count("fills_total", labels={"account": "alice"})
    assert 'userstream_fills_total{account="alice",venue=""} 1.0' in lines(metrics)


def test_names_are_described_and_no_time_of_creation_is_told() -> None:
    text = PrometheusMetrics().render().decode()
    for line in TABLE.values():
        stem = f"userstream_{line.name}"
        assert f"# HELP {stem} {line.help}" in text
        assert f"# TYPE {stem} {line.kind}" in text
    assert "_created" not in text
    assert CONTENT_TYPE.startswith("text/plain")


async def test_the_text_in_turns_is_the_same() -> None:
    metrics, clock = PrometheusMetrics(strict=True), ManualClock()
    metrics.count("fills_total", labels=ALICE)
    rendering = asyncio.ensure_future(metrics.render_in_turns(clock))
    await clock.settle()
    whole, text = await rendering, metrics.render()
    assert [line for line in whole.splitlines() if b"userstream_" in line] == [line for line in text.splitlines() if b"userstream_" in line]


def test_two_of_them_do_not_share_numbers() -> None:
    first, second = PrometheusMetrics(), PrometheusMetrics()
    first.count("journal_records_total")
    assert "userstream_journal_records_total 0.0" in lines(second)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda metrics: metrics.count("fils_total"), "did you mean 'fills_total'"),
        (lambda metrics: metrics.count("journal_backlog"), "is a gauge, not a counter"),
        (lambda metrics: metrics.gauge("fills_total", 1), "is a counter, not a gauge"),
        (lambda metrics: metrics.count("fills_total", labels={"symbol": "BTCUSDT"}), "has no label 'symbol'; it has: venue, account"),
        (lambda metrics: metrics.gauge("journal_backlog", 1, {"account": "alice"}), "it has: none"),
        (lambda metrics: metrics.count("fills_total", -1), "cannot go back"),
        (lambda metrics: metrics.observe("fills_total", {1.0: 1}), "is a counter, not a histogram"),
    ],
)
def test_what_is_not_in_the_table_is_refused_or_counted_but_never_ends_a_feed(call: object, words: str) -> None:
    assert callable(call)
    with pytest.raises(SettingsError, match=re.escape(words)):
        call(PrometheusMetrics(strict=True))
    lenient = PrometheusMetrics()
    with structlog.testing.capture_logs() as entries:
        call(lenient)
        call(lenient)
    assert "userstream_unknown_metrics_total 2.0" in lines(lenient)
    assert [entry["action"] for entry in entries] == ["metric_refused"]
    assert words in entries[0]["reason"]


def test_a_removed_account_leaves_no_numbers_and_the_others_stay() -> None:
    metrics = PrometheusMetrics(strict=True)
    for labels in (ALICE, BOB):
        metrics.count("fills_total", labels=labels)
        metrics.gauge("gap_seconds", 9.0, labels=labels)
    metrics.count("risk_actions_total", labels={"account": "alice", "action": "halt", "outcome": "dry_run"})
    metrics.forget_account("alice")
    metrics.forget_account("never known")
    written = "\n".join(lines(metrics))
    assert "alice" not in written
    assert written.count("bob") == 2


def reported() -> Iterator[tuple[str, str, str, set[str]]]:
    """Every literal name that this package reports, with its method and the labels that stand beside it."""
    folder = Path(userstream.__file__).parent
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not (
                isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in ("count", "gauge", "observe")
            ):
                continue
            if "metrics" in ast.unparse(node.func.value) and node.args and isinstance(node.args[0], ast.Constant):
                given_labels = [each for each in [*node.args, *(word.value for word in node.keywords)] if isinstance(each, ast.Dict)]
                names = {
                    key.value for each in given_labels for key in each.keys if isinstance(key, ast.Constant) and isinstance(key.value, str)
                }
                yield path.name, node.func.attr, str(node.args[0].value), names


def test_every_number_that_this_package_reports_is_in_the_table() -> None:
    found = list(reported())
    assert found
    kinds = {"count": "counter", "gauge": "gauge", "observe": "histogram"}
    wrong = [
        (place, method, name, names)
        for place, method, name, names in found
        if name not in TABLE or TABLE[name].kind != kinds[method] or not names <= set(TABLE[name].labels)
    ]
    assert wrong == []
