"""Receivers of alerts that apprise knows: Telegram, Slack, Discord, e-mail, webhooks and many more. Their addresses are secrets.

apprise and what it stands on are imported when the first address is opened, so that nobody else pays for them.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from http import HTTPStatus
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, cast
from urllib.parse import unquote

from userstream.adapters.deliveries import NotTaken
from userstream.adapters.logs import register_secret
from userstream.domain.alert_words import Notification
from userstream.domain.alerts import Severity
from userstream.kernel.errors import SettingsError
from userstream.kernel.secret import Secret

if TYPE_CHECKING:
    from apprise import Apprise, AppriseAsset, NotifyBase

INSTALL: Final = "alerts need the package apprise: pip install 'userstream[alerts]'"
SHORTEST_PASSWORD: Final = 4
SHORTEST_TOKEN: Final = 8
TYPES: Final = MappingProxyType(
    {Severity.INFO: "info", Severity.WARNING: "warning", Severity.ERROR: "failure", Severity.CRITICAL: "failure"}
)
_SIGNS: Final = re.compile(r"[/?&=@:#]+")
_PLACE: Final = re.compile(r"([a-z0-9-]+\.)+([a-z]{2,24}|xn--[a-z0-9-]+)\.?(:\d+)?|\d{1,3}(\.\d{1,3}){3}(:\d+)?")
_BETWEEN_TARGETS: Final = re.compile(r"[\s,]+")
_BETWEEN_ITEMS: Final = re.compile(r"(?:[\s,]|%2c|%20)+", re.IGNORECASE)
_SCHEME: Final = re.compile(r"[a-z][a-z0-9+.-]{0,30}(?=://)", re.IGNORECASE)


_STATUS: Final = re.compile(r"\berror ?= ?(\d{3})\b", re.ASCII)
_TROUBLES: Final = (
    ("connection refused", ("Connection refused", "Errno 111", "WinError 10061")),
    ("name does not resolve", ("NameResolutionError", "getaddrinfo", "Name or service not known", "nodename nor servname")),
    ("certificate not trusted", ("CERTIFICATE_VERIFY_FAILED", "certificate verify failed")),
    ("TLS failed", ("SSLError", "[SSL")),
    ("no answer in time", ("timed out", "Timeout")),
    ("network cannot be reached", ("Network is unreachable", "No route to host")),
    ("the connection broke off", ("RemoteDisconnected", "Connection reset", "Connection aborted", "Broken pipe", "unexpectedly closed")),
    ("the server refuses user or password", ("(535,", "(534,", "(530,")),
    ("the server refuses the sender or the receiver", ("(550,", "(553,", "(554,")),
)
"""Our own words for what the library writes down, by what stands in it; the first that fits."""
NO_REASON: Final = "the service says no more"


class AppriseReceiver:
    """One address, or one target of an address that names several, opened. It never shows it."""

    def __init__(self, name: str, service: Apprise) -> None:
        self._name, self._service = name, service

    @property
    def name(self) -> str:
        """Its kind, and which of the configuration it is: `slack 2`, or `slack 2.1` for the first of its targets."""
        return self._name

    def deliver(self, notification: Notification) -> bool:
        """Blocks until it was taken or refused. Raises NotTaken."""
        kind = "success" if notification.is_good_news else TYPES[notification.severity]
        with _listen() as heard:
            is_taken = self._service.notify(body=notification.body, title=notification.title, notify_type=kind, body_format="text")
        if not is_taken:
            raise NotTaken(heard[-1] if heard else NO_REASON)
        return True

    def __repr__(self) -> str:
        return f"AppriseReceiver({self._name!r})"


def open_receivers(urls: Sequence[Secret]) -> list[AppriseReceiver]:
    """Opens addresses, each target of one as a receiver of its own: what one chat refuses is not told to the others again. Nothing is sent.
    Loads apprise, which takes about a second: call it in a thread. Raises SettingsError where apprise is not installed, and for what is no
    address that it knows, by its number and never by its text."""
    try:
        import apprise
    except ModuleNotFoundError:
        raise SettingsError(INSTALL) from None
    silence_library()
    for url in urls:
        hide_address(url)
    asset = apprise.AppriseAsset(app_id="userstream", app_desc="userstream", async_mode=False, http_redirects=False)
    return [receiver for number, url in enumerate(urls, 1) for receiver in _open(number, url, asset)]


def _open(number: int, url: Secret, asset: AppriseAsset) -> list[AppriseReceiver]:
    scheme = scheme_of(url)
    plugins = _plugins_of(url, asset) if scheme else []
    if not plugins:
        kind = f"of the kind {scheme}, but not as apprise writes it" if scheme else "no address at all"
        raise SettingsError(f"[alerts] urls: address {number} is {kind}; docs/topics/alerts.md has examples")
    names = [f"{scheme} {number}"] if len(plugins) == 1 else [f"{scheme} {number}.{part}" for part in range(1, len(plugins) + 1)]
    splits_texts = "overflow=" not in url.reveal()
    return [AppriseReceiver(name, _service_of(plugin, asset, splits_texts)) for name, plugin in zip(names, plugins, strict=True)]


def _plugins_of(url: Secret, asset: AppriseAsset) -> list[NotifyBase]:
    """One for each target of the address where each can be told alone, else one for all; none where it is no address."""
    from apprise import Apprise
    from apprise.plugins import url_to_dict

    whole = Apprise.instantiate(url.reveal(), asset=asset)
    if whole is None or len(whole) < 2:  # fewer also where the service is told all its targets in one call
        return [] if whole is None else [whole]
    parts = cast("Callable[[str], dict[str, object]]", url_to_dict)(url.reveal())
    given = parts.get("targets")
    texts = [text for text in given if isinstance(text, str)] if isinstance(given, list) else []
    targets = [target for text in texts for target in _BETWEEN_TARGETS.split(text) if target]
    alone = [Apprise.instantiate({**parts, "targets": [target]}, asset=asset) for target in targets]
    found = [plugin for plugin in alone if plugin is not None]
    return found if sum(len(plugin) for plugin in found) == len(found) == len(whole) else [whole]


def _service_of(plugin: NotifyBase, asset: AppriseAsset, splits_texts: bool) -> Apprise:
    from apprise import Apprise, OverflowMode

    if splits_texts:
        # a text that is too long for the service is sent in parts; by default the service would refuse it
        plugin.overflow_mode = OverflowMode.SPLIT
    service = Apprise(asset=asset)
    service.add(plugin)
    return service


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
    parts, asked = [part for text in texts for part in _SIGNS.split(text)], _SIGNS.split(query)
    wholes = parts + [part for part in asked if not any(map(_is_place, _items_of(part)))]
    items = [item for part in parts + asked for item in _items_of(part) if not _is_place(item)]
    for part in dict.fromkeys(wholes + items):
        # a word of small letters alone is a setting or a name: hiding it would blind every log
        if len(part) >= SHORTEST_TOKEN and not (part.isalpha() and part.islower()):
            register_secret(unquote(part))


def _items_of(text: str) -> list[str]:
    """Of a list (of tokens; of mail addresses, cut at their signs) each by itself: as such it may be shown, not as it stands here."""
    return _BETWEEN_ITEMS.split(text)


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
    logger = logging.getLogger("apprise")
    logger.setLevel(logging.DEBUG)
    logger.addFilter(_ear)


class _Ear(logging.Filter):
    """The library says why a delivery failed in its log alone. Of what it writes there in the course of one, it is kept which of our own
    words it comes to; the text itself goes no further, to no handler of anybody."""

    def filter(self, record: logging.LogRecord) -> bool:
        heard = _heard.get()
        # a record that cannot be written is nobody's business: what is said about it would show it
        with suppress(Exception):
            if heard is not None and (reason := reason_of(record.getMessage())):
                heard.append(reason)
        return False


_ear: Final = _Ear()
_heard: Final[ContextVar[list[str] | None]] = ContextVar("heard", default=None)


@contextmanager
def _listen() -> Iterator[list[str]]:
    """What is heard meanwhile, also from threads of the library to which it hands its context on."""
    heard: list[str] = []
    token = _heard.set(heard)
    try:
        yield heard
    finally:
        _heard.reset(token)


def reason_of(told: str) -> str:
    """What a line of the library's log says of a failure, in our own words; empty where it says nothing of one."""
    if (found := _STATUS.search(told)) is not None:
        with suppress(ValueError):
            return f"HTTP {found[1]} {HTTPStatus(int(found[1])).phrase}"
        return f"HTTP {found[1]}"
    if "Exception: " not in told:
        return ""
    return next((words for words, signs in _TROUBLES if any(sign in told for sign in signs)), "")
