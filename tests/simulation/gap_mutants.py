"""Mutants of what is said about the past: gaps, restarts, and readings that explain nothing."""

from __future__ import annotations

from typing import Final

from tests.simulation.mutants import make_mutant

MACHINE: Final = "wire/machine.py"
FEED: Final = "wire/feed.py"
PROOF: Final = "wire/proof.py"
DOUBTS: Final = "wire/doubts.py"

OF_RESTARTS_AND_GAPS: Final = (
    make_mutant(
        "a restart is no gap",
        "between two runs events may be missing",
        (MACHINE, '            self._tell(self._gap(since, "restart"))\n', "            del since\n"),
    ),
    make_mutant(
        "a restart goes on numbering at once",
        "sequences that a crash took are not given to other events",
        (
            MACHINE,
            "            self.sequence = last_sequence + RESTART_LEAP + passed_ms * SEQUENCES_OF_A_MILLISECOND",
            "            self.sequence = last_sequence",
        ),
    ),
    make_mutant(
        "a run that committed nothing is followed at its own places",
        "sequences that readers saw of a run which left nothing on disk are not given to other events",
        (
            MACHINE,
            "            self.sequence = last_sequence + RESTART_LEAP + passed_ms * SEQUENCES_OF_A_MILLISECOND",
            "            self.sequence = last_sequence + RESTART_LEAP",
        ),
    ),
    make_mutant(
        "unreadable bytes are no gap",
        "a message that cannot be read may have held an event",
        (MACHINE, "        lost = event.name == UNREADABLE", "        lost = False"),
    ),
    make_mutant(
        "darkness is no gap",
        "while no socket delivers events may be missing",
        (MACHINE, "            self._tell(self._gap(self._last_sure(now), self.feed.reason))\n", "            pass\n"),
    ),
    make_mutant(
        "a gap begins when it is seen",
        "a gap begins where the last sure word was, not where darkness was noticed",
        (
            MACHINE,
            "        return max(self.account.proven_until, Millis(self.clock.at(told) - self._policy.books.lag_ms))",
            "        return self.clock.at(told)",
        ),
    ),
    make_mutant(
        "a gap does not reach back",
        "what only the books told of an open gap's time lies within the gap",
        (PROOF, "        return [self.gap(earlier, DEAF, wall)] if earlier < since else []", "        return []"),
    ),
    make_mutant(
        "what is heard vouches for the moment of hearing",
        "after a stall of the process a sign of life may be old",
        (FEED, "        return self.assurance.until(self.lines.values(), now)", "        return self.last_heard"),
    ),
    make_mutant(
        "a listen key that died in silence is not missed",
        "a gap reaches back to the last proof when the next socket has another listen key",
        (MACHINE, "        if lit and not self._was_lit and (alive :=", "        if False and (alive :="),
    ),
    make_mutant(
        "what was proven stays proven in the dark",
        "after darkness nothing is proven until history was read",
        (
            PROOF,
            "        self.lit_at, self.lit_now = venue_now, now\n        self.is_proven = self.is_read = False\n",
            "        self.lit_at, self.lit_now = venue_now, now\n",
        ),
    ),
    make_mutant(
        "a restart's gap begins where the run before was heard last",
        "of an earlier run only what a stream told vouches for its time",
        (MACHINE, "                unsure = min(unsure, told)  #", "                pass  #"),
    ),
    make_mutant(
        "a restart's gap begins with the restart",
        "what the run before may have missed lies within the gap",
        (
            MACHINE,
            "            since = max(self.account.proven_until, Millis(unsure - self._policy.books.lag_ms))",
            "            since = max(self.account.proven_until, Millis(self._wall))",
        ),
    ),
    make_mutant(
        "a run that never was live vouches for all it lived through",
        "a run that never was live may have missed anything since it began",
        (
            MACHINE,
            "            unsure = last_heard if self.books is None or self.account.was_live else first_heard",
            "            unsure = last_heard",
        ),
        tests=("tests/unit/wire/test_machine.py::test_what_an_unproven_run_missed_before_it_was_last_heard_is_read",),
    ),
)

OF_LASTING_DOUBTS: Final = (
    make_mutant(
        "no doubt is ever disputed",
        "what three questions do not settle is told as a mismatch",
        (DOUBTS, "DISPUTED_AFTER: Final = 3\n", "DISPUTED_AFTER: Final = 1_000_000\n"),
    ),
    make_mutant(
        "a leg that three readings did not explain holds up its account",
        "what three full readings do not explain is told, and holds up the account no longer",
        (PROOF, "if tries[doubt] >= DISPUTED_AFTER and (", "if tries[doubt] >= 1_000_000 and ("),
    ),
    make_mutant(
        "a trade that three readings did not explain is not told",
        "a trade of the cash history whose fill three full readings did not bring is told as a mismatch",
        (PROOF, "if self._tries >= DISPUTED_AFTER else []", "if False else []"),
        tests=("tests/unit/wire/test_books.py::test_trades_that_no_fill_explains_keep_history_open",),
    ),
)

GAP_MUTANTS: Final = (*OF_RESTARTS_AND_GAPS, *OF_LASTING_DOUBTS)
