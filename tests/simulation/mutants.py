"""The table of mutants: one safeguard each, taken out of the source by replacing a text that is there exactly once.

`file` is the path below `src/userstream`. Where one safeguard stands behind another, so that a run without the first is saved by the
second, the mutant takes both out: its name names both.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec


class Edit(msgspec.Struct, frozen=True):
    """One text for another."""

    file: str
    old: str
    new: str


class Layer(StrEnum):
    """Who hunts a mutant: the seeds of the pure layer, those of the shell's, or tests that are named."""

    PURE = "seeds"
    SHELL = "shell seeds"
    TESTS = "tests"


class Mutant(msgspec.Struct, frozen=True, kw_only=True):
    """The source without a safeguard. `venue`: whose seeds hunt it. `tests`: those that must fail, as pytest names them."""

    name: str
    safeguard: str
    edits: tuple[Edit, ...]
    layer: Layer = Layer.PURE
    venue: str = "binance-usdm"
    tests: tuple[str, ...] = ()


def make_mutant(
    name: str, safeguard: str, *edits: tuple[str, str, str], venue: str = "binance-usdm", tests: tuple[str, ...] = ()
) -> Mutant:
    """A mutant that the seeds of the pure layer hunt, or the tests that are named."""
    layer = Layer.TESTS if tests else Layer.PURE
    return Mutant(name=name, safeguard=safeguard, edits=tuple(Edit(*edit) for edit in edits), layer=layer, venue=venue, tests=tests)


FILLS: Final = "domain/fills.py"
ORDERS: Final = "domain/orders.py"
REGISTERS: Final = "domain/registers.py"
ACCOUNT: Final = "domain/account.py"
MACHINE: Final = "wire/machine.py"
BOOKS: Final = "wire/books.py"
AGENDA: Final = "wire/agenda.py"
PROOF: Final = "wire/proof.py"
RECOVERY: Final = "wire/recovery.py"
FEED: Final = "wire/feed.py"
PACING: Final = "wire/pacing.py"
INQUIRY: Final = "wire/inquiry.py"
SESSION: Final = "venues/binance/futures.py"
LIFE: Final = "venues/binance/socket_life.py"
REST: Final = "venues/binance/rest.py"

OF_FILLS_AND_ORDERS: Final = (
    make_mutant(
        "fills are not deduplicated",
        "the same execution told again adds nothing",
        (FILLS, "    if known is None:\n        return _add(", "    if known is None or event.fee is not None:\n        return _add("),
    ),
    make_mutant(
        "fills are not completed",
        "a fast first copy without its fee gets it from the second",
        (FILLS, "    if known.fee is not None or event.fee is None:", "    if True:"),
    ),
    make_mutant(
        "forgotten fills are news again",
        "a fill older than proven history that memory forgot is no new one",
        (FILLS, "    if event.transaction_time < account.forgotten_before and", "    if False and"),
    ),
    make_mutant(
        "older copies of orders win",
        "of two copies of an order the older loses",
        (ORDERS, "    if age < known_age or same_order(known, event):", "    if same_order(known, event):"),
    ),
    make_mutant(
        "an end is neither rank nor absorbing",
        "an order that ended never lives again",
        (ORDERS, "        rank = FINAL_RANK", "        rank = 0"),
        (ORDERS, "    if known.status in FINAL and (event.status", "    if False and (event.status"),
    ),
    make_mutant(
        "orders from REST overwrite the stream",
        "a REST copy of an order wins only if it is newer",
        (
            ORDERS,
            "    if age < known_age or same_order(known, event):",
            "    if (age < known_age and event.source is STREAM) or same_order(known, event):",
        ),
        (ORDERS, "    return age > known_age or event.source is STREAM or known.source is not STREAM", "    return True"),
    ),
    make_mutant(
        "forgotten orders come back",
        "a late copy of an order that ended and was forgotten raises no ghost",
        (ORDERS, "    return event.transaction_time < account.forgotten_before and (", "    return False and ("),
    ),
    make_mutant(
        "an order's sum raises no doubt",
        "the cumulative quantity is compared with the sum of the fills",
        (ORDERS, '        account.doubt("order", symbol, order_id)\n', "        pass\n"),
    ),
    make_mutant(
        "a leg's sum raises no doubt",
        "a position is compared with the sum of its fills",
        (ACCOUNT, '            self.doubt("position", key[0], key[1])\n', "            pass\n"),
    ),
    make_mutant(
        "no sum raises a doubt",
        "orders and positions are compared with the sums of fills",
        (ORDERS, '        account.doubt("order", symbol, order_id)\n', "        pass\n"),
        (ACCOUNT, '            self.doubt("position", key[0], key[1])\n', "            pass\n"),
    ),
)

