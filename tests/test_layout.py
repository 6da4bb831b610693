"""The order of the house: names, sizes, mirrors and words. Exceptions stand here as data, each with its reason."""

import ast
import inspect
import io
import re
import sys
import tokenize
import tomllib
from collections.abc import Iterator, Mapping
from fnmatch import fnmatch
from pathlib import Path
from types import MappingProxyType
from typing import Final

import pytest

import userstream

ROOT: Final = Path(__file__).resolve().parent.parent
PACKAGE: Final = ROOT / "src" / "userstream"
UNIT_TESTS: Final = ROOT / "tests" / "unit"
OWN_PYTHON_FOLDERS: Final = ("src", "tests", "benchmarks", "examples")

MOST_LINES_OF_A_FILE: Final = 500
MOST_LINES_OF_A_FUNCTION: Final = 40
LINES_WITHOUT_A_TEST_FILE: Final = 60

START_COMMAND: Final = "pip install uv && uv run userstream demo"
TEST_COMMAND: Final = "pip install uv && uv run --group dev pytest"

# path below the root -> why it may be longer
LONGER_FILES: Final[Mapping[str, str]] = MappingProxyType({})
# path below the root :: qualified name -> why it may be longer
LONGER_FUNCTIONS: Final[Mapping[str, str]] = MappingProxyType({})
# path below src/userstream -> why it has no test file of its own
WITHOUT_MIRROR: Final[Mapping[str, str]] = MappingProxyType(
    {
        "__init__.py": "public names only; the export tests of this file hold them",
        "ports.py": "Protocols only; the suites in tests/contract hold every implementation to them",
        "sim/books.py": "records without behaviour; the engine and the ledger are tested with them",
    }
)
# path below src/userstream -> the tests, below tests, that hold it together with its neighbours
TESTED_TOGETHER: Final[Mapping[str, str]] = MappingProxyType(
    {
        "venues/binance/account_facts.py": "contract/test_venue.py",
        "venues/binance/coin_messages.py": "contract/test_venue.py",
        "venues/binance/messages.py": "contract/test_venue.py",
        "venues/binance/order_facts.py": "contract/test_venue.py",
        "venues/binance/rows.py": "contract/test_venue.py",
        "venues/binance/spot_rows.py": "unit/venues/binance/test_wallet_books.py",
        "venues/binance/spot_answers.py": "unit/venues/binance/test_spot_rest.py",
        "venues/binance/spot_facts.py": "contract/test_venue.py",
        "venues/binance/spot_messages.py": "contract/test_venue.py",
        "wire/question.py": "unit/wire/test_recovery.py",
        "domain/account.py": "scenario/test_usdm_stream.py",
        "domain/checks.py": "scenario/test_usdm_stream.py",
        "domain/events.py": "contract/test_venue.py",
        "domain/figures.py": "scenario/test_usdm_stream.py",
        "domain/fills.py": "scenario/test_usdm_stream.py",
        "domain/fold.py": "scenario/test_usdm_stream.py",
        "domain/orders.py": "scenario/test_usdm_stream.py",
        "domain/registers.py": "scenario/test_usdm_stream.py",
        "entry/cli/demo.py": "scenario/test_commands.py",
        "entry/cli/run.py": "scenario/test_commands.py",
        "entry/cli/table.py": "unit/entry/test_show.py",
    }
)
# path below tests/unit -> why no source file has its name
TEST_WITHOUT_SOURCE: Final[Mapping[str, str]] = MappingProxyType({})
# package -> the declared dependency whose public signatures name it
CARRIED_BY: Final[Mapping[str, str]] = MappingProxyType({"multidict": "aiohttp", "yarl": "aiohttp"})
# folders whose files speak to a person at a terminal
PRINTING_FOLDERS: Final = ("src/userstream/entry/cli",)
# what a test may not do, and what it does instead
FORBIDDEN_IN_TESTS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "monkeypatch.setattr": "give the object a small fake behind its port",
        "mock.patch": "give the object a small fake behind its port",
        "mocker.patch": "give the object a small fake behind its port",
        "time.sleep": "turn the manual clock",
    }
)
LONGEST_YIELD_S: Final = 0.005
SLEEPING_FOLDERS: Final = ("tests/simulation/shell/", "tests/processes/")
"""The loop of the one is virtual, so that sleep takes no time; the processes of the other are real, and take it."""


