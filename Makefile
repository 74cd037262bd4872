# The book's commands. Each makes its own .venv on first use.
PYTHON ?= python3
PROFILE ?= laptop
BIN := .venv/bin
CHAPTERS := $(wildcard notebooks/[0-9]*.py notebooks/run/*.py)
# What make reproduce runs; each may be left out. MODELS, PARTS, METHODS and SEEDS are lists.
GRID = --profile $(PROFILE) $(if $(DATASET),--dataset $(DATASET)) $(if $(JOBS),--jobs $(JOBS)) \
  $(if $(MODELS),--models $(MODELS)) $(if $(PARTS),--parts $(PARTS)) $(if $(METHODS),--methods $(METHODS)) \
  $(if $(SEEDS),--seeds $(SEEDS)) $(OPTIONS) $(if $(SNAKEMAKE),-- $(SNAKEMAKE))

.PHONY: help book offline test test-slow mutants audit speed notebooks students reproduce reproduce-plan clean

help: ## list the commands
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 17

.venv/installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "$(PYTHON) is older than 3.11; name a newer one: make PYTHON=python3.12 ..."; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "Installing into .venv (minutes the first time)"
	@$(BIN)/python -m pip install -q --disable-pip-version-check -e ".[book,test,clip,batch,teach]"
	@touch $@

book: .venv/installed ## run the chapters (PROFILE=laptop) and build the site into build/site
	$(BIN)/python book/build_book.py --profile $(PROFILE)

offline: book ## the site as one zip, for a classroom without a network
	$(BIN)/python book/pack_site.py

# Two workers, a thread each: more threads than cores wait for each other.
test: .venv/installed ## everything quick: lint, types, unit tests, every chapter at smoke, the site in a browser
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile -m "not slow" tests

mutants: .venv/strength ## change losses, metrics, attacks and the contrastive loop in small ways: do tests see it? (half an hour)
	$(BIN)/mutmut run --max-children 2
	$(BIN)/mutmut results

audit: .venv/strength ## known weaknesses of the installed packages, and the lines of the package that no quick test runs
	-$(BIN)/pip-audit --local --skip-editable
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not slow" --cov=cu_helpers \
	  --cov-report=term-missing:skip-covered --cov-fail-under=95 \
	  tests $(patsubst %,--ignore=tests/%,notebooks site batch teaching)

.venv/strength: .venv/installed
	$(BIN)/python -m pip install -q --disable-pip-version-check -e ".[strength]"
	@touch $@

test-slow: .venv/installed ## what is long: chapters at profile laptop from a fresh clone, the wheel, a killed grid, Slurm
	$(BIN)/python -m pytest -n 2 --dist loadfile -m slow tests

speed: .venv/installed ## how near to what this machine can do: ratios, into book/results/speed (PARTS= some of them)
	$(BIN)/python book/speed.py $(if $(PARTS),--parts $(PARTS)) $(OPTIONS)

reproduce: .venv/installed ## run the grid: PROFILE= DATASET= JOBS= MODELS= PARTS= METHODS= SEEDS=, again to go on
	$(BIN)/python book/reproduce.py $(GRID)

reproduce-plan: .venv/installed ## say how many runs that is and how long it takes, and run none
	$(BIN)/python book/reproduce.py --plan $(GRID)

notebooks: .venv/installed ## bring each .ipynb in line with its .py
	$(BIN)/jupytext --to ipynb --update $(CHAPTERS)

students: notebooks ## make the student copies, notebooks/student/, from the chapters
	$(BIN)/python book/make_students.py

clean: ## remove what was built (not .venv)
	rm -rf build
