"""Many Spot accounts on one socket of the paper exchange: what happens to the socket, what happens to one of them, and that each ends with
what the exchange knows of it, in memory and in the store (Binance Spot, 2.3 and 3.1)."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import pytest

from tests.support.desk import LONG_S, SHORT_PINGS, WIDE, Desk
from tests.support.equality import compare_in_the_end
from userstream import Filled, Fleet, GapOpened, OrderChanged, RecoverySettings, SettingsError, StreamSettings, StreamState
from userstream.sim.limits import LimitSettings
from userstream.sim.server import PaperExchangeServer
from userstream.sim.settings import AccountListing, AccountSpec, SimulatorSettings

VENUE: Final = "binance-spot"
MONEY: Final = {"USDT": Decimal(100_000), "BTC": Decimal(1), "BNB": Decimal(10)}
QUIET: Final = RecoverySettings(lag_s=0.15, overlap_s=1.0, audit_s=600.0, history_s=600.0)
"""Nothing is read but what a gap asks for, so that every call can be counted."""


class Member(Desk):
    """One of several accounts that share sockets."""

    def truth(self) -> Any:
        return self.server.control.truth(self.account.id)

    def buy(self, quantity: str = "0.010", side: str = "buy") -> None:
        self.act("place", account=self.account.id, symbol="BTCUSDT", side=side, quantity=quantity, order_type="market")

    @property
    def gaps(self) -> list[GapOpened]:
        return self.told(GapOpened)


class House:
    """All members, their exchange, and how they share."""

    def __init__(self, server: PaperExchangeServer, fleet: Fleet, store: Path) -> None:
        self.server, self.fleet, self.store = server, fleet, store
        self.members: dict[str, Member] = {}

    async def join(self, key: AccountListing, recovery: RecoverySettings, stream: StreamSettings, name: str = "") -> Member:
        place = self.server.listing.venues[VENUE]
        account = await self.fleet.add(
            name or key.account,
            VENUE,
            api_key=key.api_key,
            api_secret=key.api_secret,
            rest_url=place.rest_url,
            ws_api_url=place.ws_api_url,
            recovery=recovery,
            stream=stream,
        )
        member = self.members[name or key.account] = Member(self.server, self.fleet, account, VENUE)
        return member

    @property
    def anyone(self) -> Member:
        return next(iter(self.members.values()))

    @property
    def sockets(self) -> int:
        """Sockets that are open here."""
        [shared] = self.fleet.application.shared_sockets
        return len(shared.wires)

    @property
    def subscriptions(self) -> dict[str, int]:
        """Those that the exchange sees, for each account."""
        state: Any = self.server.control.state()
        return dict(state["venues"][VENUE]["sockets"])

    def calls(self) -> int:
        """REST calls that read accounts' books."""
        return sum(self.anyone.requests(path) for path in ("account", "myTrades", "allOrders", "openOrders", "order"))

    async def until(self, holds: Callable[[], bool], what: str) -> None:
        await self.anyone.until(holds, what)

    async def rest(self, duration_ms: int) -> None:
        await self.fleet.application.clock.sleep(duration_ms)

    async def until_all_same(self) -> None:
        """Each account, what its listeners were told, and the store equal the exchange's books."""
        self.anyone.act("pause_trading")
        for member in self.members.values():
            await member.until_same()
            own = {str(fill["trade_id"]) for fill in member.truth()["fills"]}
            foreign = {event.trade_id for event in member.events if isinstance(event, Filled)} - own
            assert not foreign, f"{member.account.id} heard of the fills {foreign} of others"
        for name, member in self.members.items():
            comparison = await compare_in_the_end(self.fleet.application, self.store, name, member.truth)
            assert comparison.is_equal, str(comparison)


