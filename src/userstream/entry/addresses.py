"""Where an account's venue is: its own addresses, else the environment's, else the real venue's; and which of them cannot be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from userstream.kernel.errors import SettingsError
from userstream.wire.venue import Endpoints, VenueSpec

if TYPE_CHECKING:
    from userstream.entry.bootstrap import AccountSettings

ADDRESSES: Final = ("rest_url", "ws_url", "ws_api_url")


def endpoints_of(settings: AccountSettings, spec: VenueSpec, environment: Mapping[str, str]) -> Endpoints:
    """The account's own addresses, else the environment's, else the real venue's."""

    def choose(name: str) -> str:
        given: str | None = getattr(settings, name)
        real: str = getattr(spec.real, name)
        return (given or environment.get(variable_of(spec, name)) or real).rstrip("/")

    ws_url, ws_api_url = choose("ws_url"), choose("ws_api_url")
    named = settings.ws_api_url or (not settings.ws_url and environment.get(variable_of(spec, "ws_api_url")))
    if ws_url and not spec.real.ws_url and not named:
        # A venue without a socket for streams alone tells them on the other one: whoever names one place means that.
        ws_api_url = ws_url
    return Endpoints(rest_url=choose("rest_url"), ws_url=ws_url, ws_api_url=ws_api_url)


def variable_of(spec: VenueSpec, address: str) -> str:
    """The environment variable that points the venue's `address` (rest_url, ...) elsewhere."""
    return f"USERSTREAM_{spec.name.upper().replace('-', '_')}_{address.upper()}"


def check_addresses(settings: AccountSettings, spec: VenueSpec, environment: Mapping[str, str]) -> None:
    """Raises SettingsError for addresses that no socket could use, which would be tried for ever, and for half of them: the other half
    would speak with the real venue. Addresses are told without their paths, which may hold secrets."""
    endpoints = endpoints_of(settings, spec, environment)
    given: dict[str, str] = {}
    for name in ADDRESSES:
        shown = _check_form(name, getattr(endpoints, name))
        variable = variable_of(spec, name)
        if getattr(settings, name):
            given[name] = shown
        elif environment.get(variable):
            given[name] = f"{variable} gives {shown}"
    socket = "ws_url" if spec.real.ws_url else "ws_api_url"
    # Without the one half the state cannot be proven, without the other nothing is heard.
    halves = (("rest_url", "rest_url" in given), (socket, socket in given or "ws_url" in given))
    missing = [name for name, is_given in halves if given and not is_given]
    if missing:
        part = next(iter(given.values()))
        ways = " and ".join(f"{name} (or set {variable_of(spec, name)})" for name in missing)
        raise SettingsError(f"{part} is only a part: the rest would speak with the real venue; give {ways} as well, or none")


def _check_form(name: str, address: str) -> str:
    """The address without its path, with its name."""
    from userstream.adapters.network import check_address

    if not address:
        return ""
    secure, plain = ("https", "http") if name == "rest_url" else ("wss", "ws")
    try:
        place = check_address(address, secure=secure, plain=plain)
        if "?" in address:
            raise SettingsError("a base address must not hold a query")
    except SettingsError as error:
        raise SettingsError(f"{name}: {error}") from None
    return f"{name} = '{place.scheme}://{place}'"
