"""URLs of PostgreSQL: what they say, and the refusal of each that could be read in two ways."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from userstream.adapters.postgres_url import EXAMPLE, read_url
from userstream.kernel.errors import SettingsError
from userstream.kernel.secret import Secret

CANARY = "s3cret-canary"


@pytest.mark.parametrize(
    ("url", "hosts", "place"),
    [
        ("postgresql://u@db.example:6432/desk", ("db.example",), "db.example:6432/desk"),
        ("POSTGRES://u@[::1]:5432/desk?sslmode=disable", ("::1",), "[::1]:5432/desk"),
        ("postgresql://u@one:5433,two/desk", ("one", "two"), "one:5433,two/desk"),
        ("postgresql:///desk", (), "localhost/desk"),
        ("postgresql:///desk?host=/run/pg&port=5433", ("/run/pg",), "/run/pg:5433/desk"),
        ("postgresql:///desk?host=one&host=two", ("two",), "two/desk"),
        ("postgresql://u@%2Frun%2Fpg/desk", ("/run/pg",), "/run/pg/desk"),
        ("postgresql://h/desk?host=other&port=1", ("h",), "h/desk"),
    ],
)
def test_hosts_ports_and_database_are_what_is_shown(url: str, hosts: tuple[str, ...], place: str) -> None:
    found = read_url(Secret(url))
    assert (found.hosts, found.place, found.has_mode) == (hosts, place, "sslmode" in url)


@given(user=st.text(), password=st.text())
def test_what_is_escaped_is_read_as_it_is_meant(user: str, password: str) -> None:
    found = read_url(Secret(f"postgresql://{quote(user, safe='')}:{quote(password, safe='')}@h/d"))
    assert (found.password.reveal() if found.password else "") == password
    assert found.place == "h/d" and all(secret.reveal() for secret in found.secrets)


def test_secrets_are_known_as_they_are_meant_and_as_they_are_written() -> None:
    found = read_url(Secret("postgresql://u:p%40ss@h/d?sslpassword=of-the-key"))
    assert [secret.reveal() for secret in found.secrets] == ["p@ss", "p%40ss", "of-the-key"]
    assert CANARY not in repr(read_url(Secret(f"postgresql://u:{CANARY}@h/d?sslpassword={CANARY}")))


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("", "does not begin with postgresql://"),
        (CANARY, "does not begin with postgresql://"),
        (f"mysql://u:{CANARY}@h/d", "does not begin with postgresql://"),
        (f"postgresql://u:{CANARY}@h", "names no database"),
        (f"postgresql://u:{CANARY}@h/d/e", "a / in the name of its database"),
        (f"postgresql://u:{CANARY}@h:port/d", "a port that is no number"),
        (f"postgresql://u:{CANARY}@h:0/d", "a port that is no number"),
        (f"postgresql:///d?host=h&port={CANARY}", "a port that is no number"),
        (f"postgresql://u:{CANARY}/d", "a port that is no number"),
        (f"postgresql://u:{CANARY}@h:70000/d", "a port that is no number"),
        (f"postgresql://u:1/{CANARY}@h/d", "a / or ? before its @"),
        (f"postgresql://u:1?{CANARY}@h/d", "a / or ? before its @"),
        (f"postgresql://u:1#{CANARY}@h/d", "a # somewhere"),
        (f"postgresql://u:a@{CANARY}@h/d", "more than one @"),
        (f"postgresql://u@h/d?options={CANARY}@x", "more than one @"),
        (f"postgresql://u@h/d?password={CANARY}", "a password after its ?"),
        (f"postgresql://u@h/d?{CANARY}", "no name=value"),
        (f"postgresql://u:[{CANARY}@h/d", "cannot be read"),
        (f"postgresql://u:{CANARY}\u2100@h/d", "cannot be read"),
        (f"postgresql://u:{CANARY}\n@h/d", "another control character"),
        (f"postgresql://u@,{CANARY}/d", "a host that is no name"),
        (f"postgresql://u@<{CANARY}>/d", "a host that is no name"),
    ],
)
def test_what_can_be_read_in_two_ways_is_refused_in_a_line_that_says_the_rule(url: str, why: str) -> None:
    with pytest.raises(SettingsError) as refusal:
        read_url(Secret(url))
    told = str(refusal.value)
    assert why in told and EXAMPLE in told and "write @ as %40, / as %2F, # as %23, ? as %3F" in told and "password_file" in told
    assert CANARY not in told and "\n" not in told
