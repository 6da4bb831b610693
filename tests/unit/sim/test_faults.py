"""The fault plan and the scripts that drive it."""

import json
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from userstream.sim.actions import Answer, Cut, Delay, Double, Drop, Omit, Reorder, Silence
from userstream.sim.books import Millis
from userstream.sim.faults import FaultPlan, Script, ScriptError, Step, load_script

NOW = Millis(1_790_000_000_000)


def test_without_rules_every_frame_goes_out_once() -> None:
    plan = FaultPlan()
    assert plan.publishes("a", "E", NOW)
    assert plan.copies("a", "E", NOW) == 1
    assert plan.displaced("a", "E", NOW) == 0
    assert plan.lateness_ms("a") == 0


def test_frames_are_safe_until_a_rule_is_installed_and_after_all_ended() -> None:
    plan = FaultPlan()
    seen = [plan.has_rules]
    plan.install(Omit(), NOW)
    seen.append(plan.has_rules)
    plan.clear()
    assert [*seen, plan.has_rules] == [False, True, False]


def test_a_counted_drop_strikes_only_its_events_and_then_ends() -> None:
    plan = FaultPlan()
    plan.install(Drop(event="TRADE_LITE", count=2), NOW)
    assert [plan.copies("a", event, NOW) for event in ("TRADE_LITE", "OTHER", "TRADE_LITE", "TRADE_LITE")] == [0, 1, 0, 1]
    assert plan.counters.dropped == 2


def test_a_rule_is_for_one_account_or_for_everybody() -> None:
    plan = FaultPlan()
    plan.install(Double(account="a"), NOW)
    assert [plan.copies(account, "E", NOW) for account in ("b", "a", "a")] == [1, 2, 1]


def test_a_rule_without_count_is_for_one_frame_unless_it_has_time_or_probability() -> None:
    plan = FaultPlan()
    plan.install(Drop(for_s=Decimal("1.5")), NOW)
    assert [plan.copies("a", "E", Millis(NOW + wait)) for wait in (0, 700, 1499, 1500)] == [0, 0, 0, 1]


@given(st.integers(0, 2**32), st.decimals(0, 1, places=2))
def test_a_probability_strikes_about_so_often_and_the_same_for_the_same_seed(seed: int, probability: Decimal) -> None:
    def struck() -> list[int]:
        plan = FaultPlan(seed=seed)
        plan.install(Drop(probability=probability), NOW)
        return [plan.copies("a", "E", NOW) for _ in range(400)]

    share = Decimal(struck().count(0)) / 400
    assert abs(share - probability) < Decimal("0.17")
    assert struck() == struck()


def test_an_omitted_event_is_not_published_at_all() -> None:
    plan = FaultPlan()
    plan.install(Omit(), NOW)
    assert [plan.publishes("a", "E", NOW) for _ in range(2)] == [False, True]
    assert (plan.counters.omitted, plan.counters.published) == (1, 1)


def test_a_counted_displacement_is_taken_whole_by_one_socket() -> None:
    plan = FaultPlan()
    plan.install(Reorder(count=4), NOW)
    assert [plan.displaced("a", "E", NOW) for _ in range(2)] == [4, 0]
    plan.install(Reorder(probability=Decimal(1)), NOW)
    assert [plan.displaced("a", "E", NOW) for _ in range(2)] == [2, 2]


@given(st.lists(st.binary(min_size=1, max_size=3), min_size=2, max_size=8, unique=True), st.integers())
def test_mixing_keeps_all_frames_and_changes_the_order(frames: list[bytes], seed: int) -> None:
    mixed = FaultPlan(seed=seed).mix(frames)
    assert sorted(mixed) == sorted(frames)
    assert mixed != frames


def test_delays_of_an_account_win_and_jitter_stays_in_its_bounds() -> None:
    plan = FaultPlan()
    plan.delay(Delay(ms=10))
    plan.delay(Delay(account="a", ms=100, jitter_ms=20))
    assert plan.lateness_ms("b") == 10
    assert all(100 <= plan.lateness_ms("a") <= 120 for _ in range(50))
    plan.delay(Delay(ms=0))
    assert (plan.lateness_ms("a"), plan.lateness_ms("b")) == (0, 0)


def test_prepared_answers_are_given_in_order_to_matching_calls() -> None:
    plan = FaultPlan()
    plan.prepare(Answer(path="/fapi/v1/order", method="POST", status=503, count=2))
    plan.prepare(Answer(path="/fapi", status=502))
    assert plan.answer_for("GET", "/api/v3/time") is None
    statuses = [found.status if found else None for found in (plan.answer_for("POST", "/fapi/v1/order") for _ in range(4))]
    assert statuses == [503, 503, 502, None]


