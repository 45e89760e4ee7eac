# Every target does its own set-up. Each script says at its top what it does.
SHELL := /bin/sh
.DEFAULT_GOAL := help
.PHONY: help demo test quick endurance bench lint format dashboards docs screenshots dashboard-pictures lock dist image image-test clean
.PHONY: runtime dev programs

BIN := .venv/bin
# More arguments for what the target runs: make test ARGS="-k ledger", make demo ARGS=--log.level=debug
ARGS ?=
# The Python to use: make test PYTHON=python3.12. By default the newest on PATH.
PYTHON ?=
export PYTHON

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' Makefile

demo: runtime ## run the exporter on simulated vendors: no key, no configuration
	@exec $(BIN)/videotask-exporter demo $(ARGS)

test: lint programs ## check style and types, then run every test
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist load $(ARGS)

quick: lint ## the same in two minutes: without the slow tests, which start programs, fuzz, kill or measure
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist load -m "not slow" $(ARGS)

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

docs: runtime ## write what docs/ has from the code: settings, flags, metrics, the API, vendors' numbers, faults
	$(BIN)/python -m docs.tools.generate

screenshots: dev ## take the pictures in docs/ again, of the pages and of the dashboards, in Chromium
	@scripts/install-prometheus
	@scripts/install-chromium
	@scripts/install-pictures
	$(BIN)/python -m tests.web.pictures
	$(BIN)/python -m tests.drawn --documents

dashboard-pictures: dev ## draw every dashboard with Grafana's own panels, in build/pictures/; ARGS=--check judges them
	@scripts/install-prometheus
	@scripts/install-chromium
	@scripts/install-pictures
	@$(BIN)/python -m tests.drawn $(ARGS)

lock: dev ## write the requirements*.txt from pyproject.toml; UPGRADE=1 takes newer versions
	scripts/lock $(if $(UPGRADE),--upgrade)

dist: runtime ## build wheel and source distribution in dist/, the same bytes each time
	$(BIN)/python scripts/build.py dist

VERSION = $(shell sed -n 's/^__version__ = "\(.*\)"$$/\1/p' exporter/__init__.py)
# Which commit the image is made of, and when that was made; empty without git.
REVISION = $(shell git describe --always --abbrev=40 --exclude='*' --dirty 2>/dev/null)
CREATED = $(shell TZ=UTC0 git log -1 --format=%cd --date=format-local:%Y-%m-%dT%H:%M:%SZ 2>/dev/null)
# Where its source is to be found, for the label: make image SOURCE=https://forge.example/videotask-exporter
SOURCE =
# Another base image, such as the Dockerfile's by its digest: make image BASE=docker.io/library/python@sha256:...
BASE =
NAMED_BASE = $(shell sed -n 's/^FROM \([^ ]*\) AS base$$/\1/p' Dockerfile)
IMAGE = videotask-exporter:$(VERSION)
# With flags if it needs some: make image ENGINE="buildah --storage-driver vfs" BUILD="--isolation chroot"
ENGINE = $(shell for engine in docker podman buildah; do $$engine info >/dev/null 2>&1 && echo $$engine && break; done)
BUILD =
# podman and buildah drop the HEALTHCHECK unless the image is in docker's format.
image: ## build the container image, with whichever of docker, podman and buildah works
	@test -n "$(ENGINE)" || { echo "make image needs a working docker, podman or buildah" >&2; exit 1; }
	$(ENGINE) build $(if $(filter-out docker,$(notdir $(firstword $(ENGINE)))),--format docker) $(BUILD) \
	  $(if $(BASE),--build-context $(NAMED_BASE)=docker-image://$(BASE)) \
	  --build-arg VERSION=$(VERSION) --build-arg REVISION=$(REVISION) --build-arg CREATED=$(CREATED) \
	  --build-arg SOURCE=$(SOURCE) -t $(IMAGE) .

image-test: $(if $(findstring command,$(origin IMAGE)),,image) ## build the image and run it; IMAGE=NAME runs that one
	@ENGINE="$(ENGINE)" scripts/image_test.py $(IMAGE)

clean: ## remove everything that the other targets made
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

runtime:
	@scripts/setup-venv requirements.txt

dev:
	@scripts/setup-venv requirements-dev.txt

programs:
	@scripts/install-prometheus
	@scripts/install-program curl curl
	@scripts/install-program systemd-analyze systemd
	@scripts/install-program git git
	@scripts/install-program nginx nginx-light
	@scripts/install-postgresql
	@scripts/install-program pgbouncer pgbouncer
	@command -v kubectl >/dev/null || scripts/install-go-program kustomize sigs.k8s.io/kustomize/kustomize/v5@v5.7.1
	@scripts/install-go-program helm helm.sh/helm/v3/cmd/helm@v3.22.0
	@scripts/install-chromium
	@scripts/install-pictures
