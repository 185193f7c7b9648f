# Needs git, make and Python 3.11 or newer; everything else is installed into .venv from the hash-pinned locks.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=
# Where pip's configuration names a mirror, uv uses it, too: it does not read pip's configuration itself.
export UV_DEFAULT_INDEX ?= $(shell $(PYTHON) -m pip config get global.index-url 2>/dev/null)
export DO_NOT_TRACK := 1
LOCK := UV_CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links -q

.PHONY: help setup demo up snowflake-local test test-all soak test-services wheel-check lowest-check lint format lock contract clients-check \
  benchmarks clean

help: ## Show the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

setup: $(VENV)/.installed $(VENV)/.machine_code ## Install everything into .venv

$(VENV)/.installed: requirements/dev.txt requirements/bootstrap.txt pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(None if (3, 11) <= v < (3, 14) else f"Expected Python 3.11 to 3.13, got {v[0]}.{v[1]}; name another one: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bootstrap.txt
	@if [ -z "$$UV_DEFAULT_INDEX" ]; then unset UV_DEFAULT_INDEX; fi; \
	  $(BIN)/uv pip sync --quiet --compile-bytecode --python $(BIN)/python --require-hashes requirements/dev.txt requirements/bootstrap.txt && \
	  $(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --no-deps --no-build-isolation --offline --editable .
	@touch $@

# The command writes only what no file fits; it looks again after a change of any source.
$(VENV)/.machine_code: $(VENV)/.installed $(wildcard serving/scoring/*.py serving/scoring/*/*.py)
	@$(BIN)/python -m serving.scoring.compile_kernels >/dev/null
	@touch $@

demo: setup ## Run the whole loop on simulated transactions; ARGS=--exit stops after the last step
	@$(BIN)/lifecycle demo $(ARGS)

up: setup ## Start the Dagster UI with its daemon, the MLflow UI and the server
	@$(BIN)/lifecycle up $(ARGS)

snowflake-local: setup ## Start a local endpoint that behaves like a Snowflake account
	@$(BIN)/lifecycle snowflake-local $(ARGS)

test: setup ## Run the tests, except the long ones
	@bash tests/run "not long and not soak" $(ARGS)

test-all: setup ## Run all tests, except the soak
	@bash tests/run "not soak" $(ARGS)

soak: setup ## Live through sixty simulated days with changes, a rollback, a power cut and a copied home; build a whole data set twice
	@bash tests/run "soak" $(ARGS)

test-services: setup ## Run the tests that need real services; fetches those into .services
	@bash tests/services/run $(ARGS)

wheel-check: setup ## Install the wheel outside the checkout and run it up to the first decision
	@bash tests/distribution/wheel_check

lowest-check: setup ## Run the program on the lowest declared versions of its dependencies
	@bash tests/distribution/lowest_check

lint: setup ## Check format, style and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: setup ## Rewrite the code in the project's format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lock: setup ## Resolve the dependencies and write requirements/*.txt
	$(LOCK) --extra lifecycle --extra snowflake --extra kafka --extra otel --extra dev pyproject.toml -o requirements/dev.txt
	$(LOCK) --extra lifecycle --extra snowflake pyproject.toml -c requirements/dev.txt -o requirements/lifecycle.txt
	$(LOCK) --extra kafka --extra otel pyproject.toml -c requirements/dev.txt -o requirements/serving.txt
	$(LOCK) requirements/bootstrap.in -o requirements/bootstrap.txt

benchmarks: setup ## Run the benchmarks that take minutes; results go to .benchmarks
	@mkdir -p .benchmarks
	@for command in startup "simulator --rows 1500000" margin xgboost_margin treeshap group_fairness metrics_scrape serving; do \
	  name=$${command%% *}; echo "$$name: .benchmarks/$$name.txt"; \
	  $(BIN)/python -m benchmarks.$$command >.benchmarks/$$name.txt || exit 1; \
	done

contract: setup ## Write clients/openapi.json from the server's routes
	@$(BIN)/python -m tests.harness.openapi_contract

clients-check: ## Compile the TypeScript client against clients/openapi.json; needs Node.js
	@clients/typescript/check

clean: ## Remove the state of the embedded installation (.lifecycle)
	rm -rf .lifecycle
