# make setup       .venv in this checkout: OpenRLHF, vLLM, DeepSpeed and Ray on a CPU, the package, what tests need
# make quickstart  trains a small model for real, with the figures before and after (SMOKE=1: the path only;
#                  SET="train.seed=1 logging.folder=runs/other": other values for the recipe)
# make test        the linter and the tests that CI runs, those that can two at a time (WORKERS=1: one at a time)
# make test-slow   longer proofs

# An interpreter of one's own choice: make setup PYTHON=/path/to/python3.12
PYTHON ?=
# Where the CPU build of torch is, for machines whose pip does not offer it.
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu
WORKERS ?= 2
VENV := .venv
PIP := $(VENV)/bin/python -m pip --quiet --disable-pip-version-check
LOCK := acecoder_rl/training/cpu/requirements.txt
TORCH := torch==2.13.0+cpu
# Made anew when the dependencies change, so that a second `make setup` costs nothing.
STAMP := $(VENV)/.setup-done

.PHONY: setup quickstart test test-slow

setup: $(STAMP)

$(STAMP): pyproject.toml $(LOCK)
	@set -eu; \
	new() { "$$1" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info[:2] not in ((3, 11), (3, 12)))' 2>/dev/null; }; \
	if ! new $(VENV)/bin/python; then \
	  found=; \
	  for python in $(if $(PYTHON),'$(PYTHON)',python3.11 python3.12 python3); do \
	    if new "$$python"; then found=$$python; break; fi; \
	  done; \
	  if [ -z "$$found" ]; then \
	    echo "make setup: no Python >= 3.11 with venv among: $(or $(PYTHON),python3.11 python3.12 python3)." >&2; \
	    echo "Install one (Debian/Ubuntu: apt install python3.11-venv; else https://docs.astral.sh/uv:" >&2; \
	    echo "uv python install 3.11), or name yours: make setup PYTHON=/path/to/python3.11" >&2; \
	    exit 1; \
	  fi; \
	  "$$found" -m venv --clear $(VENV); \
	fi
# torch first, and by its build: whatever else asks for torch would bring a CUDA build of several GB.
	@echo "make setup: torch for CPUs, then about 130 pinned packages (2.5 GB in $(VENV))"
	@$(PIP) install --no-deps '$(TORCH)' 2>/dev/null || $(PIP) install --no-deps '$(TORCH)' --index-url $(TORCH_INDEX) || { \
	  echo "make setup: no $(TORCH) from pip or $(TORCH_INDEX): name an index that has it:" >&2; \
	  echo "make setup TORCH_INDEX=https://..." >&2; exit 1; }
	@$(PIP) install --no-deps --requirement $(LOCK)
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

quickstart: setup
	$(VENV)/bin/python -m acecoder_rl.quickstart $(if $(SET),$(addprefix --set ,$(SET)))

# Most tests wait for imports, limits and servers: two at once take little more than one, and so do two training runs,
# but those only beside each other. A failure does not keep the rest from being run. One thread a process in the first
# part: its models are tiny.
SIDE_BY_SIDE := -n $(WORKERS) --dist loadfile --no-loadscope-reorder --durations=20
test: setup
	$(VENV)/bin/ruff check . && $(VENV)/bin/ruff format --check --quiet .
	@set -x; status=0; \
	OMP_NUM_THREADS=1 $(VENV)/bin/python -m pytest -m "not slow and not alone and not training" $(SIDE_BY_SIDE) || status=$$?; \
	$(VENV)/bin/python -m pytest -m "not slow and training" $(SIDE_BY_SIDE) || status=$$?; \
	$(VENV)/bin/python -m pytest -m "not slow and alone" --durations=20 || status=$$?; \
	exit $$status

test-slow: setup
	$(VENV)/bin/python -m pytest -m slow
