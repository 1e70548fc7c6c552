# Two commands are enough: `make run` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
HOST ?= 127.0.0.1
PORT ?= 8000
WORKERS ?= 2

.PHONY: install run test soak test-gpu test-compose lint format format-kept picture bench clean

install: $(VENV)/.installed $(VENV)/clients/.installed

# torch comes first and alone: what follows then finds it there and does not choose a build of its own.
$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.12 run")'
	test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet -c constraints.txt torch
	$(BIN)/pip install --quiet -c constraints.txt -e '.[dev]'
	touch $@

# Clients of others for the tests, which ask for other versions than we do.
TYPESCRIPT := tests/clients/typescript
$(VENV)/clients/.installed: tests/clients/requirements.txt $(TYPESCRIPT)/package-lock.json | $(VENV)/.installed
	test -x $(VENV)/clients/bin/pip || $(PYTHON) -m venv $(VENV)/clients
	$(VENV)/clients/bin/pip install --quiet -r tests/clients/requirements.txt
	mkdir -p $(VENV)/clients/typescript
	cp $(TYPESCRIPT)/package.json $(TYPESCRIPT)/package-lock.json $(VENV)/clients/typescript
	npm ci --prefix $(VENV)/clients/typescript --no-audit --no-fund --loglevel=error \
		|| echo "without npm and its packages the client for TypeScript is not tested"
	touch $@

run: $(VENV)/.installed
	$(BIN)/model-lab serve --host $(HOST) --port $(PORT)

test: lint
	$(BIN)/pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

soak: install
	$(BIN)/pytest -m slow --timeout 3600 -s

test-gpu: install
	$(BIN)/pytest -m gpu tests/gpu -rs

test-compose: install
	$(BIN)/pytest -m compose tests/deployment -rs

lint: install
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: install
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# Once for a release whose tables changed: keeps a database of it, so that later versions are tested to read it.
format-kept: install
	$(BIN)/python -m tests.formats.write

# The picture of the lab in the README, taken by Chromium of a service with some networks in it.
picture: install
	$(BIN)/python -m tests.pages.demonstration

bench: install
	$(BIN)/python -m benchmarks

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
