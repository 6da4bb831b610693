"""One run: a client's program at a paper exchange of its own, a script, and the verdict. Runs of a wave begin together when all are ready,
so that the beginning of one client costs no other client any time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from typing import Final, TypeAlias

import msgspec

from userstream.entry.chaos.clients import Found, start_program
from userstream.entry.chaos.exchange import ChaosExchange
from userstream.entry.chaos.scoreboard import Score, find_differences, find_late, is_complete, judge_fills, name_lost
from userstream.entry.chaos.scripts import ChaosScript
from userstream.entry.chaos.sightings import FillKey, Sightings
from userstream.ports import Clock

START_MS: Final = 180_000
HELLO_MS: Final = 10_000
PAUSE_MS: Final = 300
LOOK_MS: Final = 100
STEP_MS: Final = 20
REST_MS: Final = 500
MOST_PATIENCE: Final = 3
"""So many times the patience a market that does not come to rest is waited for at most."""

STOP_S: Final = 3.0
SIDE_BY_SIDE: Final = 20
PREPARE_MS: Final = START_MS + REST_MS + PAUSE_MS + HELLO_MS + REST_MS
"""So long a client may take to listen and to tell its user of a first fill."""

Tell: TypeAlias = Callable[[str], None]
"""Hears, in a line for people, what goes on."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """Who lives through what."""

    found: Found
    script: ChaosScript
    seed: int

    @property
    def score(self) -> Score:
        """The empty score of this run."""
        return Score(client=self.found.client.name, script=self.script.name, venue=self.script.product.venue, seed=self.seed)

    @property
    def longest_ms(self) -> int:
        """How long the script and the looks behind it take at most, once the client is up."""
        patience_ms = self.script.patience_ms
        settling = REST_MS + MOST_PATIENCE * patience_ms
        last_sign = patience_ms if self.script.file.refused else PAUSE_MS + settling
        return self.script.length_for(self.seed) + settling + last_sign

    @property
    def words(self) -> str:
        """What is played, for people."""
        seed = f", seed {self.seed}" if self.seed else ""
        return f"{self.found.client.name} lives through {self.script.name} at {self.script.product.venue}{seed}"


def longest_ms(plans: Sequence[Plan]) -> int:
    """How long all of them take at most, wave after wave, the programs' beginnings and ends included."""
    return sum(PREPARE_MS + max(plan.longest_ms for plan in wave) + int(STOP_S * 1_000) for wave in waves_of(plans))


def make_plans(found: Sequence[Found], scripts: Sequence[ChaosScript], seeds: int) -> tuple[Plan, ...]:
    """Every installed client through every script of a product that its program speaks, with the seeds 0 to `seeds - 1`; scripts of like
    length stand together."""
    ordered = sorted(scripts, key=lambda script: (script.length_ms + script.patience_ms, script.name))
    installed = [each for each in found if each.version is not None]
    return tuple(
        Plan(found=each, script=script, seed=seed)
        for seed in range(seeds)
        for script in ordered
        for each in installed
        if script.product.venue in each.client.speaks
    )


def waves_of(plans: Sequence[Plan]) -> Iterator[Sequence[Plan]]:
    """Runs that are played side by side."""
    for first in range(0, len(plans), SIDE_BY_SIDE):
        yield plans[first : first + SIDE_BY_SIDE]


async def play_wave(plans: Sequence[Plan], clock: Clock, tell: Tell) -> list[Score]:
    """Plays runs side by side; they begin together when all are ready."""
    async with AsyncExitStack() as stack:
        names = ", ".join(dict.fromkeys(plan.found.client.name for plan in plans))
        tell(f"starting {len(plans)} program{'' if len(plans) == 1 else 's'} ({names}), at most {_seconds(PREPARE_MS)}")
        runs = [await stack.enter_async_context(Run(plan, clock)) for plan in plans]
        await asyncio.gather(*(run.prepare() for run in runs))
        return list(await asyncio.gather(*(_play_told(run, clock, tell) for run in runs)))


async def _play_told(run: Run, clock: Clock, tell: Tell) -> Score:
    begun = clock.now()
    tell(f"{run.plan.words}: at most {_seconds(run.plan.longest_ms)}" if run.is_up else f"{run.plan.words}: it did not begin")
    score = await run.play()
    if score.is_judged:
        tell(f"{run.plan.words}: played in {_seconds(clock.now() - begun)}")
    return score


def _seconds(span_ms: int) -> str:
    return f"{-(-span_ms // 1_000)} s"


class Patience:
    """Whether somebody was waited for long enough: for `patience_ms` since the books last moved, as far as the looks show."""

    def __init__(self, patience_ms: int) -> None:
        self._patience_ms = patience_ms
        self._moves, self._since = -1, 0

    def is_over(self, moves: int, now: int) -> bool:
        """One look (`now` in ms): `moves` says how often the books have moved so far."""
        if moves != self._moves:
            self._moves, self._since = moves, now
        return now - self._since >= self._patience_ms


