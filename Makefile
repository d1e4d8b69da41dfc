# Each target is enough on a fresh machine with Python 3.11 to 3.13: it first makes .venv from the pinned requirements, by hash.
#
#   make tables [PROFILE=demo] [ARGS="--only table1_main_results -p seeds=3"]    train, measure, write results/<profile>/
#   make ablations [PROFILE=demo]                                                what the paper tried and did not print
#   make adopt [PROFILE=demo] [ARGS="table1_main_results"]                       the outputs of a reference run into the committed notebooks
#   make lab [ARGS="--no-browser --port 8889"]                                   JupyterLab on the notebooks
#   make solutions [ARGS="2_cross_encoders"]                                     the teaching notebooks, solved and executed
#   make test [PYTEST_ARGS="-k metrics"]                                         lint, types, import walls, every test
#   make docs                                                                    docstrings and notebooks as pages, docs/_build/html/docs/index.html
#   make cluster [PROFILE=demo] [ON=slurm] [ARGS="-p seeds=3"]                   the same as make tables, over the machines of a cluster (needs SLURM)
#   make bench                                                                   speed of search, reranking, evaluation and training
#   make fuzz [SECONDS=60] [HARNESS=manifest]                                    every reader of untrusted files, so long each
#   make faults [KILLS=200]                                                      the kit's programs killed at random moments, and run again
#   make cluster-test                                                            a profile on a real SLURM of two nodes (Debian: slurm-wlm, munge; root)
#   make audit                                                                   known vulnerabilities of the pinned packages (needs a network)
#   make lock                                                                    hashes of the pinned packages, after a pin was changed (needs a network)
#
# A CPU-only PyTorch for a Linux machine without a GPU: PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu make ...

PROFILE ?= demo
ARGS ?=
ON ?= local
SECONDS ?= 60
KILLS ?= 200
HARNESS ?=
# A file's tests run in one process, one after the other; those of the longest files begin first (tests/conftest.py).
PYTEST_ARGS ?= -n auto --dist loadfile --no-loadscope-reorder
BIN := .venv/bin

# The first of these that really runs (a version manager's shim may be there and fail).
SUPPORTED = import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
PYTHON ?= $(firstword $(shell for p in python3.11 python3.12 python3.13 python3 python; do $$p -c '$(SUPPORTED)' 2>/dev/null && echo $$p && break; done))
RUN = @test -n "$(PYTHON)" || { echo "no Python 3.11 to 3.13 with venv found: install one, or make PYTHON=/path/to/python" >&2; exit 2; }; $(PYTHON) requirements/$(1)
INSTALL = $(call RUN,install.py)

# One busy thread a process: two can be many times slower than one. Trainings run side by side instead.
export OMP_NUM_THREADS = 1
export OMP_WAIT_POLICY = PASSIVE
export TOKENIZERS_PARALLELISM = false
# Absolute, so that notebooks and commands find the same folders from wherever they run.
export MMR_CACHE_DIR := $(abspath $(or $(MMR_CACHE_DIR),.mmr_cache))
ifneq ($(MMR_DATA_DIR),)
export MMR_DATA_DIR := $(abspath $(MMR_DATA_DIR))
endif

# Profile paper-smoke runs on a miniature of the paper's data sets and checkpoints, made here and made again where its makers changed.
MINIATURE := $(MMR_CACHE_DIR)/miniature
ifeq ($(PROFILE),paper-smoke)
export MMR_DATA_DIR := $(MINIATURE)
endif

.PHONY: tables ablations adopt pretrained pretraining lab solutions test lint docs bench fuzz faults audit lock cluster cluster-test clean install install-test install-docs install-minilm install-int8 \
	install-fuzz install-audit install-milvus install-cluster

tables: install $(if $(filter paper-smoke,$(PROFILE)),$(MINIATURE))
	$(BIN)/mmr regenerate --profile $(PROFILE) $(ARGS)

$(MINIATURE): mmr_kit/data/miniature.py mmr_kit/models/miniature.py | install
	rm -rf $@
	$(BIN)/mmr data miniature --prepared $@

