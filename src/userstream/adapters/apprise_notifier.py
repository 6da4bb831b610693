"""Receivers of alerts that apprise knows: Telegram, Slack, Discord, e-mail, webhooks and many more. Their addresses are secrets.

apprise and what it stands on are imported when the first address is opened, so that nobody else pays for them.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

from userstream.adapters.logs import register_secret
from userstream.domain.alert_words import Notification
from userstream.domain.alerts import Severity
from userstream.kernel.errors import SettingsError
from userstream.kernel.secret import Secret

if TYPE_CHECKING:
    from apprise import Apprise, AppriseAsset

INSTALL: Final = "alerts need the package apprise: pip install 'userstream[alerts]'"
SHORTEST_PASSWORD: Final = 4
SHORTEST_TOKEN: Final = 8
TYPES: Final = MappingProxyType(
    {Severity.INFO: "info", Severity.WARNING: "warning", Severity.ERROR: "failure", Severity.CRITICAL: "failure"}
)
_SIGNS: Final = re.compile(r"[/?&=@:#]+")
_PLACE: Final = re.compile(r"([a-z0-9-]+\.)+([a-z]{2,24}|xn--[a-z0-9-]+)\.?(:\d+)?|\d{1,3}(\.\d{1,3}){3}(:\d+)?")
_SCHEME: Final = re.compile(r"[a-z][a-z0-9+.-]{0,30}(?=://)", re.IGNORECASE)


class AppriseReceiver:
    """One address, opened. It never shows it."""

    def __init__(self, name: str, service: Apprise) -> None:
        self._name, self._service = name, service

    @property
    def name(self) -> str:
        """Its kind, and which of the configuration it is: `slack 2`."""
        return self._name

    def deliver(self, notification: Notification) -> bool:
        """Blocks until it was taken or refused."""
        kind = "success" if notification.is_good_news else TYPES[notification.severity]
        return bool(self._service.notify(body=notification.body, title=notification.title, notify_type=kind, body_format="text"))

    def __repr__(self) -> str:
        return f"AppriseReceiver({self._name!r})"


def open_receivers(urls: Sequence[Secret]) -> list[AppriseReceiver]:
    """Opens addresses; nothing is sent. Loads apprise, which takes about a second: call it in a thread. Raises SettingsError where
    apprise is not installed, and for what is no address that it knows, by its number and never by its text."""
    try:
        import apprise
    except ModuleNotFoundError:
        raise SettingsError(INSTALL) from None
    silence_library()
    for url in urls:
        hide_address(url)
    asset = apprise.AppriseAsset(app_id="userstream", app_desc="userstream", async_mode=False, http_redirects=False)
    return [_open(number, url, asset) for number, url in enumerate(urls, 1)]


def _open(number: int, url: Secret, asset: AppriseAsset) -> AppriseReceiver:
    from apprise import Apprise, OverflowMode

    scheme, service = scheme_of(url), Apprise(asset=asset)
    if not (scheme and service.add(url.reveal())):
        kind = f"of the kind {scheme}, but not as apprise writes it" if scheme else "no address at all"
        raise SettingsError(f"[alerts] urls: address {number} is {kind}; docs/topics/alerts.md has examples")
    for each in service if "overflow=" not in url.reveal() else ():
        # a text that is too long for the service is sent in parts; by default the service would refuse it
        each.overflow_mode = OverflowMode.SPLIT
    return AppriseReceiver(f"{scheme} {number}", service)


def scheme_of(url: Secret) -> str:
    """What kind of address it is, in small letters; empty if it is none. The rest of it is nobody's business."""
    found = _SCHEME.match(url.reveal())
    return "" if found is None else found[0].lower()


def hide_address(url: Secret) -> None:
    """No log shows its parts from now on that may be passwords or tokens. The rest of it may be shown: logs hide what begins as a secret
    does, and would lose every line with `https://` or this machine's own address."""
    _, _, rest = url.reveal().partition("://")
    before, _, query = rest.partition("?")
    if "@" not in before:  # a password with a question mark in it; if it is none, too much is hidden, which hurts nobody
        _hide_password(rest)
    _hide_password(before)
    user, _, place = before.rpartition("@")
    host, _, path = place.partition("/")
    # many services are addressed by a token where others have a host
    texts = [user, path, *([] if _is_place(host) else [host])]
    parts = [part for text in texts for part in _SIGNS.split(text)]
    for part in parts + [part for part in _SIGNS.split(query) if not _is_place(part)]:
        # a word of small letters alone is a setting or a name: hiding it would blind every log
        if len(part) >= SHORTEST_TOKEN and not (part.isalpha() and part.islower()):
            register_secret(unquote(part))


def _hide_password(text: str) -> None:
    password = unquote(text.rpartition("@")[0].partition(":")[2])
    if len(password) >= SHORTEST_PASSWORD:
        register_secret(password)


def _is_place(host: str) -> bool:
    """Whether it is a name of a machine as people write them, or a number of one: a token may have dots, too."""
    return "[" in host or _PLACE.fullmatch(host) is not None


def silence_library() -> None:
    """apprise and its HTTP library write addresses down when a delivery fails; what became of it is told by us, without them."""
    for name in ("apprise", "urllib3", "requests"):
        logger = logging.getLogger(name)
        logger.setLevel(logging.CRITICAL + 10)
        logger.propagate = False
