# Every target sets up what it needs. `make demo` and `make test` work on a fresh machine
# with Python 3.11+, Rust and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUST := core/tool-server
RUST_SOURCES := $(shell find $(RUST)/src -name '*.rs' 2>/dev/null) $(RUST)/Cargo.toml $(RUST)/Cargo.lock $(RUST)/build_hook.py
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: demo test test-editors test-agents check setup soak bench lock format clean help test-vscode check-vscode

help: ## Show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

demo: setup ## Run the main job on a real package; TASK="…" runs another task
	@$(BIN)/python tests/demo.py $(if $(TASK),--task '$(subst ','\'',$(TASK))')

# Each test is alone in what it uses, so as many run at once as there are cores. They start hundreds
# of interpreters: where bytecode may not be kept, each would compile all modules anew.
test: export PYTHONDONTWRITEBYTECODE :=
test: setup ## Run the tests
	@$(BIN)/pytest -m "not soak" --numprocesses logical --maxprocesses 8 --dist worksteal

test-editors: setup ## Use real editors as a person would, set up as docs/editors says
	@tests/real_editors/setup.sh build/editors
	@$(BIN)/pytest tests/real_editors/session.py --timeout 300 -rs

test-agents: setup ## Use a real small model, and the real agents on a scripted one (needs Node.js)
	@tests/agents/setup.sh build/agents
	@TEST_AGENTS=build/agents $(BIN)/pytest tests/agents/small_model.py tests/agents/real_agents.py --timeout 2400 -rs

soak: setup ## Run the long forms of the tests
	@$(BIN)/pytest -m soak --timeout 3600 --hypothesis-profile exploring

check: setup ## Lint, types, layers, Rust; the VS Code extension where Node.js is
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/basedpyright
	@$(BIN)/lint-imports --no-cache
	@cd $(RUST) && cargo fmt --check
	@cd $(RUST) && cargo clippy --release --all-targets --locked -- -D warnings
	@if $(MAKE) --silent $(EXTENSION)/node_modules/.installed; then $(MAKE) --silent check-vscode; \
	  else echo "check: the VS Code extension was left out, all else is checked"; fi

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

EXTENSION := client-vscode
EXTENSION_SOURCES := $(wildcard $(EXTENSION)/*.md $(EXTENSION)/*.json $(EXTENSION)/esbuild.mjs $(EXTENSION)/src/* $(EXTENSION)/media/*)
VSCODE := build/vscode

check-vscode: $(EXTENSION)/node_modules/.installed ## Types, lint and unit tests of the VS Code extension (needs Node.js)
	@cd $(EXTENSION) && npm run --silent check && npm run --silent test

test-vscode: setup check-vscode $(EXTENSION)/opencode-orchestrator.vsix $(VSCODE)/.installed ## Use the packed extension in a real VS Code (needs Node.js and Chromium)
	@test -x "$${CHROMIUM:-/usr/bin/chromium}" || { echo "Chromium is missing: apt-get install chromium fonts-dejavu-core, or name it in CHROMIUM"; exit 1; }
	@SCREENSHOTS="$${SCREENSHOTS:-$(VSCODE)-screenshots}" VSCODE_TOOLS="$(CURDIR)/$(VSCODE)" \
	  $(VSCODE)/node_modules/.bin/node --test --test-concurrency=1 --test-reporter=spec 'tests/vscode/*.test.mjs'

$(EXTENSION)/node_modules/.installed: $(EXTENSION)/package-lock.json
	@command -v npm >/dev/null && node -e 'process.exit(parseInt(process.versions.node) < 20)' \
	  || { echo "Node.js 20 or newer with npm is needed for the VS Code extension"; exit 1; }
	@cd $(EXTENSION) && npm ci --silent
	@touch $@

$(EXTENSION)/opencode-orchestrator.vsix: $(EXTENSION)/node_modules/.installed $(EXTENSION_SOURCES)
	@cd $(EXTENSION) && npm run --silent bundle && npm run --silent vsix

$(VSCODE)/.installed: tests/vscode/package-lock.json tests/vscode/setup.sh
	@sh tests/vscode/setup.sh $(VSCODE)
	@touch $@

clean: ## Remove what was built
	rm -rf $(VENV) $(RUST)/target $(EXTENSION)/node_modules $(EXTENSION)/dist $(VSCODE) $(VSCODE)-screenshots
