"""A refused key is refused with the true next step, in words of the command and in words of a request."""

from __future__ import annotations

import pytest

from userstream.entry.advice import for_programs, next_step
from userstream.kernel.errors import (
    AuthenticationError,
    ClockSkewed,
    ConnectionError,
    DecodeError,
    RequestRefused,
    RetryLater,
    SettingsError,
    UserStreamError,
)
from userstream.wire.rights import KeyRights

OVERRIDE = "--allow-unsafe-key"


def rights(*, read: bool = True, withdraw: bool = False) -> KeyRights:
    return KeyRights(read=read, trade=True, withdraw=withdraw, transfer=False, ip_restricted=True)


@pytest.mark.parametrize(
    ("trouble", "words", "may_override"),
    [
        (AuthenticationError("Signature for this request is not valid"), "do what the venue's answer asks for", False),
        (ClockSkewed("outside of the recvWindow"), "set this machine's clock right", False),
        (RetryLater("no answer"), "check the network and the address (--rest-url)", False),
        (ConnectionError("no route"), "the key itself may be a good one", False),
        (SettingsError("api_secret is missing"), "--api-secret-file", True),
        (RequestRefused("not here"), "a test network does not", True),
        (DecodeError("not the venue's own"), "a test network does not", True),
    ],
)
def test_the_next_step_follows_from_what_the_venue_did(trouble: UserStreamError, words: str, may_override: bool) -> None:
    advice = next_step(None, trouble)
    assert words in advice
    assert (OVERRIDE in advice) is may_override


def test_rights_are_changed_where_they_were_given() -> None:
    assert next_step(rights(withdraw=True), None).startswith("Take these rights from the key at the venue's page")
    assert next_step(rights(read=False), None).startswith("Let the key read at the venue's page")


def test_options_are_fields_for_programs() -> None:
    assert for_programs("say --allow-unsafe-key, or give --api-secret-file and --rest-url") == (
        "say allow_unsafe_key, or give api_secret and rest_url"
    )
    assert for_programs("no option -- at all") == "no option -- at all"
