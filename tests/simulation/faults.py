"""The catalogue of faults: what can be done to a world, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import partial
from random import Random
from types import MappingProxyType
from typing import Final, TypeAlias

from tests.simulation.world import World
from userstream.kernel.ids import Millis
from userstream.sim import actions as act
from userstream.sim.books import NewAlgo, Position, PositionSide, Refused, Side
from userstream.sim.exchange import contracts_of
from userstream.sim.limits import LOOPBACK, MINUTE_MS
from userstream.wire.pacing import MINUTE_EDGE_MS

GARBAGE: Final = ('{"e":"ORDER_TRADE_UPDATE","E":1', "not json", "[]", '""', '{"e":7}', '{"e":"TRADE_LITE"}')
TROUBLE_MS: Final = 400
TRADES_AT: Final[Mapping[str, str]] = MappingProxyType(
    {
        "binance-usdm": "/fapi/v1/userTrades",
        "binance-coinm": "/dapi/v1/userTrades",
        "binance-spot": "/api/v3/myTrades",
        "binance-margin": "/sapi/v1/margin/myTrades",
    }
)
HTML: Final = "<html><body>502 Bad Gateway</body></html>"

Fault: TypeAlias = Callable[[World, str, Random], bool]
"""Does something to an account (or to all). True if it could be done."""


def _do(make: Callable[[str, Random], act.Action]) -> Fault:
    return lambda world, account, chance: world.exchange.perform(make(account, chance))


def _seconds(chance: Random, low: int, high: int) -> Decimal:
    return Decimal(chance.randrange(low, high)) / 1000


def _some(chance: Random, most: int) -> int:
    return chance.randrange(1, most + 1)


def _answer(status: int, body: str = "", **more: object) -> Fault:
    def prepare(account: str, chance: Random) -> act.Action:
        return act.Answer(status=status, body=body, count=_some(chance, 4), **more)  # type: ignore[arg-type]

    return _do(prepare)


def _wait_answer(status: int) -> Fault:
    def prepare(account: str, chance: Random) -> act.Action:
        return act.Answer(status=status, body='{"code":-1003,"msg":"Too many requests"}', headers={"Retry-After": str(_some(chance, 3))})

    return _do(prepare)


def _miss_trades(world: World, account: str, chance: Random) -> bool:
    """Whoever asks for past trades is told that there are none."""
    path = TRADES_AT[world.exchange.hall.venue.name]
    return world.exchange.perform(act.Answer(status=200, body="[]", count=_some(chance, 4), path=path))


def _leg(world: World, account: str, chance: Random) -> tuple[str, PositionSide] | None:
    legs = [leg for leg in world.exchange.hall.room.exchange.positions(account) if leg.amount]
    if not legs:
        return None
    leg = chance.choice(legs)
    return leg.symbol, leg.position_side


def _close_leg(kind: Callable[..., act.Action]) -> Fault:
    def strike(world: World, account: str, chance: Random) -> bool:
        found = _leg(world, account, chance)
        return found is not None and world.exchange.perform(kind(account=account, symbol=found[0], position_side=found[1]))

    return strike


def _every_symbol(make: Callable[[str, str, Random], act.Action]) -> Fault:
    def strike(world: World, account: str, chance: Random) -> bool:
        return world.exchange.perform(make(account, chance.choice(world.exchange.symbols), chance))

    return strike


def _swizzle(world: World, account: str, chance: Random) -> bool:
    """Sockets of all are cut one after another, in any order."""
    for name in chance.sample(sorted(world.clients), len(world.clients)):
        world.scheduler.after(chance.randrange(1_000), partial(_cut, world, name))
    return True


def _cut(world: World, account: str) -> None:
    world.exchange.perform(act.Cut(account=account))


def _burst(world: World, account: str, chance: Random) -> bool:
    """Many executions within a millisecond."""
    for _ in range(_some(chance, 6)):
        world.exchange.trade(account)
    return True


def _black_hole(world: World, account: str, chance: Random) -> bool:
    sockets = world.clients[account].sockets.values()
    for socket in sockets:
        socket.link.is_black_hole = True
    return bool(sockets)


def _network(change: Callable[[World, Random], None]) -> Fault:
    def strike(world: World, account: str, chance: Random) -> bool:
        change(world, chance)
        return True

    return strike


def _lose_calls(world: World, chance: Random) -> None:
    world.network.lost_calls += _some(chance, 3)


def _lose_answers(world: World, chance: Random) -> None:
    world.network.lost_answers += _some(chance, 3)


def _refuse_dials(world: World, chance: Random) -> None:
    world.network.refused_dials += _some(chance, 3)


def _slow_dials(world: World, chance: Random) -> None:
    world.network.slow_dials_ms = 2_000
    world.scheduler.after(chance.randrange(1_000, 4_000), lambda: setattr(world.network, "slow_dials_ms", 0))


def _hang_dials(world: World, chance: Random) -> None:
    """Whoever dials gets neither a socket nor a refusal."""
    world.network.slow_dials_ms = 1_000_000
    world.scheduler.after(chance.randrange(200, 2_000), lambda: setattr(world.network, "slow_dials_ms", 0))


def _slow_network(world: World, chance: Random) -> None:
    world.network.slow_ms = chance.randrange(50, 400)
    world.scheduler.after(chance.randrange(500, 4_000), lambda: setattr(world.network, "slow_ms", 0))


def _refuse_for_a_while(world: World, chance: Random) -> None:
    world.network.refused_dials = 100_000
    world.scheduler.after(chance.randrange(500, 4_000), lambda: setattr(world.network, "refused_dials", 0))


def _spend_weight(world: World, account: str, chance: Random) -> bool:
    """Other programs behind the address use most of the minute's weight, so that proofs must wait for the next one."""
    exchange = world.exchange
    now, limits = exchange.now(), exchange.hall.room.limits
    spent = limits.address(LOOPBACK).used(now)
    wanted = limits.settings.weight_per_minute * chance.randrange(80, 93) // 100
    if spent >= wanted:
        return False
    limits.charge(LOOPBACK, wanted - spent, now)
    _be_in_trouble(world, world.now_plus(MINUTE_MS - now % MINUTE_MS + MINUTE_EDGE_MS))
    return True


