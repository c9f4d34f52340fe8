# Everything a developer does here. `make demo` first; the README says what comes next.
SHELL := /bin/sh
.DEFAULT_GOAL := help

# Where `make up` keeps its data, and what it adds to every port.
STATE ?= .state
PORT_OFFSET ?= 0

# Scripts of a virtual environment don't work in a path with a space; the interpreter does.
RUN := .venv/bin/python -m
VENV := .venv/.installed
BENCH := .venv-bench/.installed

.PHONY: help demo up calendar rotate-keys rotate-payload-key audit-verify bench chaos planted operations secrets capacity \
	restore-rehearsal test fuzz check lint types imports security migrations-check openapi-check release-check format \
	lock screens sbom audit-packages clean

help:
	@echo "make demo      two withdrawals on a stack of their own, told as they happen"
	@echo "make up        the stack in the foreground (STATE=$(STATE) PORT_OFFSET=$(PORT_OFFSET)); Ctrl-C ends it"
	@echo "make test      all tests (ARGS='-k name' for some)"
	@echo "make fuzz      schemathesis against a stack of its own, for ten minutes (ARGS='--seed 1 --seconds 60')"
	@echo "make chaos     the fault programme (SHORT=1; or SEED= MINUTES= WITHDRAWALS= KILLS= REPORT=file KEEP=folder)"
	@echo "make bench     measures it side by side with its peers (SHORT=1: five minutes; ARGS=moves: some chapters)"
	@echo "make planted   bugs planted one at a time, each of which has to be caught"
	@echo "make check     style, types, imports, bandit, migrations, OpenAPI file"
	@echo "make release-check REV=tag  the release that is running survives this one: its tests on this schema, its runs"
	@echo "make format    formats the code"
	@echo "make calendar  loads the calendar of newly published years into the stack that is up"
	@echo "make screens   pictures of every page of the console into docs/screens; needs Chromium"
	@echo "make operations ARGS=stuck  the operators' command line on the stack that is up (ARGS=--help: all it can)"
	@echo "make secrets   makes the secrets of docker-compose.yml, where they are missing"
	@echo "make capacity  measures what a withdrawal takes, on the stack that is up"
	@echo "make restore-rehearsal  restores a back-up of a running stack, and lets everything finish"
	@echo "make rotate-keys   a new field key, and every value rewritten to it, while the stack is up (FINISH=1 adds none)"
	@echo "make audit-verify  reads every audited row of the stack that is up again: is the chain whole?"
	@echo "make rotate-payload-key  a new key for what travels through Temporal, while the stack runs"
	@echo "make lock      renews the requirements*.lock from pyproject.toml"
	@echo "make sbom      writes sbom.cdx.json: every package of the image (CycloneDX)"
	@echo "make audit-packages  asks the package index for known weaknesses of the packages; needs to reach it"
	@echo "make clean     removes .venv, .venv-bench and caches; the data in $(STATE) stays"

# Exactly what the lock says, made anew when it changes.
.venv-bench/.installed: requirements.bench.lock
.venv/.installed: requirements.lock
$(VENV) $(BENCH):
	@python=$$(command -v python3.11 || command -v python3) || { echo "Python 3.11 or newer is needed" >&2; exit 1; }; \
	"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed, and $$python is older" >&2; exit 1; }; \
	"$$python" -c 'import ensurepip, venv' || \
		{ echo "$$python cannot make virtual environments: install python3-venv" >&2; exit 1; }; \
	echo "installing what $< says into $(@D) …"; \
	"$$python" -m venv --clear $(@D)
	@$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r $<
	@touch $@

demo: $(VENV)
	@$(RUN) stack.demo

up: $(VENV)
	@exec $(RUN) stack --state "$(STATE)" --port-offset "$(PORT_OFFSET)"

calendar: $(VENV)
	@$(RUN) stack.run --state "$(STATE)" --port-offset "$(PORT_OFFSET)" .venv/bin/python -m ledger.calendar

secrets: $(VENV)
	@$(RUN) stack.secrets .state/secrets

capacity: $(BENCH)
	@.venv-bench/bin/python -m stack.run --state "$(STATE)" --port-offset "$(PORT_OFFSET)" \
		.venv-bench/bin/python -m bench.capacity $(ARGS)

