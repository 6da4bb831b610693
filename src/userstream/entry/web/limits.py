"""How often somebody may ask: a bucket for each, filled by time; and how much of somebody's may be under way at once. Pure: `now` is an
argument, in ms of a clock that never jumps."""

from __future__ import annotations

import ipaddress
from collections import Counter, OrderedDict
from functools import lru_cache

MOST_KEYS = 10_000
MINUTE_MS = 60_000
CALLER_BITS = 64
"""Of an IPv6 address: one caller has all addresses below, and may take another for each request."""
LONGEST_ADDRESS = 64
"""Above the 45 characters of an address and the name of its network card."""


def plain_address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """An IPv4 address as such also where a socket of both families shows it as one of IPv6 (`::ffff:192.0.2.1`); None for what is none."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def caller_of(key: str) -> str:
    """Whom limits count together: of an IPv4 address that address, of an IPv6 address its /64; anything else stands for itself."""
    return key if len(key) > LONGEST_ADDRESS else _caller_of(key)


@lru_cache(4_096)
def _caller_of(key: str) -> str:
    address = plain_address(key)
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.IPv6Network((int(address), CALLER_BITS), strict=False))
    return key if address is None else str(address)


class RateLimit:
    """`per_minute` requests a minute for each key, as many at once at most; addresses of one caller (`caller_of`) are one key. It remembers
    the newest 10,000 keys only."""

    def __init__(self, per_minute: int, *, most_keys: int = MOST_KEYS) -> None:
        self._limit, self._most_keys = per_minute, most_keys
        self._buckets: OrderedDict[str, tuple[int, int]] = OrderedDict()

    def take(self, key: str, now: int) -> int:
        """0 if the request may pass; otherwise how many ms it must wait, and nothing is taken."""
        key = caller_of(key)
        level = self._level(key, now)
        if level < MINUTE_MS:
            self._keep(key, level, now)
            return -(-(MINUTE_MS - level) // self._limit)
        self._keep(key, level - MINUTE_MS, now)
        return 0

    def _level(self, key: str, now: int) -> int:
        """A whole request is worth MINUTE_MS; each ms brings `limit`."""
        full = self._limit * MINUTE_MS
        level, since = self._buckets.get(key, (full, now))
        return min(full, level + max(0, now - since) * self._limit)

    def _keep(self, key: str, level: int, now: int) -> None:
        self._buckets[key] = (level, now)
        self._buckets.move_to_end(key)
        if len(self._buckets) > self._most_keys:
            self._buckets.popitem(last=False)


class Crowd:
    """`limit` places for each key; addresses of one caller (`caller_of`) are one key."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held: Counter[str] = Counter()

    def enter(self, key: str) -> bool:
        """Whether there was a place; who got one must leave."""
        key = caller_of(key)
        if self._held.get(key, 0) >= self._limit:
            return False
        self._held[key] += 1
        return True

    def leave(self, key: str) -> None:
        """Gives the place back."""
        key = caller_of(key)
        self._held[key] -= 1
        if not self._held[key]:
            del self._held[key]
