# Two commands: `make demo` runs the main job on built-in text, `make test` passes the tests. Both set up .venv first.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
WORKERS ?= 2

.PHONY: demo test test-all promises sanitize lint clean

# Before 23.3 pip warned of an extra (html_clean) whose name it had spelt otherwise.
$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "daybreak needs Python 3.11 or newer: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check 'pip>=23.3'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

$(VENV)/installed-dev-all: $(VENV)/installed-dev
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev-all]'
	touch $@

demo: $(VENV)/installed
	@$(BIN)/daybreak run --for 3m --out runs/demo-$$(date +%Y%m%d-%H%M%S) && RUN=$$(ls -td runs/demo-* | head -n 1) && \
	echo && $(BIN)/daybreak generate $$RUN 'def read_lines(path):' --max-tokens 80 && echo && echo $$RUN/model

lint: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Tests that are about seconds wait until nothing else runs.
test: lint
	$(BIN)/python -m pytest -q -m 'not long and not alone' -n $(WORKERS) --dist loadgroup
	$(BIN)/python -m pytest -q -m 'not long and alone' $$(grep -l mark.alone tests/test_*.py)

test-all: lint $(VENV)/installed-dev-all
	$(BIN)/python -m pytest -q -m 'not alone' -n $(WORKERS) --dist loadgroup
	$(BIN)/python -m pytest -q -m alone $$(grep -l mark.alone tests/test_*.py)

promises: $(VENV)/installed-dev
	$(BIN)/python benchmarks/promises.py --write docs/reliability.md

# Our C and C++ under gcc's sanitizers, on random shapes; some minutes.
sanitize: $(VENV)/installed-dev
	$(BIN)/python benchmarks/sanitize.py

clean:
	rm -rf $(VENV) build *.egg-info
