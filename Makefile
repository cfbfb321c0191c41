# make demo: set up, train, compile, verify, time. make test: set up, run the tests.
PYTHON ?= $(shell for p in python3.12 python3.11 python3.13 python3; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
OLDEST_ORT := build/oldest-ort
TORCH := torch==2.13.0
OLDEST := onnxruntime==1.17.3 numpy==1.26.4
NATIVE := $(shell find nfcompile/csrc -type f 2>/dev/null)
PARALLEL ?= 2

.PHONY: help setup demo test lint bench topologies clean

help:
	@sed -n '1s/^# //p' Makefile

setup: $(STAMP)

# Pinned: an open range of torch takes a build with gigabytes of CUDA.
$(STAMP): pyproject.toml Makefile $(NATIVE)
	@test -n "$(PYTHON)" || { echo "Python 3.11 or later is needed: see Prerequisites in README.md" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV): the first time takes some minutes"
	$(BIN)/pip install --quiet --disable-pip-version-check $(TORCH)
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[torch,study,test,lint]'
	@touch $@

$(OLDEST_ORT): Makefile | $(STAMP)
	@rm -rf $@
	@if $(BIN)/python -c 'import sys; sys.exit(sys.version_info >= (3, 13))'; then \
		$(BIN)/pip install --quiet --disable-pip-version-check --target $@ $(OLDEST); \
	else \
		echo "no wheels of $(OLDEST) for this Python: its tests are skipped" >&2; mkdir -p $@; \
	fi
	@touch $@

demo: $(STAMP)
	$(BIN)/python -m nfcompile.demo

test: $(STAMP) $(OLDEST_ORT)
	$(BIN)/pytest -n $(PARALLEL) --dist worksteal --cov --cov-report=term:skip-covered $(ARGS)

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/clang-format --dry-run --Werror $$(find nfcompile/csrc -name '*.cc' -o -name '*.h')

bench: $(STAMP)
	$(BIN)/python benchmarks/figures.py

topologies: $(STAMP)
	$(BIN)/python benchmarks/topologies.py

clean:
	rm -rf $(VENV) build out dist .coverage .mypy_cache .pytest_cache .ruff_cache .hypothesis
