"""How much an address and an account may ask for. Pure: time is an argument, windows are aligned to the clock.

An address that goes on asking after it was told to slow down is banned, each time for longer (Binance USD-M, 3.2).
"""

from enum import StrEnum
from typing import Final

import msgspec

from userstream.sim.books import Millis

LOOPBACK = "127.0.0.1"
MINUTE_MS = 60_000
TEN_SECONDS_MS = 10_000
DAY_MS = 86_400_000


class Verdict(StrEnum):
    ALLOWED = "allowed"
    SLOW_DOWN = "slow_down"  # HTTP 429
    BANNED = "banned"  # HTTP 418


ALLOWED: Final = Verdict.ALLOWED


class LimitSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Budgets of one address and of one account; the defaults are those of the futures venues. An order budget of 0 is no limit."""

    weight_per_minute: int = 2400
    wallet_weight_per_minute: int = 12_000  # of the calls of wallets and margin, which have a budget of their own
    account_weight_per_minute: int = 180_000  # of calls that are weighed by account
    orders_per_10s: int = 300
    orders_per_minute: int = 1200
    orders_per_day: int = 0
    strikes_before_ban: int = 10  # refused requests inside one minute that still get 429
    first_ban_s: int = 120
    longest_ban_s: int = 3 * 86_400
    connects_per_5_minutes: int = 0  # 0: not limited, the figure of the futures venues is not confirmed

    def orders_in(self, mark: str) -> int:
        """The order budget of a window: 10s, 1m or 1d."""
        return {"10s": self.orders_per_10s, "1m": self.orders_per_minute, "1d": self.orders_per_day}[mark]


class Window:
    """A counter that starts anew at each full multiple of its length."""

    def __init__(self, length_ms: int) -> None:
        self.length_ms = length_ms
        self._index = -1
        self._count = 0

    def add(self, amount: int, now: Millis) -> int:
        """Add and return the sum inside the window that `now` lies in."""
        index = now // self.length_ms
        if index != self._index:
            self._index, self._count = index, 0
        self._count += amount
        return self._count

    def count(self, now: Millis) -> int:
        return self.add(0, now)

    def left_ms(self, now: Millis) -> int:
        return self.length_ms - now % self.length_ms


class Charge(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to "may this address spend so much weight now?"."""

    verdict: Verdict
    used: int
    retry_after_s: int = 0
    banned_until: Millis = Millis(0)


