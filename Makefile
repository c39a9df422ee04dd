# `make demo` and `make test` do all set-up on a Debian or Ubuntu machine; so does every other target for what it needs.

VENV := .venv
# The system's own first: any user can read it, which rootless containers need, and it is an optimised build.
PYTHON ?= $(firstword $(foreach p,/usr/bin/python3 python3 python3.14 python3.13 python3.12 python3.11,$(shell \
	$(p) -c 'import sys; sys.version_info >= (3, 11) and print("$(p)")' 2>/dev/null)))
PIP := $(VENV)/bin/python -m pip --disable-pip-version-check --quiet
# A static path file: the import hook that setuptools would install instead costs every command 11 ms.
EDITABLE := --config-settings editable_mode=compat --editable

.PHONY: help demo test test-workloads test-python workload-table test-kill test-zygote test-vm test-containerd syscall-tests compatibility lint bench bench-quick clean

help:
	@echo 'make demo            set up, then run a container and a sandboxed command, and show what the sentry did'
	@echo 'make test            set up, then run all tests'
	@echo 'make test-workloads  the workload tests in full size, in every sandbox: half an hour'
	@echo 'make workload-table  the same, with times beside native ones, into docs/compatibility.md'
	@echo "make test-python     CPython's whole test suite, in both profiles: most of an hour"
	@echo 'make test-kill       SIGKILL or SIGINT at every step of every verb, to each process: an hour'
	@echo 'make test-zygote     the tests of lifecycle, verbs and engines with commands that a zygote does: ten minutes'
	@echo 'make test-vm         cgroup version 2, the systemd driver (of a user too, and of engines), AppArmor: in a virtual machine, by qemu; a quarter of an hour'
	@echo 'make test-containerd the tests of containerd and CRI with a newer containerd, built as a Go module: CONTAINERD=2.2.9'
	@echo 'make syscall-tests   every case of the system call suite, in both profiles: some minutes'
	@echo 'make compatibility   the same beside runc and runsc, into docs/compatibility.md and, with notes, docs/compatibility.html'
	@echo 'make lint            lint, types, layers'
	@echo 'make bench           pysc beside native, runc, crun and runsc: table, JSON and plot in benchmarks/results'
	@echo 'make bench-quick     the same with few repetitions'
	@echo 'make clean           remove what was built'

demo: $(VENV)/.installed
	demo/demo.sh $(VENV)/bin/pysc

test: $(VENV)/.installed-test
	$(VENV)/bin/python -m pytest $(ARGS)

test-workloads: $(VENV)/.installed-test
	$(VENV)/bin/python -m pytest --long tests/integration/test_workload_*.py $(ARGS)

workload-table: $(VENV)/.installed-test
	$(VENV)/bin/python scripts/workload_table.py $(ARGS)

test-python: $(VENV)/.installed-test
	$(VENV)/bin/python -m pytest --long tests/integration/test_python_suite.py $(ARGS)

test-kill: $(VENV)/.installed-test
	$(VENV)/bin/python -m pytest --every-step tests/integration/test_killed.py $(ARGS)

# Left out: tests that look at the command's own interpreter or time its reads, and workloads, which a start does not concern.
WITH_ZYGOTE := beside conformance containerd containers cri deploy devices directfs docker docker_and_podman environment foreign_namespaces hooks \
	interfaces_shown kernel_release lifecycle limits_shown masks namespace_platform namespaces net_devices overlay pause podman process_properties \
	root_overlay seccomp_profile terminals tracing trusted_engines update_events zygote
test-zygote: $(VENV)/.installed-test
	$(VENV)/bin/python -m pytest --zygote $(WITH_ZYGOTE:%=tests/integration/test_%.py) $(ARGS)

CONTAINERD ?= 2.2.9
CONTAINERD_DIR := build/containerd-$(CONTAINERD)
test-containerd: $(VENV)/.installed-test $(CONTAINERD_DIR)/containerd
	PATH="$(CURDIR)/$(CONTAINERD_DIR):$$PATH" $(VENV)/bin/python -m pytest tests/integration/test_containerd.py tests/integration/test_cri.py \
		tests/integration/test_trusted_engines.py $(ARGS)

$(CONTAINERD_DIR)/containerd:
	GOBIN="$(CURDIR)/$(CONTAINERD_DIR)" CGO_ENABLED=0 go install -tags 'no_btrfs no_devmapper no_zfs' \
		$(foreach p,containerd-shim-runc-v2 ctr containerd,github.com/containerd/containerd/v2/cmd/$(p)@v$(CONTAINERD))

# The image is made once; ARGS are pytest's, tests/vm/run.py says what is run without.
test-vm: $(VENV)/.installed-test build/vm/.made
	$(VENV)/bin/python tests/vm/run.py build/vm $(ARGS)

build/vm/.made: tests/vm/image.sh
	tests/vm/image.sh build/vm
	@touch $@

syscall-tests: $(VENV)/.installed
	$(VENV)/bin/pysc syscall-tests --profile standard --profile strict $(ARGS)

# What fails under other runtimes is not ours to judge: the report is written whatever they do.
compatibility: $(VENV)/.installed-bench
	@mkdir -p build
	@rm -f build/compatibility.md
	-$(VENV)/bin/pysc syscall-tests --profile standard --profile strict --platform notify --platform ptrace --platform namespace --platform runc \
		--platform 'runsc --network=none --ignore-cgroups' --markdown build/compatibility.md --html docs/compatibility.html $(ARGS)
	$(VENV)/bin/python scripts/workload_table.py --syscalls build/compatibility.md

lint: $(VENV)/.installed-lint
	$(VENV)/bin/ruff check
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

bench: $(VENV)/.installed-bench
	$(VENV)/bin/python -m benchmarks $(ARGS)

bench-quick: $(VENV)/.installed-bench
	$(VENV)/bin/python -m benchmarks --quick $(ARGS)

# The byte code is written here, so that PYTHONDONTWRITEBYTECODE in the environment does not slow every command down.
$(VENV)/.installed: pyproject.toml setup.py bin/pysc sentry/platform/_native_build.py $(wildcard sentry/platform/native/*) runsc_cli/stage/stage.c runsc_cli/zygote/client.c scripts/system-packages.sh runsc_cli/command.py
	scripts/system-packages.sh '$(PYTHON)'
	$(PYTHON) -m venv $(VENV)
	$(PIP) install $(EDITABLE) .
	$(VENV)/bin/python -Im runsc_cli.command
	$(VENV)/bin/python -m compileall -q sentry gofer runsc_cli
	@touch $@

$(VENV)/.installed-%: $(VENV)/.installed
	scripts/system-packages.sh '$(PYTHON)' $(filter test bench,$*)
	$(PIP) install $(EDITABLE) '.[$*]'
	$(VENV)/bin/python -Im runsc_cli.command
	@touch $@

clean:
	rm -rf $(VENV) build *.egg-info sentry/platform/_native.*.so sentry/platform/_native.[co] runsc_cli/stage/stage runsc_cli/zygote/client
