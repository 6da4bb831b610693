"""Addresses of PostgreSQL: what is shown of them, what is refused, and what an error says."""

from __future__ import annotations

import socket
import ssl

import asyncpg
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

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
    assert repr(address(url)) == f"PostgresAddress({label!r})"


def test_two_passwords_are_refused_as_two_urls_are() -> None:
    with pytest.raises(SettingsError, match="keep one of them") as refusal:
        address(f"postgresql://u:{CANARY}@h/d", f"other-{CANARY}")
    assert CANARY not in str(refusal.value) and "password_file" in str(refusal.value)


@given(user=st.text(max_size=20), first=st.text(max_size=20), second=st.text(max_size=5))
@example(user="desk_bot", first="1234/", second="")
@example(user="desk_bot", first="a@", second="/b")
@example(user="desk_bot", first="p@", second="/w#")
@example(user="desk_bot", first="\u2100", second="")
@example(user="desk_bot", first="", second=":")
def test_neither_user_nor_password_is_shown_however_they_are_written(user: str, first: str, second: str) -> None:
    user, password = f"{user}USERCANARY", f"{first}CANARY-ONE{second}CANARY-TWO"
    try:
        one = address(f"postgresql://{user}:{password}@db.example:5432/desk")
    except SettingsError as error:
        shown = f"{error!r} {error}"
    else:
        assert one.label == "db.example:5432/desk"
        errors = (OSError("gone"), ValueError(f"no {password} here"), TimeoutError())
        shown = f"{one!r} {one.label} {[str(one.explain(error)) for error in errors]}"
    assert not any(canary in shown.upper() for canary in ("USERCANARY", "CANARY-ONE", "CANARY-TWO"))


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


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (socket.gaierror(-2, "Name or service not known"), "Name or service not known: check the host in the url"),
        (ConnectionError('PostgreSQL server at "h:5432" rejected SSL upgrade'), "?sslmode=disable in the url where the way to it is safe"),
        (
            asyncpg.exceptions.ClientConfigurationError("`sslmode` parameter must be one of: disable"),
            "correct sslmode in the url, or PGSSLMODE",
        ),
        (
            asyncpg.UndefinedObjectError('unrecognized configuration parameter "x"'),
            "what stands after ? in the url: the server does not know it",
        ),
        (asyncpg.UndefinedObjectError('type "x" does not exist'), 'PostgreSQL at h/d: type "x" does not exist'),
        (ssl.SSLCertVerificationError(1, "certificate verify failed"), "sslrootcert=FILE in the url"),
    ],
)
def test_an_error_names_the_setting_to_change(error: Exception, told: str) -> None:
    assert str(address("postgresql://h/d").explain(error)).endswith(told)


def test_a_value_that_does_not_fit_is_told_from_trouble() -> None:
    assert isinstance(address("postgresql://h/d").explain(asyncpg.CharacterNotInRepertoireError("0x00")), UnfitValue)
    assert isinstance(address("postgresql://h/d").explain(asyncpg.DataError("too long")), UnfitValue)


async def test_a_server_that_is_not_there_is_trouble_in_one_line() -> None:
    with pytest.raises(StoreError, match=r"^PostgreSQL at 127\.0\.0\.1:1/d: "):
        await address(f"postgresql://u:{CANARY}@127.0.0.1:1/d").connect()


@pytest.mark.parametrize(
    ("host", "label", "is_near"),
    [("db.example.com", "db.example.com/d", False), ("/run/db", "/run/db/d", True), ("localhost,far", "localhost,far/d", False)],
)
def test_a_host_that_the_environment_names_must_prove_its_name_too(
    monkeypatch: pytest.MonkeyPatch, host: str, label: str, is_near: bool
) -> None:
    monkeypatch.setenv("PGHOST", host)
    address = PostgresAddress(Secret("postgresql:///d"))
    assert (address.label, address._is_near) == (label, is_near)
    assert PostgresAddress(Secret("postgresql://near.example.com/d"))._is_near is False
    monkeypatch.delenv("PGHOST")
    assert PostgresAddress(Secret("postgresql:///d"))._is_near
