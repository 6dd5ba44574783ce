# Every job of the project, from a fresh clone with nothing but Python 3.11 to 3.13 and make.
# The environment is made in .venv by the first job that needs it, and again when
# pyproject.toml, constraints.txt or the compiled module change.
# Another Python: make test PYTHON=/path/to/python3.12

SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PYTHON ?= python3.13 python3.12 python3.11 python3 python
PYTEST_ARGS ?= -n 2

.PHONY: help
help: ## Show this list.
	@echo 'usage: make JOB'
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

# Use it

.PHONY: demo
demo: $(STAMP) ## From nothing to images, tables, a trained model and predictions.
	@$(BIN)/boatseg demo

.PHONY: dev
dev: $(STAMP) ## Open the Dagster UI on the same home (loopback only).
	@$(BIN)/boatseg dev

.PHONY: clean-home
clean-home: ## Forget the home (BOATSEG_HOME, else .boatseg): tables, models, runs, landing folder.
	@home="$${BOATSEG_HOME:-.boatseg}"; \
	if [ ! -d "$$home" ]; then echo "nothing to forget: there is no folder $$home"; exit 0; fi; \
	full=$$(cd "$$home" && pwd -P) || exit 1; \
	for above in "$$HOME" "$(CURDIR)"; do \
		case "$$(cd "$$above" && pwd -P)/" in "$${full%/}/"*) \
			echo "refused: $$full holds $$above, it is no boatseg home" >&2; exit 1;; \
		esac; \
	done; \
	if [ ! -d "$$full/lake" ] || [ ! -d "$$full/dagster" ] || [ -e "$$full/.git" ]; then \
		echo "refused: $$full does not look like a boatseg home (no lake/ and dagster/ in it)" >&2; \
		exit 1; \
	fi; \
	rm -rf -- "$$full" && echo "forgotten: $$full"

# Work on it

.PHONY: test
test: lint check-defs check-docs ## Everything that has to pass: style, types, definitions, tests.
	$(BIN)/python -m pytest $(PYTEST_ARGS)

.PHONY: lint
lint: $(STAMP) ## Style and types.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

.PHONY: format
format: $(STAMP) ## Put the style right where a machine can.
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# A home and an instance of their own, so that checking never reads or writes yours.
.PHONY: check-defs
check-defs: $(STAMP) ## Load the Dagster definitions the three ways Dagster offers.
	@home=$$(mktemp -d) || exit 1; trap 'rm -rf "$$home"' EXIT; \
	printf 'telemetry:\n  enabled: false\n' > "$$home/dagster.yaml"; \
	export DAGSTER_HOME="$$home" BOATSEG_HOME="$$home/boatseg"; \
	VIRTUAL_ENV="$$(cd $(VENV) && pwd)"; PATH="$$VIRTUAL_ENV/bin:$$PATH"; export VIRTUAL_ENV PATH; \
	echo "dg check defs"; dg check defs || exit 1; \
	echo "dg list defs"; dg list defs > "$$home/list" 2>&1 || { cat "$$home/list"; exit 1; }; \
	echo "dagster definitions validate -w workspace.yaml"; \
	PYTHONWARNINGS='ignore:Function `definitions_validate_command`' \
		dagster definitions validate --log-level warning -w workspace.yaml

.PHONY: check-docs
check-docs: $(STAMP) ## Say whether the generated pages of docs/ are those of the code.
	$(BIN)/python docs/generate.py --check

.PHONY: docs
docs: $(STAMP) ## Write the generated pages of docs/.
	$(BIN)/python docs/generate.py

# Needs uv. Lower bounds are promises: this holds us to them.
LOWEST := .venv-lowest
.PHONY: test-lowest
test-lowest: ## Run the tests with the oldest release of every direct dependency.
	uv venv --clear --quiet $(LOWEST)
	uv pip install --quiet --python $(LOWEST)/bin/python --resolution lowest-direct -e '.[dev]'
	$(LOWEST)/bin/python -m pytest $(PYTEST_ARGS)

# One environment a peer: their pins clash with ours and with each other's. Spark also needs Java 17.
BENCH := .venv-bench
SITE := 'import sysconfig; print(sysconfig.get_path("purelib"))'
PEERS := $(notdir $(basename $(wildcard benchmarks/peers/*.txt)))
.PHONY: bench-peers
bench-peers: $(STAMP) $(PEERS:%=$(BENCH)/%/.installed) ## Install what the benchmarks compare with (4 GB).

$(BENCH)/%/.installed: benchmarks/peers/%.txt
	@echo "installing $* into $(BENCH)/$*"
	@$(BIN)/python -m venv --clear $(BENCH)/$*
	@# torch is 5 GB: who asks for ours finds what is installed here behind what is its own.
	@if grep -q '^# torch and torchvision: ours' $<; then site=$(SITE); \
		$(BIN)/python -c "$$site" > "$$($(BENCH)/$*/bin/python -c "$$site")/ours.pth"; fi
	@$(BENCH)/$*/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	@touch $@

.PHONY: constraints
constraints: $(STAMP) ## Write constraints.txt from what is installed.
	@sed '/^[^#]/,$$d' constraints.txt > $(VENV)/constraints.txt
	@# NVIDIA's libraries are pinned by torch itself, and only torch for Linux has them.
	@$(BIN)/python -m pip freeze --exclude-editable --exclude boatseg \
		| grep -Ev '^#|^(nvidia|cuda)-|^triton==| @ ' >> $(VENV)/constraints.txt
	@mv $(VENV)/constraints.txt constraints.txt && touch $(STAMP)

# The environment

$(STAMP): pyproject.toml constraints.txt setup.py $(wildcard boatseg_core/imaging/csrc/*) | $(BIN)/python
	@echo "installing into $(VENV): takes minutes the first time, PyTorch is large"
	@$(BIN)/python -m pip --version > /dev/null 2>&1 || $(BIN)/python -m ensurepip
	@quiet=--quiet; if [ -t 1 ]; then quiet=; fi; \
	$(BIN)/python -m pip install $$quiet --disable-pip-version-check -e '.[dev]' -c constraints.txt
	@touch $@

# A name on the path may be a shim that does not run, or lack venv (Debian): only running it tells.
$(BIN)/python:
	@for name in $(PYTHON); do \
		if "$$name" -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' \
			> /dev/null 2>&1; then \
			echo "making $(VENV) with $$("$$name" -c 'import sys; print(sys.executable, sys.version.split()[0])')"; \
			exec "$$name" -m venv --clear $(VENV); \
		fi; \
	done; \
	echo "No Python 3.11, 3.12 or 3.13 with the module venv among: $(PYTHON)." >&2; \
	echo "Install one (on Debian and Ubuntu: apt install python3-venv) or name it:" >&2; \
	echo "make PYTHON=/path/to/python3.12 ..." >&2; \
	exit 1
