# One command on a fresh machine: `make` builds the environment and runs the demo study, `make test` all checks.
# Everything runs in .venv/; nothing outside this folder is changed.
PYTHON ?= python3
UV_VERSION := 0.13.8

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
export PATH := $(CURDIR)/.venv/bin:$(PATH)

# Compiled modules are kept also where the environment says otherwise: each program of a workflow would compile all that
# it imports, which takes longer than most of them work.
unexport PYTHONDONTWRITEBYTECODE

# Silent on success; on failure the command's output.
quietly = output=$$($(1) 2>&1) || { printf '%s\n' "$$output"; exit 1; }

.DEFAULT_GOAL := demo
.PHONY: demo setup slurm quick test test-full test-slurm chaos audit bench lint format lock clean help

# Without its own last message: the comparison is printed here, also when there is nothing to do.
demo: setup ## set up, run the demo study (minutes on two cores), name its report and compare its results
	@snakemake --no-hooks --config study=demo
	@echo results/demo/report.html
	@guidebp expect --study demo

setup: .venv/.ready ## the environment in .venv, exactly as requirements.lock says

# uv alone would take an activated environment: it is told which Python to install for.
.venv/.ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "needs Python 3.11 or newer; name one: make PYTHON=python3.12"; exit 1; }
	test -x .venv/bin/python || $(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	.venv/bin/uv pip sync --quiet --python .venv/bin/python --require-hashes requirements.lock
	.venv/bin/uv pip install --quiet --python .venv/bin/python --no-deps -e .
	@touch $@

slurm: setup ## add Snakemake's executor for Slurm clusters, as requirements-slurm.lock says (until a lock changes)
	@.venv/bin/uv pip install --quiet --python .venv/bin/python --no-deps --require-hashes \
	  -r requirements-slurm.lock
	@.venv/bin/uv pip check --quiet --python .venv/bin/python

quick: export GUIDEBP_QUICK := 1
quick: lint ## lint and the fast tests, for every commit (two minutes)
	@pytest -n 2 --dist loadfile --no-loadscope-reorder -q tests

test: lint ## set up, lint, run the tests
	@pytest -n 2 --dist loadfile --no-loadscope-reorder -q tests

test-full: export GUIDEBP_FULL := 1
test-full: test ## the same, with many more examples in the property tests

test-slurm: export GUIDEBP_SLURM := 1
test-slurm: slurm ## the workflow on a Slurm of one node, started for it: as root, with Debian's slurm-wlm and munge
	@pytest -q tests/slurm

chaos: setup ## kill, fill up, damage the real workflow and go on: ends with a table (half an hour; GUIDEBP_KILLS=20)
	@python -m tests.chaos

audit: setup ## known vulnerabilities of what the locks pin (asks a public database)
	pip-audit --requirement requirements.lock --requirement requirements-slurm.lock --require-hashes --disable-pip --strict

bench: setup ## measure speed on this machine: benchmarks/results/ (an hour; BENCH="rules packs" for some cases)
	@python -m benchmarks $(BENCH)

lint: setup ## style, types and the workflow's own lint; silent when all is well
	@$(call quietly,ruff check)
	@$(call quietly,ruff format --check)
	@$(call quietly,mypy)
	@$(call quietly,snakefmt --check workflow Snakefile)
	@$(call quietly,snakemake --lint)

format: setup ## put Python and Snakemake files into the house style
	ruff check --fix
	ruff format
	snakefmt workflow Snakefile

# Hashes come with the lock, addresses do not: whoever installs decides from where.
lock: setup ## after a change in pyproject.toml: requirements.lock and the generated files
	uv pip compile pyproject.toml --group dev --universal --python-version 3.11 \
	  --generate-hashes --no-emit-index-url --no-header -q -o requirements.lock
	uv pip compile --group slurm --no-deps --constraint requirements.lock --universal --python-version 3.11 \
	  --generate-hashes --no-emit-index-url --no-header -q -o requirements-slurm.lock
	guidebp generate

clean: ## remove the tools' caches; results, data and .venv stay
	rm -rf .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' Makefile
