# make demo    install into .venv, then evolve a real network's hyperparameters (about two minutes)
# make test    install into .venv, then run all tests
# make faults  strike studies with every fault of the table at many seeds, and print how they came out
# make check   linters, types and layers
# make docs    build the documentation into docs/_build; warnings are errors
# make bench   measure: prints tables, see benchmarks/RESULTS.md
# make bench-search   compare searches with their peers; hours, may be stopped and started again
PYTHON ?= python3
BIN := .venv/bin
export PIP_CONSTRAINT := constraints.txt
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: demo test faults check docs bench bench-search clean

demo: .venv/installed
	$(BIN)/evotune demo

test: .venv/installed-dev
	$(BIN)/python -m pytest -n 2 --dist worksteal

faults: .venv/installed-dev
	$(BIN)/python tests/faults/fault_table.py --seeds 10

check: .venv/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: .venv/installed-dev
	$(BIN)/sphinx-build -E -a -q -W --keep-going docs docs/_build
	@echo "read docs/_build/index.html"

bench: .venv/installed-dev
	$(BIN)/pip install --quiet -e ".[bench]"
	$(BIN)/python benchmarks/spine.py
	$(BIN)/python benchmarks/stacked.py
	$(BIN)/python benchmarks/population.py
	$(BIN)/python benchmarks/report.py

bench-search: .venv/installed-dev
	$(BIN)/pip install --quiet -e ".[bench]"
	for set in lcbench xgboost nas201; do \
	    $(BIN)/python benchmarks/search/run.py --set $$set --seeds 5 \
	        --methods Hybrid Genetic DifferentialEvolution CmaEs peers; \
	    $(BIN)/python benchmarks/search/table.py --set $$set; \
	done

clean:
	rm -rf .venv

$(BIN)/python:
	$(PYTHON) -m venv .venv

# The stamps keep a second call from installing again.
.venv/installed: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/pip install --quiet -e ".[torch]"
	touch $@

.venv/installed-dev: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/pip install --quiet -e ".[torch,dev,docs,notebook,postgres]"
	touch $@
