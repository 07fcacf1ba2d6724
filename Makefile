# The door for commands: `make` or `make help` lists them.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ifeq ($(OS),Windows_NT)
BIN := $(VENV)/Scripts
endif
# Written when the environment is whole, so that a broken download is begun anew.
READY := $(VENV)/.ready
WORKERS ?= auto

.DEFAULT_GOAL := help

.PHONY: help
help: ## List the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(READY): requirements-dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "taskwell needs Python 3.11 or later; try make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements-dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	$(BIN)/python -m pip check
	@touch $(READY)

.PHONY: setup
setup: $(READY) ## Make the environment in .venv

.PHONY: serve
serve: $(READY) ## Serve on http://127.0.0.1:8000 from taskwell.db
	@$(BIN)/taskwell serve

.PHONY: test
test: $(READY) ## Run the whole test suite, PostgreSQL included
	$(BIN)/python -m pytest --numprocesses $(WORKERS)

.PHONY: test-slow-path
test-slow-path: $(READY) ## The same tests without the fast path: nothing is answered on the spot, nothing together
	TEST_SLOW_PATH=1 $(BIN)/python -m pytest --numprocesses $(WORKERS)

YEARS ?= 5

.PHONY: test-later
test-later: $(READY) ## The same tests as in five years, or in YEARS=1 (Linux; needs a C compiler)
	$(BIN)/python -m tests.later $(YEARS) --numprocesses $(WORKERS)

.PHONY: fmt
fmt: $(READY) ## Format the code and mend what can be mended
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .

.PHONY: lint
lint: $(READY) ## Check format, lint, import contracts and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	$(BIN)/mypy

.PHONY: check
check: lint test ## All that CI checks; drift, locks and the OpenAPI snapshot are among the tests

.PHONY: openapi
openapi: $(READY) ## Write openapi.json anew
	DATABASE_URL= $(BIN)/taskwell openapi > openapi.json

.PHONY: clients
clients: $(READY) ## Make the Python and the TypeScript client from openapi.json (needs Node.js)
	$(BIN)/python -m clients

.PHONY: docs
docs: $(READY) ## Build the pages as a site in site/; a link that leads nowhere is an error
	$(BIN)/zensical build --strict --clean

.PHONY: picture
picture: $(READY) ## Write docs/first-minute.svg anew, the picture of a first minute
	$(BIN)/python -m tests.docs.picture

COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate

.PHONY: lock
lock: $(READY) ## Lock the dependencies anew after a change in pyproject.toml
	$(COMPILE) pyproject.toml --output-file requirements.txt
	$(COMPILE) pyproject.toml --extra dev --output-file requirements-dev.txt
	$(COMPILE) deploy/requirements-build.in --output-file deploy/requirements-build.txt
	$(COMPILE) clients/python/requirements.in --output-file clients/python/requirements.txt

.PHONY: bench
bench: $(READY) ## Measure taskwell beside other servers: FastAPI with SQLModel, Fastify, Django, bare ASGI
	$(BIN)/python -m bench.compare

.PHONY: bench-own
bench-own: $(READY) ## Measure listing and concurrent writes on both databases
	$(BIN)/python -m bench.own

.PHONY: plans
plans: $(READY) ## Write docs/plans.md: how both databases run every operation with 1,000,000 tasks
	$(BIN)/python -m bench.plans

.PHONY: stress
stress: $(READY) ## Try out what is promised under races, retries and cuts, in full
	$(BIN)/python -m stress all

.PHONY: stress-guards
stress-guards: $(READY) ## 64 writers, 10,000 guarded edits
	$(BIN)/python -m stress guards

.PHONY: stress-keys
stress-keys: $(READY) ## 10,000 keyed creates, repeated over connections that are cut
	$(BIN)/python -m stress keys

.PHONY: stress-feed
stress-feed: $(READY) ## 100,000 changes by four processes, followed by pollers
	$(BIN)/python -m stress feed

.PHONY: stress-model
stress-model: $(READY) ## 2,000 runs of 30 steps against a dict
	$(BIN)/python -m stress model

.PHONY: stress-events
stress-events: $(READY) ## 1,000 event streams on one process
	$(BIN)/python -m stress events