def test_a_silence_with_new_sockets_is_remembered_until_it_ends_or_is_resumed() -> None:
    plan = FaultPlan()
    plan.silence(Silence(account="a", for_s=Decimal(1), new_sockets=True), NOW)
    plan.silence(Silence(account="b"), NOW)
    assert plan.silence_of(frozenset("a"), NOW) is not None
    assert plan.silence_of(frozenset("b"), NOW) is None
    assert plan.silence_of(frozenset("a"), Millis(NOW + 1000)) is None
    plan.silence(Silence(new_sockets=True), NOW)
    plan.resume("a")
    assert plan.silence_of(frozenset("a"), NOW) is None


def test_rules_that_were_not_used_up_can_end_alone() -> None:
    plan = FaultPlan()
    plan.install(Omit(account="alice", count=5), NOW)
    plan.silence(Silence(account="alice", new_sockets=True), NOW)
    plan.end_rules()
    assert plan.publishes("alice", "ORDER_TRADE_UPDATE", NOW)
    assert not plan.has_rules
    assert plan.silence_of(frozenset({"alice"}), NOW) is not None


def test_clear_ends_everything() -> None:
    plan = FaultPlan(rest_lag_ms=5, skew_ms=5, strict=True)
    plan.install(Drop(probability=Decimal(1)), NOW)
    plan.delay(Delay(ms=10))
    plan.prepare(Answer())
    plan.clear()
    assert plan.copies("a", "E", NOW) == 1
    assert (plan.lateness_ms("a"), plan.rest_lag_ms, plan.skew_ms, plan.strict) == (0, 0, 0, False)
    assert plan.answer_for("GET", "/") is None


# --- scripts -----------------------------------------------------------------------------------------------------------

STEPS = [
    {"at_s": 5, "action": "cut", "account": "*"},
    {"every_s": 12, "from_s": 3, "until_s": 60, "action": "silence", "for_s": 4},
    {"at_s": 0.5, "action": "transfer", "account": "a", "asset": "USDT", "amount": "-0.1"},
]
TOML = """
[[steps]]
at_s = 5
action = "cut"
account = "*"

[[steps]]
every_s = 12
from_s = 3
until_s = 60
action = "silence"
for_s = 4

[[steps]]
at_s = 0.5
action = "transfer"
account = "a"
asset = "USDT"
amount = "-0.1"
"""


