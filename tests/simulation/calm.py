"""After some storms a calm: one planned thing happens while the accounts trade, and nothing may be late for it.

What audits mend within seconds would hide a safeguard that is gone; here the bounds are tighter than any audit is quick.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from decimal import Decimal
from functools import partial
from typing import Final, TypeAlias

from tests.simulation.claims import check
from tests.simulation.client import Client
from tests.simulation.ground import Truth
from tests.simulation.world import World
from userstream.kernel.amount import ZERO
from userstream.kernel.ids import Millis
from userstream.sim import actions as act
from userstream.sim.books import Fill, Side
from userstream.sim.faults import ActiveSilence
from userstream.sim.lanes import Lane

EVERY: Final = 16
"""Every so many seeds have a calm."""

UNTOUCHED: Final = 4
"""Of the seeds without a storm, every so many."""

AT_ONCE_MS: Final = 1_000
IN_DOUBT_MS: Final = 3_500
OMISSION_MS: Final = 1_000
FIND_FORM_MS: Final = 45_000
OLD_AFTER_MS: Final = 15_000
OLD_FRAMES: Final = 60
OLD: Final = re.compile(rb'"e":"(?:ORDER_TRADE_UPDATE|TRADE_LITE|ACCOUNT_UPDATE)".*?"T":(\d+)')
NAMES_EVENTS: Final = "&events="
MOST_LOOKS: Final = 15

Calm: TypeAlias = Callable[[World], None]


def stay_calm(world: World, seed: int, *, untouched: bool) -> None:
    """A calm of the seed's own kind, if it has one. `untouched`: no storm came before."""
    has_one = seed % (UNTOUCHED if untouched else EVERY) == 0
    if not has_one:
        return
    _settle(world)
    if untouched and seed % UNTOUCHED == 0:
        _bear_a_deaf_form(world)
    elif seed % EVERY == 0:
        CALMS[seed // EVERY % len(CALMS)](world)
    _expect(world, None, may_blink=True)
    world.exchange.perform(act.Clear())


def _settle(world: World) -> None:
    """Waits until no socket is coming, going, dead or announced to be closed, no process stands still and the venue does not want silence:
    what the storm began may not end within the calm."""
    _expect(world, None, may_blink=True)
    _pass(world, AT_ONCE_MS)  # a swizzle goes on for so long
    for _ in range(MOST_LOOKS):
        is_settled = not world.gate.is_paused and not world.exchange.is_closing
        if is_settled and all(client.is_settled for client in world.clients.values()):
            return
        _pass(world, AT_ONCE_MS)


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
    """Orders and fills are kept back, positions are told: the sums of the legs do not fit, unless a leg is what it was once, or what is
    missing of it takes back what it gave."""
    _expect(world, None, may_blink=True)
    began = world.scheduler.now
    before = {account: world.exchange.positions(account) for account in world.clients}
    _omit(world, "ORDER_TRADE_UPDATE")
    _omit(world, "TRADE_LITE")
    _trade(world, range(1, OMISSION_MS, 60))
    _pass(world, OMISSION_MS)
    after = {account: world.exchange.positions(account) for account in world.clients}
    _pass(world, IN_DOUBT_MS)
    for account, client in world.clients.items():
        legs = before[account] | after[account]
        changed = {leg for leg in legs if _amount(before[account], leg) != _amount(after[account], leg) != ZERO}
        omitted = [true.fill for true in client.watch.missing if true.happened <= began + OMISSION_MS]
        late = {leg for leg in changed if _sum_of(omitted, leg)}
        check("calm", not late, f"fills of {late} unknown, though their legs do not add up: {omitted}")


def _sum_of(fills: Iterable[Fill], leg: tuple[str, str, str]) -> Decimal:
    own = (fill for fill in fills if (fill.symbol, str(fill.position_side), "") == leg)
    return sum((fill.quantity if fill.side is Side.BUY else -fill.quantity for fill in own), ZERO)


def _amount(legs: Truth, leg: tuple[str, str, str]) -> object:
    return legs.get(leg, (ZERO,))[0]


def _miss_orders(world: World) -> None:
    """Fills are told, what they did to their orders is not: the sums of the orders do not fit."""
    _expect(world, None, may_blink=True)
    _omit(world, "ORDER_TRADE_UPDATE")
    _trade(world, range(1, OMISSION_MS, 60))
    _pass(world, OMISSION_MS)
    books = world.exchange.hall.room.exchange
    filled = {(name, order.symbol, str(order.order_id)): order.filled_quantity for name in world.clients for order in books.orders(name)}
    _pass(world, IN_DOUBT_MS)
    for account, client in world.clients.items():
        for order in client.machine.account.open_orders():
            least, known = filled.get((account, order.symbol, str(order.order_id)), ZERO), order.filled_quantity
            check("calm", order.conditional or known >= least, f"{order.symbol} {order.order_id}: filled {least}, known {known}")


def _bear_a_deaf_form(world: World) -> None:
    """Sockets whose address names events connect and stay silent, for good: another way of subscribing must be found."""
    _expect(world, None, may_blink=True)
    world.exchange.on_dial = _be_deaf_to_names
    world.exchange.perform(act.Cut())
    _trade(world, range(200, FIND_FORM_MS + 3_000, 600))
    _pass(world, FIND_FORM_MS)
    _expect(world, AT_ONCE_MS)
    _pass(world, 4_000)
    world.exchange.on_dial = None


def _lose_a_key(world: World) -> None:
    """The venue says that the listen keys expired; another one is asked for."""
    _expect(world, None, may_blink=True)
    for account in world.clients:
        world.exchange.perform(act.ExpireKey(account=account))
    _pass(world, 3_000)
    check("calm", all(client.watch.is_delivered for client in world.clients.values()), "no socket since the key expired")


def _hear_old_frames(world: World) -> None:
    """The venue repeats what it said long ago, when memory has let go of it."""
    _pass(world, OLD_AFTER_MS)
    _expect(world, None, may_blink=True)
    for account, client in world.clients.items():
        wall, lag_ms = world.scheduler.wall + client.wall_error_ms, client.machine.account.lag_ms
        for number, (frame, heard) in enumerate(_frames_of(client)[:OLD_FRAMES]):
            delay_ms = 1 + number * 5
            if not 0 <= wall + delay_ms - heard <= lag_ms:
                world.scheduler.after(delay_ms, partial(_say, world, account, frame.decode()))
    _pass(world, 1_000)


def _frames_of(client: Client) -> list[tuple[bytes, Millis]]:
    """What told something, and when all of its millisecond was heard, by the client's wall clock. Until the lag has passed since then a leg
    may go back to a value that it had in that millisecond, and no venue tells that in other words than a copy of the first."""
    told = [(event[1], record) for record in client.disk.records if record.events and (event := OLD.search(record.frame))]
    heard = {time: record.received_time for time, record in told}
    return [(record.frame, heard[time]) for time, record in told]


def _say(world: World, account: str, text: str) -> None:
    world.exchange.perform(act.Raw(account=account, text=text))


def _lose_frames_of_two_sockets(world: World) -> None:
    """Two sockets deliver, each with holes of its own, while several things happen in each millisecond."""
    _expect(world, None, may_blink=True)
    world.exchange.perform(act.Drop(event="ACCOUNT_UPDATE", probability=Decimal("0.3"), for_s=Decimal(1)))
    world.exchange.perform(act.ShutdownNotice())
    _trade(world, [at for at in range(1, 700, 40) for _ in range(4)])
    _pass(world, 2_000)


def _rest(world: World) -> None:
    """So long that each socket is replaced before the venue ends it."""
    _expect(world, AT_ONCE_MS)
    _trade(world, range(1, 33_000, 1_100))
    _pass(world, 34_000)


def _be_deaf_to_names(lane: Lane, url: str) -> None:
    """From its first moment: one that told something once is no deaf form."""
    if NAMES_EVENTS in url:
        lane.silence(ActiveSilence(silence=act.Silence(deaf=True, lose=True), until=None))


CALMS: Final[tuple[Calm, ...]] = (
    _change_sockets,
    _miss_executions,
    _meet_a_deaf_successor,
    _miss_orders,
    _hear_old_frames,
    _lose_a_key,
    _lose_frames_of_two_sockets,
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