OF_REGISTERS: Final = (
    make_mutant(
        "registers from REST overwrite the stream",
        "a REST answer wins over a newer stream value only when it is asked later than the venue's lag",
        (REGISTERS, "        return WINS if event.as_of > settled_after else LOSES", "        return WINS"),
    ),
    make_mutant(
        "registers from REST never win",
        "a REST answer that is later than the venue's lag is the truth",
        (REGISTERS, "        return WINS if event.as_of > settled_after else LOSES", "        return LOSES"),
    ),
    make_mutant(
        "older registers win",
        "an older value of a position or balance loses",
        (
            REGISTERS,
            "    if event.transaction_time < known.transaction_time:\n        return LOSES",
            "    if event.transaction_time < known.transaction_time:\n        return WINS",
        ),
    ),
    make_mutant(
        "no tie rule",
        "two sockets that tell different things of one instant are a doubt",
        (REGISTERS, "        return TIES\n", "        return WINS\n"),
    ),
    make_mutant(
        "no places within an instant",
        "a copy of the first of two values of one millisecond loses",
        (REGISTERS, "        return _place_in_instant(account, key, known, event, connection)", "        return WINS"),
    ),
    make_mutant(
        "no union of keys",
        "a leg or asset that a complete list does not mention is flat",
        (RECOVERY, "    if isinstance(question, AskPositions):\n        told", "    if False:\n        told"),
        (RECOVERY, "    if isinstance(question, AskBalances):\n        assets", "    if False:\n        assets"),
    ),
)

