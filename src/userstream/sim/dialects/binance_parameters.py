"""Parameters of the Binance family, in the query, in the form body or in both; read with their types (3.4)."""

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import TypeVar
from urllib.parse import parse_qsl, unquote_plus

import msgspec

from userstream.sim.dialects.binance_errors import VenueError, invalid, missing

Word = TypeVar("Word")
LONGEST_NUMBER = 64


class Parameters:
    """Named texts with typed readers. A missing or malformed one raises -1102, a word that is not in its table the error given."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self.values = dict(values)

    def maybe_text(self, name: str) -> str | None:
        return self.values.get(name) or None

    def text(self, name: str) -> str:
        found = self.maybe_text(name)
        if found is None:
            raise missing(name)
        return found

    def maybe_whole(self, name: str) -> int | None:
        found = self.maybe_text(name)
        if found is None:
            return None
        digits = found.removeprefix("-")
        if len(found) > LONGEST_NUMBER or not (digits.isascii() and digits.isdigit()):
            raise missing(name)
        return int(found)

    def whole(self, name: str) -> int:
        found = self.maybe_whole(name)
        if found is None:
            raise missing(name)
        return found

    def maybe_amount(self, name: str) -> Decimal | None:
        found = self.maybe_text(name)
        if found is None:
            return None
        amount = _amount_of(found)
        if amount is None:
            raise missing(name)
        return amount

    def amount(self, name: str) -> Decimal:
        found = self.maybe_amount(name)
        if found is None:
            raise missing(name)
        return found

    def maybe_flag(self, name: str) -> bool | None:
        found = self.maybe_text(name)
        if found is None:
            return None
        if found.lower() not in ("true", "false"):
            raise invalid(name)
        return found.lower() == "true"

    def flag(self, name: str, default: bool = False) -> bool:
        found = self.maybe_flag(name)
        return default if found is None else found

    def word(self, name: str, table: Mapping[str, Word], wrong: VenueError, default: str = "") -> Word:
        """The meaning of a word; `wrong` is raised for a word that is not in the table, -1102 for none where there is no default."""
        found = self.maybe_text(name) or default
        if not found:
            raise missing(name)
        if found not in table:
            raise wrong
        return table[found]


@lru_cache(maxsize=256)
def _amount_of(text: str) -> Decimal | None:
    """The number of a text, if it is one that can be printed; most calls give the same few."""
    try:
        amount = Decimal(text) if len(text) <= LONGEST_NUMBER else Decimal("NaN")
    except InvalidOperation:
        return None
    return amount if amount.is_finite() and abs(amount.adjusted()) <= LONGEST_NUMBER else None


def read_pairs(query: str, body: bytes) -> dict[str, str]:
    """All parameters; a name in the query wins over the same name in the body."""
    pairs = _pairs_of(query)
    return _pairs_of(body.decode("utf-8", "replace")) | pairs if body else pairs


def _pairs_of(text: str) -> dict[str, str]:
    """What is not encoded is only taken apart, which is most of what comes."""
    if "%" in text or "+" in text:
        return dict(parse_qsl(text, keep_blank_values=True))
    pairs: dict[str, str] = {}
    for piece in text.split("&"):
        if piece:
            name, _, value = piece.partition("=")
            pairs[name] = value
    return pairs


def signed_payloads(query: str, body: bytes) -> list[bytes]:
    """The texts that the signature may be of: query and body without the signature, as sent and percent-decoded.

    The venue did not say whether it signs before or after percent-encoding, so both are taken.
    """
    sent = _without_signature(query) + (_without_signature(body.decode("utf-8", "replace")) if body else "")
    decoded = unquote_plus(sent) if "%" in sent or "+" in sent else sent
    return [sent.encode()] if decoded == sent else [sent.encode(), decoded.encode()]


def _without_signature(text: str) -> str:
    signed, _, signature = text.rpartition("&signature=")
    if signed and "&" not in signature and "signature=" not in signed:
        return signed
    return "&".join(piece for piece in text.split("&") if not piece.startswith("signature="))


def plain_text(value: bytes) -> str:
    """A JSON scalar as the text that the same parameter would have in a query; numbers keep their digits."""
    return msgspec.json.decode(value, type=str) if value[:1] == b'"' else value.decode()
