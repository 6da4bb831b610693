"""The page that names a test for each complaint about clients of private feeds tells the truth: none is left out, each test is there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "topics" / "peers.md").read_text(encoding="utf-8")
COMPLAINTS = 98
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


def rows() -> list[list[str]]:
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in PAGE.splitlines() if line.startswith("| ")]
    return [row for row in cells if row[0] != "No."]


def functions_of(path: str) -> set[str]:
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")}


def test_each_complaint_stands_in_one_row() -> None:
    numbers = [int(number) for row in rows() for number in row[0].split(", ")]
    assert sorted(numbers) == list(range(1, COMPLAINTS + 1))


def test_each_row_names_a_thread_and_a_test() -> None:
    assert [row for row in rows() if len(row) != 4 or not all(row) or not NAMED.search(row[3])] == []


def test_each_named_test_exists() -> None:
    named = {(path, name) for path, name in NAMED.findall(PAGE)}
    known = {path: functions_of(path) for path, _ in named}
    assert sorted(f"{path}::{name}" for path, name in named if name not in known[path]) == []