class Run:
    """One client, one script, one seed. Owns the exchange and the process: use it as a context manager. `is_up`: whether the client listens
    and told of a first fill."""

    def __init__(self, plan: Plan, clock: Clock) -> None:
        self.plan, self._clock = plan, clock
        self._exchange = ChaosExchange(plan.script, plan.seed)
        self._sightings = Sightings()
        self._stack = AsyncExitStack()
        self._last_words = b""
        self._process: asyncio.subprocess.Process | None = None
        self._readers: tuple[asyncio.Task[None], ...] = ()
        self.is_up = False

    async def __aenter__(self) -> Run:
        try:
            await self._start()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def _start(self) -> None:
        exchange = await self._stack.enter_async_context(self._exchange)
        file = self.plan.script.file
        process = await start_program(self.plan.found, exchange.place, exchange.key, work_ms=file.work_ms, life_s=file.life_s)
        self._process = process
        self._stack.push_async_callback(self._stop)
        assert process.stdout is not None and process.stderr is not None
        self._readers = (
            self._clock.spawn(self._read(process.stdout, self._sightings.take), "chaos output"),
            self._clock.spawn(self._read(process.stderr, self._note), "chaos errors"),
        )

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def prepare(self) -> None:
        """Waits until the client listens and its user saw a first fill. Where that never comes, nothing is played and nothing judged."""
        if not await self._until(lambda: self._sightings.is_ready and self._exchange.has_listener, START_MS):
            return
        await self._clock.sleep(REST_MS)
        key = await self._probe("hello")
        self.is_up = await self._until(lambda: self._sightings.saw(key), HELLO_MS)
        await self._clock.sleep(REST_MS)

    async def play(self) -> Score:
        """Plays the script, waits as long as the client may need, looks at what the user was told, and asks for a last sign of life."""
        if not self.is_up:
            return msgspec.structs.replace(self.plan.score, is_judged=False, recovered=False, note=self._excuse())
        known = len(self._sightings.troubles)
        await self._play_script()
        await self._settle()
        before = find_differences(self._exchange.books, self._sightings)  # a client may keep back something until the next event
        recovered = await (self._was_told(known) if self.plan.script.file.refused else self._is_alive())
        return self._judge(before, recovered)

    def _judge(self, before: Mapping[str, str], recovered: bool) -> Score:
        books, told, script = self._exchange.books, self._sightings, self.plan.script
        differences = {**find_differences(books, told), **before}
        late = find_late(books, told, self._exchange.ended_ms, script.patience_ms)
        words = (*(f"{subject}: {how}" for subject, how in differences.items()), *name_lost(books, told, late))
        score = msgspec.structs.replace(
            self.plan.score,
            wrong=len(differences),
            recovered=recovered,
            troubles=len(told.troubles),
            note=self._end_of_program(),
            differences=words,
        )
        return judge_fills(books, told, score, late)

    async def _settle(self) -> None:
        """Waits for copies to come, and until the user was told all that is in the books, as long as the client may need for it. The market
        goes on, and may fill an order that rests while the client comes back: that needs as long again."""
        patience = Patience(self.plan.script.patience_ms)

        def is_settled() -> bool:
            told = is_complete(self._exchange.books, self._sightings)
            return told or patience.is_over(self._exchange.moves, self._clock.now())

        await self._clock.sleep(REST_MS)
        await self._until(is_settled, MOST_PATIENCE * self.plan.script.patience_ms)

    async def _is_alive(self) -> bool:
        key = await self._probe("sign-of-life")
        await self._settle()
        return self._sightings.saw(key)

    async def _was_told(self, known: int) -> bool:
        """Whether the user learnt, by an error or the end of its program, that the venue does not take its key any more."""

        def is_told() -> bool:
            return len(self._sightings.troubles) > known or bool(self._end_of_program())

        await self._until(is_told, self.plan.script.patience_ms)
        return is_told()

    async def _play_script(self) -> None:
        script, seed, begun = self.plan.script, self.plan.seed, self._clock.now()
        self._exchange.begin()
        after, end = -1, script.length_for(seed)
        while after < end:
            since = min(self._clock.now() - begun, end)
            for action in script.due(after, since, seed):
                self._exchange.act(action)
            after = since
            await self._clock.sleep(STEP_MS)
        self._exchange.end()

    async def _probe(self, name: str) -> FillKey:
        self._exchange.place_probe(name)
        await self._clock.sleep(PAUSE_MS)
        return self._exchange.fill_probe(name)

    async def _until(self, holds: Callable[[], bool], limit_ms: int) -> bool:
        """Waits until something holds, so long at most, or until the program is no more. Says whether it held."""
        end = self._clock.now() + limit_ms
        while not holds():
            if self._end_of_program():
                await self._hear_out()
                return holds()
            if self._clock.now() >= end:
                return False
            await self._clock.sleep(LOOK_MS)
        return True

    async def _hear_out(self) -> None:
        """What the program said before its end counts."""
        if self._readers:
            await asyncio.wait(self._readers, timeout=STOP_S)

    def _excuse(self) -> str:
        if self._end_of_program():
            return self._end_of_program()
        said = f", last error: {self._sightings.troubles[-1]}" if self._sightings.troubles else ""
        if not self._sightings.is_ready:
            return f"its program was still starting after {_seconds(START_MS)}: play it with fewer others{said}"
        listens = "it listens" if self._exchange.has_listener else "it does not listen"
        return f"not one fill came through before the first fault ({listens}{said})"

    def _end_of_program(self) -> str:
        """Why the program is no more; empty while it runs."""
        if self._process is None or self._process.returncode is None:
            return ""
        return f"the program ended: {self._last_words.decode(errors='replace').strip()[:200]}"

    async def _read(self, stream: asyncio.StreamReader, take: Callable[[bytes], None]) -> None:
        async for line in stream:
            take(line)

    def _note(self, line: bytes) -> None:
        self._last_words = line if line.strip() else self._last_words

    async def _stop(self) -> None:
        """The program is asked to end, then made to; nothing it says on its way is a sighting."""
        assert self._process is not None
        with suppress(ProcessLookupError):
            self._process.terminate()
        try:
            await asyncio.wait_for(self._process.wait(), STOP_S)
        except TimeoutError:
            with suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()
        for reader in self._readers:
            reader.cancel()
