"""Forms hold plain text and numbers, so that JSON and its document agree."""

from __future__ import annotations

from decimal import Decimal

import msgspec

from tests.support.events import order_changed
from userstream.domain.account import Account
from userstream.domain.audit import AuditHead, AuditNote, link
from userstream.domain.figures import Balance, order_of
from userstream.entry.web.forms import audit_form, balance_form, last_state_form, order_form, owned_balance
from userstream.entry.web.last_known import LastKnown
from userstream.kernel.ids import AccountId, Millis, VenueName


def test_amounts_keep_their_digits_and_words_are_plain() -> None:
    form = order_form(order_of(order_changed(price="0.00000010", quantity="1E+3", status="new")))
    assert (form.price, form.quantity, form.status, form.is_open) == ("0.00000010", "1000", "new", True)
    assert type(form.status) is str and type(form.side) is str


def test_what_nobody_said_is_null() -> None:
    balance = Balance(
        asset="USDT", total=Decimal("5.0"), cross_total=None, available=None, available_time=Millis(0), updated_time=Millis(7)
    )
    known = LastKnown(account=Account(AccountId("alice"), VenueName("binance-usdm")), sequence=3, known_until=Millis(9))
    form = owned_balance(last_state_form(known), balance_form(balance))
    assert msgspec.to_builtins(form) == {
        "account": "alice", "asset": "USDT", "total": "5.0", "cross_total": None, "available": None, "available_time": 0, "updated_time": 7,
        "known_until": 9,
    }  # fmt: skip


def test_an_entry_of_the_audit_log_shows_its_place_in_the_chain() -> None:
    entry = link(AuditHead(), AuditNote(time=Millis(5), actor="a", origin="o", action="account.add", subject="s"))
    form = audit_form(entry)
    assert (form.sequence, form.previous, form.hash) == (1, entry.previous, entry.hash)
