.DEFAULT_GOAL := help
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# One more than the cores of a small machine: many tests wait for something.
WORKERS ?= 3

help: ## Show these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(READY): requirements-dev.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $(READY)

install: $(READY) ## Make the environment in .venv

demo: $(READY) ## Watch sample issues become branches, until Ctrl-C
	$(BIN)/nodeyard demo

serve: $(READY) ## Run the server
	$(BIN)/nodeyard serve

agent: $(READY) ## Run a node (NODEYARD_SERVER_URL, NODEYARD_REGISTRATION_KEY)
	$(BIN)/nodeyard agent

migrate: $(READY) ## Bring DATABASE_URL, or the embedded database, to the newest revision
	$(BIN)/nodeyard migrate

migration: $(READY) ## Write the next revision from the models: make migration m="what it does"
	$(BIN)/nodeyard migration "$(m)"

test: $(READY) ## Run the tests on a PostgreSQL of their own
	$(BIN)/pytest -n $(WORKERS)

chaos: $(READY) ## Break a real installation and count what is lost: make chaos SEED=1 MINUTES=10 AGENTS=100
	PYTHONPATH=tests $(BIN)/python -m chaos.run --seed $(or $(SEED),1) --minutes $(or $(MINUTES),1) --agents $(or $(AGENTS),20)
	$(BIN)/pytest -q -s -m chaos tests

mutants: $(READY) ## Break the server's own rules and see that the tests notice
	PYTHONPATH=tests $(BIN)/python -m chaos.mutants

fuzz: $(READY) ## Send requests that nobody should send: make fuzz N=100000
	NODEYARD_FUZZ_REQUESTS=$(or $(N),10000) $(BIN)/pytest tests/fuzz -q

lint: $(READY) ## Format, lint, types, imports
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright
	$(BIN)/lint-imports

fix: $(READY) ## Format and mend what can be mended
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

check: lint page drift test ## Everything that a reviewer runs

frontend/node_modules/.package-lock.json: frontend/package-lock.json
	cd frontend && npm ci --silent --ignore-scripts

page: frontend/node_modules/.package-lock.json ## Check the types of the page
	frontend/node_modules/.bin/openapi-typescript openapi.json --output frontend/api.d.ts >/dev/null
	frontend/node_modules/.bin/tsc -p frontend/tsconfig.json

vendor: frontend/node_modules/.package-lock.json ## Copy the page's libraries anew, from the versions in frontend/package.json
	node frontend/vendor.mjs

chromium: ## Install Debian's Chromium when there is none
	@command -v chromium >/dev/null || (apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium fonts-noto-cjk >/dev/null)

screenshots: $(READY) chromium ## Take the pictures of the documents anew, from the demo
	$(BIN)/python frontend/screenshots.py

test-web: $(READY) chromium frontend/node_modules/.package-lock.json ## Run the page's tests in a real browser
	$(BIN)/pytest -n $(WORKERS) -m web tests/web

hour: $(READY) chromium ## An hour of a busy fleet's events on an open page, compressed: make hour EVENTS=36000
	NODEYARD_WEB_EVENTS=$(or $(EVENTS),36000) $(BIN)/pytest -q -s -m web tests/web/test_hour.py

openapi: $(READY) ## Write openapi.json anew from the routes
	$(BIN)/nodeyard openapi openapi.json

drift: $(READY) ## Compare the models with the migrations
	$(BIN)/nodeyard drift

diagram: $(READY) ## Draw the tables anew in docs/migrations.md and docs/migrations.zh.md
	$(BIN)/nodeyard diagram docs/migrations.md docs/migrations.zh.md

bench-upgrade: $(READY) ## Upgrade a million log entries beside a reader, and print time and longest stall
	$(BIN)/python bench/upgrade.py

bench: $(READY) ## Measure the hot paths beside PostgreSQL itself, in about ten minutes
	$(BIN)/python -m bench

.venv-peers/.ready: bench/peers/requirements.txt
.venv-prefect/.ready: bench/peers/requirements-prefect.txt
.venv-peers/.ready .venv-prefect/.ready:
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/pip install --quiet --disable-pip-version-check -r $<
	touch $@

bench-peers: $(READY) .venv-peers/.ready .venv-prefect/.ready ## Measure other queues beside ours; DATABASE=URL of a PostgreSQL with pg_trgm for Prefect
	$(BIN)/python -m bench.peers .venv-peers/bin/python .venv-prefect/bin/prefect $(if $(DATABASE),--database "$(DATABASE)")

lock: ## Write both lock files anew from pyproject.toml
	$(BIN)/uv pip compile --quiet --generate-hashes --no-emit-index-url --no-emit-find-links --no-header -o requirements.lock pyproject.toml
	$(BIN)/uv pip compile --quiet --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --group dev -c requirements.lock -o requirements-dev.lock pyproject.toml

.PHONY: help install demo serve agent migrate migration test lint fix chaos mutants fuzz check drift diagram bench-upgrade openapi bench bench-peers lock page vendor chromium test-web screenshots hour
