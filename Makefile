# The two commands of a fresh machine are `make demo` and `make test`; both make their own .venv.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check
LOCKS  := requirements

TORCH  := torch==2.13.0

# What an artefact is for: hosts that render on a `cpu` or a `gpu`, or that `watch`; BUILD marks one of several builds.
VARIANT := cpu
BUILD   :=

.PHONY: install dev train control demo demo-avatar artefact artefact-cuda dashboards test test-hosts lint format bench bench-hosts lock clean clean-venv

install: $(VENV)/.installed  ## the command `lipsync` in .venv, able to render on this machine's CPU
dev: $(VENV)/.developed      ## the same, with the tools that test and lint
train: $(VENV)/.trained      ## the same, with PyTorch, to import checkpoints and to train the demo avatar
control: $(VENV)/.controls   ## the same as dev, with Ansible: a machine that builds artefacts and deploys them

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "lipsync-fleet needs Python 3.11 or newer; set PYTHON=/path/to/python3.11")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(LOCKS)/local.txt pyproject.toml | $(VENV)/bin/python
	$(PIP) install --quiet --require-hashes -r $(LOCKS)/local.txt
	$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.developed: $(VENV)/.installed $(LOCKS)/dev.txt
	$(PIP) install --quiet --require-hashes -r $(LOCKS)/dev.txt
	@touch $@

$(VENV)/.trained: $(VENV)/.developed $(LOCKS)/train.txt
	$(PIP) install --quiet --require-hashes -r $(LOCKS)/train.txt
	$(PIP) install --quiet $(TORCH)
	@touch $@

$(VENV)/.controls: $(VENV)/.developed $(LOCKS)/ansible.txt
	$(PIP) install --quiet --require-hashes -r $(LOCKS)/ansible.txt
	@touch $@

demo: install  ## a video from the speech clip that ships, through a real fleet on this machine
	$(BIN)/lipsync demo

demo-avatar: train  ## draw and train the demo avatar from nothing; needs libespeak-ng, libegl1 and libgl1
	$(BIN)/python -m workers.presenter

artefact: dev  ## one file for a host, in dist/: VARIANT=cpu, gpu or watch
	$(BIN)/python -m infra.artefact --variant $(VARIANT) --build "$(BUILD)"

artefact-cuda: dev  ## the layer with the CUDA and cuDNN libraries, in dist/
	$(BIN)/python -m infra.artefact --variant cuda

test: dev  ## everything a laptop can run
	$(BIN)/pytest

test-hosts: control  ## the playbooks on real hosts with systemd; as root on Debian, see docs/development.md
	$(BIN)/pytest tests/hosts

lint: control  ## style, types, who may import whom, and the playbooks
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/shellcheck $$(git ls-files '*.sh') .ci/run
	cd ansible && ../$(BIN)/ansible-lint --offline

format: dev
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

bench: install  ## the figures that the documentation quotes; with PyTorch there is `lipsync bench --reference`, too
	$(BIN)/lipsync bench
	$(BIN)/lipsync bench --what model
	$(BIN)/lipsync bench --what precision
	$(BIN)/lipsync bench --what fleet
	$(BIN)/lipsync bench --avatar demo --frames 1450
	LIPSYNC_THREADS=1 $(BIN)/lipsync bench --what model --avatar demo
	$(BIN)/lipsync bench --what fleet --avatar demo --frames 1450
	$(BIN)/lipsync bench --what submission
	$(BIN)/lipsync bench --what scheduler

bench-hosts: control  ## deploys to a hundred hosts on this machine; as root on Debian
	$(BIN)/python -m tests.hosts.hundred

dashboards: dev  ## the dashboards for Grafana, from the code that describes them
	$(BIN)/python -m infra.monitoring.dashboards

# Hashed, without the address of any index; dev is resolved first and the others follow its versions.
COMPILE = uv pip compile pyproject.toml --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-annotate --custom-compile-command 'make lock'
lock:  ## needs uv on the PATH
	$(COMPILE) --extra cpu --extra local --extra plot --group build --group artefact --group dashboards --group lint --group test -o $(LOCKS)/dev.txt
	$(COMPILE) -c $(LOCKS)/dev.txt --extra cpu --extra local --group build -o $(LOCKS)/local.txt
	$(COMPILE) -c $(LOCKS)/dev.txt --extra cpu -o $(LOCKS)/cpu.txt
	$(COMPILE) -c $(LOCKS)/dev.txt --extra gpu -o $(LOCKS)/gpu.txt
	$(COMPILE) -c $(LOCKS)/dev.txt --extra watch -o $(LOCKS)/watch.txt
	$(COMPILE) -c $(LOCKS)/gpu.txt --extra cuda -o $(LOCKS)/cuda.txt
	$(COMPILE) -c $(LOCKS)/dev.txt --group ansible -o $(LOCKS)/ansible.txt
	$(COMPILE) -c $(LOCKS)/dev.txt --extra train --group presenter --excludes $(LOCKS)/not-locked.in -o $(LOCKS)/train.txt

clean-venv:
	rm -rf $(VENV)

clean: clean-venv
	rm -rf build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