@pytest.mark.parametrize("raw", [json.dumps(STEPS), json.dumps({"steps": STEPS}), TOML])
def test_scripts_are_json_or_toml_and_say_the_same(raw: str, tmp_path: Path) -> None:
    path = tmp_path / "script"
    path.write_text(raw, encoding="utf-8")
    for script in (load_script(raw.encode()), load_script(path), load_script(str(path))):
        assert [type(action).__name__ for _, action in script.steps] == ["Cut", "Silence", "Transfer"]
        assert script.steps[1][0] == Step(every_s=Decimal(12), from_s=Decimal(3), until_s=Decimal(60))
        assert script.due(Decimal(0), Decimal(1)) == [script.steps[2][1]]


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b'[{"at_s": 5, "action": "cut"}, {"at_s": 5, "action": "sillence"}]', ["script step 2", "'sillence'", "'silence'"]),
        (b'[{"at_s": 5, "action": "silence", "fors": 4}]', ["script step 1", "'fors'", "'for_s'"]),
        (b'[{"ats": 5, "action": "cut"}]', ["script step 1", "'ats'", "'at_s'"]),
        (b'[{"action": "cut"}]', ["script step 1", "at_s", "every_s"]),
        (b'[{"at_s": 1, "every_s": 1, "action": "cut"}]', ["script step 1", "exactly one"]),
        (b'[{"every_s": 0, "action": "cut"}]', ["script step 1", "every_s 0", "0.001 or more"]),
        (b'[{"at_s": -1, "action": "cut"}]', ["script step 1", "at_s -1", "between 0 and"]),
        (b'[{"at_s": NaN, "action": "cut"}]', ["script step 1", "at_s NaN", "finite"]),
        (b'[{"at_s": 1e999999, "action": "cut"}]', ["script step 1", "at_s 1E+999999", "between 0 and"]),
        (b'[{"at_s": 1, "at": 2, "action": "cut"}]', ["script step 1", "'at'", "'at_s'"]),
        (b'steps = [{every_s = inf, action = "cut"}]', ["script step 1", "every_s Infinity", "finite"]),
        (b'[{"every_s": 1e-40, "action": "cut"}]', ["script step 1", "every_s 1E-40", "0.001 or more"]),
        (b'[{"every_s": 1, "from_s": -3, "action": "cut"}]', ["script step 1", "from_s -3", "between 0 and"]),
        (b'[{"every_s": 1, "from_s": 5, "until_s": 4, "action": "cut"}]', ["script step 1", "until_s 4", "before from_s 5"]),
        (b'[{"at_s": 1, "action": "silence", "for_s": -4}]', ["script step 1", "'silence'", "for_s -4", "between 0 and"]),
        (b'[{"at_s": 1, "action": "drop", "probability": NaN}]', ["script step 1", "probability NaN", "between 0 and 1"]),
        (b'[{"at_s": 1, "action": "rate", "events_per_s": Infinity}]', ["script step 1", "events_per_s Infinity", "finite number"]),
        (b'[{"at_s": 1, "action": "rate", "events_per_s": 1e30}]', ["script step 1", "events_per_s 1E+30", "between 0 and 10000"]),
        (b'[{"at_s": 1, "action": "delay", "ms": -1}]', ["script step 1: action 'delay': ms -1 must be a whole number (0 or more)"]),
        (
            b'[{"at_s": 1, "action": "answer", "status": 42}]',
            ["script step 1: action 'answer': status 42 must be a whole number (200 to 599)"],
        ),
        (b'[{"at_s": ' + b"9" * 5_000 + b', "action": "cut"}]', ["JSON", "digits"]),
        (b'[{"at_s": 1, "until_s": 3, "action": "cut"}]', ["script step 1", "every_s"]),
        (
            b'[{"at_s": "soon", "action": "cut"}]',
            ["script step 1: action 'cut': at_s 'soon' must be a decimal number such as '0.001', or null"],
        ),
        (b'[{"at_s": 1}]', ["script step 1: action is missing"]),
        (b'[{"at_s": 1, "action": 7}]', ["script step 1: action 7 must be text"]),
        (
            b'[{"at_s": 1, "action": "move_price", "symbol": "B", "price": -3}]',
            ["script step 1: action 'move_price': price -3 must be 0 or more"],
        ),
        (b'[{"at_s": 1, "action": "close", "code": 1005}]', ["script step 1: action 'close': code 1005 must be one that"]),
        (b"[3]", ["step 1: 3 must be an object"]),
        (b'{"cut": 1}', ["list of steps"]),
        (b"{cut", ["JSON", "TOML"]),
        (b"\xff\xfe", ["UTF-8"]),
    ],
)
def test_a_wrong_script_names_the_step_and_the_nearest_word(raw: bytes, words: list[str]) -> None:
    with pytest.raises(ScriptError) as raised:
        load_script(raw)
    assert all(word in str(raised.value) for word in words), str(raised.value)


def test_a_script_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ScriptError, match=r"missing\.json"):
        load_script(tmp_path / "missing.json")


@given(st.binary(max_size=60))
def test_any_bytes_are_a_script_or_a_script_error(raw: bytes) -> None:
    try:
        load_script(raw)
    except ScriptError as wrong:
        assert str(wrong)


def test_steps_happen_once_at_their_time_and_repeated_ones_in_their_span() -> None:
    script = Script([(Step(at_s=Decimal(0)), Cut()), (Step(every_s=Decimal(2), from_s=Decimal(1), until_s=Decimal(5)), Silence())])
    assert script.due(Decimal(-1), Decimal(0)) == [Cut()]
    assert script.due(Decimal(0), Decimal(100)) == [Silence(), Silence(), Silence()]
    assert script.due(Decimal(5), Decimal(100)) == []
    assert script.due_steps(Decimal(-1), Decimal(2)) == [(1, Cut()), (2, Silence())]


@given(
    st.decimals("0.1", 5, places=1),
    st.decimals(0, 10, places=1),
    st.decimals(0, 30, places=1),
    st.lists(st.decimals("0.01", 7, places=2), min_size=1, max_size=20),
)
def test_however_time_is_cut_a_repeated_step_happens_the_same_number_of_times(
    every: Decimal, first: Decimal, lasts: Decimal, waits: list[Decimal]
) -> None:
    script = Script([(Step(every_s=every, from_s=first, until_s=first + lasts), Cut())])
    moment, seen = Decimal(-1), 0
    for wait in waits:
        seen += len(script.due(moment, moment + wait))
        moment += wait
    assert seen == len(script.due(Decimal(-1), moment))
