# make setup   installs into .venv          make train   a first network, in a few minutes
# make test    every test                   make lint    ruff, lint and format
# make results tables, figures and cards of the results, from what the runs left
# make docs    the API reference, from the docstrings, into build/docs
.DEFAULT_GOAL := help
.PHONY: help setup train test lint results docs clean

VENV := .venv
BIN := $(VENV)/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1

help:
	@sed -n 's/^# //p' Makefile

# `setup` installs what running needs; `test` and `lint` add the development tools.
$(VENV)/.ready: setup.py
	@sh .ci/venv $(VENV)
	$(BIN)/python -m pip install --quiet --no-compile -e ".[cpu]"
	@touch $@

$(VENV)/.ready-dev: $(VENV)/.ready
	$(BIN)/python -m pip install --quiet --no-compile -e ".[cpu,dev]"
	@touch $@

# The kernels; where they cannot be compiled, plain Paddle runs in their place.
$(VENV)/.ops: $(VENV)/.ready $(wildcard custom_ops/*/*.h custom_ops/*/*/*.h custom_ops/*/*.cc custom_ops/*/*.cu custom_ops/*/*.cuh)
	$(BIN)/python -W ignore -m ppeffconv.ops build --optional
	@touch $@

setup: $(VENV)/.ops

train: $(VENV)/.ops
	$(BIN)/python tools/train.py -c configs/quickstart.yaml

test: $(VENV)/.ready-dev $(VENV)/.ops
	$(BIN)/python -m pytest -n 2 --dist loadscope --no-loadscope-reorder --max-worker-restart=0

lint: $(VENV)/.ready-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

results: $(VENV)/.ready-dev $(VENV)/.ops
	$(BIN)/python tools/results.py collect
	$(BIN)/python tools/results.py write

$(VENV)/.ready-docs: $(VENV)/.ready-dev
	$(BIN)/python -m pip install --quiet --no-compile -e ".[cpu,dev,docs]"
	@touch $@

# What users import, each name where it is imported from and not once more in a file of that name.
PUBLIC := ppeffconv $(addprefix ppeffconv.,conversion models deployed weights data config registry engine.losses \
	engine.trainer engine.evaluator engine.callbacks integrations.ppdet integrations.ppseg)
HIDDEN := '!ppeffconv\.(ops|layers|models|deployed|weights)\.' '!ppeffconv\.accelerate'
# pdoc forbids programs during imports, and Paddle asks for the version of libc
docs: $(VENV)/.ready-docs
	PDOC_ALLOW_EXEC=1 $(BIN)/python -m pdoc --docformat google -o build/docs $(PUBLIC) $(HIDDEN)

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .ruff_cache
