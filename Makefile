# Every target does its own set-up. What the scripts do is said at their heads.
SHELL := /bin/sh
.DEFAULT_GOAL := help
.PHONY: help demo test endurance bench lint format docs lock image clean dashboards runtime dev programs

BIN := .venv/bin
# More arguments for what the target runs: make test ARGS="-k ledger", make demo ARGS=--log.level=debug
ARGS ?=
# The Python to use: make test PYTHON=python3.12. By default the newest on PATH.
PYTHON ?=
export PYTHON

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

demo: runtime ## run the exporter on simulated vendors: no key, no configuration
	@exec $(BIN)/videotask-exporter demo $(ARGS)

test: lint programs ## check style and types, then run every test
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist load $(ARGS)

endurance: runtime ## five million tasks in fast-forward: memory, file and time per sweep; takes ten minutes
	$(BIN)/python -m benchmarks.endurance $(ARGS)

bench: runtime ## measure speed and size against the goals and against others; takes ten minutes, ARGS=--quick seconds
	$(BIN)/python -m benchmarks $(ARGS)

lint: dev ## check style and types only
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: dev ## put the code in order
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

dashboards: dev ## write the dashboards, alerts and recording rules from the code in grafana/
	$(BIN)/python -m grafana.generate

docs: runtime ## write what docs/ has from the code: the metrics, the API, the table of faults
	$(BIN)/python docs/generate.py

lock: dev ## write the requirements*.txt from pyproject.toml; UPGRADE=1 takes newer versions
	scripts/lock $(if $(UPGRADE),--upgrade)

VERSION = $(shell sed -n 's/^__version__ = "\(.*\)"$$/\1/p' exporter/__init__.py)
IMAGE = videotask-exporter:$(VERSION)
ENGINE = $(shell for engine in docker podman buildah; do $$engine info >/dev/null 2>&1 && echo $$engine && break; done)
# podman and buildah drop the HEALTHCHECK unless the image is in docker's format.
image: ## build the container image, with whichever of docker, podman and buildah works
	@test -n "$(ENGINE)" || { echo "make image needs a working docker, podman or buildah" >&2; exit 1; }
	$(ENGINE) build $(if $(filter-out docker,$(ENGINE)),--format docker) --build-arg VERSION=$(VERSION) -t $(IMAGE) .

clean: ## remove everything that the other targets made
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

runtime:
	@scripts/setup-venv requirements.txt

dev:
	@scripts/setup-venv requirements-dev.txt

programs:
	@scripts/install-prometheus
	@scripts/install-chromium
