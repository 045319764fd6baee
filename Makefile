# tfmeta, from a bare machine: `make fig5` sets up its environment, finds or gets the data and draws the figure.

PROFILE ?= quick
DATASET ?= auto
DATA_DIR ?=
SEED ?=
WORKERS ?=
SET ?=
ATTACK ?=
DEFENCE ?=
TRIGGER ?=
AGGREGATION ?=
MODEL ?=
PLUGIN ?=
FRESH ?=
KEEP ?=
YES ?=
PYTHON ?=
GPU ?=
PYTEST_ARGS ?=
UPGRADE ?=
# GPU=1: an environment of its own with TensorFlow's GPU build
on := $(filter-out 0 no false,$(GPU))
VENV ?= $(if $(on),.venv-gpu,.venv)
override LOCK := $(if $(on),requirements-gpu.txt,requirements.txt)

# Refuse any other variable on the command line: a misspelt one would be ignored, and another experiment run.
# MAKEOVERRIDES has name=value for each, with a backslash before every blank or backslash of a value.
plugins := ATTACK DEFENCE TRIGGER AGGREGATION MODEL PLUGIN
known := PROFILE DATASET DATA_DIR SEED WORKERS SET $(plugins) FRESH KEEP YES PYTHON GPU PYTEST_ARGS UPGRADE VENV
blank := $(subst ,, )
tab := $(shell printf '\t')
define newline


endef
given := $(subst $(newline),_,$(subst \$(tab),_,$(subst \$(blank),_,$(subst \\,_,$(MAKEOVERRIDES)))))
given := $(foreach word,$(given),$(firstword $(subst =, ,$(subst :=,=,$(word)))))
unknown := $(firstword $(filter-out $(known),$(given)))
ifdef unknown
nearest := $(shell sh tools/python.sh nearest.py '$(subst ','\'',$(unknown))' $(known) 2>/dev/null)
$(error tfmeta: there is no variable $(unknown)$(if $(nearest), (did you mean $(nearest)?)): `make help` lists them)
endif

# A value given by the user is taken as it stands: a $ in it starts no variable or function of make.
$(foreach name,$(known),$(if $(filter command% environment%,$(origin $(name))),\
	$(eval override $(name) := $$(value $(name)))))
# The shell reads them from its environment, so they may hold blanks and quotes. A recipe names none of them to make,
# except to ask whether it is set.
export $(known)

data-dir = $${DATA_DIR:+--data-dir "$$DATA_DIR"}
stored = $(if $(filter-out 0 no false,$(FRESH)),--fresh) $(if $(filter-out 0 no false,$(KEEP)),--keep) \
	$(if $(filter-out 0 no false,$(YES)),--yes)
# Each word of SET becomes one --set, and each of PLUGIN one --plugin. set -f keeps the shell from replacing a * by the
# names of files.
words = set -f; set --; for setting in $$SET; do set -- "$$@" --set "$$setting"; done; \
	for file in $$PLUGIN; do set -- "$$@" --plugin "$$file"; done
figure = $(words); \
	"$$VENV/bin/tfmeta" figure '$(subst ','\'',$@)' --profile "$$PROFILE" --dataset "$$DATASET" $(data-dir) $(stored) \
	$${SEED:+--seed "$$SEED"} $${WORKERS:+--workers "$$WORKERS"} $${ATTACK:+--attack "$$ATTACK"} \
	$${DEFENCE:+--defence "$$DEFENCE"} $${TRIGGER:+--trigger "$$TRIGGER"} \
	$${AGGREGATION:+--aggregation "$$AGGREGATION"} $${MODEL:+--model "$$MODEL"} "$$@"
code = tfmeta experiments figures tests tools docs setup.py

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help env ablations ablation-table figures runtime notebook data cache bench test test-fast faults lint docs lock \
	audit clean