.PHONY: stress-polling
stress-polling: $(READY) ## Polls of an unchanged list beside health checks
	$(BIN)/python -m stress polling

.PHONY: stress-backups
stress-backups: $(READY) ## 100 backups beside writers, each of them restored
	$(BIN)/python -m stress backups

.PHONY: stress-hostile
stress-hostile: $(READY) ## Hostile values in every slot of every operation
	$(BIN)/python -m stress hostile

.PHONY: stress-move
stress-move: $(READY) ## 100,000 tasks to the other database and back, and moves that are killed
	$(BIN)/python -m stress move

.PHONY: stress-overload
stress-overload: $(READY) ## Four times as many requests as can be answered
	$(BIN)/python -m stress overload

.PHONY: stress-slow
stress-slow: $(READY) ## 2,000 slow clients
	$(BIN)/python -m stress slow

.PHONY: stress-restarts
stress-restarts: $(READY) ## 50 rolling restarts under load
	$(BIN)/python -m stress restarts

.PHONY: stress-bodies
stress-bodies: $(READY) ## Bodies of a gigabyte
	$(BIN)/python -m stress bodies

.PHONY: stress-cut
stress-cut: $(READY) ## 10,000 requests whose clients go away
	$(BIN)/python -m stress cut

.PHONY: scaling
scaling: $(READY) ## Run the tests of the API against four processes on one PostgreSQL, behind HAProxy
	TEST_PROCESSES=4 $(BIN)/python -m pytest tests/rest tests/http

.PHONY: stress-kills
stress-kills: $(READY) ## 1,000 kill -9 of the server under writers
	$(BIN)/python -m stress kills

.PHONY: stress-powercuts
stress-powercuts: $(READY) ## 20,000 states of a disk after a power cut (SQLite; needs strace)
	$(BIN)/python -m stress powercuts

.PHONY: stress-outages
stress-outages: $(READY) ## 200 outages of PostgreSQL under writers
	$(BIN)/python -m stress outages

.PHONY: stress-migrations
stress-migrations: $(READY) ## 8 servers that migrate at once, 100 times
	$(BIN)/python -m stress migrations

.PHONY: reliability
reliability: $(READY) ## Run all of these and write docs/reliability.md (SHORT=--short: minutes, not hours)
	$(BIN)/python -m stress.reliability $(SHORT)

.PHONY: fuzz
fuzz: $(READY) ## 500 requests for each operation, made up from the OpenAPI document, on both databases
	$(BIN)/python -m fuzz

STREAMS ?= 100000

.PHONY: fuzz-parser
fuzz-parser: $(READY) ## Byte streams for the parser and for h11: both see the same requests (STREAMS=10000: fewer)
	$(BIN)/python -m fuzz.parser --streams $(STREAMS)

.PHONY: security
security: $(READY) ## Hostile tokens, every operation as a stranger, storms of unknown keys
	$(BIN)/python -m security

SHARE ?= 1

.PHONY: mutants
mutants: $(READY) ## Break the rules one by one and see whether a test fails; SHARE=0.1 tries a tenth of them
	$(BIN)/python -m stress.mutants --share $(SHARE)

.PHONY: audit
audit: $(READY) ## Look for known vulnerabilities in the locked dependencies (asks the advisory service)
	$(BIN)/uvx pip-audit --requirement requirements.txt --require-hashes --disable-pip

.PHONY: sbom
sbom: $(READY) ## Write the bill of materials of the locked dependencies, sbom.json (CycloneDX)
	$(BIN)/uvx --from cyclonedx-bom cyclonedx-py requirements requirements.txt --output-file sbom.json

.PHONY: field
field: $(READY) ## Send real clients through real proxies: nginx, Caddy, HAProxy, Apache, Varnish, those of dev servers
	$(BIN)/python -m field $(SHORT)

.PHONY: db-upgrade
db-upgrade: $(READY) ## Apply the migrations
	$(BIN)/taskwell db upgrade

.PHONY: clean
clean: ## Remove the environment and all caches
	rm -rf $(VENV) bench/.peers clients/*/dist clients/typescript/dist-tests clients/*/.made-* clients/python/.venv site .cache dist mutants .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
