"""The table [alerts] of the configuration file: whom to tell, and after how long. Nothing here needs the library that tells."""

from __future__ import annotations

from typing import Final

import msgspec

from userstream.domain.alerts import AlertRules
from userstream.kernel.errors import SettingsError
from userstream.kernel.secret import Secret
from userstream.kernel.settings import check

LONGEST_S: Final = 86_400.0
MOST_URLS: Final = 20
SECOND_MS: Final = 1_000


class AlertsSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Whom to tell of trouble, and after how long. The addresses are given in one of three ways; they are secrets."""

    urls: tuple[str, ...] | None = None
    urls_env: str | None = None
    urls_file: str | None = None
    dark_after_s: float = 30.0
    stale_after_s: float = 180.0
    trouble_after_s: float = 5.0
    settle_s: float = 30.0
    calm_s: float = 900.0
    gather_s: float = 60.0
    time_limit_s: float = 15.0

    def __post_init__(self) -> None:
        for field in ("dark_after_s", "stale_after_s", "trouble_after_s", "settle_s", "gather_s"):
            value = getattr(self, field)
            check(0 <= value <= LONGEST_S, field, value, "must be between 0 and 86400 (seconds)")
        check(1 <= self.calm_s <= LONGEST_S, "calm_s", self.calm_s, "must be between 1 and 86400 (seconds)")
        check(1 <= self.time_limit_s <= 120, "time_limit_s", self.time_limit_s, "must be between 1 and 120 (seconds)")

    def __repr__(self) -> str:
        return "AlertsSection(***)"


class AlertTarget(msgspec.Struct, frozen=True, kw_only=True):
    """Whom to tell and by which rules. time_limit_ms: for one attempt to deliver."""

    urls: tuple[Secret, ...]
    rules: AlertRules
    time_limit_ms: int


def target_of(section: AlertsSection, urls: tuple[str, ...]) -> AlertTarget:
    """Raises SettingsError where there is no address, or there are too many. `urls`: as they were found."""
    named = tuple(Secret(url.strip()) for url in urls if url.strip())
    if not named:
        raise SettingsError("has no urls; give urls_env, urls_file or urls")
    if len(named) > MOST_URLS:
        raise SettingsError(f"has {len(named)} urls: {MOST_URLS} at most")
    return AlertTarget(urls=named, rules=rules_of(section), time_limit_ms=_ms(section.time_limit_s))


def rules_of(section: AlertsSection) -> AlertRules:
    """After how long what is told."""
    return AlertRules(
        dark_after_ms=_ms(section.dark_after_s),
        stale_after_ms=_ms(section.stale_after_s),
        trouble_after_ms=_ms(section.trouble_after_s),
        settle_ms=_ms(section.settle_s),
        calm_ms=_ms(section.calm_s),
        gather_ms=_ms(section.gather_s),
    )


def split_urls(text: str) -> tuple[str, ...]:
    """The addresses of a file or of an environment variable: one a line, or with blanks between them; a line that begins with # is none."""
    return tuple(word for line in text.splitlines() if not line.lstrip().startswith("#") for word in line.split())


def _ms(seconds: float) -> int:
    return int(seconds * SECOND_MS)
