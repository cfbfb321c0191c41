# make demo: set up, train, compile, verify, time. make test: set up, run the tests.
PYTHON ?= $(shell for p in python3.12 python3.11 python3.13 python3; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
OLDEST_ORT := build/oldest-ort
PEERS := build/peers
PEERS_STAMP := $(PEERS)/.installed
# The last DeepSparse needs Python 3.11 or earlier, and numpy 1.
PEERS_PYTHON ?= python3.11
PEERS_PINS := deepsparse==1.8.0 numpy==1.26.4 python-graphblas==2025.2.0 \
	suitesparse-graphblas==9.4.5.0 scipy==1.17.1 numba==0.68.1
TORCH := torch==2.13.0
OLDEST := onnxruntime==1.17.3 numpy==1.26.4
NATIVE := $(shell find nfcompile/csrc -type f 2>/dev/null) $(wildcard nfcompile/gpu/*.py)
PARALLEL ?= 2
SUITE ?= cpu

.PHONY: help setup demo test lint bench bench-peers bench-suite gpu-check backend-test topologies clean

help:
	@sed -n '1s/^# //p' Makefile

setup: $(STAMP)

# Pinned: an open range of torch takes a build with gigabytes of CUDA.
$(STAMP): pyproject.toml Makefile $(NATIVE)
	@test -n "$(PYTHON)" || { echo "Python 3.11 or later is needed: see Prerequisites in README.md" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV): the first time takes some minutes"
	$(BIN)/pip install --quiet --disable-pip-version-check $(TORCH)
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[torch,networks,study,test,lint]'
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
	$(BIN)/python benchmarks/compile_cost.py

bench-peers: $(PEERS_STAMP)

# DeepSparse and GraphBLAS, which the suite runs in an interpreter of their own.
$(PEERS_STAMP): Makefile
	@command -v $(PEERS_PYTHON) >/dev/null || { \
		echo "DeepSparse needs Python 3.11: install it, or give PEERS_PYTHON" >&2; exit 1; }
	@rm -rf $(PEERS)
	$(PEERS_PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/pip install --quiet --disable-pip-version-check $(PEERS_PINS)
	@touch $@

# Without the peers their columns are empty, and the page says why.
bench-suite: $(STAMP)
	@$(MAKE) bench-peers || echo "the peers are left out" >&2
	@mkdir -p out
	$(BIN)/nfcompile bench --suite $(SUITE) --json out/$(SUITE).json --output out/$(SUITE).md $(ARGS)

# Offline, with what is there: on a machine that is lent for minutes there is no .venv.
gpu-check:
	@PYTHONPATH=. $(if $(wildcard $(BIN)/python),$(BIN)/python,python3) benchmarks/gpu_check.py $(ARGS)

backend-test: $(STAMP)
	$(BIN)/python benchmarks/backend_test.py $(ARGS)

topologies: $(STAMP)
	$(BIN)/python benchmarks/topologies.py

clean:
	rm -rf $(VENV) build out dist .coverage .mypy_cache .pytest_cache .ruff_cache .hypothesis
