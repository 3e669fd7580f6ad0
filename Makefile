# Everything a fresh machine needs: Python 3.11 or newer, git and make.

VENV ?= .venv
OLDEST ?= .venv-oldest
MCP1 ?= .venv-mcp1
MCP2 ?= .venv-mcp2
NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))
# The first that runs and is new enough: a version manager may have names that do not run.
PYTHON ?= $(shell for name in python3 python python3.11 python3.12 python3.13 python3.14; do \
	$$name -c '$(NEW_ENOUGH)' >/dev/null 2>&1 && { command -v $$name; break; }; done)
# pytest-xdist's count of processes: a number, auto (one a core), or 0 for none. Many tests wait for
# a deadline or a process, so that four take less time than two on two cores.
JOBS ?= 4
TESTS ?=
SAMPLE ?= 400
SEED ?=
MODULES ?=
BENCH ?=
ROWS ?=
OUT ?=
BIN := $(VENV)/bin
RUN := $(VENV)/.installed-run
DEVELOP := $(VENV)/.installed-develop
RIVALS := $(VENV)/.installed-bench
MUTATE := $(VENV)/.installed-mutate

.DEFAULT_GOAL := help
.PHONY: help demo test oldest memory mcp ray check trust mutate docs lint format types generate house fast bench audit soak clean

help:  ## Show the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | sort

