"""The page that names a test for each requirement of the Binance family tells the truth: no product is left out, each test is there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "topics" / "binance-family.md").read_text(encoding="utf-8")
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
PRODUCTS = ("Spot", "Margin", "COIN-M")
REQUIRED = (
    "a cut",
    "rotation",
    "serverShutdown",
    "eventStreamTerminated",
    "renewed",
    "without permission",
    "deposit and a transfer",
    "base asset and in BNB",
    "OCO",
    "maker-only",
)


def rows() -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in PAGE.splitlines() if line.startswith("| ")]


def scenarios() -> list[list[str]]:
    return [row for row in rows() if len(row) == 1 + len(PRODUCTS) and row[0] != "Requirement"]


def functions_of(path: str) -> set[str]:
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")}


def test_each_required_scenario_stands_in_the_table() -> None:
    assert next(row for row in rows() if row[0] == "Requirement") == ["Requirement", *PRODUCTS]
    told = [row[0] for row in scenarios()]
    assert [words for words in REQUIRED if not any(words in requirement for requirement in told)] == []


def test_each_product_has_a_test_or_a_reason_why_it_needs_none() -> None:
    bare = [(row[0], cell) for row in scenarios() for cell in row[1:] if not NAMED.search(cell) and len(cell.split()) < 4]
    assert bare == []
    assert [row[0] for row in rows() if not any(NAMED.search(cell) for cell in row[1:]) and row[0] != "Requirement"] == []


def test_each_named_test_exists() -> None:
    named = {(path, name) for path, name in NAMED.findall(PAGE)}
    known = {path: functions_of(path) for path, _ in named}
    assert sorted(f"{path}::{name}" for path, name in named if name not in known[path]) == []
