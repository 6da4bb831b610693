"""The fault plan: which frames are lost, doubled, displaced or late, which calls get another answer. Pure data and decisions.

Time is an argument, chance comes from the plan's own seed, so that the same plan and the same frames give the same faults.
"""

import json
import random
import tomllib
from collections.abc import Mapping, Sequence
from decimal import Decimal
from functools import cached_property
from pathlib import Path

import msgspec

from userstream.sim.actions import (
    ACTIONS,
    EVERYBODY,
    Action,
    Answer,
    BadAction,
    Delay,
    Double,
    Drop,
    FrameRules,
    Omit,
    Reorder,
    Silence,
    parse_action,
)
from userstream.sim.books import Millis
from userstream.sim.bounds import SHORTEST_STEP_S, check_numbers
from userstream.sim.rules import explain_mistake, nearest, show_value

MOST_STEPS_AT_ONCE = 1000


class Counters(msgspec.Struct, kw_only=True):
    """What became of the frames."""

    published: int = 0
    sent: int = 0
    dropped: int = 0
    doubled: int = 0
    displaced: int = 0
    omitted: int = 0
    withheld: int = 0


class ActiveRule(msgspec.Struct, kw_only=True):
    """A frame rule with what is left of it."""

    rule: FrameRules
    left: int | None
    until: Millis | None

    def matches(self, account: str, event: str, now: Millis) -> bool:
        if self.left == 0 or (self.until is not None and now >= self.until):
            return False
        return self.rule.account in (EVERYBODY, account) and self.rule.event in (EVERYBODY, event)


class ActiveSilence(msgspec.Struct, frozen=True, kw_only=True):
    """A silence with the moment it ends by itself."""

    silence: Silence
    until: Millis | None

    def holds(self, now: Millis) -> bool:
        return self.until is None or now < self.until