def _be_in_trouble(world: World, until: Millis) -> None:
    """Bounds of time hold from then on."""
    world.exchange.last_trouble = world.scheduler.now
    if world.scheduler.now < until:
        world.scheduler.after(TROUBLE_MS, partial(_be_in_trouble, world, until))


def _place_conditionals(world: World, account: str, chance: Random) -> bool:
    """Conditional orders near the price: some will be triggered, one may be canceled."""
    try:
        books = contracts_of(world.exchange.hall.room.exchange)
    except Refused:
        return False  # the venue has none
    placed = sum(_place_conditional(world, account, chance) for _ in range(_some(chance, 3)))
    waiting = books.algo_orders(account, open_only=True)
    if waiting and chance.random() < 0.3:
        books.cancel_algo(account, algo_id=chance.choice(waiting).algo_id, now=world.exchange.now())
    world.exchange.house.publish(world.exchange.hall, world.exchange.now())
    return bool(placed)


def _place_conditional(world: World, account: str, chance: Random) -> bool:
    books, symbol = contracts_of(world.exchange.hall.room.exchange), chance.choice(world.exchange.symbols)
    instrument, side = books.instruments[symbol], chance.choice((Side.BUY, Side.SELL))
    price = books.mark_price(symbol) * (10_000 + chance.randrange(1, 30) * (1 if side is Side.BUY else -1)) / 10_000
    wish = NewAlgo(
        symbol=symbol,
        side=side,
        position_side=PositionSide.BOTH if not books.settings(account).hedge_mode else PositionSide.LONG,
        order_type="stop_market",
        quantity=max(instrument.min_quantity, (instrument.min_notional * 2 / price // instrument.step_size + 1) * instrument.step_size),
        trigger_price=price // instrument.tick_size * instrument.tick_size,
    )
    try:
        books.place_algo(account, wish, world.exchange.now())
    except Refused:
        return False
    return True


def _change_mode(world: World, account: str, chance: Random) -> bool:
    """One position a symbol, or two legs: as people do it, who must close everything before."""
    try:
        books = contracts_of(world.exchange.hall.room.exchange)
    except Refused:
        return False  # the venue has no positions
    for symbol in world.exchange.symbols:
        books.cancel_all_algo(account, symbol, world.exchange.now())
        world.exchange.perform(act.Cancel(account=account, symbol=symbol))
    for leg in books.positions(account):
        if leg.amount:
            world.exchange.perform(_closing(account, leg))
    return world.exchange.perform(act.HedgeMode(account=account, on=not books.settings(account).hedge_mode))


def _closing(account: str, leg: Position) -> act.Place:
    return act.Place(
        account=account,
        symbol=leg.symbol,
        side=Side.SELL if leg.amount > 0 else Side.BUY,
        quantity=abs(leg.amount),
        order_type="market",
        position_side=leg.position_side,
        reduce_only=leg.position_side is PositionSide.BOTH,
    )


def _lag(world: World, account: str, chance: Random) -> bool:
    world.exchange.perform(act.RestLag(ms=chance.randrange(1, 800)))
    return True


def _skew(world: World, account: str, chance: Random) -> bool:
    world.exchange.perform(act.Skew(ms=chance.randrange(-400, 400)))
    return True


def _kill(world: World, account: str, chance: Random) -> bool:
    client = world.clients[account]
    if not client.is_running:
        return False
    client.kill()
    world.scheduler.after(chance.randrange(50, 4_000), client.start)
    return True


def _stop(world: World, account: str, chance: Random) -> bool:
    client = world.clients[account]
    if not client.is_running:
        return False
    client.stop()
    world.scheduler.after(chance.randrange(50, 4_000), client.start)
    return True


def _kill_twice(world: World, account: str, chance: Random) -> bool:
    client = world.clients[account]
    if not client.is_running:
        return False
    client.kill()
    client.start()
    client.kill()
    world.scheduler.after(chance.randrange(50, 500), client.start)
    return True


def _slow_disk(world: World, account: str, chance: Random) -> bool:
    client = world.clients[account]
    client.sync_ms = chance.randrange(200, 2_000)
    world.scheduler.after(3_000, lambda: setattr(client, "sync_ms", 15))
    return True


def _stall(world: World, account: str, chance: Random) -> bool:
    """The event loop does nothing: user code, a slow machine, a laptop's lid."""
    client = world.clients[account]
    client.stalled_until = max(client.stalled_until, world.now_plus(chance.randrange(300, 5_000)))
    return client.is_running


def _cut_within_a_stall(world: World, account: str, chance: Random) -> bool:
    """The sockets end while nobody reads them, and take with them what came last; what came before is heard seconds afterwards."""
    client = world.clients[account]
    client.stalled_until = max(client.stalled_until, world.now_plus(chance.randrange(2_000, 5_000)))
    for delay_ms in (1, 150, 200):
        world.scheduler.after(delay_ms, partial(world.exchange.trade, account))
    world.scheduler.after(200, partial(_cut, world, account))
    return client.is_running


def _stall_while_starting(world: World, account: str, chance: Random) -> bool:
    """The first answers wait for long, that about the clock among them."""
    client = world.clients[account]
    if not client.is_running:
        return False
    client.kill()
    client.start()
    client.stalled_until = world.now_plus(chance.randrange(2_300, 5_000))
    return True


def _jump_wall(world: World, account: str, chance: Random) -> bool:
    world.clients[account].wall_error_ms += chance.choice((-3_600_000, -45_000, 30_000, 7_200_000))
    return True


def _jump_price(world: World, account: str, chance: Random) -> bool:
    symbol = chance.choice(world.exchange.symbols)
    books = world.exchange.hall.room.exchange
    tick = books.instruments[symbol].tick_size
    price = (books.mark_price(symbol) * (1000 + chance.randrange(-20, 20)) / 1000) // tick * tick
    return world.exchange.perform(act.MovePrice(symbol=symbol, price=price))


FAULTS: Final[Mapping[str, Fault]] = MappingProxyType(
    {
        # sockets
        "cut": _do(lambda account, chance: act.Cut(account=account)),
        "cut everybody": _do(lambda account, chance: act.Cut()),
        "close": _do(lambda account, chance: act.Close(account=account, code=chance.choice((1000, 1001, 1008)))),
        "swizzle": _swizzle,
        "black hole": _black_hole,
        "silence, frames held": _do(lambda account, chance: act.Silence(account=account, for_s=_seconds(chance, 500, 6_000))),
        "silence, frames lost": _do(lambda account, chance: act.Silence(account=account, for_s=_seconds(chance, 500, 6_000), lose=True)),
        "deaf": _do(lambda account, chance: act.Silence(account=account, for_s=_seconds(chance, 500, 6_000), deaf=True, lose=True)),
        "new sockets silent": _do(
            lambda account, chance: act.Silence(account=account, for_s=_seconds(chance, 500, 5_000), lose=True, new_sockets=True)
        ),
        "new sockets deaf": _do(
            lambda account, chance: act.Silence(account=account, for_s=_seconds(chance, 500, 5_000), deaf=True, lose=True, new_sockets=True)
        ),
        "delay": _do(lambda account, chance: act.Delay(account=account, ms=chance.randrange(50, 900), jitter_ms=chance.randrange(300))),
        "frames dropped": _do(lambda account, chance: act.Drop(account=account, count=_some(chance, 6))),
        "frames dropped by chance": _do(
            lambda account, chance: act.Drop(account=account, probability=Decimal("0.3"), for_s=_seconds(chance, 500, 5_000))
        ),
        "event omitted": _do(lambda account, chance: act.Omit(account=account, count=_some(chance, 3))),
        "events omitted by chance": _do(
            lambda account, chance: act.Omit(account=account, probability=Decimal("0.2"), for_s=_seconds(chance, 500, 5_000))
        ),
        "frames doubled": _do(lambda account, chance: act.Double(account=account, count=_some(chance, 9))),
        "frames doubled by chance": _do(
            lambda account, chance: act.Double(account=account, probability=Decimal("0.5"), for_s=_seconds(chance, 500, 5_000))
        ),
        "frames reordered": _do(lambda account, chance: act.Reorder(account=account, count=_some(chance, 6))),
        "frames reordered by chance": _do(
            lambda account, chance: act.Reorder(account=account, probability=Decimal("0.3"), for_s=_seconds(chance, 500, 5_000))
        ),
        "garbage": _do(lambda account, chance: act.Raw(account=account, text=chance.choice(GARBAGE))),
        "unknown event": _do(lambda account, chance: act.Raw(account=account, text='{"e":"BRAND_NEW","E":1,"x":{"y":[1]}}')),
        "binary frame": _do(lambda account, chance: act.Raw(account=account, hex="00ff10")),
        "shutdown notice": _do(lambda account, chance: act.ShutdownNotice(account=account, close_after_s=_seconds(chance, 500, 4_000))),
        "dials refused": _network(_refuse_dials),
        "dials slow": _network(_slow_dials),
        "dials hang": _network(_hang_dials),
        "network slow": _network(_slow_network),
        "nobody listens": _network(_refuse_for_a_while),
        # keys
        "listen key expired": _do(lambda account, chance: act.ExpireKey(account=account)),
        "listen key deleted": _do(lambda account, chance: act.DeleteKey(account=account)),
        "listen key replaced": _do(lambda account, chance: act.ReplaceKey(account=account)),
        # REST
        "calls lost": _network(_lose_calls),
        "answers lost": _network(_lose_answers),
        "503": _answer(503, '{"code":-1008,"msg":"overloaded"}'),
        "done but 503": _answer(503, "Unknown error, please check your request or try again later.", apply=True),
        "page of a proxy": _answer(502, HTML),
        "200 with a page": _answer(200, HTML),
        "403 of a firewall": _wait_answer(403),
        "trades missing from history": _miss_trades,
        "half an answer": _answer(200, '[{"symbol":"BTCUSDT","orderId":'),
        "connection cut in a call": _answer(503, abort=True),
        "result unknown": _answer(400, '{"code":-1007,"msg":"Timeout waiting for response"}'),
        "time stamp refused": _answer(400, '{"code":-1021,"msg":"Timestamp for this request is outside of the recvWindow."}'),
        "429": _wait_answer(429),
        "418": _wait_answer(418),
        "REST behind": _lag,
        "weight spent by others": _spend_weight,
        # clocks and processes
        "venue clock off": _skew,
        "wall clock jumps": _jump_wall,
        "stall": _stall,
        "stall while starting": _stall_while_starting,
        "cut within a stall": _cut_within_a_stall,
        "kill": _kill,
        "kill twice": _kill_twice,
        "stop": _stop,
        "disk slow": _slow_disk,
        # what an account lives through
        "burst": _burst,
        "conditional orders": _place_conditionals,
        "liquidation": _close_leg(act.Liquidate),
        "deleveraging": _close_leg(act.Adl),
        "funding": _every_symbol(lambda account, symbol, chance: act.Fund(symbol=symbol, rate=Decimal("0.0001"))),
        "transfer": _do(lambda account, chance: act.Transfer(account=account, asset="USDT", amount=Decimal(chance.randrange(1, 500)))),
        "price jump": _jump_price,
        "all canceled": _every_symbol(lambda account, symbol, chance: act.Cancel(account=account, symbol=symbol)),
        "leverage changed": _every_symbol(
            lambda account, symbol, chance: act.Leverage(account=account, symbol=symbol, leverage=chance.randrange(2, 20))
        ),
        "hedge mode": _change_mode,
        "fee asset": _do(lambda account, chance: act.FeeAsset(account=account, asset=chance.choice(("BNB", "USDT")))),
    }
)
