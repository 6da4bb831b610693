"""The tables of the reference pages, read from the source: `python -m tests.support.reference` writes them between their marks.

A page holds the marks `<!-- NAME -->` and `<!-- /NAME -->`; what stands between them is made here and compared by tests/test_reference.py.
"""

from __future__ import annotations

import enum
import inspect
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

import msgspec

import userstream
from userstream.adapters.metrics import TABLE
from userstream.adapters.series import Line
from userstream.domain.certificate import Certificate, Interval
from userstream.domain.events import PRIVATE, Fact
from userstream.domain.figures import Balance, Order, Position
from userstream.entry.alert_settings import AlertsSection
from userstream.entry.configuration import AccountSection, LogSection, ManagerSection, StoreSection
from userstream.entry.metrics_port import MetricsSection
from userstream.entry.paper import PaperAccount, PaperExchange, SyncPaperAccount, SyncPaperExchange
from userstream.entry.storage import PostgresSection
from userstream.kernel.settings import RecoverySettings, StreamSettings
from userstream.runtime.live import EventStream, LiveAccount
from userstream.runtime.sync_account import SyncAccount
from userstream.runtime.views import BalancesView, FillsView, Health, OrdersView, PositionsView
from userstream.sim.notes import ActionNote, describe_actions

REFERENCE: Final = Path(__file__).resolve().parents[2] / "docs" / "reference"
DOORS: Final = ("connect", "Fleet", "paper")
CLASSIC: Final = (
    "DEFAULT_USER_STREAM_CONFIG",
    "BinanceClient",
    "UserDataStreamAPI",
    "MessageFilter",
    "BatchProcessor",
    "BoundedCache",
    "StateManager",
)
HELD: Final[tuple[type, ...]] = (
    *(LiveAccount, OrdersView, PositionsView, BalancesView, FillsView, Order, Position, Balance, Health),
    *(EventStream, SyncAccount, Certificate, Interval, PaperAccount, PaperExchange, SyncPaperAccount, SyncPaperExchange),
)
SETTINGS: Final = ("RecoverySettings", "StreamSettings")
BAR: Final = r"\|"
NAMES: Final = r"[a-z_]+(?:, [a-z_]+)*"
SHOWN_OPERATORS: Final = ("__getitem__", "__contains__", "__len__", "__iter__", "__call__")


# --- the library ---


def exported() -> Mapping[str, object]:
    return {name: getattr(userstream, name) for name in userstream.__all__}


def library_page() -> Mapping[str, str]:
    """The tables of library.md: every public name stands in one of them."""
    things = exported()
    kinds = [thing for thing in things.values() if isinstance(thing, type)]
    events = [kind for kind in kinds if issubclass(kind, Fact)]
    words = [kind for kind in kinds if issubclass(kind, enum.Enum)]
    errors = [kind for kind in kinds if issubclass(kind, Exception)]
    return {
        "doors": "\n".join(entry_of(name, things[name]) for name in DOORS),
        "account": "\n".join(entry_of(kind.__name__, kind) for kind in HELD),
        "settings": "\n".join(entry_of(name, things[name]) for name in SETTINGS),
        "common fields": fields_table(Fact, only={field.name for field in msgspec.structs.fields(Fact)} - PRIVATE),
        "events": "\n".join(event_entry(kind) for kind in events),
        "Event": "`" + " | ".join(kind.__name__ for kind in events) + "`",
        "public_form": entry_of("public_form", things["public_form"]),
        "words": "\n".join(words_entry(kind) for kind in words),
        "errors": table(("error", "what it says"), ((f"`{kind.__name__}({_bases(kind)})`", prose(kind)) for kind in errors)),
        "classic": "\n".join(entry_of(name, things[name]) for name in CLASSIC),
    }


