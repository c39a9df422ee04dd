# make demo and make test do all set-up on a Debian or Ubuntu machine; everything else assumes that one of them has run.

VENV := .venv
PYTHON ?= $(firstword $(foreach p,python3 python3.13 python3.12 python3.11,$(shell $(p) -c 'import sys; sys.version_info >= (3, 11) and print("$(p)")' 2>/dev/null)))
SOURCES := sentry gofer runsc_cli tests setup.py

.PHONY: help demo test lint clean

help:
	@echo 'make demo    set up, then run a container and a sandboxed command, and show what the sentry did'
	@echo 'make test    set up, then run all tests'
	@echo 'make lint    formatting, lint, types, layers'
	@echo 'make clean   remove what was built'

demo: $(VENV)/.installed
	./demo.sh $(VENV)/bin/pysc

test: $(VENV)/.installed-test
	$(VENV)/bin/python -m pytest

lint: $(VENV)/.installed-lint
	$(VENV)/bin/ruff check $(SOURCES)
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

$(VENV)/.system:
	./install-system-packages.sh
	@mkdir -p $(VENV) && touch $@

$(VENV)/.installed: $(VENV)/.system pyproject.toml setup.py sentry/platform/_native_build.py runsc_cli/stage/stage.c
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/.installed-%: $(VENV)/.installed
	$(VENV)/bin/pip install --quiet --disable-pip-version-check --editable '.[$*]'
	@touch $@

clean:
	rm -rf $(VENV) build *.egg-info sentry/platform/_native.*.so sentry/platform/_native.[co] runsc_cli/stage/stage
