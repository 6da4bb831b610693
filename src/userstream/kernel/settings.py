"""Settings: frozen, checked at the door, with the unit in the name and the default written once."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

import msgspec

from userstream.kernel.errors import SettingsError, nearest


class RecoverySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How the books are read and proven. Seconds.

    lag_s: a REST answer of the venue includes everything older than this. audit_s: how often balances and positions are compared.
    history_s: how often all history since the last proof is read; after a sixteenth of it where more than 400 fills and ended orders wait
    for it in memory and the venue's budget has room. backfill_s: how far before the first start fills are read.
    """

    lag_s: float = 5.0
    overlap_s: float = 10.0
    audit_s: float = 120.0
    history_s: float = 1800.0
    poll_s: float = 30.0
    backfill_s: float = 0.0

    def __post_init__(self) -> None:
        check_finite(self)
        check(0 <= self.lag_s <= 120, "lag_s", self.lag_s, "must be between 0 and 120")
        check(0 <= self.overlap_s <= 3600, "overlap_s", self.overlap_s, "must be between 0 and 3600")
        check(self.audit_s >= 1, "audit_s", self.audit_s, "must be at least 1")
        check(self.history_s >= self.audit_s, "history_s", self.history_s, "must not be below audit_s")
        check(self.poll_s >= 1, "poll_s", self.poll_s, "must be at least 1")
        check(0 <= self.backfill_s <= 90 * 86400, "backfill_s", self.backfill_s, "must be between 0 and 90 days")


SHORTEST_LIFE_S: Final = 3.0
SHORTEST_DRAIN_S: Final = 2.0
MOST_OF_A_LIFE: Final = 2 / 3
"""A replaced socket goes on beside its successor for the venue's lag, so that what the venue tells late still comes by it: at least so
long, and at most for this part of a socket's life, so that no more than two overlap."""


class StreamSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How the sockets are kept. Seconds.

    keep_alive_s: how often the listen key is extended. own_ping_s: silence after which we ping. silence_s: silence after which the
    socket is replaced. rotate_s: age, at least 3, at which it is replaced ahead of the venue's 24 h limit. redundancy: sockets that deliver
    at a time. dial_limit_s, call_limit_s: how long opening a socket and a REST call may take.
    """

    keep_alive_s: float = 1500.0
    own_ping_s: float = 20.0
    silence_s: float = 45.0
    rotate_s: float = 82_800.0
    redundancy: int = 1
    first_delay_s: float = 1.0
    max_delay_s: float = 60.0
    polling_after_failures: int = 5
    close_listen_key_on_stop: bool = False
    dial_limit_s: float = 10.0
    call_limit_s: float = 10.0

    def __post_init__(self) -> None:
        check_finite(self)
        check(self.dial_limit_s > 0, "dial_limit_s", self.dial_limit_s, "must be above 0")
        check(self.call_limit_s > 0, "call_limit_s", self.call_limit_s, "must be above 0")
        check(0 < self.keep_alive_s <= 3500, "keep_alive_s", self.keep_alive_s, "must be above 0 and below 3500 (keys live 3600 s)")
        check(0 < self.own_ping_s < self.silence_s, "own_ping_s", self.own_ping_s, "must be above 0 and below silence_s")
        check(self.rotate_s >= SHORTEST_LIFE_S, "rotate_s", self.rotate_s, _WHY_NOT_SOONER)
        check(self.rotate_s <= 86_000, "rotate_s", self.rotate_s, "must be at most 86000 (sockets live 86400 s)")
        check(self.redundancy in (1, 2), "redundancy", self.redundancy, "must be 1 or 2")
        check(0 < self.first_delay_s <= self.max_delay_s, "first_delay_s", self.first_delay_s, "must be above 0, at most max_delay_s")
        check(self.polling_after_failures >= 1, "polling_after_failures", self.polling_after_failures, "must be at least 1")


_WHY_NOT_SOONER: Final = (
    f"must be at least {SHORTEST_LIFE_S:g}: a replaced socket goes on for {SHORTEST_LIFE_S * MOST_OF_A_LIFE:g} s beside its successor, "
    "so that sockets replaced sooner pile up"
)


def check(holds: bool, field: str, value: object, rule: str) -> None:
    """Raises SettingsError naming the field, the value and the rule."""
    if not holds:
        raise SettingsError(f"{field} = {value!r} {rule}")


def check_finite(settings: msgspec.Struct) -> None:
    """Raises SettingsError for a duration that is no number or has no end."""
    for name in settings.__struct_fields__:
        value = getattr(settings, name)
        check(not isinstance(value, float) or math.isfinite(value), name, value, "must be a finite number")


CLASSIC_DEFAULTS: Final[Mapping[str, float]] = {
    "connection_timeout": 30,
    "request_timeout": 30,
    "ping_interval": 3300,
    "reconnect_delay": 5,
    "max_reconnect_delay": 300,
    "max_reconnect_attempts": 5,
    "health_check_interval": 60,
}
"""`DEFAULT_USER_STREAM_CONFIG` of the classic surface, in seconds; `ping_interval` is the listen key's keep-alive."""


class ClassicConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The classic surface's config, checked. Seconds. `events`: names of the venue's events to subscribe to (all, if empty)."""

    connection_timeout: float = 30
    request_timeout: float = 30
    ping_interval: float = 3300
    reconnect_delay: float = 5
    max_reconnect_delay: float = 300
    max_reconnect_attempts: int = 5
    health_check_interval: float = 60
    api_secret: str | None = None
    rest_url: str | None = None
    ws_url: str | None = None
    venue: str = "binance-usdm"
    events: tuple[str, ...] = ()
    max_queue: int = 10_000
    batch_size: int = 1
    batch_age: float = 1.0
    close_listen_key_on_stop: bool = False

    def __post_init__(self) -> None:
        check_finite(self)
        for name in ("connection_timeout", "request_timeout", "reconnect_delay", "health_check_interval", "batch_age"):
            check(getattr(self, name) > 0, name, getattr(self, name), "must be above 0 (seconds)")
        check(0 < self.ping_interval < 3600, "ping_interval", self.ping_interval, "must be above 0 and below 3600 (keys live 3600 s)")
        check(self.max_reconnect_delay >= self.reconnect_delay, "max_reconnect_delay", self.max_reconnect_delay, "is below reconnect_delay")
        check(self.max_reconnect_attempts >= 1, "max_reconnect_attempts", self.max_reconnect_attempts, "must be at least 1")
        check(self.max_queue >= 1, "max_queue", self.max_queue, "must be at least 1")
        check(self.batch_size >= 1, "batch_size", self.batch_size, "must be at least 1")

    def __repr__(self) -> str:
        return "ClassicConfig(***)" if self.api_secret else f"ClassicConfig({self.venue})"


def read_classic_config(config: Mapping[str, object]) -> ClassicConfig:
    """Checks a classic config dictionary. Raises SettingsError naming the key, the value and what would be right."""
    known = ClassicConfig.__struct_fields__
    for name in config:
        if name not in known:
            raise SettingsError(f"config key {name!r} is not known; {nearest(str(name), known)}")
    try:
        return msgspec.convert(dict(config), ClassicConfig)
    except msgspec.ValidationError as error:
        raise SettingsError(f"config: {_plain(error)}") from None


def _plain(error: msgspec.ValidationError) -> str:
    return str(error).replace("`", "").replace("$.", "")
