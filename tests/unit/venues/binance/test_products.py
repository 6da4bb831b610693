"""The rows of the table of products: what they have in common, and what must not be mixed up."""

from __future__ import annotations

import msgspec
import pytest

from userstream.kernel.errors import SettingsError
from userstream.venues import find_venue
from userstream.venues.binance.forms import KEY_EXPIRY, Form, event_list
from userstream.venues.binance.products import COIN_M, USD_M, FuturesProduct, Read

ROWS = pytest.mark.parametrize("product", [USD_M, COIN_M], ids=lambda product: str(product.name))


def reads_of(product: FuturesProduct) -> dict[str, Read]:
    return msgspec.structs.asdict(product.reads)


@ROWS
def test_no_product_calls_the_paths_of_the_other(product: FuturesProduct) -> None:
    prefix = product.feed.listen_key_path.removesuffix("v1/listenKey")
    assert {read.path.partition("v")[0] for read in reads_of(product).values()} == {prefix}
    assert len({read.path for read in reads_of(product).values()}) == len(reads_of(product))


@ROWS
def test_no_single_read_costs_more_than_a_tenth_of_the_shared_budget(product: FuturesProduct) -> None:
    limit = find_venue(product.name).weight_limit_per_minute
    assert all(0 < read.weight <= limit // 10 for read in reads_of(product).values())


@ROWS
def test_every_event_of_a_product_can_be_read(product: FuturesProduct) -> None:
    assert {*product.feed.events, "serverShutdown"} == product.feed.language.shapes.keys()
    assert KEY_EXPIRY in product.feed.events


def test_the_forms_of_each_product_in_their_order() -> None:
    assert USD_M.feed.forms == (Form.QUERY, Form.PATH, Form.SUBSCRIBE)
    assert COIN_M.feed.forms == (Form.PATH, Form.COMBINED, Form.SUBSCRIBE)
    assert (USD_M.feed.socket_path, COIN_M.feed.socket_path) == ("/private", "")


def test_an_event_of_the_other_product_is_no_event() -> None:
    with pytest.raises(SettingsError, match="'TRADE_LITE' is no event of this stream"):
        event_list(("TRADE_LITE",), COIN_M.feed.events)
