# Two commands do everything on a fresh machine with Python 3.11 or newer:
#   make demo   makes sound, series and pictures of its own, finds what is rare in them, writes
#               demo/report.html, demo/series/report.html and demo/images/report.html
#   make test   checks style, types and behaviour
PYTHON ?= python3
BIN := .venv/bin
# What pytest is asked to run; `make test TESTS=` runs the slow ones as well.
TESTS ?= -m "not slow"

.PHONY: demo test clean

demo: .venv/ready
	$(BIN)/raravis demo --out demo --overwrite
	$(BIN)/raravis demo --kind series --out demo/series --overwrite
	$(BIN)/raravis demo --kind images --out demo/images --overwrite

test: .venv/ready
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/pytest $(TESTS)

.venv/ready: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --editable '.[dev]'
	touch $@

clean:
	rm -rf .venv demo build dist
