"""Whose key is which: a key opens one account of a venue, and an account has one name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeAlias

from userstream.entry.addresses import endpoints_of
from userstream.kernel.errors import SettingsError
from userstream.kernel.secret import Secret
from userstream.venues import find_venue

if TYPE_CHECKING:
    from userstream.entry.bootstrap import AccountSettings

Place: TypeAlias = tuple[str, str, str, Secret]


class KeyOwners:
    """The keys in use. Two names for one account are a slip of copying: the books of one would be told as those of the other."""

    def __init__(self) -> None:
        self._owners: dict[Place, str] = {}

    def claim(self, settings: AccountSettings, environment: Mapping[str, str]) -> None:
        """From now on the key is this account's. Raises SettingsError where another one has it already."""
        spec = find_venue(settings.venue)
        address = endpoints_of(settings, spec, environment).rest_url
        place = (spec.name, address, settings.isolated_symbol, settings.credentials.api_key)
        owner = self._owners.setdefault(place, settings.name)
        if owner != settings.name:
            raise SettingsError(f"accounts {owner!r} and {settings.name!r} have the same api_key; give each its own")

    def release(self, name: str) -> None:
        """The account has ended: its key may be another one's."""
        self._owners = {place: owner for place, owner in self._owners.items() if owner != name}
