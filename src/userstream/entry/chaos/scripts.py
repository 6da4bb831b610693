"""The fault scripts by name, each with a line that says what it tests. A script is data in `scripts/VENUE`; its steps are those
of `userstream simulate --script`, and one more: `tell_again`."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Final

import msgspec

from userstream.entry.chaos.products import USDM, Product, find_products
from userstream.kernel.errors import SettingsError, nearest
from userstream.sim.actions import EVERYBODY, Action
from userstream.sim.faults import Script, ScriptError, Step, read_step

FOLDER: Final = Path(__file__).parent / "scripts"
ACCOUNT: Final = "paper-1"
"""Whom the scripts trade for: the first account of `userstream simulate`."""

WHOLE: Final = 1_000
WIDEST_STRETCH: Final = 250
DAY_S: Final = 86_400


class TellAgain(Action, frozen=True, kw_only=True):
    """The venue tells the messages of a fill again, so many times. `back`: how many fills ago it was; `event`: only these messages."""

    times: int = 1
    back: int = 0
    event: str = EVERYBODY


class ScriptFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A script as it is written. Seconds; `rate`: events a second of random trading; `unlisted`: an asset whose contracts are listed
    only when the script begins; `work_ms`: what the user does after each thing seen; `life_s`: how long a socket lives; `refused`: the
    account's key is taken away for good, and the user must be told so. No `balances`: those of the product."""

    tests: str
    steps: list[dict[str, object]]
    rate: int = 0
    work_ms: int = 0
    life_s: int = DAY_S
    seconds: int = 0
    patience_s: int = 8
    unlisted: str = ""
    refused: bool = False
    balances: dict[str, Decimal] = {}


class ChaosScript:
    """A script ready to be played. `length_ms` is the time of its last step, `patience_ms` how long a client may need after it."""

    def __init__(self, name: str, file: ScriptFile, script: Script, product: Product) -> None:
        self.name, self.file, self._script, self.product = name, file, script, product
        self.balances: Mapping[str, Decimal] = file.balances or product.balances
        last_s = max((step.at_s for step, _ in script.steps if step.at_s is not None), default=Decimal(0))
        self.length_ms = max(int(last_s * 1000), file.seconds * 1000)
        self.patience_ms = file.patience_s * 1000

    def due(self, after_ms: int, now_ms: int, seed: int) -> Sequence[Action]:
        """What happens behind `after_ms` up to and with `now_ms` since the beginning. `-1` is before it. A seed above 0 stretches time,
        so that the same faults meet a client at other moments of its own timers."""
        scale = Decimal(WHOLE) / stretch_of(seed) / 1000
        return self._script.due(after_ms * scale, now_ms * scale)

    def length_for(self, seed: int) -> int:
        """How long the script takes with this seed (ms), its last step included."""
        return -(-self.length_ms * stretch_of(seed) // WHOLE)


def stretch_of(seed: int) -> int:
    """By how many thousandths a seed lengthens time: 1000 leaves it."""
    return WHOLE + (random.Random(seed).randrange(WIDEST_STRETCH) if seed else 0)


def script_names(venue: str = USDM.venue) -> tuple[str, ...]:
    return tuple(sorted(path.stem for path in (FOLDER / venue).glob("*.json")))


def find_scripts(names: Sequence[str] = (), products: Sequence[Product] = ()) -> tuple[ChaosScript, ...]:
    """The named scripts of those products, or all, product by product in the order of their names. Raises SettingsError that names the
    nearest known one for a name that none of them has."""
    chosen = products or find_products()
    known = {name for product in chosen for name in script_names(product.venue)}
    for name in names:
        if name not in known:
            raise SettingsError(f"--script {name!r} {_why_unknown(name, known)}")
    wanted = [(product, name) for product in chosen for name in script_names(product.venue) if not names or name in names]
    return tuple(read_script(name, (FOLDER / product.venue / f"{name}.json").read_bytes(), product) for product, name in wanted)


def _why_unknown(name: str, known: set[str]) -> str:
    elsewhere = [product.venue for product in find_products() if name in script_names(product.venue)]
    if elsewhere:
        return f"is played at {' and '.join(elsewhere)} alone"
    return f"is not known; {nearest(name, sorted(known))}"


def read_script(name: str, source: bytes, product: Product = USDM) -> ChaosScript:
    """A script from its text. Raises ScriptError that names the step."""
    try:
        file = msgspec.convert(json.loads(source, parse_float=Decimal), ScriptFile)
    except (ValueError, msgspec.ValidationError) as wrong:
        raise ScriptError(f"the script {name}: {wrong}") from wrong
    steps = []
    for number, entry in enumerate(file.steps, start=1):
        try:
            steps.append(_read_step(entry))
        except (ValueError, msgspec.ValidationError) as wrong:
            raise ScriptError(f"the script {name}, step {number}: {wrong}") from wrong
    return ChaosScript(name, file, Script(steps), product)


def _read_step(entry: Mapping[str, object]) -> tuple[Step, Action]:
    if entry.get("action") != "tell_again":
        return read_step(entry)
    when = {name: value for name, value in entry.items() if name in Step.__struct_fields__}
    fields = {name: value for name, value in entry.items() if name not in when and name != "action"}
    return msgspec.convert(when, Step), msgspec.convert(fields, TellAgain)
