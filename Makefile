# Everything a person does with Capstone. `make` says what to do first, and `make help` lists the rest.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := start
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules
unexport MAKEFLAGS

# What you may set: make train DATASET=sms-spam SET="training.epochs=3"
CONF    ?= conf/train-conf.yml
DATASET ?=
SET     ?=
TEXT    ?= how do I undo a commit
# A Python of 3.11 to 3.13 (what TensorFlow's wheels are built for); conda brings its own.
PYTHON  ?= $(firstword $(foreach p,python3 python3.13 python3.12 python3.11,$(shell $(p) -c 'import sys; (3, 11) <= sys.version_info[:2] <= (3, 13) and print("$(p)")' 2>/dev/null)))
# make compare A=2026-11-20-09-00-00; more options of a command go into OPTIONS.
A       ?=
B       ?= latest
OPTIONS ?=
# make predict-file IN=new.csv OUT=scored.csv WORKERS=2
IN      ?=
OUT     ?=
WORKERS ?= 1
CONDA   ?= $(shell command -v conda 2>/dev/null)
DOCKER  ?= docker

# One environment trains and, once somebody develops, has the tools on top; one has only what serves; one has Ray, which nothing
# else needs; and one has the clients of platforms and a browser's driver, which ask the server as its users do.
TRAIN       := .env/train
PREDICT     := .env/predict
SCALE       := .env/scale
CONFORMANCE := .env/conformance

# A blank separates two settings. A quote stays a quote, and reaches the configuration.
quoted   = '$(subst ','\'',$(1))'
SETTINGS = $(foreach s,$(SET),--set $(call quoted,$(s))) $(if $(DATASET),--dataset $(call quoted,$(DATASET)))

# ------------------------------------------------------------ what was typed

# What reads which variable of the command line, beside what sets up environments.
readers-A        := compare
readers-ARTEFACT := report reproduce image-predict
readers-B        := compare
readers-CONF     := train check runs prune train-ray
readers-DATASET  := train check data demo train-ray
readers-DOCKER   := image-train image-predict image-jobs test-images
readers-IN       := predict-file predict-ray
readers-LOCK_OPTIONS := lock
readers-OPTIONS  := train check data compare runs prune reproduce predict-file serve-ray train-ray predict-ray
readers-OUT      := predict-file predict-ray
readers-RELEASE_CHECK := release
readers-SET      := train check train-ray
readers-TEXT     := predict-test request-test
readers-VERSION  := release
readers-WORKERS  := train predict-file serve serve-ray
VARIABLES := $(patsubst readers-%,%,$(filter readers-%,$(.VARIABLES)))
TARGETS   := $(shell sed -n 's/^\.PHONY: //p' Makefile)

# Settings of the servers reach them through the environment, whoever sets them; PYTHON and CONDA are for all targets.
server-settings = $(shell cat conf/predict.conf.dist jobs/settings.py 2>/dev/null | \
    sed -n 's/^\#\{0,1\}\([A-Z][A-Z_]*\)=.*/\1/p; s/^    \([a-z_]*\): .*/\1/p' | tr a-z A-Z)
# What other programs understand is theirs.
OF_OTHERS := CC CXX CFLAGS CXXFLAGS CPPFLAGS LDFLAGS LDLIBS MAKE% GNUMAKEFLAGS SHELL PATH HOME TMPDIR LANG LC_% V VERBOSE \
    PIP_% UV_% TF_% RAY_% OMP_% OTEL_% CUDA_% MLFLOW_% AWS_% XDG_% PYTHON% PYTEST_% BROWSER NO_COLOR COLUMNS \
    HTTP_PROXY HTTPS_PROXY NO_PROXY http_proxy https_proxy no_proxy DATASET_MIRROR CAPSTONE_% PREDICT_PYTHON SCALE_PYTHON

typed   := $(foreach v,$(.VARIABLES),$(if $(findstring command,$(origin $v)),$v))
strange := $(filter-out $(VARIABLES) CONDA PYTHON $(OF_OTHERS),$(typed))
ifneq ($(strange),)
strange := $(filter-out $(server-settings),$(strange))
endif
# A file with a folder in its name may be made, too; a word alone is a target or a mistake.
unknown := $(foreach g,$(MAKECMDGOALS),$(if $(findstring /,$g),,$(filter-out $(TARGETS),$g)))

