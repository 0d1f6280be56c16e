# `make help` lists the targets.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# The commit whose output bytes are right, for `make acceptance`.
BEFORE ?= HEAD
SECONDS ?= 60
SEED ?= 1
EXTRAS ?= dev,dask,cuda-compile
comma := ,
MINORS := 3.11 3.12 3.13 3.14
# With LOCKED=1 `make install` takes the versions of the lock, each held against its hashes.
LOCKED ?=
LOCK = locks/dev-$(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])').txt

.PHONY: help
help: ## List the targets
	@awk -F':.*## ' '/^[a-z][a-z-]*:.*## /{printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(BIN)/forge: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(if $(LOCKED),$(BIN)/python -m pip install --quiet --require-hashes -r $(LOCK))
	$(BIN)/python -m pip install --quiet -e '.[$(EXTRAS)]'
	@touch $@

.PHONY: install
install: $(BIN)/forge ## Make the virtual environment, install, compile the kernels into their cache
	$(BIN)/forge warm

DEMO := .venvs/demo/bin
$(DEMO)/forge: pyproject.toml
	@echo "1 of 3: installing Forge and what it needs into .venvs/demo"
	$(PYTHON) -m venv .venvs/demo
	$(DEMO)/python -m pip install --disable-pip-version-check .
	@touch $@

.PHONY: demo
demo: $(DEMO)/forge ## Install Forge alone, and prepare the small data set in examples/
	@echo "2 of 3: planning"
	$(DEMO)/forge plan "support assistant" --data examples/support.jsonl --template chatml --output build/demo/forge.yaml
	@echo "3 of 3: preparing; the first run compiles kernels, which takes a minute or two"
	$(DEMO)/forge prepare --config build/demo/forge.yaml --output build/demo/prepared
	@echo
	@echo "The last row of train.jsonl, as the model will see it:"
	@tail -n 1 build/demo/prepared/train.jsonl | $(DEMO)/python -c 'import json, sys; print(json.load(sys.stdin)["text"])'
	@echo
	@echo 'To have forge in this shell:  export PATH="$(CURDIR)/$(DEMO):$$PATH"'

.PHONY: lint
lint: $(BIN)/forge ## Style, types, import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

.venvs/trainers/.made: tests/trainers/requirements.txt tests/trainers/without_dependencies.txt pyproject.toml
	$(PYTHON) -m venv .venvs/trainers
	.venvs/trainers/bin/python -m pip install --quiet --upgrade pip
	.venvs/trainers/bin/python -m pip install --quiet -r $< -e '.[tokens]'
	.venvs/trainers/bin/python -m pip install --quiet --no-deps -r tests/trainers/without_dependencies.txt
	@touch $@

.PHONY: trainers
trainers: .venvs/trainers/.made ## Make the pinned environment in which tests train on what Forge writes

.PHONY: own-loaders
own-loaders: install trainers ## Load what Forge writes with trainers' own loaders, each with its own packages
	$(BIN)/python -m benchmarks.acceptance.own_loaders

.venvs/docs/.made: tools/docs_site/requirements.txt
	$(PYTHON) -m venv .venvs/docs
	.venvs/docs/bin/python -m pip install --quiet --no-deps --no-compile -r $<
	@touch $@

.PHONY: docs
docs: .venvs/docs/.made ## Build the site of the documentation in build/site; fails on a broken link or an unknown name
	NO_MKDOCS_2_WARNING=1 .venvs/docs/bin/mkdocs build

.PHONY: test
test: install lint docs trainers ## Everything that CI runs: lint, all tests, the commands of the docs
	$(BIN)/python -m pytest -n 2 -m "not gpu" --durations=40
	$(BIN)/python -m benchmarks baseline

# What `quick` and `coverage` run.
QUICK := "not (slow or gpu or dask or docker or sim)"

.PHONY: quick
quick: $(BIN)/forge ## The fast tests only
	$(BIN)/python -m pytest -n 2 -m $(QUICK)

.venvs/coverage/.made: tests/coverage.txt
	$(PYTHON) -m pip install --quiet --no-deps --upgrade --target .venvs/coverage -r $<
	@touch $@

.PHONY: coverage
coverage: $(BIN)/forge .venvs/coverage/.made ## The fast tests, and which lines they run
	PYTHONPATH=.venvs/coverage $(BIN)/python -m pytest -n 2 -m $(QUICK) --cov --cov-report=term:skip-covered

# Peers that cannot live in one environment, or are too large for most who run the benchmarks, have one of their own.
PEERS := peers data-juicer text-dedup
$(PEERS:%=.venvs/%/.made): .venvs/%/.made: benchmarks/peers/%.txt
	$(PYTHON) -m venv .venvs/$*
	.venvs/$*/bin/python -m pip install --quiet --upgrade pip
	.venvs/$*/bin/python -m pip install --quiet --no-deps -r $<
	@touch $@

.PHONY: bench-peers
bench-peers: .venvs/peers/.made ## Make the pinned environment of the peers that benchmarks compare with

.PHONY: bench-data-juicer
bench-data-juicer: .venvs/data-juicer/.made ## Make that of Data-Juicer, which `make bench` takes in where it is there

.PHONY: bench-text-dedup
bench-text-dedup: .venvs/text-dedup/.made ## Make that of text-dedup, likewise

.PHONY: bench
bench: install bench-peers ## Run all benchmarks at small sizes and write docs/performance.md
	$(BIN)/python -m benchmarks run --size small --json benchmarks/results/latest.json --page docs/performance.md --keep

.PHONY: bench-gates
bench-gates: install bench-peers ## Measure the ratios that must hold; fails when one has fallen
	$(BIN)/python -m benchmarks gates

.PHONY: acceptance
acceptance: install ## What takes too long for every commit, a script a subject; see benchmarks/acceptance
	$(BIN)/python -m benchmarks.acceptance.same_bytes $(BEFORE) examples
	$(BIN)/python -m benchmarks.acceptance.templates
	$(BIN)/python -m benchmarks.acceptance.masks
	$(BIN)/python -m benchmarks.acceptance.tokens 100000 2
	$(BIN)/python -m benchmarks.acceptance.faults 1000 300
	$(BIN)/python -m benchmarks.acceptance.arm
	docker/with-engine.sh $(BIN)/python -m benchmarks.acceptance.containers

.PHONY: fuzz
fuzz: install ## Try damaged files of each format, again with checked kernels, and prepared folders, each for SECONDS, by SEED
	$(BIN)/python -m tests.faults.fuzz $(SECONDS) $(SEED)
	FORGE_CHECKED_KERNELS=1 $(BIN)/python -m tests.faults.fuzz $(SECONDS) $(SEED)
	$(BIN)/python -m tests.faults.fuzz_folders $(SECONDS) $(SEED)

.PHONY: limits
limits: install ## Measure memory by input and time by growth, and write them into docs/memory.md
	$(BIN)/python -m benchmarks.limits

.venvs/locks/.made:
	$(PYTHON) -m venv .venvs/locks
	.venvs/locks/bin/python -m pip install --quiet uv pip-audit
	@touch $@

.PHONY: locks
locks: .venvs/locks/.made ## Lock the versions of the dev extra anew, for each Python minor on Linux
	.venvs/locks/bin/python -m tools.locks $(EXTRAS) $(MINORS)

.PHONY: audit
audit: .venvs/locks/.made ## Look for known faults of what is locked; says what could not be looked up
	.venvs/locks/bin/python -m tools.audit $(LOCK)

.PHONY: clean
clean: ## Remove what was built; the virtual environment stays
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
