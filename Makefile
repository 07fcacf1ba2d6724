# Every command of the project: `make` or `make help` lists them.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ifeq ($(OS),Windows_NT)
BIN := $(VENV)/Scripts
endif
# Written when the environment is whole, so that a broken download is begun anew.
READY := $(VENV)/.ready
WORKERS ?= auto
# The tests start Python hundreds of times: let it keep what it compiles, even where the environment forbids it.
unexport PYTHONDONTWRITEBYTECODE
# What a run is narrowed to. The environment cannot set these (no `?=`): some systems have a variable NAME.
T =
NAME = all

.DEFAULT_GOAL := help

.PHONY: help
help: ## List the commands
	@awk -F ':.*## ' '/^##@ / {print "\n" substr($$0, 5)} /^[a-z-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

##@ Every day

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

.PHONY: test-fast
test-fast: $(READY) ## Run the fast part of the tests: SQLite alone, one mount, no slow test; T=tests/rest runs a part of it
	TEST_FAST=1 $(BIN)/python -m pytest --numprocesses $(WORKERS) --dist worksteal -m "not slow" $(T)

.PHONY: test
test: $(READY) ## Run the whole test suite, PostgreSQL included; T=tests/rest runs a part
	$(BIN)/python -m pytest --numprocesses $(WORKERS) --dist worksteal $(T)

.PHONY: fmt
fmt: $(READY) ## Format the code and mend what can be mended
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .

.PHONY: lint
lint: $(READY) ## Check format, lint, import contracts, types and workflows
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	$(BIN)/mypy
	$(BIN)/zizmor --offline --quiet .github

.PHONY: check
check: lint test ## All that has to hold before a merge: lint and the whole test suite

.PHONY: hooks
hooks: $(READY) ## Have git check format, lint and the message of each commit
	git config core.hooksPath .githooks

.PHONY: db-upgrade
db-upgrade: $(READY) ## Apply the migrations
	$(BIN)/taskwell db upgrade

.PHONY: clean
clean: ## Remove the environment and all caches
	rm -rf $(VENV) bench/.peers clients/*/dist clients/typescript/dist-tests clients/*/.made-* clients/python/.venv site .cache dist mutants .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage*

##@ More tests

.PHONY: coverage
coverage: $(READY) ## Run the whole test suite and measure what it covers; less than the floor is an error
	$(BIN)/python -m pytest --numprocesses $(WORKERS) --cov --cov-report=term

.PHONY: test-full
test-full: $(READY) ## The same tests with every case: at both mounts, through every proxy on both databases, all drawn ones
	TEST_ALL=1 $(BIN)/python -m pytest --numprocesses $(WORKERS) --dist worksteal

.PHONY: test-slow-path
test-slow-path: $(READY) ## The same tests without the fast path: no request is answered early, no statements are coalesced
	TEST_SLOW_PATH=1 $(BIN)/python -m pytest --numprocesses $(WORKERS)

YEARS ?= 5

.PHONY: test-later
test-later: $(READY) ## The same tests as in five years, or in YEARS=1 (Linux; needs a C compiler)
	$(BIN)/python -m tests.later $(YEARS) --numprocesses $(WORKERS)

.PHONY: scaling
scaling: $(READY) ## Run the tests of the API against four processes on one PostgreSQL, behind HAProxy
	TEST_PROCESSES=4 $(BIN)/python -m pytest tests/rest tests/http

SHARE ?= 1

.PHONY: mutants
mutants: $(READY) ## Break the rules one by one and see whether a test fails; SHARE=0.1 tries a tenth of them
	$(BIN)/python -m stress.mutants --share $(SHARE)

##@ What was promised

.PHONY: stress
stress: $(READY) ## Try out every promise under races, kills and cuts, for hours; NAME=kills: one, SHORT=--short: minutes
	$(BIN)/python -m stress $(NAME) $(SHORT)

.PHONY: reliability
reliability: $(READY) ## Run stress and security, and write docs/reliability.md (SHORT=--short: minutes, not hours)
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

.PHONY: field
field: $(READY) ## Send real clients through real proxies: nginx, Caddy, HAProxy, Apache, Varnish, those of dev servers
	$(BIN)/python -m field $(SHORT)

##@ How fast it is

.PHONY: bench
bench: $(READY) ## Measure taskwell beside other servers: FastAPI with SQLModel, Fastify, Django, bare ASGI
	$(BIN)/python -m bench.compare

.PHONY: bench-own
bench-own: $(READY) ## Measure listing and concurrent writes on both databases
	$(BIN)/python -m bench.own

.PHONY: page
page: $(READY) ## Measure the page at /app with 10,000 tasks, and by Lighthouse (needs Chromium and Node.js)
	$(BIN)/python -m bench.page

.PHONY: plans
plans: $(READY) ## Write docs/plans.md: how both databases run every operation with 1,000,000 tasks
	$(BIN)/python -m bench.plans

##@ Files that are generated

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

.PHONY: pictures
pictures: $(READY) ## Write docs/page-*.png anew, the pictures of the page (needs Chromium)
	$(BIN)/python -m tests.web.pictures

.PHONY: vendor
vendor: ## Bundle the page's library anew, src/taskwell/web/static/vendor/lit.js (needs Node.js)
	cd tests/web && npm ci --loglevel=error && npm run vendor

COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate

.PHONY: lock
lock: $(READY) ## Lock the dependencies anew after a change in pyproject.toml
	$(COMPILE) pyproject.toml --output-file requirements.txt
	$(COMPILE) pyproject.toml --extra dev --output-file requirements-dev.txt
	$(COMPILE) deploy/requirements-build.in --output-file deploy/requirements-build.txt
	$(COMPILE) clients/python/requirements.in --output-file clients/python/requirements.txt

##@ Releases

.PHONY: wheel
wheel: $(READY) ## Build the wheel in dist/
	$(BIN)/hatchling build --target wheel

.PHONY: audit
audit: $(READY) ## Look for known vulnerabilities in the locked dependencies (asks the advisory service)
	$(BIN)/uvx pip-audit --requirement requirements.txt --require-hashes --disable-pip

.PHONY: sbom
sbom: $(READY) ## Write the bill of materials of the locked dependencies, sbom.json (CycloneDX)
	$(BIN)/uvx --from cyclonedx-bom cyclonedx-py requirements requirements.txt --output-file sbom.json

.PHONY: commits
commits: $(READY) ## Check the messages of the commits
	$(BIN)/python -m scripts.check_commits