restore-rehearsal: $(VENV)
	@$(RUN) pytest tests/whole/test_restore.py $(ARGS)

operations: $(VENV)
	@$(RUN) stack.run --state "$(STATE)" --port-offset "$(PORT_OFFSET)" .venv/bin/python -m operations $(ARGS)

rotate-keys: $(VENV)
	@$(RUN) stack.run --state "$(STATE)" --port-offset "$(PORT_OFFSET)" .venv/bin/python -m ledger.rotation $(if $(FINISH),--finish)

audit-verify: $(VENV)
	@$(RUN) stack.run --state "$(STATE)" --port-offset "$(PORT_OFFSET)" .venv/bin/python -m ledger.audit_verification

rotate-payload-key: $(VENV)
	@$(RUN) payloads.keys "$(STATE)/keys/payload-keys.json"

test: $(VENV)
	@$(RUN) pytest $(ARGS)

fuzz: $(VENV)
	@$(RUN) tests.fuzzing $(ARGS)

chaos: $(VENV)
	@$(RUN) chaos $(if $(SHORT),--short) $(if $(SEED),--seed "$(SEED)") $(if $(MINUTES),--minutes "$(MINUTES)") \
		$(if $(WITHDRAWALS),--withdrawals "$(WITHDRAWALS)") $(if $(KILLS),--kills "$(KILLS)") \
		$(if $(REPORT),--report "$(REPORT)") $(if $(KEEP),--keep "$(KEEP)")

bench: $(BENCH)
	@.venv-bench/bin/python -m bench $(if $(SHORT),--short,--report docs) $(ARGS)

planted: $(VENV)
	@$(RUN) chaos.planted $(ARGS)

check: lint types imports security migrations-check openapi-check

lint: $(VENV)
	@$(RUN) ruff check .
	@$(RUN) ruff format --check .

types: $(VENV)
	@$(RUN) mypy

imports: $(VENV)
	@.venv/bin/python .venv/bin/lint-imports

security: $(VENV)
	@$(RUN) bandit --quiet --configfile pyproject.toml --recursive .

migrations-check: $(VENV)
	@$(RUN) stack.throwaway ".venv/bin/python -m alembic upgrade head" ".venv/bin/python -m alembic check"

openapi-check: $(VENV)
	@$(RUN) api.openapi --check docs/openapi.json

# What runs while a release is rolled out: the old code on the new schema, the old runs in the new code.
release-check: $(VENV)
	@$(RUN) tests.previous_release $(REV) $(ARGS)

format: $(VENV)
	@$(RUN) ruff check --fix .
	@$(RUN) ruff format .

# Names no package index and no path of the machine it runs on.
lock: $(VENV)
	@$(RUN) uv pip compile pyproject.toml --group stack --group dev --quiet --upgrade --python-version 3.11 \
		--generate-hashes --no-annotate --no-emit-index-url --no-emit-find-links \
		--custom-compile-command "make lock" --output-file requirements.lock
	@$(RUN) uv pip compile pyproject.toml --constraints requirements.lock --quiet --python-version 3.11 \
		--generate-hashes --no-annotate --no-emit-index-url --no-emit-find-links \
		--custom-compile-command "make lock" --output-file requirements.run.lock
	@$(RUN) uv pip compile pyproject.toml --group stack --group bench --constraints requirements.lock --quiet \
		--python-version 3.11 --generate-hashes --no-annotate --no-emit-index-url --no-emit-find-links \
		--custom-compile-command "make lock" --output-file requirements.bench.lock

# What is in the image, for whoever has to look a weakness up.
sbom: $(VENV)
	@$(RUN) cyclonedx_py requirements requirements.run.lock --output-reproducible --short-PURLs --output-file - 2>/dev/null \
		| .venv/bin/python .ci/sbom.py >sbom.cdx.json
	@echo "wrote sbom.cdx.json"

# Not part of any gate: it asks the package index what is known to be weak, and fails where that cannot be asked.
audit-packages: $(VENV)
	@$(RUN) pip_audit --strict --require-hashes --disable-pip --progress-spinner off --requirement requirements.lock

screens: $(VENV)
	@$(RUN) tests.console.screens

clean:
	@rm -rf .venv .venv-bench .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
