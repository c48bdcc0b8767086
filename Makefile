# Everything a developer does. Needs Python 3.11 or newer and make; Node.js and the rest come into .venv by themselves.

VENV ?= .venv
BIN := $(VENV)/bin

# The first Python that is new enough, or the one named by `make PYTHON=/path/to/python ...`.
NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for python in python3.11 python3.12 python3.13 python3 python; do \
	$$python -c '$(NEW_ENOUGH)' >/dev/null 2>&1 && echo $$python && break; done)

# Microsoft's worker library. It asks for Python 3.13 and pins its relatives, but runs on 3.11 beside ours.
RUNTIME := azure-functions-runtime==1.3.0

# A stamp carries the checksum of what was installed from: unchanged files mean nothing to do.
checksum = $(shell { cat $(1); echo '$(2)'; } | cksum | tr ' ' '-')
PYTHON_READY := $(VENV)/ready-$(call checksum,requirements.txt requirements-cli.txt requirements-dev.txt requirements-pkcs11.txt requirements-telemetry.txt,$(RUNTIME))
AZURITE := local/azurite
SWAGGER := $(CURDIR)/shared/api/documentation/swagger-ui
AZURITE_READY := $(AZURITE)/node_modules/ready-$(call checksum,$(AZURITE)/package.json $(AZURITE)/package-lock.json)

# What is deployed: an environment with the packages of requirements.txt alone. The tools that look at it have their own.
DEPLOYED := $(VENV)/deployed
DEPLOYED_READY := $(DEPLOYED)/ready-$(call checksum,requirements.txt)
TOOLS := $(VENV)/tools
TOOLS_READY := $(TOOLS)/ready-$(call checksum,requirements-tools.txt)

# Arguments for the command, for example `make test ARGS="tests/unit -k ledger"` or `make run ARGS=--free-ports`.
ARGS ?=

# Where demo and run keep the CA's key: `software`, or `key_vault` in the Key Vault emulator.
BACKEND ?= software

.DEFAULT_GOAL := help
.PHONY: help setup lint format typecheck test demo run bench soak fuzz openapi swagger package sbom audit clean distclean

help: ## list the commands
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1|\2/p' Makefile | while IFS='|' read -r command text; do \
		printf '%-18s %s\n' "$$command" "$$text"; done

setup: $(PYTHON_READY) $(AZURITE_READY) ## install everything into .venv and local/azurite
	@:

lint: setup ## check style and format
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --check --quiet .

format: setup ## put the code into the project's format
	@$(BIN)/ruff check --fix --quiet .
	@$(BIN)/ruff format --quiet .

typecheck: setup ## check types
	@$(BIN)/mypy --no-error-summary

test: setup lint typecheck ## check style and types, then run all tests
	@$(BIN)/python -m pytest -n 2 --dist loadfile $(ARGS)

demo: setup ## see the product do its main job on a laptop's own cloud
	@$(BIN)/python -m local.demo --backend $(BACKEND) $(ARGS)

run: setup ## start the laptop's cloud and keep it up
	@$(BIN)/python -m local.run --backend $(BACKEND) $(ARGS)

bench: setup ## run the benchmarks, and show one table in the end
	@$(BIN)/python -m benchmarks $(ARGS)

soak: setup ## ten minutes of load while storage and Entra ID come and go
	@$(BIN)/python -m benchmarks.soak $(ARGS)

fuzz: setup ## fuzz the token validator for a minute
	@$(BIN)/python -m benchmarks.fuzz_token $(ARGS)

openapi: setup ## write docs/openapi.json anew, after a change of the API
	@$(BIN)/python -m shared.api.openapi >docs/openapi.json.new && mv docs/openapi.json.new docs/openapi.json

swagger: setup ## bring the documentation page's Swagger UI in, after a change of local/swagger_ui/package-lock.json
	@cd local/swagger_ui && PATH="$(abspath $(BIN)):$$PATH" npm ci --ignore-scripts --silent
	@cd local/swagger_ui/node_modules/swagger-ui-dist && cp LICENSE NOTICE swagger-ui-bundle.js.LICENSE.txt $(SWAGGER)/
	@cd local/swagger_ui/node_modules/swagger-ui-dist && for file in swagger-ui-bundle.js swagger-ui.css; do \
		gzip -9nc "$$file" >"$(SWAGGER)/$$file.gz"; done

package: setup ## build the deployment package, dist/app.zip
	@$(BIN)/python infra/package.py $(ARGS)

sbom: $(DEPLOYED_READY) $(TOOLS_READY) ## list what is deployed as a CycloneDX bill of materials, dist/sbom.json
	@mkdir -p dist
	@# The warning that is ignored: pyproject.toml names no dependencies, because requirements.txt does.
	@PYTHONWARNINGS=ignore::UserWarning $(TOOLS)/bin/cyclonedx-py environment --pyproject pyproject.toml --mc-type application --output-reproducible \
		--output-file dist/sbom.json $(DEPLOYED)
	@echo "dist/sbom.json: $$(grep -c '"purl"' dist/sbom.json) packages"

audit: $(DEPLOYED_READY) $(TOOLS_READY) ## look for known vulnerabilities in what is deployed
	@mkdir -p dist; rm -f dist/audit.json
	@$(TOOLS)/bin/pip-audit --strict --progress-spinner off --path $(DEPLOYED)/lib/python*/site-packages \
		--format json --output dist/audit.json || { test -s dist/audit.json && echo 'dist/audit.json names them.' || \
		echo 'Nothing was audited: PyPI did not give its advisories for the package named above.'; exit 1; } >&2

clean: ## remove state, output and caches
	rm -rf .local demo-output dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -not -path './$(VENV)/*' -not -path '*/node_modules/*' -prune -exec rm -rf {} +

distclean: clean ## remove what setup installed, too
	rm -rf $(VENV) $(AZURITE)/node_modules local/swagger_ui/node_modules

$(PYTHON_READY):
	@python="$(PYTHON)"; test -n "$$python" && "$$python" -c '$(NEW_ENOUGH)' 2>/dev/null || { \
		echo "Python 3.11 or newer is needed$${python:+, which $$python is not}. Install it, or name one that you" \
			"have: make PYTHON=/path/to/python setup" >&2; exit 1; }; \
	echo 'Installing the Python packages into $(VENV)'; \
	test -x $(BIN)/python || "$$python" -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --ignore-requires-python $(RUNTIME)
	@rm -f $(VENV)/ready-*
	@touch $@

$(AZURITE_READY): | $(PYTHON_READY)
	@echo 'Installing Azurite into $(AZURITE)/node_modules'
	@cd $(AZURITE) && PATH="$(abspath $(BIN)):$$PATH" npm ci --ignore-scripts --silent
	@rm -f $(AZURITE)/node_modules/ready-*
	@touch $@

$(DEPLOYED_READY): | $(PYTHON_READY)
	@echo 'Installing the packages of requirements.txt into $(DEPLOYED)'
	@$(BIN)/python -m venv --clear --without-pip $(DEPLOYED)
	@$(BIN)/python -m pip --python $(DEPLOYED)/bin/python install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

$(TOOLS_READY): | $(PYTHON_READY)
	@echo 'Installing the tools of requirements-tools.txt into $(TOOLS)'
	@$(BIN)/python -m venv --clear --without-pip $(TOOLS)
	@$(BIN)/python -m pip --python $(TOOLS)/bin/python install --quiet --disable-pip-version-check -r requirements-tools.txt
	@touch $@