def entry_of(name: str, thing: object) -> str:
    """A heading, how it is called, what it promises, and its members."""
    if isinstance(thing, type):
        call = "" if issubclass(thing, msgspec.Struct) or thing in HELD else f"```python\n{signature_of(thing, name)}\n```\n\n"
        struct = fields_table(thing) + "\n" if issubclass(thing, msgspec.Struct) and not _tells_fields(thing) else ""
        return f"### {name}\n\n{call}{paragraphs(thing)}\n\n{struct}{members_table(thing)}"
    if callable(thing):
        return f"### {name}\n\n```python\n{signature_of(thing, name)}\n```\n\n{paragraphs(thing)}\n"
    return f"### {name}\n\n```python\n{thing!r}\n```\n"


def _tells_fields(kind: type) -> bool:
    return kind in (Health,)


def members_table(kind: type) -> str:
    rows = [(f"`{_shown_member(kind, name, member)}`", prose(_function_of(member))) for name, member in members_of(kind)]
    return table(("member", "what it promises"), rows) if rows else ""


def members_of(kind: type) -> Iterator[tuple[str, object]]:
    """The public methods and properties, those of its own bases too, as they are written; operators that say what they promise."""
    seen: set[str] = set()
    for base in (each for each in reversed(kind.__mro__) if each.__module__.startswith("userstream")):
        if base is not kind and base in HELD:
            continue
        for name, member in vars(base).items():
            is_member = isinstance(member, property) or inspect.isfunction(member)
            public = not name.startswith("_") or (name in SHOWN_OPERATORS and bool(getattr(member, "__doc__", None)))
            if is_member and public and name not in seen:
                seen.add(name)
                yield name, member


def _function_of(member: object) -> object:
    return member.fget if isinstance(member, property) else member


def _shown_member(kind: type, name: str, member: object) -> str:
    function = _function_of(member)
    assert callable(function)
    if isinstance(member, property):
        return f"{name}: {_plain_type(inspect.signature(function).return_annotation)}"
    if name == "__getitem__":
        return signature_of(function, "").replace("(", "[", 1).replace(")", "]", 1)
    return ("await " if inspect.iscoroutinefunction(function) else "") + signature_of(function, name)


def signature_of(thing: object, name: str) -> str:
    """How it is called, with the types as they are written."""
    function = vars(thing).get("__init__", thing) if isinstance(thing, type) else thing
    assert callable(function)
    signature = inspect.signature(function)
    parts: list[str] = []
    star = False
    for parameter in signature.parameters.values():
        if parameter.name == "self":
            continue
        if parameter.kind is parameter.KEYWORD_ONLY and not star:
            parts, star = [*parts, "*"], True
        star = star or parameter.kind is parameter.VAR_POSITIONAL
        parts.append(_parameter(parameter))
    returns = (
        ""
        if isinstance(thing, type) or signature.return_annotation in ("None", None)
        else f" -> {_plain_type(signature.return_annotation)}"
    )
    line = f"{name}({', '.join(parts)}){returns}"
    return line if len(line) < 100 or not isinstance(thing, type) else f"{name}(\n    " + ",\n    ".join(parts) + ",\n)"


def _parameter(parameter: inspect.Parameter) -> str:
    mark = "*" if parameter.kind is parameter.VAR_POSITIONAL else "**" if parameter.kind is parameter.VAR_KEYWORD else ""
    written = f"{mark}{parameter.name}: {_plain_type(parameter.annotation)}"
    if parameter.default is parameter.empty:
        return written
    default = parameter.default
    shown = f"{type(default).__name__}(...)" if isinstance(default, msgspec.Struct) else repr(default)
    return f"{written} = {shown}"


def _plain_type(annotation: object) -> str:
    return annotation if isinstance(annotation, str) else getattr(annotation, "__name__", str(annotation))


def event_entry(kind: type[Fact]) -> str:
    own = {field.name for field in msgspec.structs.fields(kind)} - {field.name for field in msgspec.structs.fields(Fact)}
    return f"### {kind.__name__}\n\n`{kind.__struct_config__.tag}`. {paragraphs(kind)}\n\n{fields_table(kind, only=own)}"


