"""Numbers with labels, and the lines that Prometheus reads of them.

What is before a number never changes, so it is written once: a scrape of five hundred accounts must not hold up their messages. The client
library builds objects for every sample instead, which takes it a third of a second.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from itertools import accumulate
from typing import Final, Literal, NamedTuple

PREFIX: Final = "userstream_"
Kind = Literal["counter", "gauge", "histogram"]
Values = tuple[str, ...]
BUCKETS: Final = (
    *(0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05),
    *(0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0),
)
"""Upper ends of what histograms tell apart, in seconds: from what a message takes to what a person notices."""


class Line(NamedTuple):
    """One line of the table: `name` as the `Metrics` port takes it; Prometheus sees it with `userstream_` in front."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()


class _Number:
    __slots__ = ("before", "value")

    def __init__(self, before: str) -> None:
        self.before, self.value = before, 0.0


class Series:
    """All numbers of a line that is a counter or a gauge: one for each set of values of its labels."""

    def __init__(self, line: Line) -> None:
        self._line, self._numbers = line, dict[Values, _Number]()
        self._head = head_of(line)
        if not line.labels:
            self.add((), 0)

    def add(self, values: Values, amount: float) -> None:
        self._number(values).value += amount

    def set(self, values: Values, value: float) -> None:
        self._number(values).value = float(value)

    def forget(self, label: str, value: str) -> None:
        """Drops what has this value of a label."""
        if label in self._line.labels:
            place = self._line.labels.index(label)
            self._numbers = {values: number for values, number in self._numbers.items() if values[place] != value}

    def text(self) -> str:
        """All its numbers."""
        return self._head + "".join([f"{number.before}{shown(number.value)}\n" for number in self._numbers.values()])

    def _number(self, values: Values) -> _Number:
        number = self._numbers.get(values)
        if number is None:
            before = f"{PREFIX}{self._line.name}{written(self._line.labels, values)} "
            number = self._numbers[values] = _Number(before)
        return number


class Histograms:
    """All histograms of a line. They take values in batches."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._head = head_of(line)
        self._counts: dict[Values, list[int]] = {}
        self._sums: dict[Values, float] = {}

    def add(self, values: Values, observed: Mapping[float, int]) -> None:
        """Each value so many times."""
        counts = self._counts.setdefault(values, [0] * (len(BUCKETS) + 1))
        for value, times in observed.items():
            counts[bisect_left(BUCKETS, value)] += times
        self._sums[values] = self._sums.get(values, 0.0) + sum(value * times for value, times in observed.items())

    def text(self) -> str:
        """All of them."""
        return self._head + "".join(self._lines())

    def _lines(self) -> Iterator[str]:
        name = f"{PREFIX}{self._line.name}"
        for values, counts in self._counts.items():
            totals = list(accumulate(counts))
            for end, total in zip((*map(str, BUCKETS), "+Inf"), totals, strict=True):
                yield f"{name}_bucket{written((*self._line.labels, 'le'), (*values, end))} {float(total)}\n"
            labels = written(self._line.labels, values)
            yield f"{name}_count{labels} {float(totals[-1])}\n{name}_sum{labels} {shown(self._sums[values])}\n"


def head_of(line: Line) -> str:
    """What is said before the numbers of a line."""
    name = f"{PREFIX}{line.name}"
    return f"# HELP {name} {_escaped(line.help)}\n# TYPE {name} {line.kind}\n"


def written(labels: tuple[str, ...], values: Values) -> str:
    """Labels with their values, in the order of their names; nothing where there are none."""
    if not labels:
        return ""
    pairs = (f'{label}="{_quoted(value)}"' for label, value in sorted(zip(labels, values, strict=True)))
    return f"{{{','.join(pairs)}}}"


def shown(value: float) -> str:
    """A number as Prometheus reads it."""
    if math.isfinite(value):
        return repr(value)
    return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n")


def _quoted(text: str) -> str:
    return _escaped(text).replace('"', r"\"")
