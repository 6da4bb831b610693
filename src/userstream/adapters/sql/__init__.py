"""The SQL of the stores, kept as text: `NNNN_name.sql` are migrations, the other files hold named queries (`-- name: WORD` lines)."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import resources
from types import MappingProxyType

_NAME_LINE = re.compile(r"^-- name: (\w+)$", re.MULTILINE)
_MIGRATION_FILE = re.compile(r"^(\d{4})_\w+\.sql$")


@cache
def load_queries(file: str) -> Mapping[str, str]:
    """The queries of one file by name. Raises FileNotFoundError for a file that is not part of the package."""
    text = resources.files(__package__).joinpath(file).read_text(encoding="utf-8")
    _, *parts = _NAME_LINE.split(text)
    return MappingProxyType({name: query.strip().rstrip(";") for name, query in zip(parts[::2], parts[1::2], strict=True)})


@cache
def load_migrations() -> tuple[str, ...]:
    """The scripts that bring an empty database to the newest form; the number of a script is its place, counted from 1."""
    files = sorted(
        (int(found[1]), file.read_text(encoding="utf-8"))
        for file in resources.files(__package__).iterdir()
        if (found := _MIGRATION_FILE.match(file.name))
    )
    if [number for number, _ in files] != list(range(1, len(files) + 1)):
        raise RuntimeError("the numbers of the migrations have a hole or a double")
    return tuple(script for _, script in files)


def split_script(script: str) -> Iterator[str]:
    """The statements of a script, one at a time, so that all of them can run in one transaction."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement.strip()
            statement = ""
    if re.sub(r"--.*", "", statement).strip():
        raise ValueError("the last statement of the script has no end")
