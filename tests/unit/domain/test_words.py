import pytest

from userstream.domain.words import FINAL, OrderStatus, PositionSide, Side, Source, StreamState


@pytest.mark.parametrize("status", list(OrderStatus))
def test_only_four_words_end_an_order(status: OrderStatus) -> None:
    assert status.is_final is (status in FINAL)
    assert status.is_final is (status in ("filled", "canceled", "rejected", "expired"))


@pytest.mark.parametrize("words", [OrderStatus, Side, PositionSide, Source, StreamState])
def test_a_word_is_its_own_public_text(words: type[OrderStatus]) -> None:
    for word in words:
        assert f"{word}" == word.value == word
        assert word.value == word.value.lower()
