"""HTTP over aiohttp: one call in, one value out. Trouble on the way is a value too, in words that hold no secret."""

from __future__ import annotations

import asyncio
import re
import ssl
from typing import Final

import aiohttp
from aiohttp.client_middlewares import ClientHandlerType
from multidict import CIMultiDict
from yarl import URL

from userstream.adapters.network import check_address, trusted_roots, words_for
from userstream.kernel.errors import SettingsError
from userstream.ports import Metrics
from userstream.wire.request import HttpRequest, HttpResponse

LARGEST_ANSWER: Final = 32 * 1024 * 1024
"""Bytes of an answer's body, after decompression."""

_KEEP_ALIVE_S: Final = 30.0
# what may stand in a request line; a blank or a '#' would make the venue read another target than the signed one
_TARGET: Final = re.compile(r"/[!-\"$-~]*")


class AiohttpClient:
    """Keeps connections alive between calls; certificates are verified against this system's roots and `extra_roots` (PEM text).

    Once a call got no answer in time, none of the kept connections is used again: they may all lead nowhere. Follows no redirect, keeps
    no cookie, reads no proxy from the environment. Belongs to the event loop of its first call.
    """

    def __init__(self, metrics: Metrics | None = None, extra_roots: str | None = None) -> None:
        self._metrics = metrics
        self._roots = trusted_roots(extra_roots)
        self._bases: dict[str, str] = {}
        self._pools: list[_Pool] = []
        self._closed = False

    async def send(self, base_url: str, request: HttpRequest, *, time_limit_ms: int) -> HttpResponse:
        """The answer, whatever its status; status 0 when none came within `time_limit_ms` (of name, TCP, TLS, call and body together).

        The target goes out exactly as it was signed. A call that may not be repeated is sent at most once.
        Raises SettingsError unless `base_url` is https:// or, to this machine only, http://.
        """
        base = self._bases.get(base_url) or self._learn(base_url)
        response = await self._answer(base, request, time_limit_ms)
        if self._metrics is not None:
            self._metrics.count("rest_requests_total", labels={"request": request.label, "status": str(response.status)})
        return response

    async def close(self) -> None:
        """Ends the kept connections. Later calls get no answer."""
        self._closed = True
        pools, self._pools = self._pools, []
        for pool in pools:
            await pool.session.close()

    def _learn(self, base_url: str) -> str:
        check_address(base_url, secure="https", plain="http")
        if "?" in base_url:
            raise SettingsError("a base address must not hold a query")
        self._bases[base_url] = base_url.rstrip("/")
        return self._bases[base_url]

    async def _answer(self, base: str, request: HttpRequest, time_limit_ms: int) -> HttpResponse:
        target = request.target.reveal()
        if self._closed:
            return _no_answer("the client is closed")
        if _TARGET.fullmatch(target) is None:
            return _no_answer("the target cannot be written into a request line")
        pool = self._trusted_pool()
        limit = asyncio.timeout(time_limit_ms / 1000)
        pool.calls += 1
        try:
            async with limit:
                return await self._exchange(pool.session, URL(base + target, encoded=True), request)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            pool.is_trusted &= not limit.expired()
            return _no_answer(f"no answer within {time_limit_ms} ms" if limit.expired() else _words(error))
        finally:
            pool.calls -= 1
            await self._close_if_done(pool)

    async def _exchange(self, session: aiohttp.ClientSession, url: URL, request: HttpRequest) -> HttpResponse:
        body = request.body
        async with session.request(
            request.method,
            url,
            headers=CIMultiDict((name, value.reveal()) for name, value in request.headers),
            data=body.reveal().encode() if body is not None else None,
            allow_redirects=False,
            middlewares=() if request.may_repeat else (_once,),
        ) as answer:
            content = await _read_limited(answer.content)
            headers = {name.lower(): ", ".join(answer.headers.getall(name)) for name in answer.headers}
            return HttpResponse(status=answer.status, body=content, headers=headers)

    def _trusted_pool(self) -> _Pool:
        if not self._pools or not self._pools[-1].is_trusted:
            self._pools.append(_Pool(self._roots))
        return self._pools[-1]

    async def _close_if_done(self, pool: _Pool) -> None:
        if not pool.is_trusted and not pool.calls and pool in self._pools:
            self._pools.remove(pool)
            await pool.session.close()


class _Pool:
    """Connections that are kept between calls, and how many calls are on their way. An untrusted one lives until its last call ends."""

    def __init__(self, roots: ssl.SSLContext) -> None:
        self.calls = 0
        self.is_trusted = True
        self.session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=roots, keepalive_timeout=_KEEP_ALIVE_S),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(),  # the limit around each call covers everything
            headers={"User-Agent": "userstream"},
            skip_auto_headers=("Content-Type",),
            trust_env=False,
        )


class _TooLarge(aiohttp.ClientError):
    pass


class _BrokenOff(aiohttp.ClientError):
    """A call that was on its way when the connection ended: nobody knows whether it arrived."""


async def _once(request: aiohttp.ClientRequest, send: ClientHandlerType) -> aiohttp.ClientResponse:
    # aiohttp sends GET, PUT and DELETE again when a kept connection turns out dead; an error of another kind keeps it from that
    try:
        return await send(request)
    except aiohttp.ClientConnectorError:
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError):
        raise _BrokenOff from None


async def _read_limited(stream: aiohttp.StreamReader) -> bytes:
    content = bytearray()
    async for chunk in stream.iter_any():
        content += chunk
        if len(content) > LARGEST_ANSWER:
            raise _TooLarge
    return bytes(content)


def _no_answer(reason: str) -> HttpResponse:
    return HttpResponse(status=0, body=reason.encode())


def _words(error: Exception) -> str:
    """Never the error's own text: aiohttp puts the whole address into it."""
    match error:
        case aiohttp.ClientConnectorCertificateError():
            return words_for(error.certificate_error)
        case aiohttp.ClientConnectorDNSError():
            return "name does not resolve"
        case aiohttp.ClientConnectorError():
            return words_for(error.os_error)
        case aiohttp.ClientPayloadError():
            return "the answer broke off"
        case aiohttp.ServerDisconnectedError() | aiohttp.ClientOSError() | aiohttp.ClientConnectionResetError() | _BrokenOff():
            return "the connection broke off"
        case _TooLarge():
            return "the answer is over 32 MiB"
        case aiohttp.ClientResponseError():
            return "the answer is no HTTP"
        case aiohttp.ClientError():
            return f"no usable answer ({type(error).__name__})"
        case ValueError() if not isinstance(error, UnicodeError):
            return "a header cannot be written into a request"
        case _:
            return words_for(error)
