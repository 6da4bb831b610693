"""The command line as a whole: which commands there are, and what happens to words it does not know."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.metadata import version
from typing import Final

from cyclopts import App, Argument, CoercionError, CycloptsError, MissingArgumentError, Parameter, Token, UnusedCliTokensError, convert

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

NUMBERS: Final = {int: "a whole number", int | None: "a whole number", float: "a number", float | None: "a number"}
WHOLE: Final = re.compile(r"[+-]?\d+", re.ASCII)
EXAMPLE: Final = re.compile(r"Example: `(.+?)`", re.DOTALL)


class Commands:
    """The app, with the modules of the asked command alone (all of them only for the list of commands)."""

    def __init__(self) -> None:
        self._app = App(
            name="userstream",
            help="A correct, real-time, durable picture of many exchange accounts.\n\nBegin with: userstream demo",
            version=version("userstream"),
            result_action="return_value",
            default_parameter=Parameter(negative=(), converter=_convert),
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

            complain("\n".join(explain_misuse(error, asked)))
            return USAGE
        return result if isinstance(result, int) else OK


def _command(module: str, name: str) -> Callable[..., object]:
    command: Callable[..., object] = getattr(import_module(module), name)
    return command


def _convert(kind: type, tokens: Sequence[Token]) -> object:
    if kind is int and not WHOLE.fullmatch(tokens[0].value):
        raise CoercionError(token=tokens[0], target_type=kind)  # the converter alone would round 1.5 and say nothing
    return convert(kind, tokens)


def explain_misuse(error: CycloptsError, asked: str | None) -> list[str]:
    """What is wrong with the words, an example where words are missing or left over, and where help is: a line each."""
    command = " ".join(error.command_chain or ([asked] if asked else []))
    unfit = error.target is not None and isinstance(error, MissingArgumentError | UnusedCliTokensError)
    example = EXAMPLE.search(error.target.__doc__ or "") if unfit else None
    shown = [f"Example: {' '.join(example.group(1).split())}"] if example else []
    return [_say_what_is_wrong(error, command), *shown, f"Try: userstream {f'{command} ' if command else ''}--help"]


def _say_what_is_wrong(error: CycloptsError, command: str) -> str:
    match error:
        case MissingArgumentError(argument=Argument() as missing):
            help_line = (missing.parameter.help or "").strip()
            if error.keyword is not None:
                return f"{error.keyword} needs a value: {help_line}"
            return f"{command} needs {_name_of(missing)}, which is missing: {help_line}"
        case CoercionError(argument=Argument() as wrong) if error.token is not None and (number := NUMBERS.get(wrong.hint)):
            return f"{_name_of(wrong)} {error.token.value!r} is not {number}"
        case UnusedCliTokensError():
            words = " ".join(error.unused_tokens or ())
            return f"{command} has no use for {words!r}"
        case _:
            return str(error).strip()


def _name_of(argument: Argument) -> str:
    """As the help writes it: an option by its name, a word by its place in capitals."""
    by_place = argument.field_info.kind is not argument.field_info.KEYWORD_ONLY
    return argument.name.lstrip("-").upper().replace("-", "_") if by_place else argument.name


def make_app() -> Commands:
    return Commands()