class FaultPlan:
    """All faults in force. The control interface and the script change it, the lanes and the server ask it."""

    def __init__(self, *, seed: int = 0, rest_lag_ms: int = 0, skew_ms: int = 0, strict: bool = False) -> None:
        self._seed = seed
        self._rules: list[ActiveRule] = []
        self._delays: dict[str, Delay] = {}
        self._silences: dict[str, ActiveSilence] = {}
        self._answers: list[tuple[Answer, int]] = []
        self.rest_lag_ms = rest_lag_ms
        self.skew_ms = skew_ms
        self.strict = strict
        self.counters = Counters()

    @cached_property
    def _chance(self) -> random.Random:
        return random.Random(self._seed)

    @property
    def has_rules(self) -> bool:
        """Whether frames may be lost, doubled or displaced."""
        return bool(self._rules)

    def install(self, rule: FrameRules, now: Millis) -> None:
        """Put a frame rule into force."""
        endless = rule.probability is not None or rule.for_s is not None
        left = rule.count if rule.count is not None or endless else 1
        self._rules.append(ActiveRule(rule=rule, left=left, until=end_of(rule.for_s, now)))

    def delay(self, delay: Delay) -> None:
        """Put a delay into force; 0 and 0 ends it, for everybody ends all."""
        if delay.account == EVERYBODY:
            self._delays.clear()
        self._delays[delay.account] = delay

    def silence(self, silence: Silence, now: Millis) -> ActiveSilence:
        """The silence with its end; remembered when sockets opened later are silent as well."""
        active = ActiveSilence(silence=silence, until=end_of(silence.for_s, now))
        if silence.new_sockets:
            self._silences[silence.account] = active
        return active

    def resume(self, account: str) -> None:
        for silenced in [known for known in self._silences if EVERYBODY in (account, known) or known == account]:
            del self._silences[silenced]

    def silence_of(self, accounts: frozenset[str], now: Millis) -> ActiveSilence | None:
        """The silence that a socket of these accounts is born into."""
        for account, active in self._silences.items():
            if (account == EVERYBODY or account in accounts) and active.holds(now):
                return active
        return None

    def publishes(self, account: str, event: str, now: Millis) -> bool:
        """False when the exchange itself forgets this event."""
        if self._draws(Omit, account, event, now) is None:
            self.counters.published += 1
            return True
        self.counters.omitted += 1
        return False

    def copies(self, account: str, event: str, now: Millis) -> int:
        """How often one socket gets this frame."""
        if self._draws(Drop, account, event, now) is not None:
            self.counters.dropped += 1
            return 0
        if self._draws(Double, account, event, now) is not None:
            self.counters.doubled += 1
            return 2
        return 1

    def displaced(self, account: str, event: str, now: Millis) -> int:
        """How many frames from this one on are to be mixed; 0 for none. A counted rule is used up by one socket at once."""
        active = self._draws(Reorder, account, event, now)
        if active is None:
            return 0
        window = 2 if active.rule.probability is not None else max(2, active.rule.count or 2)
        if active.rule.probability is None and active.left is not None:
            active.left = 0
        return window

    def mix(self, frames: Sequence[bytes]) -> list[bytes]:
        """The same frames in another order (the same order only when all are equal)."""
        mixed = list(frames)
        self._chance.shuffle(mixed)
        self.counters.displaced += len(mixed)
        return mixed if mixed != list(frames) else mixed[::-1]

    def lateness_ms(self, account: str) -> int:
        """How late the next frame of this account is."""
        delay = self._delays.get(account) or self._delays.get(EVERYBODY)
        if delay is None:
            return 0
        return delay.ms + (self._chance.randint(0, delay.jitter_ms) if delay.jitter_ms > 0 else 0)

    def prepare(self, answer: Answer) -> None:
        """The next calls below the path get this answer."""
        self._answers.append((answer, answer.count))

    def answer_for(self, method: str, path: str) -> Answer | None:
        """Take the prepared answer for this call, the earliest prepared one first."""
        for place, (answer, left) in enumerate(self._answers):
            if path.startswith(answer.path) and answer.method in (EVERYBODY, method):
                self._answers[place : place + 1] = [(answer, left - 1)] if left > 1 else []
                return answer
        return None

    def end_rules(self) -> None:
        """No frame that comes from now on is lost, doubled or displaced; all other faults stay in force."""
        self._rules.clear()

    def clear(self) -> None:
        """No fault is in force any more."""
        self._rules.clear()
        self._delays.clear()
        self._silences.clear()
        self._answers.clear()
        self.rest_lag_ms = self.skew_ms = 0
        self.strict = False

    def _draws(self, kind: type[FrameRules], account: str, event: str, now: Millis) -> ActiveRule | None:
        """The first rule of this kind that strikes now, with its count taken down."""
        if not self._rules:
            return None
        self._rules = [active for active in self._rules if active.left != 0 and (active.until is None or now < active.until)]
        for active in self._rules:
            if not isinstance(active.rule, kind) or not active.matches(account, event, now):
                continue
            probability = active.rule.probability
            if probability is not None and Decimal(self._chance.random()) >= probability:
                continue
            if active.left is not None:
                active.left -= 1
            return active
        return None


def end_of(for_s: Decimal | None, now: Millis) -> Millis | None:
    return None if for_s is None else Millis(now + int(for_s * 1000))


# --- scripts -----------------------------------------------------------------------------------------------------------


class ScriptError(ValueError):
    """The fault script cannot be used. The text names step, action, field, value and rule, or the nearest valid word."""


