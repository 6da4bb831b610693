"""The demo's live table: every account, what it knows, and how far it can be trusted."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from userstream.domain.events import Event, Filled, GapOpened, GapRepaired, StreamChanged
from userstream.domain.figures import Position
from userstream.domain.words import StreamState
from userstream.kernel.amount import format_amount
from userstream.kernel.text import printable

if TYPE_CHECKING:
    from userstream.entry.show import Show

COLOURS: Final = {StreamState.LIVE: "green", StreamState.SYNCING: "yellow", StreamState.STALE: "red", StreamState.POLLING: "magenta"}
SHOWN_ACCOUNTS: Final = 20
SHOWN_NEWS: Final = 7
WIDE: Final = 112
LEAST_ROOM: Final = 9
REST_OF_ROW: Final = 98
"""What the columns beside the positions need: words, numbers and lines."""
COLUMNS: Final = ("account", "state", "heard", "orders", "positions", "USDT", "fills", "at exchange", "recovered", "sockets")
NARROW_COLUMNS: Final = ("account", "state", "fills", "at exchange", "sockets")


class LiveTable:
    """Counts each account's fills as a listener is told them, and keeps the latest news."""

    def __init__(self, show: Show) -> None:
        self._show = show
        self._news: deque[str] = deque(maxlen=SHOWN_NEWS)
        self._fills = dict.fromkeys(show.names, 0)
        for name in show.names:
            show.fleet[name].on(Filled, StreamChanged, GapOpened, GapRepaired, handler=self._note)

    def render(self, width: int) -> RenderableType:
        """The table for a terminal of this width: on a narrow one the most important columns remain."""
        columns = COLUMNS if width >= WIDE else NARROW_COLUMNS
        table = Table(title=f"userstream demo: {', '.join(self._show.server.listing.venues)}, paper exchange", title_justify="left")
        for name in columns:
            table.add_column(
                name, justify="left" if name in ("account", "state", "positions") else "right", no_wrap=True, min_width=len(name)
            )
        for name in self._show.names[:SHOWN_ACCOUNTS]:
            row = dict(zip(COLUMNS, self._row(name, max(LEAST_ROOM, width - REST_OF_ROW)), strict=True))
            table.add_row(*(row[column] for column in columns))
        news = Text("\n".join(self._news), style="dim", no_wrap=True, overflow="ellipsis")
        return Group(table, news, Text("Ctrl-C ends the trading and compares the store with the exchange's books", style="bold"))

    def _row(self, name: str, room: int) -> tuple[str | Text, ...]:
        account = self._show.fleet[name]
        health = account.health
        wallet = account.balances.get("USDT")
        return (
            name,
            Text(str(health.state), style=COLOURS.get(health.state, "white")),
            "-" if health.age_ms is None else f"{health.age_ms / 1000:.1f} s",
            str(len(account.orders.open())),
            list_legs(account.positions.open(), room),
            "-" if wallet is None else f"{wallet.total:,.2f}",
            str(self._fills[name]),
            str(self._show.fills_at_exchange(name)),
            str(health.fills_recovered),
            str(1 + health.reconnects),
        )

    def _note(self, event: Event) -> None:
        match event:
            case Filled():
                self._fills[event.account] += 1
                how = " (recovered by REST)" if event.source != "stream" else ""
                self._tell(event, f"{event.side} {format_amount(event.quantity)} {event.symbol} at {format_amount(event.price)}{how}")
            case StreamChanged():
                self._tell(event, f"is {event.state}: {event.reason}")
            case GapOpened():
                self._tell(event, f"gap opened: {event.reason}")
            case GapRepaired():
                self._tell(event, f"gap of {(event.until - event.since) / 1000:.1f} s repaired, {event.fills} fills found")
            case _:
                pass

    def _tell(self, event: Event, words: str) -> None:
        self._news.append(printable(f"{event.account:8} {words}"))


def list_legs(held: list[Position], room: int) -> str:
    """As many legs as there is room for, and how many others are held."""
    words = [printable(f"{leg.symbol.removesuffix('USDT')} {format_amount(leg.amount)}") for leg in held]
    for shown in range(len(words), 0, -1):
        rest = f", {len(words) - shown} more" if len(words) > shown else ""
        if len(text := ", ".join(words[:shown]) + rest) <= room:
            return text
    return f"{len(words)} held" if words else "flat"