OF_BOOKS: Final = (
    make_mutant(
        "watermark without lag",
        "a round proves only what is older than the venue's lag",
        (PROOF, "        return Millis(finished.started - self._policy.lag_ms)", "        return finished.started"),
    ),
    make_mutant(
        "no confirming round",
        "after darkness history is read again once the venue's lag has passed",
        (
            PROOF,
            "        return self.lit_at is not None and self._provable(finished) >= self.lit_at",
            "        return self.lit_at is not None",
        ),
    ),
    make_mutant(
        "no resync on reconnect",
        "the books are read when a socket delivers after darkness",
        (
            MACHINE,
            "        if lit and self.books is not None and (not self._was_lit",
            "        if lit and self.books is not None and ((not self._was_lit and not self.books.rounds)",
        ),
    ),
    make_mutant(
        "no history audit",
        "history is read in full from time to time",
        (
            AGENDA,
            "            self._next_history = Millis(int(now + self._policy.history_ms * spread))",
            "            self._next_history = NEVER",
        ),
    ),
    make_mutant(
        "no audit of any kind",
        "the books are read without a cause from time to time",
        (AGENDA, "        self._next_audit = Millis(int(now + self._policy.audit_ms * spread))", "        self._next_audit = NEVER"),
        (
            AGENDA,
            "            self._next_history = Millis(int(now + self._policy.history_ms * spread))",
            "            self._next_history = NEVER",
        ),
    ),
    make_mutant(
        "an audit's finding is not followed, history is not audited",
        "a difference an audit finds leads to a full reading",
        (BOOKS, '            self.read_again("the audit found a difference")\n', "            pass\n"),
        (
            AGENDA,
            "            self._next_history = Millis(int(now + self._policy.history_ms * spread))",
            "            self._next_history = NEVER",
        ),
    ),
    make_mutant(
        "orders that ended unseen are not asked for",
        "orders made or changed since the watermark are read, not only the open ones",
        (RECOVERY, "            self._want(AskOrders(since=self.since, until=self.started))\n", "            pass\n"),
    ),
    make_mutant(
        "not found means canceled",
        "an order the venue does not know stays as it is until that is sure",
        (
            BOOKS,
            "        inquiry.not_found += 1\n        if inquiry.not_found <= NOT_FOUND_TRIES:\n",
            "        known = self._account.orders.get((question.symbol, question.order_id, question.conditional))\n"
            "        if known is not None and not known.has_ended:\n"
            "            import msgspec\n"
            "            from userstream.domain.words import OrderStatus\n"
            "            gone = msgspec.structs.replace(known, sequence=0, status=OrderStatus.CANCELED, received_time=wall)\n"
            "            self._applied([gone])\n"
            "        inquiry.not_found += 1\n        if inquiry.not_found <= NOT_FOUND_TRIES:\n",
        ),
    ),
    make_mutant(
        "absent means canceled",
        "an order that the list of open orders does not name is asked for",
        (
            RECOVERY,
            "                self._want(AskOrder(symbol=order.symbol, order_id=order.order_id, conditional=order.conditional))\n",
            "                import msgspec\n"
            "                from userstream.domain.words import OrderStatus\n"
            "                key = (order.symbol, order.order_id, order.conditional)\n"
            "                account.orders[key] = msgspec.structs.replace(order, status=OrderStatus.CANCELED)\n",
        ),
    ),
    make_mutant(
        "missing orders are not asked for, nor any in turn",
        "an order that the list of open orders does not name is asked for, and some of those held as open in each audit",
        (
            RECOVERY,
            "                self._want(AskOrder(symbol=order.symbol, order_id=order.order_id, conditional=order.conditional))\n",
            "                pass\n",
        ),
        (RECOVERY, "    return (quiet[first:] + quiet[:first])[:most]", "    return []"),
    ),
    make_mutant(
        "a question without an answer is dropped",
        "a call that failed is made again",
        (BOOKS, "                self._inquiries.retry(inquiry, now, error.after_ms)", "                self._inquiries.done(inquiry)"),
    ),
    make_mutant(
        "trades and orders without their fills are ignored",
        "history is not complete while the cash history names a trade, or an order tells a quantity, that no fill explains",
        (PROOF, "        unknown = finished.unknown_trades(self._account)\n", "        unknown: list[tuple[Symbol, str]] = []\n"),
        (PROOF, "in self._short_orders(finished, until) if", "in self._short_orders(finished, until)[:0] if"),
    ),
    make_mutant(
        "the cash history is not read",
        "the cash history names symbols nobody heard of",
        (RECOVERY, "        if traits.movements and self.since", "        if False and self.since"),
    ),
    make_mutant(
        "conditional orders are not read",
        "open conditional orders are read with the others",
        (
            RECOVERY,
            "        for conditional in (False, True) if traits.conditional_orders else (False,):\n",
            "        for conditional in (False,):\n",
        ),
    ),
    make_mutant(
        "the weight budget is off",
        "no more weight is asked for than the venue allows",
        (PACING, "            if used and used + weight > cap:", "            if False:"),
    ),
    make_mutant(
        "no back-off",
        "tries wait longer after each failure",
        (PACING, "        if failures <= 0:", "        if failures < 99:"),
    ),
)

