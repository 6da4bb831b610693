"""A machine whose account has no secret: nothing can be asked, and what the stream may have kept back is told all the same."""

from __future__ import annotations

import msgspec

from tests.support.machine import BRISK, START, Driver
from tests.support.scripted import PLACE
from tests.unit.wire.kit import facts_of
from userstream.domain.events import GapOpened, GapRepaired
from userstream.kernel.secret import Secret
from userstream.wire.feed import UNANSWERED
from userstream.wire.recovery import Policy
from userstream.wire.venue import AccountPlace


def unsigned(**fields: object) -> AccountPlace:
    place = msgspec.structs.replace(PLACE, **fields)
    return msgspec.structs.replace(place, credentials=msgspec.structs.replace(place.credentials, api_secret=None))


def test_a_predecessor_that_froze_before_its_successor_opened_leaves_a_gap_that_nobody_repairs() -> None:
    place = unsigned(own_ping_ms=20_000, silence_limit_ms=45_000, rotate_after_ms=160_000)
    driver = Driver(place=place, policy=msgspec.structs.replace(BRISK, books=Policy())).start()
    driver.run_until_live(1_000)
    driver.run_for(START + 145_000 - driver.now)
    driver.sockets[driver.connections[0]].frozen = True
    lost = driver.venue_now
    driver.trade()
    driver.run_for(40_000)
    [gap] = facts_of(driver, GapOpened)
    assert (gap.reason, gap.since <= lost) == (UNANSWERED, True)
    assert (facts_of(driver, GapRepaired), driver.asked) == ([], [])


def test_a_machine_knows_what_must_be_in_nothing_that_is_kept() -> None:
    key = msgspec.structs.replace(PLACE.credentials, api_key=Secret("key"), api_secret=Secret("secret"), passphrase=Secret("phrase"))
    assert Driver(place=msgspec.structs.replace(PLACE, credentials=key)).machine.secrets == (
        Secret("key"),
        Secret("secret"),
        Secret("phrase"),
    )
    assert Driver(place=unsigned()).machine.secrets == (PLACE.credentials.api_key,)