# The nearest of the known words, by the same rule as in all messages; nothing where there is no Python yet.
nearest = $(if $(PYTHON),$(shell '$(PYTHON)' -c 'import sys; from predict.wording import did_you_mean; print(did_you_mean(sys.argv[1], sys.argv[2:]))' $(call quoted,$(1)) $(2) 2>/dev/null))

$(foreach g,$(unknown),$(error No target $g.$(call nearest,$g,$(TARGETS)) `make help` lists all))
$(foreach v,$(strange),$(error No variable $v.$(call nearest,$v,$(VARIABLES) CONDA PYTHON $(server-settings)) What the programs read from the environment goes before make: $v=… make))

# A known variable that none of the targets reads.
no-effect := $(foreach v,$(filter $(VARIABLES),$(typed)),$(if $(filter $(readers-$v) .env/%,$(MAKECMDGOALS)),,$v))
$(foreach v,$(no-effect),$(shell echo 'WARNING: $v has no effect on $(or $(MAKECMDGOALS),start). These read it: $(readers-$v).' >&2))

.PHONY: start
start: ## Say what to do first
	@printf '%s\n' 'A labelled file goes in; a tested, measured model service comes out. First:' '' \
	    '  make demo                   the whole tour on embedded data, in two minutes' '' \
	    '  make train                  1. train on titles of StackOverflow; offline, on embedded texts' \
	    '  make predict-test TEXT="…"  2. ask the model' \
	    '  make report                 3. see how good it is' \
	    '  make serve                  4. serve it, with a page, on 127.0.0.1:8080' '' \
	    '  make data DATASET=mine.csv  your own file: what is in it? Writes a configuration that trains' \
	    '  make train CONF=conf/iris.yml' '                              a table, embedded as well; conf/ has more' '' \
	    'The first of them sets up .env/train: one to three minutes, 2.3 GB. `make help` lists the rest,' 'and README.md explains it.'

.PHONY: help
help: ## List all targets
	@echo 'usage: make TARGET [DATASET=name|path|URL] [SET="key=value …"] [TEXT="…"] [CONF=file] [OPTIONS="…"]'
	@sed -n -e 's/^## \(.*\)/\n\1/p' -e 's/^\([a-z][a-z-]*\):.*## \(.*\)/  \1|\2/p' Makefile | \
	    awk -F'|' '/\|/ { shown = shown heading sprintf("%-18s %s\n", $$1, $$2); heading = ""; next } \
	        { heading = $$0 == "" ? "\n" : heading $$0 "\n" } END { printf "%s", shown }'

## Train and look

.PHONY: demo
demo: $(TRAIN)/ready $(PREDICT)/ready ## Show the whole tour on embedded data, in data/demo; DATASET=docstrings for texts
	@exec $(TRAIN)/bin/python -m scripts.demo --predict-python $(PREDICT)/bin/python $(if $(DATASET),--dataset '$(DATASET)')

.PHONY: train
train: $(TRAIN)/ready conf/train-conf.yml ## Train as CONF says (DATASET= and SET= override it); write data/artefacts/<time>
	@$(TRAIN)/bin/python -m train run --conf '$(CONF)' --workers '$(WORKERS)' $(SETTINGS) $(OPTIONS)

.PHONY: check
check: $(TRAIN)/ready conf/train-conf.yml ## List everything that would keep CONF and its dataset from training
	@$(TRAIN)/bin/python -m train check --conf '$(CONF)' $(SETTINGS) $(OPTIONS)

.PHONY: data
data: $(TRAIN)/ready ## Show what is in DATASET, and write conf/<name>.yml; OPTIONS="--label price"
	@[ -n '$(DATASET)' ] || { echo "Name a file, a URL or a dataset: make data DATASET=mine.csv" >&2; exit 2; }
	@$(TRAIN)/bin/python -m train data $(OPTIONS) -- '$(DATASET)'

.PHONY: datasets
datasets: $(TRAIN)/ready ## List the datasets that DATASET= knows by name
	@$(TRAIN)/bin/python -m train datasets

.PHONY: report
report: $(TRAIN)/ready ## Open the report of ARTEFACT, by default the newest
	@$(TRAIN)/bin/python -m train report $(if $(ARTEFACT),'$(ARTEFACT)')

.PHONY: compare
compare: $(TRAIN)/ready ## Compare the artefacts A and B (directories, timestamps, latest) on the same rows
	@$(TRAIN)/bin/python -m train compare '$(A)' '$(B)' $(OPTIONS)

