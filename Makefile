# tfmeta, from a bare machine: `make fig5` sets up its environment, finds or gets the data and draws the figure.

PROFILE ?= quick
DATASET ?= auto
DATA_DIR ?=
SEED ?=
WORKERS ?=
SET ?=
PYTHON ?= python3.11
GPU ?=
PYTEST_ARGS ?=
# GPU=1: an environment of its own with TensorFlow's GPU build
on := $(filter-out 0 no false,$(GPU))
VENV ?= $(if $(on),.venv-gpu,.venv)
LOCK := $(if $(on),requirements-gpu.txt,requirements.txt)

# The shell reads these from its environment, so that their values may hold blanks and quotes.
export PROFILE DATASET DATA_DIR SEED WORKERS PYTHON VENV

data-dir = $${DATA_DIR:+--data-dir "$$DATA_DIR"}
run = --profile "$$PROFILE" --dataset "$$DATASET" $(data-dir) \
	$${SEED:+--seed "$$SEED"} $${WORKERS:+--workers "$$WORKERS"} $(foreach setting,$(SET),--set '$(setting)')
code = tfmeta experiments figures tests tools setup.py

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help env ablations ablation-table figures runtime notebook data bench test lint lock clean

help: ## this list
	@echo 'make fig1 ... fig8, figA1 ... figA11'
	@echo '                        draw a figure of the paper to figures/out, running what is missing'
	@echo 'make fig-delta          draw the accuracies after the defence against delta'
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1|\2/p' Makefile | while IFS='|' read -r target text; do \
		printf '%-23s %s\n' "$$target" "$$text"; done
	@echo 'with PROFILE=smoke|quick|desk|paper DATASET=auto|omniglot|glyphs|mini-imagenet|glyphs-color'
	@echo '     DATA_DIR=folder SEED=number WORKERS=number'
	@echo '     SET="field=value …" GPU=1 PYTHON=/path/to/python3.11 VENV=folder (of the environment)'

env: ## set up the environment (all others do so by themselves); GPU=1 for TensorFlow's GPU build
	@sh tools/python.sh bootstrap.py "$$VENV" $(LOCK)

# fig1, fig3, … : the command knows which figures there are
fig%: env
	@"$$VENV/bin/tfmeta" figure $@ $(run)

figures: env ## draw every figure of the paper (or those of DATASET), running what is missing
	@"$$VENV/bin/tfmeta" figure $@ $(run)

ablations: env ## draw the figures of the appendix that are of Omniglot (or of DATASET)
	@"$$VENV/bin/tfmeta" figure $@ $(run)

runtime: env ## write section B's table of run times for this machine, beside the paper's
	@"$$VENV/bin/tfmeta" figure $@ $(run)

ablation-table: env ## write the table of the defence's parts, .md and .csv
	@"$$VENV/bin/tfmeta" figure $@ $(run)

notebook: env ## run the notebook from start to end, to figures/out/federated_backdoor.ipynb
	@mkdir -p figures/out
	@env TFMETA_PROFILE="$$PROFILE" TFMETA_DATASET="$$DATASET" $${DATA_DIR:+"TFMETA_DATA=$$(realpath "$$DATA_DIR")"} \
		"$$VENV/bin/jupyter-execute" --kernel_name=python3 --output="$(CURDIR)/figures/out/federated_backdoor" \
		experiments/federated_backdoor.ipynb

data: env ## find or download Omniglot (or DATASET) and verify it
	@"$$VENV/bin/tfmeta" data $(if $(filter-out auto,$(DATASET)),--dataset "$$DATASET") $(data-dir)

bench: env ## measure this machine: training through the core and through TFF, memory, start-up
	@"$$VENV/bin/tfmeta" bench

test: env ## run the tests; PYTEST_ARGS=… for pytest, DATA_DIR=… for those that need real data
	@$${DATA_DIR:+env "TFMETA_DATA=$$DATA_DIR"} "$$VENV/bin/python" -m pytest $(PYTEST_ARGS)

lint: env ## check the code with ruff
	@"$$VENV/bin/python" -m ruff check $(code)

lock: ## compile requirements.txt and requirements-gpu.txt anew; UPGRADE=1 for the newest versions
	@sh tools/python.sh lock.py $(if $(UPGRADE),--upgrade)

clean: ## remove environments, figures and caches of the code; results, data and the data cache stay
	@for folder in "$$VENV" .venv .venv-gpu; do \
		if [ -e "$$folder/.tfmeta-env" ]; then rm -rf "$$folder"; fi; done
	@find $(code) -name __pycache__ -type d -prune -exec rm -rf {} +
	@rm -rf build tfmeta.egg-info figures/out .pytest_cache .hypothesis .ruff_cache