@asynccontextmanager
async def open_house(
    folder: Path,
    count: int = 4,
    *,
    recovery: RecoverySettings = QUIET,
    stream: StreamSettings = SHORT_PINGS,
    limits: LimitSettings = WIDE,
    rate: int = 0,
    seed: int = 0,
) -> AsyncIterator[House]:
    """A house of so many; once all are proven their exchange trades for them, `rate` events a second."""
    specs = tuple(AccountSpec(account=f"member-{number}", venue=VENUE, balances=MONEY) for number in range(count))
    exchange = PaperExchangeServer(SimulatorSettings(venues=(VENUE,), accounts=specs, limits=limits, seed=seed))
    async with exchange as server, Fleet(store=folder / "house.db", weight_limit=1_000_000) as fleet:
        house = House(server, fleet, folder / "house.db")
        for key in server.listing.accounts:
            await house.join(key, recovery, stream)
        for member in house.members.values():
            await member.account.wait_proven(LONG_S)
        house.anyone.act("rate", events_per_s=str(rate))
        yield house


async def test_each_hears_its_own_trades_on_the_one_socket(tmp_path: Path) -> None:
    async with open_house(tmp_path, 20, rate=200, seed=4) as house:
        await house.rest(800)
        for number, member in enumerate(house.members.values()):
            member.buy(quantity=f"0.0{number + 10}")
        await house.until_all_same()
        assert (house.sockets, house.subscriptions) == (1, dict.fromkeys(house.members, 1))
        assert all(member.gaps == [] and member.account.health.fills_missed_by_stream == 0 for member in house.members.values())


async def test_a_cut_is_the_end_of_one_socket_and_all_return_on_one(tmp_path: Path) -> None:
    async with open_house(tmp_path, 8, rate=80, seed=5) as house:
        for turn in range(1, 3):
            await house.until(lambda: all(each.account.health.is_healthy for each in house.members.values()), "proof of all")
            house.anyone.act("cut")
            for member in house.members.values():
                member.buy()
            await house.until(lambda: all(each.account.health.reconnects >= turn for each in house.members.values()), "new lines")  # noqa: B023
        await house.until_all_same()
        assert house.sockets == 1
        assert all(len(member.gaps) == member.account.health.reconnects for member in house.members.values())


async def test_who_wants_a_socket_of_its_own_gets_one(tmp_path: Path) -> None:
    async with open_house(tmp_path, 3, rate=20, seed=9) as house:
        place, key = house.server.listing.venues[VENUE], house.server.listing.accounts[0]
        await house.fleet.remove(key.account)
        del house.members[key.account]
        own = await house.fleet.add(
            key.account,
            VENUE,
            api_key=key.api_key,
            api_secret=key.api_secret,
            rest_url=place.rest_url,
            ws_api_url=place.ws_api_url,
            recovery=QUIET,
            stream=SHORT_PINGS,
            shared_socket=False,
            microseconds=True,
        )
        member = house.members[key.account] = Member(house.server, house.fleet, own, VENUE)
        await own.wait_proven(LONG_S)
        assert (house.sockets, house.subscriptions) == (1, dict.fromkeys(house.members, 1))
        house.anyone.act("cut", account=key.account)
        await house.until(lambda: own.health.reconnects == 1, "another socket of its own")
        assert [each.gaps for each in house.members.values() if each is not member] == [[], []], "the others are on another socket"
        member.buy()
        await house.until(lambda: bool(member.told(Filled)), "the fill")
        fill = member.told(Filled)[-1]
        told = [event for event in member.told(OrderChanged) if event.order_id == fill.order_id and event.raw()]
        assert any(f'"T":{fill.transaction_time}'.encode() in (event.raw() or b"") for event in told), "asked in microseconds"
        assert abs(fill.received_time - fill.transaction_time) < 60_000, "told in milliseconds"
        await house.until_all_same()


async def test_rotation_of_all_is_never_dark(tmp_path: Path) -> None:
    quick = StreamSettings(own_ping_s=0.2, silence_s=0.6, rotate_s=6.0)
    async with open_house(tmp_path, 5, stream=quick, rate=60, seed=6) as house:
        asked = house.calls()
        await house.until(lambda: all(each.account.health.reconnects >= 2 for each in house.members.values()), "two rotations of each")
        assert all(member.gaps == [] for member in house.members.values())
        assert house.calls() == asked
        await house.until_all_same()


async def test_an_announced_shutdown_moves_all_without_a_hole(tmp_path: Path) -> None:
    async with open_house(tmp_path, 6, rate=60, seed=7) as house:
        asked = house.calls()
        house.anyone.act("shutdown_notice")
        moved = lambda: all(each.account.health.reconnects == 1 and each.account.health.connections == 1 for each in house.members.values())  # noqa: E731
        await house.until(moved, "the successors alone")
        await house.until(lambda: house.sockets == 1, "the former socket's end")
        await house.rest(200)
        assert all(member.gaps == [] for member in house.members.values())
        assert house.calls() == asked
        await house.until_all_same()