.PHONY: runs
runs: $(TRAIN)/ready ## List all artefacts; OPTIONS="--sort -accuracy --where dataset=titanic"
	@$(TRAIN)/bin/python -m train runs --conf '$(CONF)' $(OPTIONS)

.PHONY: prune
prune: $(TRAIN)/ready ## List the artefacts that may go; OPTIONS="--keep 5"; --yes removes them
	@$(TRAIN)/bin/python -m train prune --conf '$(CONF)' $(OPTIONS)

.PHONY: reproduce
reproduce: $(TRAIN)/ready ## Train the configuration of ARTEFACT again, and compare metrics and predictions
	@$(TRAIN)/bin/python -m train reproduce '$(or $(ARTEFACT),latest)' $(OPTIONS)

## Ask and serve

.PHONY: predict-test
predict-test: $(PREDICT)/ready conf/predict.conf ## Ask the model about TEXT (or a JSON object of columns), without a server
	@$(PREDICT)/bin/python -m predict text -- "$$TEXT"

.PHONY: predict-example
predict-example: $(PREDICT)/ready conf/predict.conf ## Ask the model about a held-out row of its own dataset
	@$(PREDICT)/bin/python -m predict example

.PHONY: predict-file
predict-file: $(PREDICT)/ready conf/predict.conf ## Score every row of the file IN and write OUT; OPTIONS="--probabilities --resume"
	@[ -n '$(IN)' ] && [ -n '$(OUT)' ] || { echo "Name both files: make predict-file IN=new.csv OUT=scored.csv" >&2; exit 2; }
	@$(PREDICT)/bin/python -m predict file --workers '$(WORKERS)' $(OPTIONS) -- '$(IN)' '$(OUT)'

.PHONY: serve
serve: $(PREDICT)/ready conf/predict.conf ## Serve the model of conf/predict.conf as JSON over HTTP
	@exec $(PREDICT)/bin/python -m predict serve

.PHONY: serve-jobs
serve-jobs: $(TRAIN)/ready ## Serve a queue of training runs over HTTP, with a page, on 127.0.0.1:8090
	@exec $(TRAIN)/bin/python -m jobs

.PHONY: request-test
request-test: conf/predict.conf ## Ask the running server about TEXT, with curl
	@port=$${PORT:-$$(sed -n 's/^ *PORT *= *//p' conf/predict.conf)}; \
	curl --silent --show-error --fail-with-body --max-time 10 --data-urlencode "text=$$TEXT" \
	    "http://127.0.0.1:$${port:-8080}/predict" || { echo; echo "No answer on port $${port:-8080}? Run 'make serve' in another terminal." >&2; exit 1; }

# TEXT may hold quotes and dollars: it goes through the environment, not through the command line.
export TEXT

## On Ray

.PHONY: serve-ray
serve-ray: $(SCALE)/ready conf/predict.conf ## Serve the same on Ray, at HOST and PORT of its conf; OPTIONS="--max-replicas 4"
	@exec $(SCALE)/bin/python -m scale serve $(OPTIONS)

.PHONY: train-ray
train-ray: $(TRAIN)/ready-for-ray conf/train-conf.yml ## Train as `make train` does; a search and its folds run on Ray
	@$(TRAIN)/bin/python -m scale train --conf '$(CONF)' $(SETTINGS) $(OPTIONS)

.PHONY: predict-ray
predict-ray: $(SCALE)/ready conf/predict.conf ## Score the files of the folder IN on Ray, into the folder OUT
	@[ -n "$(IN)" ] && [ -n "$(OUT)" ] || { echo "usage: make predict-ray IN=folder OUT=folder [OPTIONS=\"--workers 4\"]" >&2; exit 2; }
	@$(SCALE)/bin/python -m scale predict $(OPTIONS) -- '$(IN)' '$(OUT)'

## Containers

REVISION = $(shell git rev-parse HEAD 2>/dev/null || echo unknown)

.PHONY: image-train
image-train: ## Build the training image (DOCKER= takes any docker-compatible command)
	$(DOCKER) build --file Dockerfile.train --tag capstone-train --build-arg REVISION=$(REVISION) .

.PHONY: image-predict
image-predict: ## Build the inference image; ARTEFACT=data/artefacts/… bakes an artefact in
	$(DOCKER) build --file Dockerfile.predict --tag capstone-predict --build-arg REVISION=$(REVISION) \
	    $(if $(ARTEFACT),--build-arg ARTEFACT='$(ARTEFACT)') .

.PHONY: image-jobs
image-jobs: image-train ## Build the image of the jobs service, on top of the training image
	$(DOCKER) build --file Dockerfile.jobs --tag capstone-jobs .