class AddressMeter:
    """Weight, strikes and bans of one address, or of one account where calls are weighed by account."""

    def __init__(self, settings: LimitSettings, budget: int | None = None) -> None:
        self._settings = settings
        self._budget = settings.weight_per_minute if budget is None else budget
        self._weight = Window(MINUTE_MS)
        self._strikes = Window(MINUTE_MS)
        self._connects = Window(5 * MINUTE_MS)
        self._banned_until = Millis(0)
        self._bans = 0
        self.highest = 0

    def charge(self, weight: int, now: Millis) -> Charge:
        """Spend weight; above the budget nothing may be done and each further request is a strike."""
        if now < self._banned_until:
            return self._banned(now)
        used = self._weight.add(weight, now)
        if used > self.highest:
            self.highest = used
        if used <= self._budget:
            return Charge(verdict=ALLOWED, used=used)
        if self._strikes.add(1, now) > self._settings.strikes_before_ban:
            self.ban(min(self._settings.first_ban_s << self._bans, self._settings.longest_ban_s), now)
            return self._banned(now)
        return Charge(verdict=Verdict.SLOW_DOWN, used=used, retry_after_s=-(-self._weight.left_ms(now) // 1000))

    def lower(self, budget: int) -> None:
        """No more than so much in a minute from now on."""
        self._budget = min(self._budget, budget)

    def ban(self, seconds: int, now: Millis) -> None:
        """Refuse everything from this address for so long; 0 lifts the ban."""
        self._banned_until = Millis(now + seconds * 1000)
        self._bans += 1 if seconds else 0

    def used(self, now: Millis) -> int:
        return self._weight.count(now)

    def may_connect(self, now: Millis) -> bool:
        """Count one connection attempt."""
        allowed = self._settings.connects_per_5_minutes
        return self._connects.add(1, now) <= allowed or allowed == 0

    def is_banned(self, now: Millis) -> bool:
        return now < self._banned_until

    def _banned(self, now: Millis) -> Charge:
        left_s = -(-(self._banned_until - now) // 1000)
        return Charge(verdict=Verdict.BANNED, used=self._weight.count(now), retry_after_s=left_s, banned_until=self._banned_until)


class OrderUse(msgspec.Struct, frozen=True, kw_only=True):
    """Orders counted in the running windows, after the last one was added."""

    ten_seconds: int
    minute: int
    day: int = 0
    exceeded: str = ""  # "10s", "1m" or "1d" when the last one was too many

    def counted(self, mark: str) -> int:
        """The count of a window: 10s, 1m or 1d."""
        return {"10s": self.ten_seconds, "1m": self.minute, "1d": self.day}[mark]


class OrderMeter:
    """Orders of one account."""

    def __init__(self, settings: LimitSettings) -> None:
        self._settings = settings
        self._ten_seconds = Window(TEN_SECONDS_MS)
        self._minute = Window(MINUTE_MS)
        self._day = Window(DAY_MS)

    def add(self, ten_seconds: int, minute: int, now: Millis) -> OrderUse:
        """Count; what is too many is not counted. The day counts what ten seconds count."""
        used = self.use(now)
        after = OrderUse(ten_seconds=used.ten_seconds + ten_seconds, minute=used.minute + minute, day=used.day + ten_seconds)
        exceeded = self._exceeded(after) if ten_seconds + minute > 0 else ""
        if exceeded:
            return msgspec.structs.replace(used, exceeded=exceeded)
        self._ten_seconds.add(ten_seconds, now)
        self._minute.add(minute, now)
        self._day.add(ten_seconds, now)
        return after

    def _exceeded(self, use: OrderUse) -> str:
        settings = self._settings
        if 0 < settings.orders_per_10s < use.ten_seconds:
            return "10s"
        if 0 < settings.orders_per_minute < use.minute:
            return "1m"
        return "1d" if 0 < settings.orders_per_day < use.day else ""

    def use(self, now: Millis) -> OrderUse:
        return OrderUse(ten_seconds=self._ten_seconds.count(now), minute=self._minute.count(now), day=self._day.count(now))


class Limits:
    """One weight budget for all venue products that share it, one order budget for each account."""

    def __init__(self, settings: LimitSettings) -> None:
        self.settings = settings
        self._addresses: dict[str, AddressMeter] = {}
        self._accounts: dict[str, OrderMeter] = {}
        self._wallet_weights: dict[str, AddressMeter] = {}
        self._account_weights: dict[str, AddressMeter] = {}
        self.slowed = 0
        self.banned = 0

    def address(self, address: str) -> AddressMeter:
        known = self._addresses.get(address)
        if known is None:
            known = self._addresses[address] = AddressMeter(self.settings)
        return known

    def wallet(self, address: str) -> AddressMeter:
        known = self._wallet_weights.get(address)
        if known is None:
            known = self._wallet_weights[address] = AddressMeter(self.settings, self.settings.wallet_weight_per_minute)
        return known

    def account_weight(self, account: str) -> AddressMeter:
        return self._account_weights.setdefault(account, AddressMeter(self.settings, self.settings.account_weight_per_minute))

    def account(self, account: str) -> OrderMeter:
        return self._accounts.setdefault(account, OrderMeter(self.settings))

    def charge(self, address: str, weight: int, now: Millis) -> Charge:
        """Spend weight of this address and keep count of refusals."""
        return self._counted(self.address(address).charge(weight, now))

    def charge_wallet(self, address: str, weight: int, now: Millis) -> Charge:
        """Spend weight of this address in the budget of wallets and margin."""
        return self._counted(self.wallet(address).charge(weight, now))

    def charge_account(self, account: str, weight: int, now: Millis) -> Charge:
        """Spend weight of this account and keep count of refusals."""
        return self._counted(self.account_weight(account).charge(weight, now))

    def _counted(self, charge: Charge) -> Charge:
        if charge.verdict is not ALLOWED:
            self.slowed += charge.verdict is Verdict.SLOW_DOWN
            self.banned += charge.verdict is Verdict.BANNED
        return charge

    def lower(self, weight_per_minute: int) -> None:
        """No address may spend more than so much in a minute from now on; the budget of wallets is left as it is."""
        lowered = min(self.settings.weight_per_minute, weight_per_minute)
        self.settings = msgspec.structs.replace(self.settings, weight_per_minute=lowered)
        for meter in self._addresses.values():
            meter.lower(weight_per_minute)

    def ban_all(self, seconds: int, now: Millis) -> None:
        """Ban the loopback address, the only one that can ask, and whatever else was seen."""
        for address in dict.fromkeys((LOOPBACK, *self._addresses)):
            self.address(address).ban(seconds, now)
            self.wallet(address).ban(seconds, now)

    @property
    def highest(self) -> int:
        """The largest weight that any address asked for within one minute."""
        return max((meter.highest for meter in self._addresses.values()), default=0)
