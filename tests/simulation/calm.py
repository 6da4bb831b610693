"""After some storms a calm: one planned thing happens while the accounts trade, and nothing may be late for it.

What audits mend within seconds would hide a safeguard that is gone; here the bounds are tighter than any audit is quick.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import Decimal
from functools import partial
from typing import Final, TypeAlias

from tests.simulation.ground import Truth
from tests.simulation.watch import check
from tests.simulation.world import World
from userstream.kernel.amount import ZERO
from userstream.kernel.ids import Millis
from userstream.sim import actions as act
from userstream.sim.faults import ActiveSilence
from userstream.sim.lanes import Lane
from userstream.sim.venue import Frame

EVERY: Final = 16
"""Every so many seeds have a calm."""

UNTOUCHED: Final = 4
"""Of the seeds without a storm, every so many."""

AT_ONCE_MS: Final = 1_000
IN_DOUBT_MS: Final = 4_500
OMISSION_MS: Final = 1_000
FIND_FORM_MS: Final = 25_000
LOOK_MS: Final = 20

Calm: TypeAlias = Callable[[World], None]


def stay_calm(world: World, seed: int, *, untouched: bool) -> None:
    """A calm of the seed's own kind, if it has one. `untouched`: no storm came before."""
    if untouched and seed % UNTOUCHED == 0:
        _bear_a_deaf_form(world)
    elif seed % EVERY == 0:
        CALMS[seed // EVERY % len(CALMS)](world)
    _expect(world, None, may_blink=True)
    world.exchange.perform(act.Clear())


def _change_sockets(world: World) -> None:
    """The venue will close the sockets and says so. Trades fall into the very moment of the change."""
    _expect(world, AT_ONCE_MS)
    world.exchange.perform(act.ShutdownNotice(close_after_s=Decimal(2)))
    _trade(world, [*range(1, 110, 4), *range(150, 2_600, 300)])
    _pass(world, 3_500)


def _meet_a_deaf_successor(world: World) -> None:
    """Sockets that open now stay silent for a while; the old ones speak."""
    _expect(world, AT_ONCE_MS)
    now = world.exchange.now()
    for account in world.clients:
        silence = act.Silence(account=account, for_s=Decimal(2), deaf=True, lose=True, new_sockets=True)
        world.exchange.house.faults.silence(silence, now)
    world.exchange.perform(act.ShutdownNotice())
    _trade(world, range(1, 3_000, 75))
    _pass(world, 4_000)


def _miss_executions(world: World) -> None:
    """Orders and fills are kept back, positions are told: the sums of the legs do not fit, unless a leg is again what it was."""
    _expect(world, None, may_blink=True)
    began = world.scheduler.now
    before = {account: world.exchange.positions(account) for account in world.clients}
    _omit(world, "ORDER_TRADE_UPDATE")
    _omit(world, "TRADE_LITE")
    _trade(world, range(1, OMISSION_MS, 60))
    _pass(world, IN_DOUBT_MS)
    for account, client in world.clients.items():
        after = world.exchange.positions(account)
        changed = {leg for leg in before[account] | after if _amount(before[account], leg) != _amount(after, leg)}
        omitted = [true for true in client.watch.missing if true.happened <= began + OMISSION_MS]
        late = [true.name for true in omitted if (true.fill.symbol, str(true.fill.position_side), "") in changed]
        check("calm", not late, f"{late} unknown, though their legs do not add up")


def _amount(legs: Truth, leg: tuple[str, str, str]) -> object:
    return legs.get(leg, (ZERO,))[0]


def _miss_orders(world: World) -> None:
    """Fills are told, what they did to their orders is not: the sums of the orders do not fit."""
    _expect(world, IN_DOUBT_MS, may_blink=True)
    _omit(world, "ORDER_TRADE_UPDATE")
    _trade(world, range(1, OMISSION_MS, 60))
    _pass(world, IN_DOUBT_MS)
    for account, client in world.clients.items():
        truth = world.exchange.open_orders(account)
        for order in client.machine.account.open_orders():
            filled = truth.get((str(order.symbol), str(order.order_id), ""), (order.quantity, order.filled_quantity))[1]
            check(
                "calm", order.filled_quantity == filled, f"{order.symbol} {order.order_id}: filled {filled}, known {order.filled_quantity}"
            )


def _bear_a_deaf_form(world: World) -> None:
    """Sockets whose address names events connect and stay silent, for good: another way of subscribing must be found."""
    _expect(world, None, may_blink=True)
    end = world.now_plus(FIND_FORM_MS + 5_000)
    _keep_deaf(world, end)
    world.exchange.perform(act.Cut())
    _trade(world, range(200, FIND_FORM_MS + 3_000, 600))
    _pass(world, FIND_FORM_MS)
    _expect(world, AT_ONCE_MS)
    _pass(world, 4_000)


def _rest(world: World) -> None:
    """So long that each socket is replaced before the venue ends it."""
    _expect(world, AT_ONCE_MS)
    _trade(world, range(1, 33_000, 1_100))
    _pass(world, 34_000)


def _keep_deaf(world: World, end: Millis) -> None:
    for account in world.clients:
        silence = act.Silence(account=account, deaf=True, lose=True)
        for lane in world.exchange.hall.hub.lanes(account):
            if not _takes(lane, account):
                lane.silence(ActiveSilence(silence=silence, until=None))
    if world.scheduler.now < end:
        world.scheduler.after(LOOK_MS, partial(_keep_deaf, world, end))


def _takes(lane: Lane, account: str) -> bool:
    """Whether the socket is there for any event whatever, as those are that named none."""
    return bool(lane.session.wrap(Frame(account=account, event="of any name", body=b"{}")))


CALMS: Final[tuple[Calm, ...]] = (
    _change_sockets,
    _miss_executions,
    _meet_a_deaf_successor,
    _miss_orders,
    _change_sockets,
    _miss_executions,
    _rest,
)


def _expect(world: World, within_ms: int | None, *, may_blink: bool = False) -> None:
    for client in world.clients.values():
        client.watch.expect_calm(within_ms, may_blink=may_blink)


def _omit(world: World, event: str) -> None:
    world.exchange.perform(act.Omit(event=event, for_s=Decimal(OMISSION_MS) / 1000))


def _trade(world: World, delays_ms: Iterable[int]) -> None:
    for delay_ms in delays_ms:
        for account in world.clients:
            world.scheduler.after(delay_ms, partial(world.exchange.trade, account))


def _pass(world: World, time_ms: int) -> None:
    world.scheduler.run_until(world.now_plus(time_ms))
