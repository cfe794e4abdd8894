# Everything here works from a fresh clone with Python 3.11 to 3.13, git and make. `make help` lists the targets.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do command -v $$p >/dev/null && $$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
UV := $(BIN)/uv pip

.PHONY: help setup dev torch demo test lint cluster-up cluster-down e2e soak bench lock clean
help: ## what can be made here
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

.venv/bootstrap: requirements/bootstrap.lock
	@test -n "$(PYTHON)" || { echo "make: needs Python 3.11 to 3.13; get it with: apt-get install python3 python3-venv (or from python.org)"; exit 2; }
	@$(PYTHON) -m venv .venv || { echo "make: this Python has no venv module; get it with: apt-get install python3-venv"; exit 2; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $@

# One stamp per lock file; the larger environments hold the smaller ones at the same versions.
.venv/%: requirements/%.lock pyproject.toml .venv/bootstrap
	@echo "installing requirements/$*.lock into .venv"
	@$(UV) install --quiet --compile-bytecode --require-hashes --no-deps -r $<
	@$(UV) install --quiet --no-deps --no-build-isolation -e .
	-@$(BIN)/python -m controller.performance_model.compiled
	@touch $@

setup: .venv/demo ## .venv with the command tidegate (no torch, under 900 MB)
dev: .venv/dev ## the same with test and lint tools
torch: .venv/torch ## the same with torch and transformers, 5 GB: the reference in tests

demo: setup ## the main job: bursty traffic, a scale-to-zero endpoint, the loop, a report
	@$(BIN)/tidegate demo

lint: dev ## style, types and import contracts
	$(BIN)/ruff check . && $(BIN)/ruff format --check .
	$(BIN)/basedpyright
	$(BIN)/lint-imports

# In CI a missing part is a failure, so the part is installed; elsewhere its tests are skipped and counted.
test: lint $(if $(CI),torch) ## every test that this machine can run
	$(BIN)/pytest --ignore=tests/e2e --ignore=tests/charts --cov --cov-report=term:skip-covered

cluster-up: dev ## a real Kubernetes node with Knative and KServe, without Docker (root; ten minutes the first time)
	@$(BIN)/python tests/cluster up

cluster-down: dev ## end it, and remove all but its programs and images
	@$(BIN)/python tests/cluster down

e2e: .venv/e2e cluster-up ## what a user does on a cluster, on that one
	@trap '$(BIN)/python tests/cluster down' EXIT; $(BIN)/tidegate prepare demo && $(BIN)/python tests/cluster images \
	  && nsenter --net=/run/netns/tidegate-node $(BIN)/pytest --timeout=400 tests/e2e tests/charts

soak: .venv/e2e cluster-up ## on that cluster: from zero, at rest beside thousands of objects, bursts (half an hour; reports)
	@trap '$(BIN)/python tests/cluster down' EXIT; $(BIN)/tidegate prepare demo && $(BIN)/python tests/cluster images \
	  && nsenter --net=/run/netns/tidegate-node env KUBECONFIG=$${TIDEGATE_CLUSTER_HOME:-$$HOME/.cache/tidegate/cluster}/run/admin.kubeconfig \
	    bash -eu tests/e2e/soak.sh $(abspath $(BIN))

bench: setup ## measurements, reported and never asserted
	$(BIN)/python tests/benchmarks/run.py

lock: dev ## new versions into requirements/*.lock (hashes, no addresses)
	@bash requirements/lock.sh $(BIN)

clean: ## remove the environment and what runs left behind
	rm -rf .venv runs .coverage .pytest_cache .ruff_cache .import_linter_cache .hypothesis