.PHONY: test-images
test-images: ## Build both images, train in one, serve from the other, ask it over HTTP
	@DOCKER='$(DOCKER)' scripts/test-images

## Develop

.PHONY: test
test: $(TRAIN)/ready-to-develop $(PREDICT)/ready ## Run the whole test suite
	@PREDICT_PYTHON=$(PREDICT)/bin/python $(TRAIN)/bin/python -m pytest

# Warnings of the platforms' clients are theirs.
.PHONY: test-conformance
test-conformance: $(CONFORMANCE)/ready $(PREDICT)/ready ## Ask the server with the platforms' own clients and in a browser
	@PREDICT_PYTHON=$(PREDICT)/bin/python $(CONFORMANCE)/bin/python -m pytest -W default -rs tests/conformance

.PHONY: test-scale
test-scale: $(TRAIN)/ready-to-develop $(TRAIN)/ready-for-ray $(PREDICT)/ready $(SCALE)/ready ## Test what runs on Ray, its tutorial, and the HTTP application over it
	@export PREDICT_PYTHON=$(PREDICT)/bin/python SCALE_PYTHON=$(SCALE)/bin/python; \
	$(TRAIN)/bin/python -m pytest scale; \
	$(TRAIN)/bin/python -m pytest tests/test_documents.py -k 5-scale; \
	$(TRAIN)/bin/python -m pytest -p scale.tests.over_serve predict/tests/test_app.py predict/tests/test_app_tables.py predict/tests/test_front.py

.PHONY: tutorials
tutorials: $(TRAIN)/ready-to-develop $(PREDICT)/ready ## Run docs/tutorials, and write into them what their commands print
	@PREDICT_PYTHON=$(abspath $(PREDICT))/bin/python $(TRAIN)/bin/python -m tests.executed

.PHONY: lint
lint: $(TRAIN)/ready-to-develop ## Check style, types, spelling and import direction
	@$(TRAIN)/bin/ruff check .
	@$(TRAIN)/bin/ruff format --check .
	@$(TRAIN)/bin/mypy train predict jobs scale
	@$(TRAIN)/bin/lint-imports --no-cache --no-logo
	@git ls-files -z -- ':!requirements-dev.txt' ':!*/requirements.txt' | xargs -0 $(TRAIN)/bin/codespell

.PHONY: format
format: $(TRAIN)/ready-to-develop ## Rewrite the code in the project's style
	@$(TRAIN)/bin/ruff check --fix .
	@$(TRAIN)/bin/ruff format .

.PHONY: docs
docs: $(TRAIN)/ready-to-develop ## Build the documentation site in build/docs; a warning or a dead link is an error
	@$(TRAIN)/bin/python -m sphinx -W --keep-going -q -b html docs build/docs
	@echo "build/docs/index.html"

.PHONY: serve-docs
serve-docs: docs ## Show the documentation site on 127.0.0.1:8100, until Ctrl-C
	@exec $(TRAIN)/bin/python -m http.server --bind 127.0.0.1 --directory build/docs 8100

.PHONY: benchmark
benchmark: $(TRAIN)/ready-to-develop $(PREDICT)/ready ## Measure accuracy, speed and memory; print tables
	@$(TRAIN)/bin/python -m benchmarks.accuracy
	@$(TRAIN)/bin/python -m benchmarks.serving --python $(PREDICT)/bin/python
	@$(TRAIN)/bin/python -m benchmarks.tables --python $(PREDICT)/bin/python
	@$(TRAIN)/bin/python -m benchmarks.reading

