# make demo: train on a real table.  make test: everything a submission must pass; make test-all: what takes long too.  make examples: the pictures in docs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

# hundreds of processes import the package, which is compiled to bytecode once
export PYTHONDONTWRITEBYTECODE :=

.PHONY: demo test test-formulas test-others test-all lint docs bench examples clean

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	touch $@

demo: $(VENV)/installed
	$(BIN)/axonic demo --out demo-run

# Much of the tests' time is the compiler's. A few are compiled as users compile; the others, which compile much and compute
# little, without optimisation. Shapes of arrays are checked where the formulas are tested (test-all checks them everywhere).
AS_USERS := tests/test_training.py
FORMULAS := tests/layers tests/optimizers $(patsubst %,tests/test_%.py,losses objective health regularizers minimization)
QUICKLY := XLA_FLAGS="--xla_cpu_use_fusion_emitters=false --xla_backend_optimization_level=0 --xla_cpu_parallel_codegen_split_count=1"
PYTEST := $(BIN)/python -m pytest --dist loadfile

test: $(VENV)/installed-dev
	@$(MAKE) --no-print-directory --jobs 2 test-formulas test-others

test-formulas: $(VENV)/installed-dev
	$(BIN)/python -m pytest $(AS_USERS)
	$(QUICKLY) $(PYTEST) -n 2 $(FORMULAS)

test-others: $(VENV)/installed-dev
	$(QUICKLY) $(PYTEST) -n 3 --no-shapes tests $(patsubst %,--ignore=%,$(AS_USERS) $(FORMULAS))

test-all: $(VENV)/installed-dev
	$(PYTEST) -n 2 --all

lint: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python

docs: $(VENV)/installed-dev
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[docs]"
	$(QUICKLY) $(BIN)/python -m pytest -n 2 --all tests/test_documentation.py -k "(code_of_a_page and not README.md) or docstrings"
	$(BIN)/sphinx-build -W --keep-going -q -b html docs docs/_build
	mkdir -p docs/_build/notebooks
	for page in docs/tutorials/*.md $(filter-out examples/picture.py,$(wildcard examples/*.py examples/sequences/*.py)); do \
	  $(BIN)/jupytext --quiet --to ipynb $$page -o docs/_build/notebooks/$$(echo $${page%.*} | cut -d/ -f2- | tr / -).ipynb || exit 1; done
	@echo docs/_build/index.html, and the tutorials and examples as notebooks in docs/_build/notebooks

bench: $(VENV)/installed-dev
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[bench]"
	cd benchmarks && ../$(BIN)/python throughput.py && ../$(BIN)/python quality.py && ../$(BIN)/python startup.py && ../$(BIN)/python memory.py

examples: $(VENV)/installed
	for example in slow_sigmoid ravine rate_sweep small_weights; do $(BIN)/python examples/$$example.py || exit 1; done

clean:
	rm -rf $(VENV) demo-run docs/_build docs/reference