def own_files(*folders: str) -> list[Path]:
    found = (path for folder in folders for path in (ROOT / folder).rglob("*.py"))
    return sorted(path for path in found if not any(part.startswith(".") for part in path.relative_to(ROOT).parts))


def below_root(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def dotted(node: ast.expr) -> str:
    """`a.b.c` of an attribute chain, an empty text of anything else."""
    match node:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=value, attr=name) if front := dotted(value):
            return f"{front}.{name}"
        case _:
            return ""


def calls(tree: ast.AST) -> Iterator[tuple[str, ast.Call]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and (name := dotted(node.func)):
            yield name, node


FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef


def functions(tree: ast.AST, front: str = "") -> Iterator[tuple[str, FunctionNode]]:
    """Every function with its qualified name, the inner ones too."""
    for node in ast.iter_child_nodes(tree):
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                yield f"{front}{node.name}", node
                yield from functions(node, f"{front}{node.name}.")
            case ast.ClassDef():
                yield from functions(node, f"{front}{node.name}.")
            case _:
                yield from functions(node, front)


def docstring_of(node: FunctionNode | ast.ClassDef | ast.Module) -> ast.stmt | None:
    first = node.body[0] if node.body else None
    match first:
        case ast.Expr(value=ast.Constant(value=str())):
            return first
        case _:
            return None


def length_of(statement: ast.stmt) -> int:
    return (statement.end_lineno or statement.lineno) - statement.lineno + 1


def length_of_function(node: FunctionNode) -> int:
    """Lines from `def` to the end; a promise in the docstring costs nothing."""
    promise = docstring_of(node)
    return length_of(node) - (length_of(promise) if promise is not None else 0)


def lines_of_code(source: str) -> int:
    """Lines that hold a token which is neither comment nor docstring."""
    promises = (docstring_of(node) for node in ast.walk(ast.parse(source)) if isinstance(node, FunctionNode | ast.ClassDef | ast.Module))
    prose = {line for promise in promises if promise is not None for line in range(promise.lineno, (promise.end_lineno or 0) + 1)}
    silent = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    code = {line for token in tokens if token.type not in silent for line in range(token.start[0], token.end[0] + 1)}
    return len(code - prose)


def mirrors_of(source: Path) -> list[Path]:
    """Where the test of a source file may stand."""
    below = source.relative_to(PACKAGE)
    folder = UNIT_TESTS / below.parent
    if below.name == "__init__.py":
        return [folder / "test_init.py", folder / f"test_{source.parent.name}.py"]
    return [folder / f"test_{below.stem.lstrip('_')}.py"]


def has_source(test: Path) -> bool:
    """True of test_orders.py and of test_orders_cancel.py where orders.py or the folder orders stands at the mirrored place."""
    below = test.parent.relative_to(UNIT_TESTS)
    folder = (ROOT / "tests" if below.parts[:1] == ("support",) else PACKAGE) / below
    words = test.stem.removeprefix("test_").split("_")
    stems = ["_".join(words[:count]) for count in range(1, len(words) + 1)]
    if stems[0] in ("init", folder.name) and (folder / "__init__.py").exists():
        return True
    return any((folder / f"{front}{stem}.py").exists() or (folder / stem).is_dir() for stem in stems for front in ("", "_"))


def test_the_public_names_are_the_written_ones() -> None:
    written = (ROOT / "tests" / "exports.txt").read_text(encoding="utf-8").split()
    assert sorted(getattr(userstream, "__all__", ())) == written, "the public surface changed; if on purpose: make exports"


def test_every_public_name_says_what_it_promises() -> None:
    silent = []
    for name in getattr(userstream, "__all__", ()):
        thing = getattr(userstream, name)
        if not (inspect.isclass(thing) or inspect.isroutine(thing)):
            continue
        written = thing.__dict__.get("__doc__") if inspect.isclass(thing) else thing.__doc__
        if not written or written.startswith(f"{name}("):
            silent.append(name)
    assert silent == [], "public things without a docstring"


def test_every_source_file_has_a_test_file_at_the_mirrored_place() -> None:
    large = [path for path in own_files("src/userstream") if lines_of_code(path.read_text(encoding="utf-8")) > LINES_WITHOUT_A_TEST_FILE]
    listed = [path for path in large if path.relative_to(PACKAGE).as_posix() not in {*WITHOUT_MIRROR, *TESTED_TOGETHER}]
    missing = [below_root(mirrors_of(path)[-1]) for path in listed if not any(mirror.exists() for mirror in mirrors_of(path))]
    assert missing == []


def test_every_unit_test_mirrors_a_source_file() -> None:
    tests = [path for path in UNIT_TESTS.rglob("test_*.py") if path.relative_to(UNIT_TESTS).as_posix() not in TEST_WITHOUT_SOURCE]
    assert sorted(below_root(path) for path in tests if not has_source(path)) == []


def test_no_file_is_too_long() -> None:
    lengths = {below_root(path): len(path.read_text(encoding="utf-8").splitlines()) for path in own_files(*OWN_PYTHON_FOLDERS)}
    too_long = {name: lines for name, lines in lengths.items() if lines > MOST_LINES_OF_A_FILE and name not in LONGER_FILES}
    assert too_long == {}


def test_no_function_is_too_long() -> None:
    named = {
        f"{below_root(path)}::{name}": length_of_function(node)
        for path in own_files(*OWN_PYTHON_FOLDERS)
        for name, node in functions(tree_of(path))
    }
    too_long = {name: lines for name, lines in named.items() if lines > MOST_LINES_OF_A_FUNCTION and name not in LONGER_FUNCTIONS}
    assert too_long == {}


def test_every_exception_is_still_needed_and_has_its_reason() -> None:
    files = {below_root(path): path for path in own_files(*OWN_PYTHON_FOLDERS)}
    assert {name for name in LONGER_FILES if name not in files} == set()
    assert {name for name in LONGER_FUNCTIONS if name.split("::")[0] not in files} == set()
    for table in (WITHOUT_MIRROR, TESTED_TOGETHER):
        assert {name for name in table if not (PACKAGE / name).exists()} == set()
    assert {name for name in WITHOUT_MIRROR if any(mirror.exists() for mirror in mirrors_of(PACKAGE / name))} == set()
    assert {name for name in TESTED_TOGETHER.values() if not (ROOT / "tests" / name).exists()} == set()
    for table in (LONGER_FILES, LONGER_FUNCTIONS, WITHOUT_MIRROR, TEST_WITHOUT_SOURCE):
        assert all(len(reason.split()) >= 4 for reason in table.values())


def test_only_the_terminal_prints() -> None:
    quiet = [path for path in own_files("src") if not below_root(path).startswith(PRINTING_FOLDERS)]
    assert [f"{below_root(path)}:{call.lineno}" for path in quiet for name, call in calls(tree_of(path)) if name == "print"] == []


def test_every_source_file_opens_with_the_rule_of_its_room() -> None:
    silent = [path for path in own_files("src") if path.read_text(encoding="utf-8").strip() and docstring_of(tree_of(path)) is None]
    assert [below_root(path) for path in silent] == []


def test_no_test_patches_modules_or_sleeps() -> None:
    found = []
    for path in own_files("tests"):
        for name, call in calls(tree_of(path)):
            banned = [word for word in FORBIDDEN_IN_TESTS if name == word or name.endswith(f".{word}")]
            if banned or (name.endswith("asyncio.sleep") and sleeps(call) and not may_sleep(path)):
                found.append(f"{below_root(path)}:{call.lineno} {name}")
    assert found == []


def may_sleep(path: Path) -> bool:
    return below_root(path).startswith(SLEEPING_FOLDERS)


def sleeps(call: ast.Call) -> bool:
    match call.args:
        case [ast.Constant(value=int() | float() as seconds), *_]:
            return seconds > LONGEST_YIELD_S
        case _:
            return True


def test_the_readme_names_both_commands_and_the_gate_runs_the_tests_with_the_same_words() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    gate = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    assert START_COMMAND in [line.strip() for line in readme]
    assert TEST_COMMAND in [line.strip() for line in readme]
    assert gate[-1] == TEST_COMMAND, "the last line of the gate is the test command, so that its last words are the result"
    assert "make check" in gate


def test_the_lock_names_versions_and_hashes_and_no_address() -> None:
    lock = (ROOT / "requirements" / "dev.txt").read_text(encoding="utf-8")
    pinned = re.findall(r"^([a-z0-9._-]+)==\S+.*\\$", lock, flags=re.MULTILINE)
    assert "://" not in lock
    assert len(pinned) == len(set(pinned)) == len(re.findall(r"^[^\s#]", lock, flags=re.MULTILINE))
    assert lock.count("--hash=sha256:") >= len(pinned)
    assert "uv.lock" in (ROOT / ".gitignore").read_text(encoding="utf-8").split()


def third_party_imports(tree: ast.AST) -> set[str]:
    """The packages a file imports that are neither ours nor the standard library's."""
    named: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                named |= {alias.name.split(".")[0] for alias in names}
            case ast.ImportFrom(module=str(module), level=0):
                named.add(module.split(".")[0])
            case _:
                continue
    return named - sys.stdlib_module_names - {"userstream", "binance_futures_async", "__future__"}


def test_every_imported_package_is_a_declared_dependency_and_the_other_way_round() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    optional = [line for lines in project.get("optional-dependencies", {}).values() for line in lines]
    needed = {package_name(line) for line in project["dependencies"]}
    allowed = needed | {package_name(line) for line in optional} | {name for name, carrier in CARRIED_BY.items() if carrier in needed}
    imported = {name for path in own_files("src") for name in third_party_imports(tree_of(path))}
    assert imported - allowed == set(), "imported, but in no list of pyproject.toml"
    assert needed - imported == set(), "asked of every user, but imported nowhere"


def package_name(requirement: str) -> str:
    return re.split(r"[^\w-]", requirement)[0].replace("-", "_")


def documents() -> list[Path]:
    return [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]


def links_of(text: str) -> list[str]:
    """The relative links of a document, without their anchors."""
    targets = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text)
    return [target for target in targets if "://" not in target and not target.startswith("mailto:")]


