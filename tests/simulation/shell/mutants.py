"""The safeguards of the shell that a mutant takes out, in the form of the other layer's table. Each names who catches it: the seeds of this
layer, or tests of its own where only bytes of a certain form show it.
"""

from __future__ import annotations

from typing import Final

from tests.simulation.mutants import Edit, Layer, Mutant

WS: Final = "adapters/ws.py"
HTTP: Final = "adapters/http.py"
SOCKETS: Final = "runtime/sockets.py"
GATE: Final = "runtime/gate.py"
RUNNER: Final = "runtime/runner.py"


def _mutant(name: str, safeguard: str, *edits: tuple[str, str, str], tests: tuple[str, ...] = ()) -> Mutant:
    layer = Layer.TESTS if tests else Layer.SHELL
    return Mutant(name=name, safeguard=safeguard, edits=tuple(Edit(*edit) for edit in edits), layer=layer, tests=tests)


SHELL_MUTANTS: Final = (
    _mutant(
        "frames before the hand-over are lost",
        "what comes with the handshake waits for the owner of the socket",
        (WS, "        for tell in held.told if held is not None else ():", "        for tell in ():"),
        tests=("tests/unit/adapters/test_ws.py::test_what_comes_with_the_handshake_waits_for_the_owner",),
    ),
    _mutant(
        "silent connections are kept",
        "once a call got no answer in time, no kept connection is used again",
        (HTTP, "            pool.is_trusted &= not limit.expired()\n", ""),
        tests=("tests/unit/adapters/test_http.py::test_connections_that_fell_silent_are_not_tried_one_after_another",),
    ),
    _mutant(
        "a body that broke off counts as an answer",
        "half an answer is none (and what cannot be read is asked again, so that seeds do not show it)",
        (
            HTTP,
            "    async for chunk in stream.iter_any():\n        content += chunk\n",
            "    while not stream.at_eof():\n        try:\n            content += await stream.readany()\n"
            "        except (aiohttp.ClientError, OSError):\n            break\n",
        ),
        tests=("tests/unit/adapters/test_http.py::test_an_answer_that_breaks_off_is_none",),
    ),
    _mutant(
        "a stale dial is kept",
        "a socket that nobody wants any more when it opens is closed",
        (SOCKETS, "        if not self.expects(connection, line):", "        if False:"),
        tests=("tests/unit/runtime/test_sockets.py::test_a_socket_that_nobody_wants_any_more_is_closed",),
    ),
    _mutant(
        "the gate ignores what the venue refuses",
        "after 429 or 418 nobody calls until the venue wants it",
        (GATE, "        if pause_ms:\n            self.refrain(pause_ms)", "        if False:\n            self.refrain(pause_ms)"),
    ),
    _mutant(
        "the venue's pings are not answered",
        "each ping is answered with its own payload",
        (WS, "                transport.send_pong(payload)\n", ""),
    ),
    _mutant(
        "the end of a socket is not told",
        "whoever owns a socket hears that it ended",
        (WS, "        self._guarded(lambda events: events.on_closed(reason))\n\n    def _hand_on", "\n    def _hand_on"),
    ),
    _mutant(
        "a refused dial is not told",
        "a socket that cannot be opened is tried again",
        (RUNNER, "            self.take_close(connection, str(error))\n", ""),
    ),
    _mutant(
        "calls wait for ever",
        "a call gets its answer in time or none",
        (HTTP, "        limit = asyncio.timeout(time_limit_ms / 1000)", "        limit = asyncio.timeout(None)"),
    ),
    _mutant(
        "dials wait for ever",
        "a socket opens in time or not at all",
        (WS, "asyncio.timeout(time_limit_ms / 1000)", "asyncio.timeout(None)"),
    ),
    _mutant(
        "tasks outlive the stop",
        "a stop ends all that was begun",
        (RUNNER, "        for task in list(self._tasks):\n            task.cancel()\n", "        pass\n"),
    ),
)
