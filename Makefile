# `make help` lists the targets. Everything runs from .venv; `make install` builds it.
SHELL := /bin/sh
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# Which optional parts are installed: trainer, dev, and on a machine with an NVIDIA GPU also cuda.
EXTRAS ?= trainer dev
# 1: a tier of the tests that cannot run is a failure.
REQUIRE_ALL ?=
# `make lock UPGRADE=--upgrade` moves every pin to the newest version.
UPGRADE ?=

BIN := .venv/bin
LOCKS := requirements/bootstrap.txt requirements/constraints.txt
STAMP := .venv/.installed-$(shell cat pyproject.toml $(LOCKS) 2>/dev/null | cksum | cut -d ' ' -f 1)-$(subst $() $(),-,$(strip $(EXTRAS)))
# Where the system has certificates, uv trusts them as pip does (a company's proxy may need that).
UV := $(if $(wildcard /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt),UV_SYSTEM_CERTS=1) $(BIN)/uv
COMPILE := $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --no-emit-index-url --no-emit-find-links $(UPGRADE)

.PHONY: help install demo demo-pretrain experiment-adaptive-mt corpora test test-fast test-cluster test-kueue test-node test-e2e test-image lint format generate lock bench gpu gpu-bundle tools cluster image clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-22s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(STAMP) ## Build .venv with finetune and finetune-trainer in it (6 GB)

demo: $(STAMP) corpora ## Adapt a pretrained model of 135M parameters to software localisation (under 10 minutes)
	@$(BIN)/python manifests/fetch.py model
	@$(BIN)/finetune run manifests/demo/job.yaml

demo-pretrain: $(STAMP) corpora ## Train a small model from nothing, adapt it, evaluate, report (about 5 minutes)
	@$(BIN)/finetune run manifests/quickstart/job.yaml

experiment-adaptive-mt: $(STAMP) ## Repeat docs/results/adaptive-mt.md (DATA=folder GENERAL=file; hours)
	@$(BIN)/python manifests/fetch.py model
	@$(BIN)/python manifests/experiments/adaptive_mt.py $(DATA) $(GENERAL) $(if $(ONLY),--only $(ONLY))

# What both demos read.
corpora: $(STAMP)
	@$(BIN)/python manifests/fetch.py corpora

test: $(STAMP) ## Run every check and test (REQUIRE_ALL=1: a tier that cannot run is a failure)
	@$(BIN)/python tests/tiers.py lint unit training cluster chart monitoring node $(if $(REQUIRE_ALL),--require-all)

test-fast: $(STAMP) ## Run the unit tests (under a minute)
	@$(BIN)/python tests/tiers.py unit

lint: $(STAMP) ## Check style, types, import contracts, generated files and the site of docs/
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/python -m finetune_api.generate --check
	$(BIN)/python charts/generate.py --check
	$(BIN)/python cli/reference.py --check
	$(BIN)/python tests/gpu/table.py --check
	$(BIN)/mkdocs --quiet build --strict

format: $(STAMP) ## Rewrite the code in the house style
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

generate: $(STAMP) ## Write CRDs, chart, rules, dashboards and reference pages from their sources
	@$(BIN)/python -m finetune_api.generate
	@$(BIN)/python charts/generate.py
	@$(BIN)/python cli/reference.py
	@$(BIN)/python tests/gpu/table.py

lock: $(BIN)/uv ## Pin the newest versions that pyproject.toml allows, with hashes
	$(COMPILE) --all-extras pyproject.toml --output-file requirements/constraints.txt
	cp requirements/constraints.txt requirements/constraints-cuda12.txt
	$(COMPILE) --all-extras --override requirements/cuda12.in pyproject.toml --output-file requirements/constraints-cuda12.txt
	$(COMPILE) --constraint requirements/constraints.txt requirements/bootstrap.in --output-file requirements/bootstrap.txt

bench: $(STAMP) ## Measure; prints tables, asserts nothing
	@set -e; for script in tests/bench/*.py; do [ -e "$$script" ] || continue; echo "== $$script"; $(BIN)/python "$$script"; done

gpu: $(STAMP) ## Prove and measure on one GPU what one GPU can show (9 minutes; docs/tasks/contributor.md)
	@$(BIN)/python tests/gpu/check.py --out build/gpu

gpu-bundle: $(STAMP) ## Build the wheels that a bare machine with a GPU lacks, for `make gpu` without .venv
	@$(BIN)/python tests/gpu/bundle.py

test-cluster: $(STAMP) ## Test against a real Kubernetes control plane, built from Go modules at first (15 minutes)
	@$(BIN)/python tests/tiers.py cluster

test-e2e: $(STAMP) ## Test on a real node: the operator and its jobs in pods (as root)
	@$(BIN)/python tests/tiers.py e2e

test-kueue: $(STAMP) ## Test jobs in the queues of a real Kueue, built from its Go module at first
	@$(BIN)/python tests/tiers.py kueue

test-node: $(STAMP) ## Test one job on a real node, from kubectl apply to its report (as root, 3 minutes)
	@$(BIN)/python tests/tiers.py node

test-image: $(STAMP) ## Build the operator's image without a registry, look into it and run it (as root)
	@$(BIN)/python tests/tiers.py image

tools: $(STAMP) ## Build the control plane and the node of the tests from Go modules, once per user
	@$(BIN)/python tests/cluster/build_tools.py --node

cluster: $(STAMP) ## Start a Kubernetes cluster with the operator (BARE=1: without) and open a shell in it (as root)
	@PYTHONPATH=tests $(BIN)/python -m e2e.developer_cluster $(if $(BARE),--bare)

image: $(BIN)/uv ## Build the images of the operator and the trainer (docs/images.md)
	@PYTHONPATH=tests $(BIN)/python -m image.build_images $(TARGETS) $(if $(VARIANT),--variant $(VARIANT)) \
	  $(if $(BOOTSTRAP),--bootstrap) $(foreach argument,$(BUILD_ARGS),--build-arg $(argument))

clean: ## Remove .venv, caches and build folders (runs/ stays)
	rm -rf .venv build dist .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# DS_BUILD_OPS=0: DeepSpeed comes as source; its CUDA kernels are built when they are first used.
$(STAMP): $(BIN)/uv
	@echo "Installing into .venv: $(EXTRAS). About 6 GB on disk; once."
	@DS_BUILD_OPS=0 $(UV) pip install --quiet --python $(BIN)/python --no-build-isolation --require-hashes \
	  --constraint requirements/constraints.txt $(patsubst %,--extra %,$(EXTRAS)) --requirements pyproject.toml
	@$(UV) pip install --quiet --python $(BIN)/python --no-build-isolation --no-deps --editable .
	@rm -f .venv/.installed-*
	@touch $@
	@echo "Installed: $(BIN)/finetune and $(BIN)/finetune-trainer"

# uv does the installing; it comes, hash-checked, through the pip that Python carries.
$(BIN)/uv: requirements/bootstrap.txt
	@python=; for candidate in python3.13 python3.12 python3.11 python3; do \
	  if command -v $$candidate >/dev/null 2>&1 && \
	    $$candidate -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	    python=$$candidate; break; \
	  fi; \
	done; \
	if [ -z "$$python" ]; then \
	  echo "Python 3.11 or newer, with its venv module, is needed and was not found on PATH." >&2; \
	  echo "Install it (Debian, Ubuntu: apt install python3 python3-venv) and run make again." >&2; exit 2; \
	fi; \
	[ -x $(BIN)/python ] || $$python -m venv .venv; \
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps \
	  --requirement requirements/bootstrap.txt
	@touch $@
