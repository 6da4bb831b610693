PYTHON ?= python
UV ?= uv
FLOORS := userstream.kernel,userstream.domain,userstream.wire,userstream.venues
BIN := $(shell $(PYTHON) -c "import sysconfig; print(sysconfig.get_path('scripts'))")

.DEFAULT_GOAL := help
.PHONY: help check format lint types imports spelling collection test scenario processes mutants coverage uncovered bench peers docs exports lock

help: ## what each word does
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  \1\t\2/'

check: lint types imports spelling ## form, style, types, floors and spelling

format: ## rewrite the sources in the house form
	$(PYTHON) -m ruff format .
	$(PYTHON) -m ruff check --fix .

lint:
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m ruff check .

types:
	$(PYTHON) -m mypy

imports:
	$(BIN)/lint-imports --no-cache

spelling:
	$(PYTHON) -m codespell_lib

collection: ## every test can be read
	@found=$$($(PYTHON) -m pytest -n 0 --collect-only -qq) || { echo "$$found"; exit 1; }

test: ## every test
	$(PYTHON) -m pytest

scenario: ## only the client against the paper exchange, with faults
	$(PYTHON) -m pytest tests/scenario tests/processes

processes: ## the same with real processes that are killed, stopped and cut off: half an hour to an hour
	$(PYTHON) -m pytest -n 0 tests/processes -m "processes or not processes"

mutants: ## the simulation against sources in which one safeguard is off: each must be caught
	$(PYTHON) -m tests.simulation.mutation

coverage: ## the pure floors: fails unless their own tests reach every line and every branch
	$(PYTHON) -m coverage run --source=$(FLOORS) -m pytest -n 0 tests/unit/kernel tests/unit/domain tests/unit/wire tests/unit/venues
	$(PYTHON) -m coverage report --fail-under=100

uncovered: ## every test, with the lines and branches no test reaches
	$(PYTHON) -m coverage run -m pytest -n 0
	$(PYTHON) -m coverage report

bench: ## speed and memory, never part of the tests
	$(PYTHON) -m benchmarks
	$(PYTHON) -m benchmarks.memory

peers: ## other people's clients against the paper exchange (without the group `peers` all is skipped)
	$(PYTHON) -m pytest -n 0 tests/peers

docs: ## every link and path the documents name leads somewhere
	$(PYTHON) -m pytest -n 0 tests/test_layout.py -k documents

exports: ## write down the public names after a deliberate change
	$(PYTHON) -c "import userstream; print(*sorted(getattr(userstream, '__all__', ())), sep='\n')" > tests/exports.txt

lock: ## refresh the pinned versions and their hashes
	$(UV) pip compile pyproject.toml --group dev --universal --python-version 3.11 --generate-hashes --upgrade \
		--no-emit-index-url --no-header --quiet --output-file requirements/dev.txt
	$(UV) pip compile pyproject.toml --group peers --group dev --universal --python-version 3.11 --generate-hashes --upgrade \
		--no-emit-index-url --no-header --quiet --output-file requirements/peers.txt
