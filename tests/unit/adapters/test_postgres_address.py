"""Addresses of PostgreSQL: what is shown of them, what is refused, and what an error says."""

from __future__ import annotations

import asyncpg
import pytest

from userstream.adapters.postgres_address import NO_SUCH_FILE, NOBODY_LISTENS, PostgresAddress, UnfitValue
from userstream.kernel.errors import SettingsError, StoreError
from userstream.kernel.secret import Secret

CANARY = "s3cret-canary"


def address(url: str, password: str | None = None) -> PostgresAddress:
    return PostgresAddress(Secret(url), None if password is None else Secret(password))


@pytest.mark.parametrize(
    ("url", "label"),
    [
        (f"postgresql://bot:{CANARY}@db.example:6432/desk", "db.example:6432/desk"),
        ("postgres://bot@[::1]/desk", "::1/desk"),
        ("postgresql:///desk", "localhost/desk"),
        ("postgresql://bot@/desk?host=/var/run/postgresql", "/var/run/postgresql/desk"),
    ],
)
def test_people_see_the_server_and_the_database_and_nothing_else(url: str, label: str) -> None:
    assert address(url).label == label
    assert repr(address(url, CANARY)) == f"PostgresAddress({label!r})"


@pytest.mark.parametrize(
    "url", ["", CANARY, f"mysql://u:{CANARY}@h/d", f"postgresql://u:{CANARY}@h", f"postgresql://u:{CANARY}@h:port/d", "x://[/"]
)
def test_what_is_no_such_url_is_refused_without_being_shown(url: str) -> None:
    with pytest.raises(SettingsError, match="postgresql://user@host:5432/database") as refusal:
        address(url)
    assert CANARY not in str(refusal.value)


def test_the_secrets_are_known_to_whoever_hides_them() -> None:
    assert [secret.reveal() for secret in address(f"postgresql://u:{CANARY}@h/d").secrets] == [CANARY]
    assert [secret.reveal() for secret in address("postgresql://u@h/d", "other").secrets] == ["other"]
    assert address("postgresql://u@h/d").secrets == ()
    assert [secret.reveal() for secret in address("postgresql://u:p%40ss@h/d").secrets] == ["p@ss", "p%40ss"]


@pytest.mark.parametrize(
    ("url", "told"),
    [("postgresql:///d?host=/run/db", NOBODY_LISTENS), ("postgresql:///d", NOBODY_LISTENS), ("postgresql://h/d?sslkey=/no", NO_SUCH_FILE)],
)
def test_what_is_not_there_is_a_server_or_a_file(url: str, told: str) -> None:
    one = address(url)
    assert str(one.explain(FileNotFoundError(2, "No such file or directory"))) == f"PostgreSQL at {one.label}: {told}"


def test_an_error_says_what_to_do_in_one_line_and_keeps_secrets() -> None:
    one = address(f"postgresql://u:{CANARY}@h/d")
    told = one.explain(asyncpg.InvalidPasswordError(f"no entry\nfor {CANARY}"))
    assert str(told) == "PostgreSQL at h/d: no entry for ***: check user and password"
    assert not isinstance(told, UnfitValue)
    refused = one.explain(ConnectionRefusedError(111, "Connect call failed ('10.0.0.1', 5432)"))
    assert str(refused) == "PostgreSQL at h/d: connection refused: start the server, or check host and port"
    assert str(one.explain(TimeoutError())) == "PostgreSQL at h/d: no answer in time"
    assert str(one.explain(asyncpg.UndefinedTableError("gone"))).endswith("gone: run userstream db migrate")
    state = asyncpg.InternalClientError("cannot switch to state 12; another operation (2) is in progress")
    assert str(one.explain(state)) == "PostgreSQL at h/d: the server ended the connection"
    assert str(one.explain(asyncpg.InternalClientError("not connected"))) == "PostgreSQL at h/d: not connected"
    assert str(one.explain(asyncpg.InterfaceError(""))) == "PostgreSQL at h/d: InterfaceError"


def test_a_value_that_does_not_fit_is_told_from_trouble() -> None:
    assert isinstance(address("postgresql://h/d").explain(asyncpg.CharacterNotInRepertoireError("0x00")), UnfitValue)
    assert isinstance(address("postgresql://h/d").explain(asyncpg.DataError("too long")), UnfitValue)


async def test_a_server_that_is_not_there_is_trouble_in_one_line() -> None:
    with pytest.raises(StoreError, match=r"^PostgreSQL at 127\.0\.0\.1:1/d: "):
        await address(f"postgresql://u:{CANARY}@127.0.0.1:1/d").connect()
