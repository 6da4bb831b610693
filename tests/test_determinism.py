"""The pure floors give the same answer to the same question. Read from the syntax tree, because imports alone do not show it.

Ruff and import-linter see a part of this. What they cannot see stands here: awaiting, the interpreter's own sources of
chance (`hash`, `id`, the order of a set), and doors to files. The set rule reads one function at a time: it knows set displays,
calls that make sets, set operations on these, and names that were given a set or annotated as one.
"""

import ast
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

import pytest

ROOT: Final = Path(__file__).resolve().parent.parent
PACKAGE: Final = ROOT / "src" / "userstream"
PURE_FLOORS: Final = ("kernel", "domain", "wire", "venues", "sim")
# path below src/userstream -> why a file of a pure floor is no part of it; all of the simulator counts as pure until it stands here
SHELLS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "sim/clock.py": "the clock of the paper exchange reads the time for all others",
        "sim/connection.py": "one open socket; awaits what it says",
        "sim/faults.py": "reads a fault script from its file",
        "sim/server.py": "carries the paper exchange to a socket",
    }
)
# these must be there and pure, whatever else the simulator grows
HEART_OF_THE_SIMULATOR: Final = ("sim/engine.py", "sim/ledger.py", "sim/books.py")

FORBIDDEN_MODULES: Final = frozenset(
    {
        *("asyncio", "concurrent", "contextvars", "queue", "selectors", "signal", "threading", "multiprocessing", "subprocess"),
        *("time", "secrets", "uuid"),
        *("os", "io", "pathlib", "shutil", "tempfile", "socket", "ssl", "sqlite3", "http", "logging", "warnings", "locale"),
        *("aiohttp", "picows", "prometheus_client", "structlog", "rich"),
    }
)
FORBIDDEN_CALLS: Final = frozenset({"id", "hash", "open", "input", "print", "eval", "exec", "globals", "vars", "breakpoint", "__import__"})
CLOCK_READERS: Final = frozenset({"now", "utcnow", "today", "localtime", "astimezone"})
SET_MAKERS: Final = frozenset({"set", "frozenset"})
SET_METHODS: Final = frozenset({"union", "intersection", "difference", "symmetric_difference"})
SET_ANNOTATIONS: Final = frozenset({"set", "frozenset", "Set", "AbstractSet", "MutableSet", "FrozenSet"})
SET_OPERATORS: Final = (ast.BitOr, ast.BitAnd, ast.Sub, ast.BitXor)
# calls whose answer does not depend on the order in which they are fed
ORDERLESS: Final = frozenset({"set", "frozenset", "sorted", "any", "all", "len", "min", "max", "sum", "Counter"})
# calls that keep the order in which they are fed
ORDER_KEEPERS: Final = frozenset(
    {"list", "tuple", "enumerate", "iter", "next", "zip", "map", "filter", "reversed", "join", "fromkeys", "extend"}
)


@dataclass(frozen=True, order=True)
class Finding:
    line: int
    rule: str


def last_name(node: ast.expr) -> str:
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
        case ast.Subscript(value=value):
            return last_name(value)
        case _:
            return ""


def imports(tree: ast.AST) -> Iterator[Finding]:
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                modules = [alias.name for alias in names]
            case ast.ImportFrom(module=str(module), level=0):
                modules = [module]
            case _:
                continue
        yield from (Finding(node.lineno, f"imports {name}") for name in modules if name.split(".")[0] in FORBIDDEN_MODULES)


def awaiting(tree: ast.AST) -> Iterator[Finding]:
    for node in ast.walk(tree):
        match node:
            case ast.AsyncFunctionDef() | ast.Await() | ast.AsyncFor() | ast.AsyncWith():
                yield Finding(node.lineno, "awaits")
            case _:
                continue


def hashing(tree: ast.AST) -> set[ast.AST]:
    """What stands inside a `__hash__`, the one place where the interpreter's own hash is meant."""
    owners = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name == "__hash__")
    return {inner for owner in owners for inner in ast.walk(owner)}


def impure_calls(tree: ast.AST) -> Iterator[Finding]:
    allowed = hashing(tree)
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name(id=name)) if name in FORBIDDEN_CALLS and node not in allowed:
                yield Finding(node.lineno, f"calls {name}")
            case ast.Call(func=ast.Attribute(value=value, attr=name)) if name in CLOCK_READERS and last_name(value) in ("datetime", "date"):
                yield Finding(node.lineno, f"reads the clock with {name}")
            case _:
                continue


