"""Roles and tokens: what opens, and what never does."""

from __future__ import annotations

import secrets

import pytest
from hypothesis import given
from hypothesis import strategies as st

from userstream.domain.access import ApiToken, Role, allows, hash_token, token_id_of, write_token
from userstream.kernel.ids import Millis
from userstream.kernel.secret import Secret

ID = "3f9a0c21d4e7"
CHANCE = secrets.token_urlsafe(32)


def token(text: Secret, **fields: int | None) -> ApiToken:
    times: dict[str, int | None] = {"created_time": 100, "expires_time": 200, **fields}
    revoked = times.get("revoked_time")
    return ApiToken(
        id=ID,
        name="grafana",
        role=Role.VIEWER,
        hash=hash_token(text),
        created_time=Millis(times["created_time"] or 0),
        expires_time=Millis(times["expires_time"] or 0),
        revoked_time=None if revoked is None else Millis(revoked),
    )


@pytest.mark.parametrize("held", Role)
@pytest.mark.parametrize("needed", Role)
def test_a_role_may_do_what_smaller_roles_may(held: Role, needed: Role) -> None:
    order = [Role.VIEWER, Role.OPERATOR, Role.ADMIN]
    assert allows(held, needed) is (order.index(held) >= order.index(needed))


def test_a_token_opens_with_its_own_text_until_it_is_over() -> None:
    text = write_token(ID, CHANCE)
    found = token(text)
    assert token_id_of(text) == ID and found.opens_with(text)
    assert found.is_live(Millis(199)) and not found.is_live(Millis(200))
    assert not token(text, revoked_time=150).is_live(Millis(160))


def test_the_text_is_kept_nowhere() -> None:
    text = write_token(ID, CHANCE)
    assert CHANCE not in repr(token(text)) and CHANCE not in repr(text)


@given(place=st.integers(0, 59), replacement=st.sampled_from("abcXYZ019-_"))
def test_a_text_that_differs_anywhere_opens_nothing(place: int, replacement: str) -> None:
    text = write_token(ID, CHANCE)
    shown = text.reveal()
    other = Secret(shown[:place] + replacement + shown[place + 1 :])
    assert token(text).opens_with(other) is (other == text)


@given(st.text(max_size=90))
def test_no_other_text_has_an_id(text: str) -> None:
    assert token_id_of(Secret(text)) is None or text.startswith("ust_")
    hash_token(Secret(text))


@pytest.mark.parametrize(
    ("token_id", "chance"),
    [("short", CHANCE), (ID, "too-short"), ("3F9A0C21D4E7", CHANCE), (ID, "ä" * 43)],
    ids=["a short id", "a short secret", "an id in capitals", "letters that are none of ours"],
)
def test_a_weak_token_cannot_be_written(token_id: str, chance: str) -> None:
    with pytest.raises(ValueError, match="needs an id"):
        write_token(token_id, chance)
