# make quickstart   install, then run, fit, plot and report the built-in study
# make test         install, then run every test
# make check        formatting, lint and types, as CI checks them
# make docs         write the generated pages of docs/ anew, build the site in build/docs

VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin
OUT ?= quickstart

.PHONY: quickstart test check docs clean

quickstart: $(VENV)/.installed
	$(BIN)/scaling run examples/quickstart.yaml --out $(OUT)
	$(BIN)/scaling plot $(OUT) --out $(OUT)/figures
	$(BIN)/scaling fit $(OUT) --out $(OUT)/laws.json
	$(BIN)/scaling report $(OUT)

test: $(VENV)/.installed-for-tests
	# one thread a process: several of them fight for the processors
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --dist loadscope

check: $(VENV)/.installed-for-tests
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy

docs: $(VENV)/.installed-for-tests
	$(BIN)/python docs/generate.py
	OMP_NUM_THREADS=1 $(BIN)/sphinx-build -q -W --keep-going -n docs build/docs

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(VENV)/bin/python setup.cfg constraints-cpu.txt
	$(BIN)/pip install --quiet --constraint constraints-cpu.txt --editable .
	touch $@

$(VENV)/.installed-for-tests: $(VENV)/.installed
	$(BIN)/pip install --quiet --constraint constraints-cpu.txt --editable '.[test]'
	touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info
