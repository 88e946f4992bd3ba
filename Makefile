# Skerry's commands. `make help` lists them. Nothing here needs more than Python 3.11 (with venv), git and make.
SHELL := /bin/bash
.DEFAULT_GOAL := help

DATA ?= .skerry
PORT ?= 8443
SECONDS ?= 60

UV_VERSION := 0.13.9
UV ?= $(shell command -v uv || echo .tools/bin/uv)
export UV_PYTHON_DOWNLOADS := never
RUN := $(UV) run --frozen

help: ## list the commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

.tools/bin/uv:
	@python3 -c 'import ensurepip' 2>/dev/null || { echo "make: this Python has no venv; on Debian: apt-get install python3-venv (or put uv on your PATH)" >&2; exit 1; }
	python3 -m venv .tools
	.tools/bin/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

.venv/.synced: uv.lock pyproject.toml | $(filter .tools/bin/uv,$(UV))
	$(UV) sync --frozen --quiet
	@PYTHONDONTWRITEBYTECODE= $(RUN) python -c "import skerry.cli.main, skerry.compose.demo" # compiled once, also where Python may not write while it runs
	@touch $@

setup: .venv/.synced ## all set-up, nothing else

up: setup ## set up, then run Skerry with an embedded database and a simulated site (DATA=.skerry PORT=8443)
	$(RUN) skerry up --sim --data "$(DATA)" --port $(PORT)

test: setup ## set up, then run every test that this machine can run
	$(RUN) pytest -n 2 --dist loadfile

check: setup ## format, lint, types, import contracts, size budgets, protocol, docs
	$(RUN) ruff format --check .
	$(RUN) ruff check .
	$(RUN) mypy
	$(RUN) lint-imports
	$(RUN) python tools/budgets.py
	$(RUN) python tools/protoc.py --check
	$(RUN) python tools/reference.py --check

peers: ## build the real Kubernetes programs that the tests talk to (about 45 minutes, once)
	python3 peers/build.py

bench: setup ## measure the API beside a real kube-apiserver, and a fleet of agents (`python -m bench --quick` is shorter)
	$(RUN) python -m bench
	$(RUN) python -m bench.hostile
	$(RUN) python -m bench.agents --quick
	$(RUN) python -m bench.clusters --counts 50
	$(RUN) python -m bench.idle --hours 6

fuzz: setup ## fuzz what reads bytes of strangers, a minute each (`make fuzz SECONDS=600` for longer)
	$(RUN) --group fuzz python -m fuzz --seconds=$(SECONDS)

reference: setup ## write docs/reference from the code
	$(RUN) python tools/reference.py

format: setup ## rewrite the code in the project's format
	$(RUN) ruff format .
	$(RUN) ruff check --fix .

.PHONY: help setup up test check peers bench reference format
