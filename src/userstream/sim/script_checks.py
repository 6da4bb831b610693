"""Whether a script can be played here: an account, a venue, a symbol or an event that nobody has is a mistake of its writer, not a fault
to be played. Told before anything starts."""

from collections.abc import Iterator
from typing import Final

from userstream.sim.actions import EVERYBODY, Action, Event, FrameRule, name_of
from userstream.sim.books import Millis
from userstream.sim.faults import Script, ScriptError
from userstream.sim.house import Hall, House
from userstream.sim.rules import nearest

NO_TIME: Final = Millis(0)
"""Of a sample that is only tried out."""


def check_script(script: Script, house: House) -> None:
    """Raises ScriptError for the first step that names what nobody here has: the step, the action, the field, its value and the rule."""
    for number, (_, action) in enumerate(script.steps, start=1):
        mistake = next(_mistakes(action, house), None)
        if mistake is not None:
            raise ScriptError(f"script step {number}: action {name_of(action)!r}: {mistake}")


def _mistakes(action: Action, house: House) -> Iterator[str]:
    account, venue, symbol = getattr(action, "account", EVERYBODY), getattr(action, "venue", ""), getattr(action, "symbol", "")
    if account != EVERYBODY and not house.knows(account):
        yield f"account {account!r} must be one that there is; {house.known_names}"
        return
    if venue and venue not in house.halls:
        yield f"venue {venue!r} must be one that is played here: {', '.join(house.halls)}"
        return
    halls = [house.hall_of(account)] if account != EVERYBODY else [hall for hall in house.halls.values() if venue in ("", hall.venue.name)]
    traded = {name for hall in halls for name in hall.room.exchange.instruments}
    if symbol and symbol not in traded:
        yield f"symbol {symbol!r} must be one that is traded there; the nearest is {nearest(symbol, traded)!r}"
    if isinstance(action, FrameRule):
        yield from _mistakes_in_event(action.event, halls)
    if isinstance(action, Event):
        yield from _mistakes_in_sample(action, halls)


def _mistakes_in_event(event: str, halls: list[Hall]) -> Iterator[str]:
    names = {name for hall in halls for name in hall.dialect.event_names}
    if event != EVERYBODY and event not in names:
        yield f"event {event!r} must be one of the venue's, or * for all; the nearest is {nearest(event, names)!r}"


def _mistakes_in_sample(action: Event, halls: list[Hall]) -> Iterator[str]:
    for hall in halls:
        try:
            hall.dialect.rare_event(action.account, action.name, action.fields, NO_TIME)
        except ValueError as wrong:
            yield str(wrong)