class Step(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """When an action happens: once (`at_s`), or again and again (`every_s`, optionally `from_s` and `until_s`). Seconds since the start."""

    at_s: Decimal | None = None
    every_s: Decimal | None = None
    from_s: Decimal | None = None
    until_s: Decimal | None = None

    def __post_init__(self) -> None:
        if (self.at_s is None) == (self.every_s is None):
            raise ValueError("give exactly one of at_s and every_s")
        check_numbers(self)
        if self.every_s is not None and self.every_s < SHORTEST_STEP_S:
            raise ValueError(f"every_s {self.every_s} must be {SHORTEST_STEP_S} or more")
        if self.at_s is not None and (self.from_s is not None or self.until_s is not None):
            raise ValueError("from_s and until_s belong to every_s")
        if self.until_s is not None and self.until_s < (self.from_s or 0):
            raise ValueError(f"until_s {self.until_s} must not lie before from_s {self.from_s}")

    def times(self, after_s: Decimal, now_s: Decimal) -> int:
        """How often this step is due in the time after `after_s` up to and with `now_s`."""
        if self.at_s is not None:
            return int(after_s < self.at_s <= now_s)
        every = self.every_s or Decimal(1)
        first = every if self.from_s is None else self.from_s
        last = now_s if self.until_s is None else min(now_s, self.until_s)
        return max(0, _count_up_to(last, first, every) - _count_up_to(after_s, first, every))


def _count_up_to(limit: Decimal, first: Decimal, every: Decimal) -> int:
    return 0 if limit < first else int((limit - first) // every) + 1


class Script:
    """Steps of a fault script in the order they were written."""

    def __init__(self, steps: Sequence[tuple[Step, Action]]) -> None:
        self.steps = tuple(steps)

    def due(self, after_s: Decimal, now_s: Decimal) -> list[Action]:
        """The actions of the time after `after_s` up to and with `now_s`. A start at 0 is seen with an `after_s` below 0."""
        return [action for _, action in self.due_steps(after_s, now_s)]

    def due_steps(self, after_s: Decimal, now_s: Decimal) -> list[tuple[int, Action]]:
        """The same, each with the number of its step, counted from 1."""
        return [
            (number, action)
            for number, (step, action) in enumerate(self.steps, start=1)
            for _ in range(min(step.times(after_s, now_s), MOST_STEPS_AT_ONCE))
        ]


def load_script(source: Path | str | bytes) -> Script:
    """Read a JSON or TOML script: a list of steps, or a table with one list `steps`.

    A path is read, bytes are the script itself. Raises ScriptError for anything that is not right, naming the step.
    """
    raw = source if isinstance(source, bytes) else _read(Path(source))
    return Script([_parse_step(number, entry) for number, entry in enumerate(_entries(raw), start=1)])


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as wrong:
        raise ScriptError(f"the script {path} cannot be read: {wrong.strerror}") from wrong


def _entries(raw: bytes) -> list[object]:
    content = _parse(raw)
    steps = content.get("steps") if isinstance(content, dict) else content
    if not isinstance(steps, list):
        raise ScriptError("a script is a list of steps, or a table with a list named 'steps'")
    return steps


def _parse(raw: bytes) -> object:
    try:
        text = raw.decode()
    except UnicodeDecodeError as wrong:
        raise ScriptError("the script is not UTF-8 text") from wrong
    try:
        return json.loads(text, parse_float=Decimal)
    except ValueError as not_json:
        try:
            return tomllib.loads(text, parse_float=Decimal)
        except ValueError as not_toml:
            raise ScriptError(f"the script is neither JSON ({not_json}) nor TOML ({not_toml})") from not_toml


def _parse_step(number: int, entry: object) -> tuple[Step, Action]:
    try:
        return read_step(entry)
    except ScriptError as wrong:
        raise ScriptError(f"script step {number}: {wrong}") from wrong


def read_step(entry: object) -> tuple[Step, Action]:
    """One step. Raises ScriptError that names the action, the field, its value and the rule."""
    if not isinstance(entry, Mapping):
        raise ScriptError(f"{show_value(entry)} must be an object with an action and a time")
    if not isinstance(name := entry.get("action"), str):
        raise ScriptError("action is missing: it must be text" if name is None else f"action {show_value(name)} must be text")
    when = {field: value for field, value in entry.items() if field in Step.__struct_fields__}
    fields = {field: value for field, value in entry.items() if field not in when and field != "action"}
    try:
        _check_fields(name, entry)
        action = parse_action(name, fields)
    except BadAction as wrong:
        raise ScriptError(str(wrong)) from wrong
    try:
        return msgspec.convert(when, Step), action
    except msgspec.ValidationError as wrong:
        raise ScriptError(f"action {name!r}: {explain_mistake(Step, when, wrong)}") from wrong


def _check_fields(name: str, entry: Mapping[str, object]) -> None:
    """A field is one of the action or one of the times; the nearest word is looked for among both."""
    if name not in ACTIONS:
        return
    known = {"action", *Step.__struct_fields__, *ACTIONS[name].__struct_fields__}
    for field in entry:
        if field not in known:
            raise BadAction(f"action {name!r} has no field {field!r}; the nearest is {nearest(field, known)!r}")