def words_entry(kind: type) -> str:
    values = ", ".join(f"`{member}`" for member in kind) if issubclass(kind, enum.Enum) else ""
    return f"### {kind.__name__}\n\n{paragraphs(kind)}\n\n{values}\n"


def fields_table(kind: type, only: Iterable[str] | None = None) -> str:
    assert issubclass(kind, msgspec.Struct)
    types: dict[str, object] = {}
    for base in reversed(kind.__mro__):
        types |= inspect.get_annotations(base) if base.__module__.startswith("userstream") else {}
    chosen = [field for field in msgspec.structs.fields(kind) if only is None or field.name in only]
    rows = ((f"`{field.name}`", f"`{_plain_type(types[field.name])}`", _default(field)) for field in chosen)
    return table(("field", "type", "default"), rows)


def _default(field: msgspec.structs.FieldInfo) -> str:
    if field.default is msgspec.NODEFAULT:
        return "" if field.default_factory is msgspec.NODEFAULT else "empty"
    default = field.default
    return f"`{str(default) if isinstance(default, enum.Enum) else default!r}`"


def _bases(kind: type) -> str:
    return ", ".join(base.__name__ if base.__module__ != "builtins" else f"builtins.{base.__name__}" for base in kind.__bases__)


# --- the paper exchange ---


def paper_page() -> Mapping[str, str]:
    """The table of paper-exchange.md: every action with its fields."""
    return {"actions": "\n".join(action_entry(name, note) for name, note in describe_actions().items())}


def action_entry(name: str, note: ActionNote) -> str:
    head = f"### `{name}`\n\n{' '.join(note.meaning.split())}\n"
    rows = [
        (f"`{field}`", told.type, "required" if told.required else f"`{json.dumps(told.default)}`", told.meaning)
        for field, told in note.fields.items()
    ]
    return f"{head}\n{table(('field', 'type', 'default', 'meaning'), rows)}" if rows else f"{head}\nNo fields.\n"


# --- the metrics ---

PROMISED: Final[Mapping[str, tuple[str, ...]]] = {
    "active connections": ("active_connections", "accounts"),
    "reconnects": ("reconnects_total", "connect_failures_total"),
    "messages received": ("messages_received_total",),
    "order, position and balance updates": ("order_updates_total", "position_updates_total", "balance_updates_total"),
    "margin calls": ("margin_calls_total",),
    "fills recovered": ("fills_recovered_total", "fills_total"),
    "duplicates dropped": ("duplicates_dropped_total",),
    "unknown seen": ("unrecognized_total",),
    "gap seconds": ("gap_seconds",),
    "staleness": ("staleness_seconds", "unproven_seconds"),
    "stage latencies": ("stage_latency_seconds",),
    "queue depths": ("queue_depth", "journal_backlog", "sink_lag"),
    "REST weight used": ("rest_weight_used", "rest_weight_limit"),
    "breaker state": ("breaker_state",),
}
"""What the product promises to count, and where it is found."""

STAGES: Final[Mapping[str, str]] = {
    "venue_to_socket": "from the venue's stamp to our socket, on the venue's clock: the newest message of each account at each scrape",
    "socket_to_state": (
        "from the socket until folded and handed to journal and listeners: of each socket one frame in 64 is sampled, the first too; "
        "a packet that holds one is one observation, its time divided by all its frames"
    ),
    "socket_to_journal": "from the socket until durable: every record, a commit at a time",
    "socket_to_callback": "from the socket until a handler is called: every fill",
    "socket_to_tables": "from the socket until the embedded tables have it: every record, a batch at a time",
    "socket_to_postgres": "from the socket until PostgreSQL has committed it: every record, a batch at a time",
}
"""Each stage, and which messages are measured."""


