# The book's commands. Each makes its own .venv on first use.
PYTHON ?= python3
PROFILE ?= laptop
BIN := .venv/bin
CHAPTERS := $(wildcard notebooks/[0-9]*.py)

.PHONY: help book test test-slow notebooks students clean

help: ## list the commands
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 14

.venv/installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "$(PYTHON) is older than 3.11; name a newer one: make PYTHON=python3.12 ..."; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "Installing into .venv (minutes the first time)"
	@$(BIN)/python -m pip install -q --disable-pip-version-check -e ".[book,test,clip,teach]"
	@touch $@

book: .venv/installed ## run the chapters (PROFILE=laptop) and build the site into build/site
	$(BIN)/python book/build_book.py --profile $(PROFILE)

test: .venv/installed ## everything quick: lint, types, unit tests, every chapter at smoke, the site in a browser
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -n 2 --dist loadgroup -m "not slow" tests

test-slow: .venv/installed ## what is long: chapters at profile laptop from a fresh clone, the wheel
	$(BIN)/python -m pytest -m slow tests

notebooks: .venv/installed ## bring each .ipynb in line with its .py
	$(BIN)/jupytext --to ipynb --update $(CHAPTERS)

students: notebooks ## make the student copies, notebooks/student/, from the chapters
	$(BIN)/python book/make_students.py

clean: ## remove what was built (not .venv)
	rm -rf build
