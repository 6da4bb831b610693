"""How the venues of the Binance family say no: codes, texts and HTTP statuses, and how a rule of the books becomes one (3.3)."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from userstream.sim.books import Refused
from userstream.sim.venue import Json

# What every product of the family says in the same words.
COMMON: Final[Mapping[int, str]] = MappingProxyType(
    {
        -1000: "An unknown error occurred while processing the request.",
        -1002: "You are not authorized to execute this request.",
        -1016: "This service is no longer available.",
        -1020: "This operation is not supported.",
        -1021: "Timestamp for this request is outside of the recvWindow.",
        -1022: "Signature for this request is not valid.",
        -1115: "Invalid timeInForce.",
        -1116: "Invalid orderType.",
        -1117: "Invalid side.",
        -1121: "Invalid symbol.",
        -1125: "This listenKey does not exist.",
        -1128: "Combination of optional parameters invalid.",
        -1130: "Data sent for a parameter is not valid.",
        -1131: "recvWindow must be less than 60000",
        -1135: "Invalid JSON Request",
        -2011: "Unknown order sent.",
        -2013: "Order does not exist.",
        -2014: "API-key format invalid.",
        -2015: "Invalid API-key, IP, or permissions for action.",
    }
)
UNAUTHORIZED: Final = frozenset({-1002, -2014, -2015})
UNKNOWN_RULES: Final = frozenset({"unknown_order", "unknown_list"})


class VenueError(Exception):
    """An answer that is an error: code and text as the venue gives them, and the HTTP status that carries it.

    `data` goes out with them. One that is no answer is told on a socket without the id of the request that met it.
    """

    def __init__(
        self,
        code: int,
        text: str = "",
        *,
        status: int = 0,
        headers: Mapping[str, str] | None = None,
        data: Json = None,
        is_answer: bool = True,
    ) -> None:
        self.code = code
        self.text = text or COMMON.get(code, COMMON[-1000])
        self.status = status or (401 if code in UNAUTHORIZED else 400)
        self.headers = dict(headers or {})
        self.data = data
        self.is_answer = is_answer
        super().__init__(f"{self.code}: {self.text}")

    @property
    def body(self) -> dict[str, Json]:
        """The error object of a REST answer."""
        error: dict[str, Json] = {"code": self.code, "msg": self.text}
        return error if self.data is None else error | {"data": self.data}


class Vocabulary:
    """The texts of one product, and what the rules of the books are called there: a code, or a code with a text of its own."""

    def __init__(self, texts: Mapping[int, str], rules: Mapping[str, tuple[int, str]]) -> None:
        self.texts = MappingProxyType(dict(COMMON) | dict(texts))
        self.rules = rules

    def refuse(self, code: int, text: str = "", *, status: int = 0, data: Json = None) -> VenueError:
        """The error of this product with its own text, unless another one says more."""
        return VenueError(code, text or self.texts.get(code, ""), status=status, data=data)

    def translate(self, refused: Refused, *, unknown: int = 0) -> VenueError:
        """The product's words for a rule of the books. `unknown`: the code for an order or list that is not there, where it is another."""
        if unknown and refused.rule in UNKNOWN_RULES:
            return self.refuse(unknown)
        return self.refuse(*self.rules.get(refused.rule, (-1000, "")))


def missing(name: str) -> VenueError:
    """-1102 for a parameter that is missing, empty or malformed."""
    return VenueError(-1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")


def missing_both(one: str, other: str) -> VenueError:
    """-1102 where one of two parameters must be there."""
    return VenueError(-1102, f"Param '{one}' or '{other}' must be sent, but both were empty/null!")


def invalid(name: str) -> VenueError:
    """-1130 for a value that does not fit."""
    return VenueError(-1130, f"Data sent for parameter '{name}' is not valid.")


def not_required(name: str) -> VenueError:
    """-1106 for a parameter that does not belong here."""
    return VenueError(-1106, f"Parameter '{name}' sent when not required.")