def metrics_page() -> Mapping[str, str]:
    """The tables of metrics.md: every number of the process."""
    lines = TABLE.values()
    return {
        "metrics": table(("name", "kind", "unit", "labels", "meaning"), (_metric_row(line) for line in lines)),
        "stages": table(("stage", "what is measured"), ((f"`{name}`", meaning) for name, meaning in STAGES.items())),
        "promised": table(
            ("promised", "names"), ((what, ", ".join(f"`userstream_{name}`" for name in names)) for what, names in PROMISED.items())
        ),
    }


def _metric_row(line: Line) -> tuple[str, ...]:
    labels = ", ".join(f"`{label}`" for label in line.labels)
    return f"`userstream_{line.name}`", line.kind, unit_of(line), labels, line.help.removesuffix(".")


def unit_of(line: Line) -> str:
    """Seconds where the name says so; else a number of whatever its meaning names."""
    return "seconds" if line.name.endswith("_seconds") else "1"


# --- the configuration ---


def configuration_fields() -> Mapping[str, Mapping[str, str]]:
    """Each table of the configuration file with its fields and their defaults, as they are written in TOML."""
    sections: Mapping[str, type[msgspec.Struct]] = {
        "store": StoreSection,
        "postgres": PostgresSection,
        "log": LogSection,
        "metrics": MetricsSection,
        "alerts": AlertsSection,
        "manager": ManagerSection,
        "recovery": RecoverySettings,
        "stream": StreamSettings,
        "account": AccountSection,
    }
    return {name: {field.name: _toml_default(field) for field in msgspec.structs.fields(kind)} for name, kind in sections.items()}


def _toml_default(field: msgspec.structs.FieldInfo) -> str:
    if field.required:
        return "required"
    return "" if field.default is None or field.default is msgspec.NODEFAULT else json.dumps(field.default)


# --- pages ---


def prose(thing: object) -> str:
    """What it promises, in one line."""
    return " ".join(written(thing).split())


def paragraphs(thing: object) -> str:
    """What it promises, in its own paragraphs; one that explains names (`name: meaning. name: meaning.`) becomes a list."""
    blocks = [" ".join(block.split()) for block in written(thing).split("\n\n")]
    return "\n\n".join(_list(block) if re.match(rf"{NAMES}: ", block) else block for block in blocks)


def _list(block: str) -> str:
    parts = re.split(rf"(?<=\.) (?={NAMES}: )", block)
    return "\n".join("- " + re.sub(rf"^({NAMES}): ", lambda found: f"`{found[1].replace(', ', '`, `')}`: ", part) for part in parts)


def written(thing: object) -> str:
    own = vars(thing).get("__doc__") if isinstance(thing, type) else getattr(thing, "__doc__", None)
    return inspect.cleandoc(str(own)) if own else ""


def table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    heads = list(heads)
    lines = [heads, ["---"] * len(heads), *(list(row) for row in rows)]
    return "".join(f"| {' | '.join(cell.replace('|', BAR) for cell in cells)} |\n" for cells in lines)


PAGES: Final[Mapping[str, Callable[[], Mapping[str, str]]]] = {
    "library.md": library_page,
    "paper-exchange.md": paper_page,
    "metrics.md": metrics_page,
}


def filled_page(text: str, parts: Mapping[str, str]) -> str:
    """The page with its parts made anew. Raises KeyError for a mark of the page that nothing fills, ValueError for a part without one."""
    marks = re.findall(r"^<!-- ([^/].*?) -->$", text, flags=re.MULTILINE)
    if missing := set(parts) - set(marks):
        raise ValueError(f"no place for {sorted(missing)}")
    for name in marks:
        begin, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
        front, _, rest = text.partition(begin)
        _, _, back = rest.partition(end)
        text = f"{front}{begin}\n{_tidy(parts[name])}\n\n{end}{back}"
    return text


def _tidy(text: str) -> str:
    return re.sub(r"\n{3,}", "\n\n", text.strip())


def main() -> None:
    for name, make in PAGES.items():
        page = REFERENCE / name
        page.write_text(filled_page(page.read_text("utf-8"), make()), "utf-8")


if __name__ == "__main__":
    main()
