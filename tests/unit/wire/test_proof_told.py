"""When readings tell what they explain: never so that a live account with a gap shows no reason for it. The driver holds the laws after
every step, and here this one too."""

from __future__ import annotations

import msgspec
import pytest

from tests.support.machine import BRISK, Driver, Fate, Reply
from tests.support.scripted import NOT_NOW
from tests.unit.wire.kit import NOTHING, SilentAbout, facts_of, mismatches, trade_unheard
from userstream.domain.events import Event, Filled, GapRepaired
from userstream.domain.words import StreamState
from userstream.kernel.ids import Millis
from userstream.wire.question import AskClock, AskFills, AskMovements, AskOrderFills, Question


class Attentive(Driver):
    """Whatever is told, a live account with a gap has an open mismatch."""

    def _note(self, facts: tuple[Event, ...]) -> None:
        super()._note(facts)
        is_bare = self.account.state is StreamState.LIVE and self.account.gap_since is not None and not self.account.mismatches
        assert not is_bare, f"live, with a gap and no reason for it: {facts}"


class HistoryFails(Fate):
    """From a moment on no question tells the trade; then an order's own question does, and REST fails for two minutes."""

    def __init__(self, begins: Millis) -> None:
        self._begins, self._fails_from = begins, Millis(0)

    def reply(self, question: Question, now: Millis) -> Reply:
        if now < self._begins:
            return Reply(instead=NOTHING) if isinstance(question, AskFills | AskOrderFills | AskMovements) else Reply()
        if isinstance(question, AskOrderFills):
            self._fails_from = self._fails_from or now
            return Reply()
        if self._fails_from and now < self._fails_from + 120_000 and not isinstance(question, AskClock):
            return Reply(instead=NOT_NOW)
        return Reply(instead=NOTHING) if isinstance(question, AskFills | AskMovements) and not self._fails_from else Reply()


def test_an_order_that_adds_up_again_stays_told_until_a_reading_has_proven_it() -> None:
    driver = Attentive(policy=BRISK)
    driver.start().run_until_live()
    driver.fate = HistoryFails(Millis(driver.now + 90_000))
    driver.run_for(5_000)
    order_id = trade_unheard(driver)
    driver.cut_all()
    driver.run_until_live()
    driver.run_for(400_000)
    assert mismatches(driver, "order") == [("order", f"BTCUSDT.{order_id}", False), ("order", f"BTCUSDT.{order_id}", True)]
    assert facts_of(driver, GapRepaired) and driver.account.gap_since is None


@pytest.mark.parametrize("wait_ms", [300, 1_000, 2_000, 8_000])
def test_a_fill_of_which_only_the_fast_copy_came_explains_no_trade(wait_ms: int) -> None:
    policy = msgspec.structs.replace(BRISK, books=msgspec.structs.replace(BRISK.books, overlap_ms=30_000))
    driver = Attentive(policy=policy)
    driver.start().run_until_live()
    driver.run_for(30_000)
    driver.cut_all()
    driver.run_for(wait_ms)
    driver.fate = SilentAbout(AskFills, AskOrderFills, until=Millis(driver.now + 200_000))
    order_id = driver.truth.place(driver.venue_now)
    driver.tell()
    driver.truth.fill(driver.venue_now, order_id, "0.1")
    driver.truth.outbox[:] = [tuple(_fast_copy(event) for event in frame) for frame in driver.truth.outbox]
    driver.tell()
    driver.run_for(199_000)
    told = [resolved for *_, resolved in mismatches(driver, "fills")]
    assert told.count(False) <= 1, "told again though it was never explained"


def _fast_copy(event: Event) -> Event:
    return msgspec.structs.replace(event, fee=None, fee_asset=None, realized_pnl=None) if isinstance(event, Filled) else event
