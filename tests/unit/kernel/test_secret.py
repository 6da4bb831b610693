import copy
import json
import pickle

import msgspec
import pytest

from userstream.kernel.secret import Secret

WORD = "k3y-of-alice"


def test_only_reveal_shows_it() -> None:
    secret = Secret(WORD)
    shown = [repr(secret), str(secret), f"{secret}", f"{secret:>40}", "%s" % secret, repr([secret]), repr({"key": secret})]  # noqa: UP031
    assert all(WORD not in text and "***" in text for text in shown)
    assert secret.reveal() == WORD


@pytest.mark.parametrize("leak", [pickle.dumps, copy.copy, copy.deepcopy, json.dumps, msgspec.json.encode, msgspec.to_builtins])
def test_it_cannot_be_copied_or_written(leak: object) -> None:
    assert callable(leak)
    with pytest.raises(TypeError) as refusal:
        leak(Secret(WORD))
    assert WORD not in str(refusal.value)


def test_it_holds_no_public_field() -> None:
    assert not hasattr(Secret(WORD), "__dict__")
    with pytest.raises(AttributeError):
        Secret(WORD).text  # type: ignore[attr-defined] # noqa: B018


def test_two_of_the_same_text_are_equal() -> None:
    assert Secret(WORD) == Secret(WORD)
    assert hash(Secret(WORD)) == hash(Secret(WORD))
    assert Secret(WORD) != Secret("other")
    assert Secret(WORD) != WORD


def test_text_that_is_no_utf8_is_compared_without_an_error() -> None:
    assert Secret("k\udc80") == Secret("k\udc80")
    assert Secret("k\udc80") != Secret("k\udc81")


def test_an_empty_one_counts_as_missing() -> None:
    assert not Secret("")
    assert Secret(WORD)