# What the paper tried and did not print; `tables` leaves it out, as it trains a dozen models more.
ablations: install
	$(BIN)/mmr regenerate --profile $(PROFILE) --only ablations --only object_tags $(ARGS)

adopt: install
	$(BIN)/python workflow/adopt.py $(PROFILE) $(ARGS)

# The committed starts of the generated world, mmr_kit/pretrained/, made again in two stages each: one for English, one for four languages.
FOUR = --language en --language de --language fr --language cs
pretrained: install
	$(MAKE) pretraining NAME=pictograms LANGUAGES=
	$(MAKE) pretraining NAME=pictograms_multilingual LANGUAGES="$(FOUR)"

pretraining:
	$(BIN)/mmr train PRETRAINING --dataset pictograms_pool $(LANGUAGES) --steps 2600 --warmup-steps 100 --output .mmr_cache/$(NAME)_first_stage
	$(BIN)/mmr train PRETRAINING --dataset pictograms_similar $(LANGUAGES) --start .mmr_cache/$(NAME)_first_stage --steps 2000 --warmup-steps 100 \
		--batch-size 64 --output pretrained_$(NAME)

# On this machine alone, with a token, asking no other host for news; the workspace (quickstart in front, explorer behind) is laid out anew at each start.
lab: export JUPYTER_CONFIG_PATH := $(CURDIR)/lab$(if $(JUPYTER_CONFIG_PATH),:$(JUPYTER_CONFIG_PATH))
lab: export JUPYTERLAB_WORKSPACES_DIR := $(MMR_CACHE_DIR)/lab
lab: install
	$(BIN)/jupyter lab workspaces import lab/mmr-kit.jupyterlab-workspace
	$(BIN)/jupyter lab --ip=127.0.0.1 --LabApp.default_url=/lab/workspaces/mmr-kit $(if $(filter 0,$(shell id -u)),--allow-root) $(ARGS)

# notebooks/teaching/solutions/*.ipynb: the lessons with their exercises solved (*.py there), for the teacher.
solutions: install
	$(BIN)/python -m mmr_kit.teaching.solutions $(ARGS)

test: lint
	$(BIN)/python -m pytest $(PYTEST_ARGS)

lint: install-test
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

docs: install-docs
	$(BIN)/python -m sphinx -E -W --keep-going -q -b html -c docs . docs/_build/html

# Threads of one process that wait for one another sleep after some microseconds: at once (PASSIVE) costs a third, and later they would be in OpenVINO's way.
bench: install-int8
	env -u OMP_WAIT_POLICY GOMP_SPINCOUNT=3000 OMP_NUM_THREADS=2 $(BIN)/python benchmarks/run.py

cluster: install-cluster
	$(BIN)/python workflow/run.py --profile $(PROFILE) --on $(ON) $(ARGS)

fuzz: install-fuzz
	$(BIN)/python -m tests.fuzz.run --seconds $(SECONDS) $(HARNESS)

faults: install-test
	$(BIN)/python -m tests.kills.run --kills $(KILLS)

cluster-test: install-test install-cluster
	MMR_RECORD=1 $(BIN)/python -m pytest tests/cluster

audit: install-audit
	$(BIN)/python requirements/audit.py

# Without .venv: that is made from what this writes.
lock:
	$(call RUN,lock.py)

install:
	$(INSTALL)

install-test:
	$(INSTALL) test

install-docs:
	$(INSTALL) docs

install-fuzz:
	$(INSTALL) fuzz

install-audit:
	$(INSTALL) audit

install-minilm:
	$(INSTALL) minilm

install-int8:
	$(INSTALL) int8

install-milvus:
	$(INSTALL) milvus

install-cluster:
	$(INSTALL) cluster

# Trained models (.mmr_cache) and results stay.
clean:
	rm -rf .venv .venv.lock *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	rm -rf docs/_build docs/api .fuzz
	find . -name __pycache__ -type d -not -path './.mmr_cache/*' -prune -exec rm -rf {} +