OF_SOCKETS: Final = (
    make_mutant(
        "no watchdog",
        "a silent socket is replaced",
        (LIFE, "        return now - self._heard_at >= self._place.silence_limit_ms", "        return False"),
        (LIFE, "        due, ping_at = heard_at + place.silence_limit_ms,", "        due, ping_at = NEVER,"),
    ),
    make_mutant(
        "no pings of our own",
        "a quiet socket is asked whether it lives",
        (LIFE, "            effects.append(Ping())", "            pass"),
    ),
    make_mutant(
        "the end of a listen key is ignored",
        "a socket whose key expired is replaced",
        (
            SESSION,
            "            case KeyExpired():\n                return self._replace(KEY_EXPIRED, alive=False)",
            "            case KeyExpired():\n                return []",
        ),
    ),
    make_mutant(
        "-1125 is ignored",
        "a socket whose key the venue does not know is replaced",
        (
            SESSION,
            '        except ListenKeyGone:\n            return self._replace("listen key gone", alive=False)\n',
            "",
        ),
        (SESSION, "import AuthenticationError, ListenKeyGone, RetryLater", "import AuthenticationError, RetryLater"),
    ),
    make_mutant(
        "a replaced listen key is ignored",
        "a socket whose key another process replaced is replaced too",
        (SESSION, "        if key is not None and key != self._key:", "        if False:"),
    ),
    make_mutant(
        "listen keys are not kept alive",
        "a listen key is extended, and missed when it is gone",
        (SESSION, "        self._renew_at = Millis(now + self._place.listen_key_keep_alive_ms)", "        self._renew_at = NEVER"),
    ),
    make_mutant(
        "a shutdown notice is ignored",
        "a socket that will be closed is replaced before",
        (SESSION, "                return self._replace(SHUTDOWN, alive=True)", "                return []"),
    ),
    make_mutant(
        "no rotation",
        "a socket is replaced before the venue's 24 h limit",
        (LIFE, '            effects += self._replace("24 h limit", alive=True)', "            pass"),
    ),
    make_mutant(
        "break before make",
        "a successor delivers before its predecessor is closed",
        (FEED, "        if alive and line.opened is not None:", "        if False:"),
    ),
    make_mutant(
        "no drain",
        "a predecessor goes on beside its successor for a while",
        (
            FEED,
            "                line.retiring_at = Millis(now + self._policy.drain_ms)\n                self._next_dial = now",
            "                line.retiring_at = now\n                self._next_dial = now",
        ),
        (FEED, "                other.retiring_at = Millis(now + self._policy.drain_ms)\n", "                other.retiring_at = now\n"),
    ),
    make_mutant(
        "a silent successor replaces a speaking predecessor",
        "a predecessor that speaks stays while its successor is silent",
        (FEED, "        if successor is not None and successor.frames == 0 and line.frames", "        if False and line.frames"),
    ),
    make_mutant(
        "a socket may take forever to open",
        "a socket that does not open in time is given up",
        (FEED, "            if now >= line.dialing_since + self._policy.opening_limit_ms:", "            if False:"),
        (
            FEED,
            "                due = min(due, Millis(line.dialing_since + self._policy.opening_limit_ms))\n",
            "                pass\n",
        ),
    ),
    make_mutant(
        "the form of subscribing never changes",
        "another way of subscribing is tried when one stays silent",
        (
            FEED,
            "                self.form += 1\n            self._replace(line, reason, alive=True, now=now)",
            "                pass\n            self._replace(line, reason, alive=True, now=now)",
        ),
        (FEED, "            self.form += lived is None and line.dialed", "            self.form += 0"),
        (FEED, "            self.form += 1\n            line.frames_at_succession", "            line.frames_at_succession"),
    ),
    make_mutant(
        "what the stream missed raises no suspicion",
        "a socket that did not tell what history holds is replaced",
        (BOOKS, "            facts += self._turned_deaf(min(missed), now, wall)\n", "            pass\n"),
    ),
)

MUTANTS: Final = (*OF_FILLS_AND_ORDERS, *OF_REGISTERS, *OF_BOOKS, *OF_SOCKETS)
