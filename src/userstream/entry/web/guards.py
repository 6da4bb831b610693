"""Who may call which route. A route without a role is closed to all: a forgotten word never opens anything."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import structlog
from litestar import Request, Response
from litestar.connection import ASGIConnection
from litestar.exceptions import HTTPException, SerializationException, ValidationException
from litestar.handlers import BaseRouteHandler

from userstream.domain.access import Role, allows
from userstream.entry.web.access import Principal
from userstream.entry.web.answers import ApiError, ErrorAnswer, ErrorText
from userstream.entry.web.checks import Refusal
from userstream.entry.web.queries import Parameters, refuse_body, refuse_names, refuse_values
from userstream.kernel.errors import StoreError

ROLE: Final = "role"
PUBLIC: Final = "public"
_log = structlog.stdlib.get_logger("userstream.http")

WORDS: Final = {
    400: Refusal(status=400, code="bad_request", message="the request is not as the API document says"),
    404: Refusal(status=404, code="not_found", message="there is nothing here"),
    405: Refusal(status=405, code="method_not_allowed", message="this method is not used here"),
    413: Refusal(status=413, code="body_too_large", message="the body is larger than 64 KiB"),
}
NO_JSON: Final = Refusal(status=400, code="bad_body", message="the body is not as the API document says: it is no JSON")
BROKEN: Final = Refusal(status=500, code="internal_error", message="the server failed; its log says why")
NO_STORE: Final = Refusal(status=503, code="store_trouble", message="the store cannot be used now", retry_after_ms=1_000)


def require_role(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """Raises ApiError 401 for a caller nobody knows, 403 for one whose role is too small, or where the route names none."""
    needed = handler.opt.get(ROLE)
    if needed == PUBLIC:
        return
    caller = caller_of(connection)
    if caller is None:
        raise ApiError(401, "token_needed", "give a token: Authorization: Bearer ...")
    if not (isinstance(needed, Role) and allows(caller.role, needed)):
        wanted = f"this needs the role {needed.value}" if isinstance(needed, Role) else "nobody may do this"
        raise ApiError(403, "role_too_small", f"{wanted}; the token's role is {caller.role.value}")


def plain_path(path: str) -> str:
    """A route's path as the API document writes it, without the types of its parts."""
    return re.sub(r":\w+}", "}", path)


class QueryGuard:
    """Refuses queries that a route does not take, and words what a value must be. Paths outside the API document take what they like."""

    def __init__(self, known: Mapping[tuple[str, str], Parameters]) -> None:
        self._known = known

    def require_names(self, connection: ASGIConnection[Any, Any, Any, Any], _handler: BaseRouteHandler) -> None:
        """Raises ApiError 400 for a parameter that the route does not take, or that is given twice."""
        known = self._parameters(connection)
        if known is not None and (refusal := refuse_names(known, [name for name, _ in connection.query_params.multi_items()])) is not None:
            raise ApiError(refusal.status, refusal.code, refusal.message)

    def answer(self, request: Request[Any, Any, Any], error: ValidationException) -> Response[ErrorAnswer]:
        """The answer to values that are not as the document says: each with its name and its rule."""
        known, given = self._parameters(request) or {}, {**request.query_params, **request.path_params}
        told = [(str(one.get("key")), str(one.get("message"))) for one in error.extra or () if isinstance(one, dict)]
        wrong = [(key, str(given[key])) for key in dict.fromkeys(key for key, _ in told) if key in known and key in given]
        if wrong:
            return _answer(refuse_values(known, wrong))
        return _answer(refuse_body(told) if told else WORDS[400])

    def _parameters(self, connection: ASGIConnection[Any, Any, Any, Any]) -> Parameters | None:
        method = str(connection.scope.get("method", "get")).lower()
        return self._known.get((method, plain_path(connection.scope["path_template"])))


def caller_of(connection: ASGIConnection[Any, Any, Any, Any]) -> Principal | None:
    """Whom the gatekeeper recognized."""
    found = connection.scope.get("auth")
    return found if isinstance(found, Principal) else None


def known_caller(connection: ASGIConnection[Any, Any, Any, Any]) -> Principal:
    """The same behind the guard of a route with a role."""
    caller = caller_of(connection)
    if caller is None:
        raise ApiError(401, "token_needed", "give a token: Authorization: Bearer ...")
    return caller


def origin_of(connection: ASGIConnection[Any, Any, Any, Any]) -> str:
    """From where the caller calls, for the audit log."""
    return connection.client.host if connection.client is not None else "unknown"


def answer_error(request: Request[Any, Any, Any], error: Exception) -> Response[ErrorAnswer]:
    """The answer to any exception of a route: never its text, unless it was written for the caller."""
    refusal = _refusal_of(error)
    if refusal.status >= 500:
        # the path, not the whole address
        _log.error("a request failed", action="http_failed", kind=request.method, path=request.scope["path"], exc_info=error)
    return _answer(refusal)


def _answer(refusal: Refusal) -> Response[ErrorAnswer]:
    headers = {"Retry-After": str(-(-refusal.retry_after_ms // 1_000))} if refusal.retry_after_ms else {}
    if refusal.challenge:
        headers["WWW-Authenticate"] = "Bearer"
    body = ErrorAnswer(error=ErrorText(code=refusal.code, message=refusal.message))
    return Response(body, status_code=refusal.status, headers=headers, media_type="application/json")


def _refusal_of(error: Exception) -> Refusal:
    match error:
        case ApiError():
            return error.refusal
        case StoreError():
            return NO_STORE
        case HTTPException(status_code=400, __cause__=SerializationException()):
            return NO_JSON
        case HTTPException(status_code=status) if status in WORDS:
            return WORDS[status]
        case HTTPException(status_code=status) if status < 500:
            return Refusal(status=status, code="refused", message="the request was refused")
        case _:
            return BROKEN
