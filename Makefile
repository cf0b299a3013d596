# The two commands of a fresh machine are `make demo` and `make test`; both make their own .venv.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check
LOCKS  := requirements

TORCH  := torch==2.13.0

.PHONY: install dev train demo demo-avatar test lint format bench lock clean clean-venv

install: $(VENV)/.installed  ## the command `lipsync` in .venv, able to render on this machine's CPU
dev: $(VENV)/.developed      ## the same, with the tools that test and lint
train: $(VENV)/.trained      ## the same, with PyTorch, to import checkpoints and to train the demo avatar

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

demo: install  ## a video from the speech clip that ships, through a real fleet on this machine
	$(BIN)/lipsync demo

demo-avatar: train  ## draw and train the demo avatar from nothing; needs libespeak-ng, libegl1 and libgl1
	$(BIN)/python -m workers.presenter

test: dev  ## everything a laptop can run
	$(BIN)/pytest

lint: dev  ## style, types, and who may import whom
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

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

# Hashed, without the address of any index; dev is resolved first and the others follow its versions.
COMPILE = uv pip compile pyproject.toml --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-annotate --custom-compile-command 'make lock'
lock:  ## needs uv on the PATH
	$(COMPILE) --extra cpu --extra local --extra plot --group build --group lint --group test -o $(LOCKS)/dev.txt
	$(COMPILE) -c $(LOCKS)/dev.txt --extra cpu --extra local --group build -o $(LOCKS)/local.txt
	$(COMPILE) -c $(LOCKS)/dev.txt --extra cpu -o $(LOCKS)/cpu.txt
	$(COMPILE) -c $(LOCKS)/dev.txt --extra gpu -o $(LOCKS)/gpu.txt
	$(COMPILE) -c $(LOCKS)/dev.txt --extra train --group presenter --excludes $(LOCKS)/not-locked.in -o $(LOCKS)/train.txt

clean-venv:
	rm -rf $(VENV)

clean: clean-venv
	rm -rf build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
