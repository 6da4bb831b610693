"""Mutants of what Spot and margin alone have: lists of orders that hang on each other, and isolated pairs with one key."""

from __future__ import annotations

from typing import Final

from tests.simulation.mutants import make_mutant

RECOVERY: Final = "wire/recovery.py"
LISTS: Final = "domain/order_lists.py"
DIALECT: Final = "venues/binance/spot_rest.py"
PLACES: Final = "venues/binance/__init__.py"

SPOT_MUTANTS: Final = (
    make_mutant(
        "order lists are not asked for",
        "a list that is open as far as we know, or that only an order names, is asked for",
        (RECOVERY, "        self._ask_order_lists(account)\n", "        pass\n"),
        venue="binance-spot",
    ),
    make_mutant(
        "a list lives on after its end",
        "what has ended stays ended, of lists too",
        (LISTS, "    if has_list_ended(known):\n        return False\n", ""),
        venue="binance-spot",
    ),
    make_mutant(
        "the books say a list's news",
        "where the books say of a list what is known, that is no news, and older than what the stream told it may be",
        (LISTS, "    if event.source is not STREAM or event.transaction_time < known.transaction_time:", "    if False:"),
        tests=("tests/unit/domain/test_order_lists.py::test_the_books_end_a_list_and_repeat_nothing",),
    ),
    make_mutant(
        "an isolated pair asks for all pairs",
        "an isolated account asks for its own pair only: of others the venue tells what is another account's",
        (DIALECT, "            only_symbols=bool(books.only),", "            only_symbols=False,"),
        venue="binance-margin",
    ),
    make_mutant(
        "an isolated pair reads the cross account's books",
        "an isolated account has books of its own",
        (PLACES, "isolated_books(pair))", "CROSS_BOOKS)"),
        venue="binance-margin",
    ),
)