async def test_a_revoked_key_ends_one_account_alone(tmp_path: Path) -> None:
    async with open_house(tmp_path, 5, rate=60, seed=8) as house:
        [victim, *others] = house.members.values()
        house.anyone.act("revoke_api_key", account=victim.account.id)
        house.anyone.act("terminate_subscription", account=victim.account.id)
        await house.until(lambda: victim.account.health.state is StreamState.FAILED, "the end of one")
        assert "-2015" in victim.account.health.reason
        await house.rest(300)
        for member in others:
            member.buy()
        del house.members[victim.account.id]
        await house.until_all_same()
        assert house.sockets == 1
        assert all(member.gaps == [] and member.account.health.reconnects == 0 for member in others)


async def test_a_terminated_subscription_is_one_accounts_hole(tmp_path: Path) -> None:
    async with open_house(tmp_path, 5, rate=60, seed=9) as house:
        [victim, *others] = house.members.values()
        house.anyone.act("terminate_subscription", account=victim.account.id)
        victim.buy()
        await house.until(lambda: victim.account.health.reconnects == 1, "a new line")
        await house.until_all_same()
        assert house.sockets == 1
        assert victim.gaps[0].reason == "the venue ended the subscription"
        assert all(member.gaps == [] and member.account.health.reconnects == 0 for member in others)


async def test_a_removed_account_leaves_the_others_on_their_socket(tmp_path: Path) -> None:
    async with open_house(tmp_path, 4, rate=60, seed=10) as house:
        name = house.anyone.account.id
        await house.fleet.remove(name)
        del house.members[name]
        await house.until(lambda: house.subscriptions == dict.fromkeys(house.members, 1), "its subscription's end")
        await house.until_all_same()
        assert house.sockets == 1
        assert all(member.gaps == [] for member in house.members.values())


async def test_a_silent_socket_is_given_up_by_all(tmp_path: Path) -> None:
    async with open_house(tmp_path, 4) as house:
        house.anyone.act("silence")
        for member in house.members.values():
            member.buy()
        await house.until(lambda: all(each.account.health.reconnects >= 1 for each in house.members.values()), "new lines")
        await house.until_all_same()


async def test_a_second_name_for_one_account_is_refused_and_hurts_nobody(tmp_path: Path) -> None:
    async with open_house(tmp_path, 2) as house:
        with pytest.raises(SettingsError, match="accounts 'member-0' and 'twin' have the same api_key"):
            await house.join(house.server.listing.accounts[0], QUIET, SHORT_PINGS, name="twin")
        house.anyone.buy()
        await house.until(lambda: len(house.anyone.told(Filled)) > 0, "the fill")
        await house.until_all_same()
        assert (house.sockets, len(house.fleet)) == (1, 2)


async def test_redundant_lines_lie_on_two_sockets(tmp_path: Path) -> None:
    # A busy machine is silent for longer than half a second, and what came and went in the dark nothing tells of at Spot.
    twice = StreamSettings(own_ping_s=0.5, silence_s=5, first_delay_s=0.05, max_delay_s=0.4, redundancy=2)
    async with open_house(tmp_path, 5, rate=80, seed=11, stream=twice) as house:
        await house.until(lambda: house.sockets == 2, "the second socket")
        await house.rest(500)
        await house.until_all_same()
        lines = [len(wire.lines) for wire in house.fleet.application.shared_sockets[0].wires]
        assert lines == [5, 5]


@pytest.mark.parametrize("rule", ["double", "reorder"])
async def test_disorder_and_copies_on_a_shared_socket(tmp_path: Path, rule: str) -> None:
    async with open_house(tmp_path, 5, rate=120, seed=12) as house:
        house.anyone.act(rule, probability="0.3")
        await house.rest(800)
        house.anyone.act("pause_trading")
        house.anyone.act("clear")
        await house.until_all_same()
        told = Counter(str(event.account) for member in house.members.values() for event in member.told(OrderChanged))
        assert len(told) == 5
