"""The way between machines: latency, order within a socket, black holes, lost calls. Chance comes from a generator of its own."""

from __future__ import annotations

from functools import partial
from random import Random
from typing import Protocol

from tests.simulation.scheduler import Scheduler
from userstream.kernel.ids import Millis
from userstream.sim.lanes import Parcel


class Ear(Protocol):
    """The client's end of a socket."""

    def hear(self, connection: int, parcel: Parcel) -> None: ...

    def hear_end(self, connection: int, reason: str) -> None: ...


class Network:
    """What all links and calls share. The figures are changed by faults while they last."""

    def __init__(self, scheduler: Scheduler, chance: Random) -> None:
        self.scheduler, self.chance = scheduler, chance
        self.slow_ms = 0
        self.lost_calls = 0
        self.lost_answers = 0
        self.refused_dials = 0
        self.slow_dials_ms = 0

    def latency_ms(self) -> int:
        """One way, once: mostly short, with a long tail."""
        chance = self.chance.random()
        tail = self.chance.randrange(200) if chance > 0.97 else 0
        return 2 + int(chance * 8) + tail + (self.chance.randrange(self.slow_ms) if self.slow_ms else 0)

    def dial_ms(self) -> int | None:
        """How long until a socket is open; None if nobody listens."""
        if self.refused_dials > 0:
            self.refused_dials -= 1
            return None
        return 2 * self.latency_ms() + (self.chance.randrange(self.slow_dials_ms) if self.slow_dials_ms else 0)

    def loses_call(self) -> bool:
        self.lost_calls, lost = max(0, self.lost_calls - 1), self.lost_calls > 0
        return lost

    def loses_answer(self) -> bool:
        self.lost_answers, lost = max(0, self.lost_answers - 1), self.lost_answers > 0
        return lost


class Link:
    """A socket's way to its client. Nothing overtakes; `is_black_hole`: nothing passes any more, and nobody is told."""

    def __init__(self, network: Network, ear: Ear, connection: int) -> None:
        self._network, self._ear, self.connection = network, ear, connection
        self.is_black_hole = False
        self.is_broken = False
        self._last_arrival = Millis(0)

    @property
    def is_dead(self) -> bool:
        """Whether nothing arrives any more, told or not."""
        return self.is_black_hole or self.is_broken

    def send(self, parcel: Parcel) -> None:
        if self.is_black_hole:
            return
        scheduler = self._network.scheduler
        arrival = self._last_arrival = max(self._last_arrival, Millis(scheduler.now + self._network.latency_ms()))
        scheduler.at(arrival, partial(self._land, parcel))

    def _land(self, parcel: Parcel) -> None:
        if not (self.is_broken or self.is_black_hole):
            self._ear.hear(self.connection, parcel)

    def break_off(self, reason: str) -> None:
        """The connection ends: what is on its way is lost."""
        if self.is_broken:
            return
        self.is_broken = True
        if not self.is_black_hole:
            self._network.scheduler.after(self._network.latency_ms(), lambda: self._ear.hear_end(self.connection, reason))