def test_every_link_in_the_documents_leads_to_a_file() -> None:
    links = [(path, target) for path in documents() for target in links_of(path.read_text(encoding="utf-8"))]
    assert [f"{below_root(path)}: {target}" for path, target in links if not (path.parent / target).exists()] == []


def names_in_the_tree() -> list[str]:
    """File names, with a folder and a star where one line speaks for many."""
    return re.findall(r"(?:\w+/)*[\w*]+\.py\b", (ROOT / "docs" / "where-things-are.md").read_text(encoding="utf-8"))


def test_the_tree_in_the_documents_names_every_source_file_and_no_other() -> None:
    named = names_in_the_tree()
    plain = [path for path in own_files("src") if path.name not in ("__init__.py", "__main__.py")]
    assert [below_root(path) for path in plain if not any(fnmatch(below_root(path), f"*/{name}") for name in named)] == []
    present = [below_root(path) for path in own_files("src", "tests")]
    assert [name for name in named if not any(fnmatch(path, f"*/{name}") for path in present)] == []


def test_every_path_the_documents_name_exists() -> None:
    named = re.compile(r"`((?:src|tests|docs|benchmarks|examples|requirements)/[\w./-]+)`")
    found = [(path, name) for path in documents() for name in named.findall(path.read_text(encoding="utf-8"))]
    assert [f"{below_root(path)}: {name}" for path, name in found if not (ROOT / name).exists()] == []


