import builtins

import pytest

from userstream.kernel import errors
from userstream.kernel.errors import ClockSkewed, DecodeError, RetryLater, UserStreamError, nearest

ALL = [thing for thing in vars(errors).values() if isinstance(thing, type) and issubclass(thing, Exception)]


@pytest.mark.parametrize("kind", ALL)
def test_every_error_belongs_to_the_one_tree_and_says_what_it_means(kind: type[Exception]) -> None:
    assert issubclass(kind, UserStreamError)
    assert kind.__doc__
    assert str(kind("one line")) == "one line"


def test_a_failed_connection_is_also_the_languages_own() -> None:
    assert issubclass(errors.ConnectionError, builtins.ConnectionError)
    assert issubclass(errors.ConnectionError, OSError)


def test_the_venues_advice_is_kept() -> None:
    assert RetryLater("too many", after_ms=3_000).after_ms == 3_000
    assert RetryLater("busy").after_ms is None
    assert isinstance(ClockSkewed("-1021"), RetryLater)


def test_a_decoding_error_gives_its_reason() -> None:
    assert DecodeError("no object").reason == "no object"


def test_a_mistyped_word_gets_its_neighbour() -> None:
    assert nearest("reconect_delay", ("reconnect_delay", "max_queue")) == "did you mean 'reconnect_delay'?"


def test_a_strange_word_gets_the_whole_list_in_order() -> None:
    assert nearest("xyz", ("b", "a")) == "known: a, b"
