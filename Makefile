# One command runs every check: `make test`. `make` lists the rest.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# The first Python that ansible-core 2.19 runs on; `make PYTHON=...` names another.
PYTHON ?= $(shell for p in python3.11 python3 python3.12 python3.13 python; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null && echo $$p && break; done)

VENV := .venv
PY := $(VENV)/bin/python
SET_UP := $(VENV)/.locked .tree/ansible_collections/ferragosto/dr
CACHE := $(if $(XDG_CACHE_HOME),$(XDG_CACHE_HOME),$(HOME)/.cache)/ferragosto.dr
PEERS := $(CACHE)/peers/$(shell sed -n 's/^ansible==//p' requirements/peers.txt)

PROVIDER ?= proxmox
WORKERS ?= 2
PYTEST_ARGS ?=
WITH_SIMULATORS = VCSIM=$$($(PY) tools/get_simulators.py vcsim); GOVC=$$($(PY) tools/get_simulators.py govc); \
	export VCSIM GOVC
# A folder, or why there is none: tests of Kerberos are collected only where Debian's KDC can be had.
WITH_KERBEROS = DR_KERBEROS=$$($(PY) tools/get_kerberos.py $(CACHE)/kerberos || true); export DR_KERBEROS
GATES := ruff mypy yamllint changelog ansible-lint collection-docs sanity

export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
export PYTHONPATH := $(CURDIR)/.tree
export ANSIBLE_COLLECTIONS_PATH := $(CURDIR)/.tree
export LC_ALL := C.UTF-8
export NO_COLOR := 1

.PHONY: help
help:  ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

.PHONY: setup
setup: $(SET_UP)  ## make the virtual environment, the collection's link and the simulators
	@$(PY) tools/get_simulators.py

.PHONY: demo
demo: $(SET_UP)  ## play the 15 August story [PROVIDER=proxmox|vsphere|hyperv]
	@$(if $(filter vsphere,$(PROVIDER)),$(WITH_SIMULATORS);) \
	$(PY) -m ansible_collections.ferragosto.dr.extensions.twin.demo --provider $(PROVIDER)

.PHONY: test
test: $(SET_UP)  ## every check: lint, then unit and end-to-end tests
	@$(MAKE) lint
	@$(MAKE) pytest

.PHONY: pytest
pytest: $(SET_UP) $(PEERS)/ansible_collections  ## unit and end-to-end tests alone [PYTEST_ARGS=... WORKERS=2]
	@$(WITH_SIMULATORS); \
	$(WITH_KERBEROS); \
	export DR_PEERS=$(PEERS); \
	$(PY) -m pytest -n $(WORKERS) --dist worksteal $(PYTEST_ARGS)

.PHONY: lint
lint: $(SET_UP)  ## every static gate, two at a time, all verdicts shown
	@$(MAKE) --jobs=2 --output-sync=target --keep-going $(addprefix lint-,$(GATES))

.PHONY: $(addprefix lint-,$(GATES))
lint-ruff: $(SET_UP)
	@echo "== ruff"; ruff check --quiet . && ruff format --quiet --check --diff .
lint-mypy: $(SET_UP)
	@echo "== mypy"; env -u PYTHONPATH mypy $(addprefix .tree/ansible_collections/ferragosto/dr/,$(wildcard plugins extensions tests tools))
lint-yamllint: $(SET_UP)
	@echo "== yamllint"; yamllint --strict .
lint-changelog: $(SET_UP)
	@echo "== antsibull-changelog"; antsibull-changelog lint
lint-ansible-lint: $(SET_UP)
	@echo "== ansible-lint"; ansible-lint --offline --profile production -q
lint-collection-docs: $(SET_UP)
	@echo "== antsibull-docs"; antsibull-docs lint-collection-docs --plugin-docs --skip-rstcheck .
lint-sanity: $(SET_UP)
	@echo "== ansible-test sanity"; $(PY) tests/sanity/run.py

.PHONY: bench
bench: $(SET_UP) $(PEERS)/ansible_collections  ## measure against a floor and against peers (build/bench/*.json)
	@$(WITH_SIMULATORS); \
	export DR_PEERS=$(PEERS); mkdir -p build/bench; \
	shopt -s nullglob; missed=0; \
	for script in tests/bench/bench_*.py; do echo "== $$script"; $(PY) $$script || missed=1; done; exit $$missed

.PHONY: docs
docs: $(SET_UP)  ## the documentation site, offline, in build/docs
	@$(PY) tools/build_docs.py

.PHONY: lock
lock:  ## refresh requirements/dev.txt from requirements/dev.in
	@rm -rf build/lock-venv; $(PYTHON) -m venv build/lock-venv
	@build/lock-venv/bin/python -m pip install --quiet -r requirements/dev.in
	@{ echo '# Made by `make lock` from requirements/dev.in; do not edit.'; \
	build/lock-venv/bin/python -m pip freeze; } > requirements/dev.txt
	@rm -rf build/lock-venv; git --no-pager diff --stat -- requirements/dev.txt

.PHONY: clean
clean:  ## remove all that was made inside the clone (the cache outside stays)
	@rm -rf build $(VENV) .tree .ansible .mypy_cache .ruff_cache .pytest_cache tests/output

$(VENV)/.locked: requirements/dev.txt requirements/schemas.txt
	@if [ -z "$(PYTHON)" ]; then echo "Python 3.11 to 3.13 is needed and none was found (python3.11, python3, ...);" \
	"install it (Debian: python3 python3-venv) or name it: make PYTHON=/path/to/python" >&2; exit 1; fi
	@echo "installing the locked packages in $(VENV) with $(PYTHON)"
	@$(PYTHON) -m venv $(VENV)
	@$(PY) -m pip install --quiet --disable-pip-version-check -r requirements/dev.txt
	@$(PY) -m pip install --quiet --disable-pip-version-check --no-deps -r requirements/schemas.txt
	@touch $@

.tree/ansible_collections/ferragosto/dr:
	@mkdir -p $(@D); ln -sfn ../../.. $@

# Outside the clone and named by its version, so it is never older than what it is made from.
$(PEERS)/ansible_collections:
	@$(PY) tools/get_peers.py $(PEERS)