@pytest.mark.parametrize(
    ("source", "lines"),
    [
        ("", 0),
        ('"""Only a promise."""\n', 0),
        ("# only a comment\n\n\n", 0),
        ('def f() -> int:\n    """Says."""\n    # why\n    return 1\n', 2),
        ('TEXT = """one\ntwo\n"""\n', 3),
    ],
)
def test_lines_of_code_leave_out_prose(source: str, lines: int) -> None:
    assert lines_of_code(source) == lines


@pytest.mark.parametrize(("source", "lines"), [("def f():\n    return 1\n", 2), ('def f():\n    """A\n    B"""\n    return 1\n', 2)])
def test_the_length_of_a_function_leaves_out_its_promise(source: str, lines: int) -> None:
    [(_, node)] = functions(ast.parse(source))
    assert length_of_function(node) == lines


def test_inner_functions_are_found_with_their_qualified_names() -> None:
    source = "class A:\n    async def b(self):\n        def c():\n            pass\nif True:\n    def d(): pass\n"
    assert [name for name, _ in functions(ast.parse(source))] == ["A.b", "A.b.c", "d"]


@pytest.mark.parametrize(("source", "verdict"), [("asyncio.sleep(0)", False), ("asyncio.sleep(1)", True), ("asyncio.sleep(pause_s)", True)])
def test_a_yield_is_told_from_a_sleep(source: str, verdict: bool) -> None:
    [(_, call)] = calls(ast.parse(source))
    assert sleeps(call) is verdict
