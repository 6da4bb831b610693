"""What holds of a machine at every moment, whatever the world does. `Laws` watches one run and raises at the first breach."""

from __future__ import annotations

from tests.support.truth import FillIdentity, Truth, identity
from userstream.domain.account import Account, OrderKey
from userstream.domain.events import Event, Filled, GapOpened, GapRepaired, Mismatch, OrderChanged, SnapshotTaken, StreamChanged
from userstream.domain.words import FINAL, OrderStatus, StreamState
from userstream.kernel.amount import ZERO
from userstream.kernel.ids import Millis
from userstream.wire.feed import Ask, Dial, Wish
from userstream.wire.machine import Machine
from userstream.wire.recovery import Policy


class Laws:
    """`began`: venue time of the machine's start; what is older is outside its care. `told`: the fills that were published."""

    def __init__(self, truth: Truth, account: Account, policy: Policy, *, began: Millis) -> None:
        self.truth, self.account, self.policy = truth, account, policy
        self.clock_error_ms = policy.overlap_ms // 2  # half the way of the slowest answer that is taken
        self.began = Millis(began - policy.backfill_ms)
        self.told: dict[FillIdentity, Filled] = {}
        self.gap_since: Millis | None = None
        self.mismatches: set[tuple[str, str]] = set()
        self.out_of_reach: list[tuple[Millis, Millis]] = []
        self.ended = False
        self._sequence = 0
        self._proven = Millis(0)
        self._orders: dict[OrderKey, OrderChanged] = {}
        self._true: set[FillIdentity] = set()

    def hold(self, facts: tuple[Event, ...], machine: Machine, venue_now: Millis) -> None:
        for fact in facts:
            self._in_order(fact)
            match fact:
                case Filled():
                    self._once_and_true(fact)
                case OrderChanged():
                    self._only_forward(fact)
                case GapOpened(since=since):
                    assert self.gap_since is None or since < self.gap_since, "a gap within a gap"
                    self.gap_since = since
                case GapRepaired():
                    self._repaired(fact)
                case Mismatch():
                    self._told_once(fact)
                case SnapshotTaken():
                    self._proof(fact, venue_now)
                case StreamChanged(state=state):
                    self._state(state, machine)

    def restarted(self, account: Account) -> None:
        """Another process takes over, with all that was open."""
        self.account, self.ended = account, False
        assert set(account.mismatches) == self.mismatches, "what was open does not survive a restart"

    def hold_wish(self, wish: Wish) -> None:
        assert not (self.ended and isinstance(wish, Ask | Dial)), f"{wish} after the end"

    def _in_order(self, fact: Event) -> None:
        assert fact.sequence > self._sequence, "the journal's places grow"
        self._sequence = fact.sequence

    def _once_and_true(self, fill: Filled) -> None:
        key = identity(fill)
        assert key not in self.told, f"told twice: {fill}"
        self._true.update(identity(true) for true in self.truth.fills[len(self._true) :])
        assert key in self._true, f"never happened: {fill}"
        self.told[key] = fill

    def _only_forward(self, order: OrderChanged) -> None:
        key = (order.symbol, order.order_id, order.conditional)
        known = self._orders.get(key)
        if known is not None:
            assert order.filled_quantity >= known.filled_quantity, f"filled less than before: {order}"
            assert known.status not in FINAL or order.status is known.status, f"a final state was left: {order}"
        self._orders[key] = order

    def _repaired(self, repaired: GapRepaired) -> None:
        assert repaired.since == self.gap_since, "only what was opened is repaired"
        self.gap_since = None
        self.nothing_lost(repaired.since, repaired.until)

    def nothing_lost(self, since: Millis, until: Millis) -> None:
        """Every fill between these venue times (the end excluded) was told."""
        true = self.truth.fills_between(max(since, self.began), Millis(until - 1))
        lost = [fill for fill in true if identity(fill) not in self.told and not self._is_out_of_reach(fill)]
        assert not lost, f"lost between {since} and {until}: {lost}"

    def _is_out_of_reach(self, fill: Filled) -> bool:
        """Whether the venue kept it no more when it could have been read, as was told."""
        return any(since <= fill.transaction_time < until for since, until in self.out_of_reach)

    def _told_once(self, mismatch: Mismatch) -> None:
        key = (mismatch.subject, mismatch.key)
        if mismatch.resolved:
            assert key in self.mismatches, f"resolved without being told: {mismatch}"
            self.mismatches.remove(key)
        else:
            assert key not in self.mismatches, f"told twice: {mismatch}"
            self.mismatches.add(key)

    def _proof(self, snapshot: SnapshotTaken, venue_now: Millis) -> None:
        assert snapshot.proven_until <= venue_now - self.policy.lag_ms + self.clock_error_ms, "proven beyond what was read"
        assert self.account.proven_until >= self._proven, "the proof goes back"
        self._proven = self.account.proven_until
        if snapshot.lost_since:
            self.out_of_reach.append((snapshot.lost_since, snapshot.read_since))
        self.nothing_lost(self.began, Millis(snapshot.proven_until - self.clock_error_ms))

    def _state(self, state: StreamState, machine: Machine) -> None:
        if state is StreamState.LIVE:
            assert machine.feed.is_lit, "live in the dark"
            assert machine.books is None or machine.books.is_proven or self.mismatches, "live without proof, and nobody was told why"
            assert machine.books is None or not machine.books.is_deaf, "live, and known to be deaf"
        if state in (StreamState.FAILED, StreamState.STOPPED):
            self.ended = True

    def hold_at_rest(self, venue_now: Millis) -> None:
        """After quiet: live, and all that is told is all that is true."""
        account, truth = self.account, self.truth
        assert account.state is StreamState.LIVE
        assert self.gap_since is None
        assert account.gap_since is None
        assert not account.doubts
        assert not self.mismatches
        self.nothing_lost(self.began, Millis(venue_now + 1))
        assert {key: leg.amount for key, leg in account.positions.items() if leg.amount} == {
            (leg.symbol, leg.position_side): leg.amount for leg in truth.legs_at(venue_now)
        }
        assert {asset: wallet.total for asset, wallet in account.balances.items()} == {
            wallet.asset: wallet.total for wallet in truth.wallets_at(venue_now)
        }
        for order in account.orders.values():
            assert order.conditional or account.fill_sums.get((order.symbol, order.order_id), ZERO) == order.filled_quantity
        open_orders = {
            (order.order_id, order.filled_quantity) for order in account.open_orders() if order.status is not OrderStatus.TRIGGERED
        }
        assert open_orders == {(order.order_id, order.filled_quantity) for order in truth.open_orders_at(venue_now)}