def chance(tree: ast.AST) -> Iterator[Finding]:
    """A generator that comes in as an argument or has a seed is no chance; everything else of `random` is."""
    for node in ast.walk(tree):
        match node:
            case ast.ImportFrom(module="random"):
                yield Finding(node.lineno, "takes names out of random")
            case ast.Attribute(value=ast.Name(id="random"), attr=name) if name != "Random":
                yield Finding(node.lineno, f"draws with random.{name}")
            case ast.Call(func=ast.Attribute(value=ast.Name(id="random"), attr="Random"), args=[], keywords=[]):
                yield Finding(node.lineno, "makes a generator without a seed")
            case _:
                continue


def scopes(tree: ast.AST) -> Iterator[ast.AST]:
    yield tree
    yield from (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda))


def nodes_of(scope: ast.AST) -> Iterator[ast.AST]:
    """Everything inside a scope, without what belongs to a function within it."""
    for child in ast.iter_child_nodes(scope):
        yield child
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield from nodes_of(child)


def is_set(node: ast.expr, names: frozenset[str]) -> bool:
    """True where the syntax alone shows that the value is a set."""
    match node:
        case ast.Set() | ast.SetComp():
            return True
        case ast.Name(id=name):
            return name in names
        case ast.Call(func=ast.Name(id=name)) if name in SET_MAKERS:
            return True
        case ast.Call(func=ast.Attribute(value=value, attr=name)) if name in SET_METHODS:
            return is_set(value, names) or is_keys(value)
        case ast.BinOp(left=left, op=operator, right=right) if isinstance(operator, SET_OPERATORS):
            return any(is_set(side, names) or is_keys(side) for side in (left, right))
        case ast.IfExp(body=body, orelse=otherwise):
            return is_set(body, names) or is_set(otherwise, names)
        case _:
            return False


def is_keys(node: ast.expr) -> bool:
    """A view of keys keeps its order when walked, and loses it in a set operation."""
    match node:
        case ast.Call(func=ast.Attribute(attr="keys" | "items")):
            return True
        case _:
            return False


def is_set_annotation(node: ast.expr | None) -> bool:
    match node:
        case ast.Subscript(value=value):
            return last_name(value) in SET_ANNOTATIONS
        case ast.Name() | ast.Attribute():
            return last_name(node) in SET_ANNOTATIONS
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return is_set_annotation(left) or is_set_annotation(right)
        case _:
            return False


