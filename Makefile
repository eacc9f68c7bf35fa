# Run as root on a Linux machine with Node.js, npm and Go; everything else is installed or built when it is missing.
.DEFAULT_GOAL := help
.PHONY: help demo up down test stress e2e bench chaos guards prepare lint format types generate build clean

BIN := $(CURDIR)/node_modules/.bin
export PATH := $(BIN):$(PATH)

help: ## Say what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: prepare ## Show the operator at work on this machine, step by step, and clean up
	@node tools/demo.ts

up: prepare ## Start a cluster with the operator on this machine and leave it running
	@node tools/up.ts

down: prepare ## Stop what `make up` started and remove all it made
	@node tools/down.ts

test: prepare-test ## Lint, types, generated files, unit, contract and integration tests
	@node tools/test.ts

stress: prepare-test ## Break it off at each kind of command, fill it at random, cut its connections, lose etcd
	@node tools/test.ts stress

e2e: prepare-e2e ## Build the image, install the chart on a cluster of two real nodes, and use it from pods
	@node tools/e2e.ts

bench: prepare ## Print what the operator costs, against the same raw commands
	@node test/bench/main.ts

chaos: prepare-test ## Kill the agent at many random times (long)
	@vitest run --project chaos

guards: prepare-test ## Break one promise after the other, and see that a test notices each (long)
	@node tools/guards.ts $(ONLY)

prepare: ## Install and build what the other targets need
	@tools/prepare.sh

prepare-%:
	@tools/prepare.sh $*

lint: prepare ## Check style and format
	@biome check --error-on-warnings .

format: prepare ## Write the format, and the fixes that are safe
	@biome check --write .

types: prepare ## Check types
	@tsc --noEmit

generate: prepare-test ## Write crds/, docs/api and what the chart has of them
	@node tools/generate.ts
	@node tools/install-manifest.ts

build: prepare ## Bundle the operator into dist/btrfs-operator.js
	@node tools/bundle.ts

clean: ## Remove what was built here (not the cache of Kubernetes programs)
	@rm -rf dist coverage
