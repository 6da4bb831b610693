"""Rules and dashboard in deploy/: every name is one that the service tells, every rule has its test, and promtool is content."""

from __future__ import annotations

import re
import subprocess

import pytest

from tests.support.prometheus import DASHBOARD, INSTALL, ROOT, RULES, names_in, needs_prometheus, queries_of, read_dashboard
from userstream.adapters.metrics import TABLE, PrometheusMetrics

FILES = sorted([*RULES.glob("*.yml"), *RULES.glob("tests/*.yml"), DASHBOARD])
KNOWN = {f"userstream_{name}" for name in TABLE}
SCENARIO = "scenario/test_prometheus.py"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_name_is_one_that_the_service_tells(path: object) -> None:
    text = (RULES / str(path)).read_text("utf-8")
    assert names_in(text) - KNOWN == set()


def test_every_label_of_a_query_is_one_of_its_metric() -> None:
    wrong = []
    texts = [query.text for query in queries_of(read_dashboard(), interval="1m")]
    texts += [match for path in RULES.glob("*.rules.yml") for match in re.findall(r"expr: (.*)", path.read_text("utf-8"))]
    for text in texts:
        for name, chosen in re.findall(r"\buserstream_(\w+?)(?:_bucket)?\{([^}]*)\}", text):
            labels = set(re.findall(r"(\w+)(?==|!=|=~|!~)", re.sub(r'"[^"]*"', "", chosen)))
            wrong += [f"{name}: {label}" for label in labels - {"instance", "job", "le"} if label not in TABLE[name].labels]
    assert wrong == []


def test_every_alert_rule_is_seen_silent_and_firing() -> None:
    rules = re.findall(r"- alert: (\w+)", (RULES / "alert.rules.yml").read_text("utf-8"))
    tests = (RULES / "tests" / "alert.test.yml").read_text("utf-8")
    assert len(rules) == len(set(rules)) > 15
    for name in rules:
        assert f"alertname: {name}, exp_alerts: []" in tests, f"{name} is never seen silent"
        assert re.search(rf"alertname: {name}\n +exp_alerts:\n +- exp_labels", tests), f"{name} is never seen firing"


def test_every_recording_rule_has_its_test() -> None:
    rules = re.findall(r"- record: (\S+)", (RULES / "recording.rules.yml").read_text("utf-8"))
    tests = (RULES / "tests" / "recording.test.yml").read_text("utf-8")
    assert [name for name in rules if f"expr: {name}\n" not in tests] == []


@needs_prometheus
@pytest.mark.parametrize(
    "words",
    [
        ["check", "rules", *map(str, sorted(RULES.glob("*.rules.yml")))],
        ["check", "config", str(RULES / "prometheus.yml")],
        ["test", "rules", *map(str, sorted(RULES.glob("tests/*.yml")))],
    ],
    ids=["rules", "configuration", "tests of the rules"],
)
def test_promtool_is_content(words: list[str]) -> None:
    told = subprocess.run(["promtool", *words], capture_output=True, text=True, timeout=50, check=False)
    assert told.returncode == 0, told.stdout + told.stderr


@needs_prometheus
def test_promtool_finds_nothing_to_say_about_the_text_of_all_numbers() -> None:
    metrics = PrometheusMetrics(strict=True)
    for line in TABLE.values():
        labels = dict.fromkeys(line.labels, 'a "word"')
        match line.kind:
            case "counter":
                metrics.count(line.name, labels=labels)
            case "gauge":
                metrics.gauge(line.name, 0.5, labels)
            case "histogram":
                metrics.observe(line.name, {0.5: 2}, labels)
    told = subprocess.run(["promtool", "check", "metrics"], input=metrics.render(), capture_output=True, timeout=20, check=False)
    assert (told.returncode, told.stdout, told.stderr) == (0, b"", b"")


def test_the_gate_installs_what_these_tests_need() -> None:
    assert re.search(r"^debian_packages=\(.*\bprometheus\b.*\)$", (ROOT / ".ci" / "run").read_text("utf-8"), re.MULTILINE)
    assert INSTALL.endswith(" prometheus")


def test_the_panels_of_the_dashboard_are_apart_and_each_asks_something() -> None:
    dashboard = read_dashboard()
    assert len({panel.id for panel in dashboard.panels}) == len(dashboard.panels)
    assert [panel.title for panel in dashboard.panels if panel.type != "row" and not panel.targets] == []
    places: set[tuple[int, int]] = set()
    for panel in dashboard.panels:
        at = panel.gridPos
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & places and at["x"] + at["w"] <= 24, panel.title
        places |= cells