def names_of_sets(scope: ast.AST, outer: frozenset[str]) -> frozenset[str]:
    """Names that hold a set in a scope: its parameters, its annotations, its assignments."""
    found = set(outer)
    if isinstance(scope, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
        taken = [*scope.args.posonlyargs, *scope.args.args, *scope.args.kwonlyargs]
        found = {name for name in found if name not in {argument.arg for argument in taken}}
        found |= {argument.arg for argument in taken if is_set_annotation(argument.annotation)}
    for node in nodes_of(scope):
        match node:
            case ast.AnnAssign(target=ast.Name(id=name), annotation=annotation, value=value):
                if is_set_annotation(annotation) or (value is not None and is_set(value, frozenset(found))):
                    found.add(name)
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                (found.add if is_set(value, frozenset(found)) else found.discard)(name)
            case _:
                continue
    return frozenset(found)


def walks(scope: ast.AST) -> Iterator[ast.expr]:
    """The values a scope walks through where the order can be seen outside."""
    harmless: set[ast.AST] = set()
    for node in nodes_of(scope):
        match node:
            case ast.For(iter=walked):
                yield walked
            case ast.Call(func=function, args=arguments) if last_name(function) in ORDERLESS:
                harmless.update(arguments)
            case ast.Call(func=function, args=arguments) if last_name(function) in ORDER_KEEPERS:
                yield from arguments
            case ast.Starred(value=walked, ctx=ast.Load()):
                yield walked
            case ast.ListComp(generators=generators) | ast.DictComp(generators=generators) | ast.GeneratorExp(generators=generators):
                if node not in harmless:
                    yield from (generator.iter for generator in generators)
            case _:
                continue


def set_order(tree: ast.AST) -> Iterator[Finding]:
    outer = names_of_sets(tree, frozenset())
    unordered = {
        star.value for display in ast.walk(tree) if isinstance(display, ast.Set) for star in display.elts if isinstance(star, ast.Starred)
    }
    for scope in scopes(tree):
        names = outer if scope is tree else names_of_sets(scope, outer)
        found = (walked for walked in walks(scope) if walked not in unordered and is_set(walked, names))
        yield from (Finding(walked.lineno, "walks a set") for walked in found)


def findings(source: str) -> list[Finding]:
    tree = ast.parse(source)
    return sorted({*imports(tree), *awaiting(tree), *impure_calls(tree), *chance(tree), *set_order(tree)})


def pure_files() -> Iterable[Path]:
    found = (path for floor in PURE_FLOORS for path in sorted((PACKAGE / floor).rglob("*.py")))
    return (path for path in found if path.relative_to(PACKAGE).as_posix() not in SHELLS)


def test_the_pure_floors_are_deterministic() -> None:
    named = [(path.relative_to(PACKAGE).as_posix(), finding) for path in pure_files() for finding in findings(path.read_text("utf-8"))]
    assert [f"{name}:{finding.line} {finding.rule}" for name, finding in named] == []


@pytest.mark.parametrize("place", [*PURE_FLOORS, *SHELLS, *HEART_OF_THE_SIMULATOR])
def test_every_named_place_exists(place: str) -> None:
    assert (PACKAGE / place).exists()


def test_the_heart_of_the_simulator_is_no_shell() -> None:
    assert set(HEART_OF_THE_SIMULATOR) & set(SHELLS) == set()


BAD: Final = {
    "import time": "imports time",
    "from time import monotonic_ns": "imports time",
    "import os.path": "imports os.path",
    "def f():\n    import secrets": "imports secrets",
    "import random\npick = random.choice(symbols)": "draws with random.choice",
    "from random import shuffle": "takes names out of random",
    "dice = random.Random()": "makes a generator without a seed",
    "async def f(): pass": "awaits",
    "key = hash(order)": "calls hash",
    "key = id(order)": "calls id",
    "text = open(name).read()": "calls open",
    "stamp = datetime.datetime.now(UTC)": "reads the clock with now",
    "stamp = date.today()": "reads the clock with today",
    "for side in {'buy', 'sell'}: pass": "walks a set",
    "for symbol in set(symbols): pass": "walks a set",
    "for symbol in frozenset(symbols) - done: pass": "walks a set",
    "for symbol in ours.keys() | theirs.keys(): pass": "walks a set",
    "for symbol in {*ours}.union(theirs): pass": "walks a set",
    "symbols = set(ours)\nfor symbol in symbols: pass": "walks a set",
    "SIDES = {'buy', 'sell'}\ndef f():\n    return [side for side in SIDES]": "walks a set",
    "def f(symbols: frozenset[str]):\n    yield from (s for s in symbols)": "walks a set",
    "def f(symbols: Set[str] | None):\n    return tuple(symbols)": "walks a set",
    "def f(wanted: collections.abc.Set[str]):\n    return [*wanted]": "walks a set",
    "text = ','.join({'a', 'b'})": "walks a set",
    "first = next(iter({'a', 'b'}))": "walks a set",
    "table = {key: 1 for key in set(names)}": "walks a set",
    "pairs = list(enumerate(set(names)))": "walks a set",
}
GOOD: Final = (
    "import hashlib, hmac, decimal",
    "from collections.abc import Set",
    "for symbol in sorted(set(symbols)): pass",
    "for symbol in dict.fromkeys(symbols): pass",
    "for key in table.keys(): pass",
    "known = {order.symbol for order in set(orders)}",
    "found = any(name in table for name in {'a', 'b'})",
    "both = {*set(ours), *set(theirs)}",
    "if word in {'NEW', 'FILLED'}: pass",
    "names = set(ours)\nnames = sorted(names)\nfor name in names: pass",
    "SIDES = {'buy'}\ndef f(SIDES: list[str]):\n    return [side for side in SIDES]",
    "left = total - fee\nfor part in parts: pass",
    "reader.now(5)",
    "import random\ndef f(chance: random.Random) -> float:\n    return random.Random(chance.random()).random()",
    "class A:\n    def __hash__(self):\n        return hash(self.key)",
)


@pytest.mark.parametrize(("source", "rule"), BAD.items())
def test_each_leak_is_found(source: str, rule: str) -> None:
    assert rule in {finding.rule for finding in findings(source)}


@pytest.mark.parametrize("source", GOOD)
def test_orderly_code_is_left_alone(source: str) -> None:
    assert findings(source) == []
