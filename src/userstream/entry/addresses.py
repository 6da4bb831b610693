"""Where an account's venue is: its own addresses, else the environment's, else the real venue's; and which of them cannot be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from userstream.kernel.errors import SettingsError
from userstream.wire.venue import Endpoints, VenueSpec

if TYPE_CHECKING:
    from userstream.entry.bootstrap import AccountSettings

ADDRESSES: Final = ("rest_url", "ws_url", "ws_api_url")
EMPTY: Final = "leave it out for the venue itself, or name an address"


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
    _check_none_is_empty(settings)
    endpoints = endpoints_of(settings, spec, environment)
    given: dict[str, str] = {}
    for name in ADDRESSES:
        variable = variable_of(spec, name)
        label = variable if environment.get(variable) and not getattr(settings, name) else name
        shown = _check_form(name, label, getattr(endpoints, name))
        if getattr(settings, name) or environment.get(variable):
            given[name] = shown
    socket = "ws_url" if spec.real.ws_url else "ws_api_url"
    # Without the one half the state cannot be proven, without the other nothing is heard.
    halves = (("rest_url", "rest_url" in given), (socket, socket in given or "ws_url" in given))
    missing = [name for name, is_given in halves if given and not is_given]
    if missing:
        part = next(iter(given.values()))
        ways = " and ".join(f"{name} (or set {variable_of(spec, name)})" for name in missing)
        raise SettingsError(f"{part} alone would leave the other half with the real venue; give {ways} as well, or none")
    _check_both_are_real_or_none(settings, spec, endpoints, given)


def _check_none_is_empty(settings: AccountSettings) -> None:
    """Raises SettingsError: whoever gives an empty address meant some other place than the real venue."""
    for name in ADDRESSES:
        if (given := getattr(settings, name)) is not None and not given.strip():
            raise SettingsError(f"{name} {given!r} is empty: {EMPTY}")


def _check_both_are_real_or_none(settings: AccountSettings, spec: VenueSpec, endpoints: Endpoints, given: Mapping[str, str]) -> None:
    """Raises SettingsError where the account says one half and the environment the other, and just one of them is the real venue."""
    own_socket = settings.ws_url or settings.ws_api_url
    is_mixed = (settings.rest_url is None) is not (own_socket is None)
    socket = "ws_url" if spec.real.ws_url else "ws_api_url"
    is_real = [getattr(endpoints, name) == getattr(spec.real, name) for name in ("rest_url", socket)]
    if given and is_mixed and is_real[0] is not is_real[1]:
        told = " but ".join(given.values())
        raise SettingsError(f"{told}: one half would speak with the real venue and the other not; give both in one place")


def _check_form(name: str, label: str, address: str) -> str:
    """The address without its path, with what people call it."""
    from userstream.adapters.network import check_address

    if not address:
        return ""
    secure, plain = ("https", "http") if name == "rest_url" else ("wss", "ws")
    try:
        place = check_address(address, secure=secure, plain=plain)
        if "?" in address:
            raise SettingsError("a base address must not hold a query")
    except SettingsError as error:
        raise SettingsError(f"{label}: {error}") from None
    return f"{label} = '{place.scheme}://{place}'"
