# Every target sets up what it needs. `make demo` and `make test` work on a fresh machine
# with Python 3.11+, Rust and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUST := core/tool-server
RUST_SOURCES := $(shell find $(RUST)/src -name '*.rs' 2>/dev/null) $(RUST)/Cargo.toml $(RUST)/Cargo.lock $(RUST)/build_hook.py
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: demo test check setup soak bench lock format clean help

help: ## Show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

demo: setup ## Run the main job on a real package; TASK="…" runs another task
	@$(BIN)/python tests/demo.py $(if $(TASK),--task '$(subst ','\'',$(TASK))')

test: setup ## Run the tests
	@$(BIN)/pytest -m "not soak"

soak: setup ## Run the long forms of the tests
	@$(BIN)/pytest -m soak --timeout 3600 --hypothesis-profile exploring

check: setup ## Lint, types, layers, Rust
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/basedpyright
	@$(BIN)/lint-imports --no-cache
	@cd $(RUST) && cargo fmt --check
	@cd $(RUST) && cargo clippy --release --all-targets --locked -- -D warnings

bench: setup ## Run all benchmarks and refresh docs/benchmarks.md
	@$(BIN)/python tests/benchmarks/all.py $(ONLY)

format: setup ## Format all sources
	@$(BIN)/ruff check --fix-only .
	@$(BIN)/ruff format .
	@cd $(RUST) && cargo fmt

lock: $(VENV)/pyvenv.cfg ## Resolve the dependencies again and lock them with hashes
	@$(BIN)/pip install --quiet uv
	@$(BIN)/uv pip compile pyproject.toml --extra dev --extra llm --extra acp --universal --python-version 3.11 \
	  --generate-hashes --quiet --upgrade --no-emit-index-url --no-emit-find-links \
	  --output-file requirements/dev.txt

setup: $(VENV)/.installed

$(VENV)/pyvenv.cfg:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.12 …")'
	@echo "setup: virtual environment in $(VENV)"
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.locked: requirements/dev.txt | $(VENV)/pyvenv.cfg
	@echo "setup: locked dependencies"
	@$(BIN)/pip install --quiet --require-hashes -r requirements/dev.txt
	@touch $@

$(VENV)/.installed: $(VENV)/.locked pyproject.toml $(RUST_SOURCES)
	@echo "setup: Rust tool server and the package itself (the first build takes a few minutes)"
	@$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

clean: ## Remove what was built
	rm -rf $(VENV) $(RUST)/target client-vscode/node_modules client-vscode/dist