.PHONY: lock
lock: $(TRAIN)/ready-to-develop ## Pin the newest compatible libraries in the requirements files
	@for part in requirements-dev train/requirements predict/requirements predict/requirements-parquet \
	    scale/requirements scale/requirements-train tests/conformance/requirements; do \
	    UV_CUSTOM_COMPILE_COMMAND='make lock' $(TRAIN)/bin/uv pip compile --quiet --universal --python-version 3.11 \
	        --generate-hashes --no-emit-index-url $(LOCK_OPTIONS) \
	        $$(case $$part in train/*|predict/*|scale/*) echo --constraint requirements-dev.txt;; esac) $$part.in --output-file $$part.txt; \
	done

# What a release has to pass: RELEASE_CHECK= takes another command.
VERSION       ?=
RELEASE_CHECK ?= make lint test docs

.PHONY: release
release: $(TRAIN)/ready-to-develop ## Check everything, date the changelog, commit and tag VERSION; push nothing
	@$(TRAIN)/bin/python -m scripts.release '$(VERSION)' -- $(RELEASE_CHECK)

.PHONY: jupyter
jupyter: $(TRAIN)/ready-to-develop ## Open the notebooks, on this machine only
	@exec $(TRAIN)/bin/python -m jupyterlab --ServerApp.ip=127.0.0.1 notebooks

.PHONY: test-notebooks
test-notebooks: $(TRAIN)/ready-to-develop ## Run every notebook, offline
	@out=$$(mktemp -d); trap 'rm -rf "$$out"' EXIT; $(TRAIN)/bin/python -m nbconvert --log-level WARN \
	    --to notebook --execute --output-dir "$$out" notebooks/*.ipynb

.PHONY: clean
clean: ## Remove environments and caches; keep data/ and conf/
	rm -rf .env build .pytest_cache .ruff_cache .mypy_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

## Files these need

conf/%: | conf/%.dist
	@cp conf/$*.dist $@ && echo "made $@ from conf/$*.dist" >&2

# An environment is ready when its stamp is newer than the pins it was made from.
$(TRAIN)/ready: PURPOSE = training (TensorFlow, gensim, scikit-learn): one to three minutes, about 2.3 GB
$(TRAIN)/ready: train/requirements.txt train/environment.yml
	$(make-environment)

$(TRAIN)/ready-to-develop: PURPOSE = developing (pytest, mypy, ruff, JupyterLab) as well: about a minute, 0.4 GB
$(TRAIN)/ready-to-develop: requirements-dev.txt environment.yml $(TRAIN)/ready
	$(grow-environment)

$(TRAIN)/ready-for-ray: PURPOSE = training on Ray as well: half a minute, 0.3 GB
$(TRAIN)/ready-for-ray: scale/requirements-train.txt scale/environment-train.yml $(TRAIN)/ready
	$(grow-environment)

$(PREDICT)/ready: PURPOSE = serving (Flask, onnxruntime): about half a minute, 0.2 GB
$(PREDICT)/ready: predict/requirements.txt predict/environment.yml
	$(make-environment)

# The pins that kserve asks for are not those of the other environments.
$(CONFORMANCE)/ready: PURPOSE = asking as platforms do (kserve, mlflow, tritonclient, playwright): about a minute, 1.4 GB
$(CONFORMANCE)/ready: tests/conformance/requirements.txt tests/conformance/environment.yml
	$(make-environment)

$(SCALE)/ready: PURPOSE = Ray: about two minutes, 0.8 GB
$(SCALE)/ready: scale/requirements.txt scale/environment.yml
	$(make-environment)

# Both recipes read the pins from the prerequisites: conda the .yml, pip the .txt. What they print goes to a log.
LOG = $(@D).log

define make-environment
	@[ -n "$(CONDA)$(PYTHON)" ] || { echo "No Python of 3.11 to 3.13 found. Install one or conda, or name it: make PYTHON=/path/to/python3.12" >&2; exit 1; }
	@mkdir -p .env; rm -rf $(@D) $(LOG)
	$(announce)
	@if [ -n "$(CONDA)" ]; then "$(CONDA)" env create --quiet --prefix $(@D) --file $(filter %.yml,$^) >>$(LOG) 2>&1 || $(fail); \
	else "$(PYTHON)" -m venv $(@D) >>$(LOG) 2>&1 || \
	    { echo "$(PYTHON) cannot make virtual environments. On Debian: apt install python3-venv" >&2; $(fail); }; $(pip-install); fi
	@touch $@
endef

# Only an environment that conda made is conda's to add to; it may have been installed since.
define grow-environment
	$(announce)
	@if [ -n "$(CONDA)" ] && [ -d $(@D)/conda-meta ]; then \
	    "$(CONDA)" env update --quiet --prefix $(@D) --file $(filter %.yml,$^) >>$(LOG) 2>&1 || $(fail); \
	else $(pip-install); fi
	@touch $@
endef

announce = @echo "setting up $(@D) for $(PURPOSE), once; log: $(LOG)" >&2
pip-install = $(@D)/bin/python -m pip install --disable-pip-version-check --require-hashes --requirement $(filter %.txt,$^) >>$(LOG) 2>&1 || $(fail)
fail = { echo "setting up $(@D) failed; the end of $(LOG):" >&2; tail -n 12 $(LOG) >&2; exit 1; }
