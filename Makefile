# make run    set everything up, train mnist-cnn on its bundled sample, show the result
# make test   set everything up, run all tests
# make lint types bench    ruff; mypy --strict on the installed wheel; the measurements
# make notebooks           runs all of docs/notebooks, and tells how long each took
# make long                what takes minutes and is no part of `make test`
# make endurance           what kills and interrupts, twenty times as often
# make toolkits            AWS's toolkits, the SDK's local mode and an image of one's own: needs root,
#                          Linux's namespaces, Python 3.8, Java and a quarter of an hour
VENV := .venv
TOOLKITS := .venv-toolkits
BIN := $(VENV)/bin
PYTHON := $(shell for v in 3.12 3.11 3.10 3.9; do \
	for p in python$$v python3 python; do \
	found=$$(command -v $$p) && "$$found" -c "import ensurepip, sys, venv; sys.exit(sys.version_info[:2] != ($$(echo $$v | tr . ,)))" 2>/dev/null \
	&& echo "$$found" && exit; done; done)

PYTHON38 = $(shell for p in python3.8 $$HOME/.pyenv/versions/3.8.*/bin/python; do \
	"$$p" -c "import ensurepip, sys, venv; sys.exit(sys.version_info[:2] != (3, 8))" 2>/dev/null \
	&& echo "$$p" && exit; done)

.PHONY: notebooks run test lint types long endurance toolkits toolkits-lack bench clean
.DELETE_ON_ERROR:

run: $(VENV)/installed
	$(BIN)/algoshelf train mnist-cnn

# A worker for each core, of one thread: several would wait for one another. Each of the hundreds of
# commands that the tests start reads modules that are compiled once, where it would be forbidden too.
test: $(VENV)/developing
	@begun=$$(date +%s); \
	OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE= PYTHONPYCACHEPREFIX=$(abspath $(VENV))/bytecode $(BIN)/python -m pytest --numprocesses auto --dist worksteal; code=$$?; \
	seconds=$$(($$(date +%s) - begun)); \
	echo "make test took $$((seconds / 60)) min $$((seconds % 60)) s on $$(nproc) cores"; \
	exit $$code

lint: $(VENV)/developing
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/developing
	$(BIN)/python tests/project/check_types.py

# One after the other, since most of them fill both cores or measure memory.
long: $(VENV)/developing
	ALGOSHELF_LONG=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m apart

endurance: $(VENV)/developing
	ALGOSHELF_REPEATS=20 ALGOSHELF_KILLS=20 $(BIN)/python -m pytest tests/core/training

toolkits: $(VENV)/developing $(TOOLKITS)/image/installed $(TOOLKITS)/sdk/installed
	ALGOSHELF_LONG=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/toolkits --junitxml=$(TOOLKITS)/results.xml
	$(BIN)/python benchmarks/toolkits.py $(TOOLKITS)

notebooks: $(VENV)/noting
	$(BIN)/python docs/notebooks/execute.py $(NOTEBOOKS)

bench: $(VENV)/developing
	$(BIN)/python benchmarks/mnist_accuracy.py small --epochs 8
	$(BIN)/python benchmarks/mnist_accuracy.py large
	$(BIN)/python benchmarks/training_speed.py mnist-cnn

clean:
	rm -rf $(VENV) $(TOOLKITS) .venv-page build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis

# Says nothing where `make toolkits` can run, and otherwise a line for each thing that it lacks.
toolkits-lack: $(VENV)/developing
	@test -n "$(PYTHON38)" || echo "Python 3.8, which AWS's MXNet image has: make toolkits PYTHON38=PATH"
	@$(BIN)/python -m tests.toolkits.containers

$(VENV)/python:
ifeq ($(PYTHON),)
	@echo "algoshelf needs Python 3.9, 3.10, 3.11 or 3.12 with its venv module; none was found." >&2
	@echo "Debian, Ubuntu: apt-get install python3 python3-venv; otherwise https://www.python.org/downloads/" >&2
	@exit 1
endif
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade pip setuptools
	@touch $@

$(VENV)/installed: $(VENV)/python pyproject.toml setup.py
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[cpu]'
	@touch $@

$(VENV)/developing: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[cpu,dev]'
	@touch $@

$(VENV)/noting: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[cpu,notebooks]'
	@touch $@

$(TOOLKITS)/image/installed: tests/toolkits/requirements-image.txt
	@test -n "$(PYTHON38)" || { echo "AWS's MXNet image has Python 3.8; none was found: make toolkits PYTHON38=PATH" >&2; exit 1; }
	$(PYTHON38) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --upgrade pip setuptools
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	@touch $@

$(TOOLKITS)/sdk/installed: tests/toolkits/requirements-sdk.txt $(VENV)/python
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --upgrade pip setuptools
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	@touch $@