help: ## this list
	@echo 'make fig1 … figA11, fig-delta (accuracies after the defence against delta)'
	@echo '                        draw a figure to figures/out, running what is missing'
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1|\2/p' Makefile | while IFS='|' read -r target text; do \
		printf '%-23s %s\n' "$$target" "$$text"; done
	@echo 'with PROFILE=smoke|quick|desk|paper DATASET=auto|omniglot|glyphs|mini-imagenet|glyphs-color'
	@echo '     DATA_DIR=folder SEED=number WORKERS=number SET="field=value …" PLUGIN="my_plug_in.py …"'
	@echo '     ATTACK= DEFENCE= TRIGGER= AGGREGATION= MODEL=name GPU=1 PYTHON=/path/to/python3.11 VENV=folder'
	@echo '     FRESH=1 (compute again what other code did) KEEP=1 (accept it) YES=1 (start too large a run)'

env: ## set up the environment (other targets do this themselves); GPU=1 for a GPU
	@sh tools/python.sh bootstrap.py "$$VENV" $(LOCK)

# fig1, fig3, … : the command knows which figures there are
fig%: env
	@$(figure)

figures: env ## draw every figure of the paper (or those of DATASET)
	@$(figure)

ablations: env ## draw the appendix figures of Omniglot (or of DATASET)
	@$(figure)

runtime: env ## write section B's table of run times for this machine, beside the paper's
	@$(figure)

ablation-table: env ## write the table of the defence's parts, .md and .csv
	@$(figure)

notebook: env ## run the notebook, to figures/out/federated_backdoor.ipynb
	@mkdir -p figures/out
	@env TFMETA_PROFILE="$$PROFILE" TFMETA_DATASET="$$DATASET" $${DATA_DIR:+"TFMETA_DATA=$$(realpath "$$DATA_DIR")"} \
		"$$VENV/bin/jupyter-execute" --kernel_name=python3 --output="$$PWD/figures/out/federated_backdoor" \
		experiments/federated_backdoor.ipynb

data: env ## find or download Omniglot (or DATASET) and verify it
	@$(words); \
	"$$VENV/bin/tfmeta" data $(if $(filter-out auto,$(DATASET)),--dataset "$$DATASET") $(data-dir) "$$@"

cache: env ## list what is stored, what uses it, and what nothing uses
	@"$$VENV/bin/tfmeta" cache

bench: env ## measure this machine: training with and without TFF, memory, start-up
	@"$$VENV/bin/tfmeta" bench

test: env ## run the tests; PYTEST_ARGS=… for pytest, DATA_DIR=… for real data
	@$${DATA_DIR:+env "TFMETA_DATA=$$DATA_DIR"} "$$VENV/bin/python" tools/run_pytest.py

test-fast: env ## run the tests that are not slow, as before a commit
	@"$$VENV/bin/python" tools/run_pytest.py -m "not slow"

faults: env ## damage files, kill runs, fill disks (15 minutes); SEED=… repeats a campaign
	@FAULTS_SEED="$$SEED" "$$VENV/bin/python" tools/run_pytest.py -m "" tests/faults

lint: env ## check the code with ruff
	@"$$VENV/bin/python" -m ruff check $(code)

docs: ## build the documentation to site/; a warning is an error
	@sh tools/python.sh bootstrap.py "$$VENV-docs" requirements-docs.txt without-package
	@NO_MKDOCS_2_WARNING=1 "$$VENV-docs/bin/mkdocs" build --strict --clean --site-dir site

lock: ## recompile requirements*.txt; UPGRADE=1 (or "pip uv") for newest versions
	@sh tools/python.sh lock.py "$$UPGRADE"

audit: ## look up known vulnerabilities of what requirements*.txt list
	@sh tools/python.sh bootstrap.py "$$VENV-audit" requirements-audit.txt without-package
	@"$$VENV-audit/bin/python" -Es tools/audit.py

clean: ## remove environments, figures, site and caches of code, not results or data
	@for folder in "$$VENV" "$$VENV-docs" "$$VENV-audit" .venv .venv-gpu .venv-docs .venv-audit; do \
		if [ -e "$$folder/.tfmeta-env" ]; then rm -rf -- "$$folder"; fi; done
	@find $(code) -name __pycache__ -type d -prune -exec rm -rf {} +
	@rm -rf build tfmeta.egg-info site .cache figures/out .pytest_cache .hypothesis .ruff_cache
