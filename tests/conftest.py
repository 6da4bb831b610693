"""One house for all tests: no settings leak in from outside, and every random run can be run again."""

import gc
import os
import random
import shutil
import tempfile
from collections.abc import Generator, Iterator
from typing import Final

import pytest
from hypothesis import HealthCheck, settings

SEED_OPTION: Final = "--seed"
FIXED_SEED: Final = 1
OWN_PREFIX: Final = "USERSTREAM_"
KEPT_PREFIX: Final = "USERSTREAM_TEST_"

# Another machine's speed is no property of the code: no deadline, and no complaint about slow generation.
settings.register_profile("desk", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("gate", settings.get_profile("desk"), derandomize=True)
settings.register_profile("deep", settings.get_profile("desk"), max_examples=2_000)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(SEED_OPTION, type=int, default=None, help="the number from which every `seed` and `chance` fixture draws")


def pytest_configure(config: pytest.Config) -> None:
    if not config.getoption("--hypothesis-profile", None):
        settings.load_profile("gate" if _at_the_gate() else "desk")
    if config.getoption(SEED_OPTION) is None:
        config.option.seed = FIXED_SEED if _at_the_gate() else random.SystemRandom().randrange(1, 1_000_000)
    for name in [name for name in os.environ if name.startswith(OWN_PREFIX) and not name.startswith(KEPT_PREFIX)]:
        del os.environ[name]
    if os.environ.get("PYTHONDONTWRITEBYTECODE"):
        _compile_once(config)


def _compile_once(config: pytest.Config) -> None:
    """Where nothing may be written beside the sources, each of hundreds of processes would compile all that it imports:
    they share a folder that ends with the run."""
    folder = tempfile.mkdtemp(prefix="bytecode-")
    config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))
    os.environ["PYTHONPYCACHEPREFIX"] = folder
    del os.environ["PYTHONDONTWRITEBYTECODE"]


def pytest_collection_finish() -> None:
    """All that was collected stays to the end: looking through it again would stop a scenario for a good part of its time limits."""
    gc.collect()
    gc.freeze()


def pytest_report_header(config: pytest.Config) -> str:
    return f"seed: {config.getoption(SEED_OPTION)} (run again with {SEED_OPTION} {config.getoption(SEED_OPTION)})"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """What a test printed may be no text that a process can tell another: halves of letters are spelled out."""
    report = yield
    report.sections = [(name, text.encode("utf-8", "backslashreplace").decode()) for name, text in report.sections]
    return report


def _at_the_gate() -> bool:
    return bool(os.environ.get("CI"))


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """The number of this run; the header of the run names it, so that a failure can be run again."""
    number = request.config.getoption(SEED_OPTION)
    assert isinstance(number, int)
    return number


@pytest.fixture
def chance(seed: int, request: pytest.FixtureRequest) -> Iterator[random.Random]:
    """A source of chance of its own for each test, so that the order of the tests does not matter."""
    yield random.Random(f"{seed}/{request.node.nodeid}")