%/bin/python:
	@test -n "$(PYTHON)" || { echo "No Python 3.11 or newer found ($$(python3 -V 2>&1)); install one, or: make PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -c '$(NEW_ENOUGH)' || { echo "Python 3.11 or newer is needed; $(PYTHON) is $$($(PYTHON) -V 2>&1)."; exit 1; }
	@$(PYTHON) -m venv $* || \
		{ echo "$(PYTHON) cannot make a virtual environment; on Debian: apt install python3-venv"; exit 1; }
	@$@ -m pip install --quiet --disable-pip-version-check 'pip>=25.1'   # knows dependency groups

$(RUN): pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[all]'
	@touch $@

$(DEVELOP): pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[all]' --group test
	@touch $@ $(RUN)

$(RIVALS): $(DEVELOP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --group bench
	@touch $@

$(MUTATE): $(DEVELOP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[all]' --group test --group mutate
	@touch $@

$(OLDEST)/.installed: pyproject.toml tests/oldest.txt | $(OLDEST)/bin/python
	$(OLDEST)/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[all,arrow,testing]' --requirement tests/oldest.txt
	@touch $@

# each framework's adapter wants releases of the protocol's library that the other does not take
$(MCP1)/.installed: pyproject.toml tests/mcp1.txt | $(MCP1)/bin/python
	$(MCP1)/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[mcp,emulator,langgraph]' --requirement tests/mcp1.txt
	@touch $@

$(MCP2)/.installed: pyproject.toml tests/mcp2.txt | $(MCP2)/bin/python
	$(MCP2)/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[mcp,emulator,llama-index]' --requirement tests/mcp2.txt
	@touch $@

demo: $(RUN)  ## Show the main job: real data, embedded service, no account
	$(BIN)/oss-vectors demo

test: $(DEVELOP)  ## Run the tests (TESTS=tests/unit for some of them, JOBS=0 for one process)
	$(BIN)/python -m pytest --numprocesses $(JOBS) --dist worksteal $(TESTS)

memory: $(DEVELOP)  ## Run LangMem's tools and deepagents' backend on LangGraph's store
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --group memory
	OSS_VECTORS_NEED_MEMORY=1 $(BIN)/python -m pytest tests/adapters/langgraph/test_others_tools.py

mcp: $(MCP1)/.installed $(MCP2)/.installed  ## Run the MCP server with LangChain's and LlamaIndex's adapters
	$(MCP1)/bin/python -m pip install --quiet --disable-pip-version-check 'mcp==1.24.0'
	OSS_VECTORS_NEED_MCP=1 $(MCP1)/bin/python -m pytest tests/unit/mcp tests/process/mcp tests/docs/test_mcp_page.py
	$(MCP1)/bin/python -m pip install --quiet --disable-pip-version-check --upgrade 'mcp<2'
	OSS_VECTORS_NEED_MCP=1 $(MCP1)/bin/python -m pytest tests/unit/mcp tests/process/mcp tests/docs/test_mcp_page.py
	OSS_VECTORS_NEED_MCP=2 $(MCP2)/bin/python -m pytest tests/unit/mcp tests/process/mcp tests/docs/test_mcp_page.py

ray: $(DEVELOP)  ## Run the tests of keys and vectors by the million, on a Ray of two CPUs here
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[ray]'
	OSS_VECTORS_NEED_RAY=1 $(BIN)/python -m pytest tests/process/ray

oldest: $(OLDEST)/.installed  ## Run the adapters, client and command line on the oldest of all that is supported
	$(OLDEST)/bin/python -m pytest tests/standard tests/adapters tests/unit/client tests/unit/cli

check: lint types test  ## Everything a commit must pass

docs: $(DEVELOP)  ## Build the pages into build/site; a link that leads nowhere ends it
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --group docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet
	@echo "build/site/index.html"

lint: $(DEVELOP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(DEVELOP)  ## Put the code into its form
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

generate: $(DEVELOP)  ## Make the async client's operations of the blocking client's
	$(BIN)/python tests/generate_async_client.py

types: $(DEVELOP)
	$(BIN)/mypy
	$(BIN)/python -m basedpyright --pythonpath $(BIN)/python

house: $(DEVELOP)  ## Print the counts of the house; with PATHS=1 the way of one key, call by call
	$(BIN)/python tests/house.py $(if $(PATHS),--paths)

fast: $(DEVELOP)  ## Build the compiled scan and install it here, where a C compiler is
	@command -v $(CC) >/dev/null || { echo "No C compiler ($(CC)) here, so there is no compiled scan: the client reads \
	replies in Python, as before. Install one (on Debian: apt install gcc), or: make fast CC=..."; exit 1; }
	@echo '#include <Python.h>' | $(CC) -E -I"$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("include"))')" - \
		>/dev/null 2>&1 || { echo "No Python.h for $(BIN)/python here, so the compiled scan cannot be built; on \
	Debian: apt install python3-dev"; exit 1; }
	@$(BIN)/python -c 'import sys, sysconfig; sys.exit(bool(sysconfig.get_config_var("Py_GIL_DISABLED")))' || \
		{ echo "A free-threaded Python has no limited API: the client reads replies in Python there."; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps \
		--force-reinstall ./packages/oss-vector-scan
	@rm -rf packages/oss-vector-scan/build packages/oss-vector-scan/*.egg-info
	@$(BIN)/python -c 'from oss_vector_retriever.client.wire import decoder; print("Replies are read by:", decoder())'

bench: $(RIVALS)  ## Measure against the rivals, up to 20 minutes (BENCH=quick: 4; ROWS=import; TESTS= for the others)
ifdef TESTS
	$(BIN)/python -m pytest -m benchmark -s -p no:randomly $(TESTS)
else
	$(BIN)/python tests/benchmarks $(if $(filter quick,$(BENCH)),--quick) $(if $(ROWS),--rows '$(ROWS)') $(if $(OUT),--out '$(OUT)')
endif

audit: $(RUN)  ## Ask which known faults the installed packages have (asks a service on the network)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --group audit
	$(BIN)/python -m pip_audit --skip-editable

trust: $(DEVELOP)  ## Show what README promises, at full size, with the figures (under 15 minutes)
	OSS_VECTORS_TESTS=full $(BIN)/python -m pytest --numprocesses $(JOBS) --dist worksteal -m 'promise and not soak and not live'

mutate: $(MUTATE)  ## Make 400 small faults in the code and count those that the tests find (SEED=7, SAMPLE=0 for all)
	$(BIN)/python tests/mutate.py --sample $(SAMPLE) $(if $(SEED),--seed $(SEED)) $(MODULES)

soak: $(DEVELOP)  ## Run the long tests (minutes to hours)
	OSS_VECTORS_TESTS=soak $(BIN)/python -m pytest -m 'soak or promise' -s
	OSS_VECTORS_TESTS=soak $(MAKE) ray
	$(MAKE) mutate SAMPLE=0

clean:  ## Remove what was built
	rm -rf $(VENV) $(OLDEST) $(MCP1) $(MCP2) build dist packages/*/build packages/*/*.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
