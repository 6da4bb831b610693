"""Whether a script can be played here: an account, a venue, a symbol or an event that nobody has is a mistake of its writer, not a fault
to be played. Told before anything starts."""

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
        if mistake := _mistake_in(action, house):
            raise ScriptError(f"script step {number}: action {name_of(action)!r}: {mistake}")


def _mistake_in(action: Action, house: House) -> str:
    """Empty where there is none."""
    account, venue, symbol = getattr(action, "account", EVERYBODY), getattr(action, "venue", ""), getattr(action, "symbol", "")
    if account != EVERYBODY and not house.knows(account):
        return f"account {account!r} must be one that there is; {house.known_names}"
    if venue and venue not in house.halls:
        return f"venue {venue!r} must be one that is played here: {', '.join(house.halls)}"
    halls = [house.hall_of(account)] if account != EVERYBODY else [hall for hall in house.halls.values() if venue in ("", hall.venue.name)]
    traded = {name for hall in halls for name in hall.room.exchange.instruments}
    if symbol and symbol not in traded:
        return f"symbol {symbol!r} must be one that is traded there; the nearest is {nearest(symbol, traded)!r}"
    if isinstance(action, FrameRule):
        return _mistake_in_event(action.event, halls)
    return _mistake_in_sample(action, halls) if isinstance(action, Event) else ""


def _mistake_in_event(event: str, halls: list[Hall]) -> str:
    names = frozenset[str]().union(*(hall.dialect.event_names for hall in halls))
    if event == EVERYBODY or event in names:
        return ""
    return f"event {event!r} must be one that accounts there are told of, or * for all; the nearest is {nearest(event, names)!r}"


def _mistake_in_sample(action: Event, halls: list[Hall]) -> str:
    try:
        for hall in halls:
            hall.dialect.rare_event(action.account, action.name, action.fields, NO_TIME)
    except ValueError as wrong:
        return str(wrong)
    return ""
