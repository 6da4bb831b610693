"""Rows as JSON and as CSV."""

from __future__ import annotations

import csv
import io

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from userstream.adapters.tables import TABLES
from userstream.entry.web.history import FLAGS, FillRow, LedgerRow, MarginCallRow, OrderRow, read_rows, write_csv

KINDS = {"orders": OrderRow, "fills": FillRow, "movements": LedgerRow, "margin_calls": MarginCallRow}
FILL: dict[str, object] = {
    "account": "alice", "venue": "binance-usdm", "symbol": "BTCUSDT", "trade_id": "1", "order_id": "2", "client_order_id": "bot-1",
    "side": "sell", "position_side": "both", "price": "61250.10", "quantity": "0.100", "fee": "-0.00000001", "fee_asset": "USDT",
    "maker": 1, "realized_pnl": None, "origin": "own", "transaction_time": 5, "event_time": 6, "received_time": 7, "source": "stream",
    "sequence": 8,
}  # fmt: skip


@pytest.mark.parametrize(("table", "kind"), KINDS.items())
def test_every_column_is_told_and_no_other(table: str, kind: type[msgspec.Struct]) -> None:
    assert sorted(kind.__struct_fields__) == sorted(TABLES[table].columns)
    booleans = {field.name for field in msgspec.structs.fields(kind) if "bool" in str(field.type)}
    assert booleans == FLAGS & set(TABLES[table].columns)


def test_amounts_stay_as_the_venue_wrote_them_and_flags_are_booleans() -> None:
    [row] = read_rows([FILL], FillRow)
    assert msgspec.to_builtins(row) == {**FILL, "maker": True}


def test_a_row_that_was_never_written_is_no_answer() -> None:
    with pytest.raises(msgspec.ValidationError):
        read_rows([{**FILL, "price": 1.5}], FillRow)


def read_csv(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


@given(st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\x00")))
def test_csv_gives_back_every_text_and_starts_no_formula(text: str) -> None:
    [told] = read_csv(write_csv(read_rows([{**FILL, "client_order_id": text}], FillRow), FillRow))
    shown = told["client_order_id"]
    assert shown in (text, f"'{text}")
    assert not shown.startswith(("=", "@", "\t")) and told["fee"] == "-0.00000001" and told["maker"] == "true"


def test_csv_of_nothing_has_its_names() -> None:
    assert write_csv([], FillRow).strip().split(",") == list(FillRow.__struct_fields__)
