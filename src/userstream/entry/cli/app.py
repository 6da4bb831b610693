"""The command line as a whole: which commands there are, and what happens to words it does not know."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from importlib.metadata import version

from cyclopts import App, CycloptsError, Parameter

from userstream.entry.cli import OK, USAGE

COMMANDS = {
    "demo": "userstream.entry.cli.demo",
    "run": "userstream.entry.cli.run",
    "simulate": "userstream.entry.cli.simulate",
    "decode": "userstream.entry.cli.decode",
    "tail": "userstream.entry.cli.tail",
    "state": "userstream.entry.cli.state",
    "audit": "userstream.entry.cli.audit",
    "doctor": "userstream.entry.cli.doctor",
    "db": "userstream.entry.cli.db",
    "chaos": "userstream.entry.cli.chaos",
}
GROUPS = {
    "alerts": "userstream.entry.cli.alerts",
    "accounts": "userstream.entry.cli.accounts",
    "keys": "userstream.entry.cli.keys",
    "tokens": "userstream.entry.cli.tokens",
}
"""Commands that have commands of their own."""


class Commands:
    """The app, with the modules of the asked command alone (all of them only for the list of commands)."""

    def __init__(self) -> None:
        self._app = App(
            name="userstream",
            help="A correct, real-time, durable picture of many exchange accounts.\n\nBegin with: userstream demo",
            version=version("userstream"),
            result_action="return_value",
            default_parameter=Parameter(negative=()),
        )

    def run(self, arguments: list[str]) -> int:
        known = {**COMMANDS, **GROUPS}
        asked = next((word for word in arguments if word in known), None)
        for name in [asked] if asked is not None else known:
            self._app.command(_command(known[name], name), name=name)
        try:
            # a lone dash is no option: it means standard input, which is what commands read when no file is named
            words = [word for word in arguments if word != "-"]
            result = self._app(words or ["--help"], exit_on_error=False, print_error=False, help_on_error=False)
        except CycloptsError as error:
            from userstream.entry.cli.output import complain

            complain(f"{str(error).strip()}\nTry: userstream {f'{asked} ' if asked else ''}--help")
            return USAGE
        return result if isinstance(result, int) else OK


def _command(module: str, name: str) -> Callable[..., object]:
    command: Callable[..., object] = getattr(import_module(module), name)
    return command


def make_app() -> Commands:
    return Commands()
