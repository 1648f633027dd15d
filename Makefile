# SPDX-License-Identifier: Apache-2.0
# The only list of commands. Each recipe is one line; what it does stands in scripts/ or in the package.

.PHONY: help setup demo test test-slow check bench
.DEFAULT_GOAL := help

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' Makefile

setup: ## install what is missing, build, leave .venv/bin/tessera
	@scripts/setup

demo: setup ## train the language model on the bare device and on a quarter lease
	@.venv/bin/python -m tessera.bench.demo

test: setup ## checks, native tests, sanitizers, a short fuzzing run, Python tests
	@scripts/test fast

test-slow: setup ## the long tests: leaks over 10,000 sessions, 20 minutes of fuzzing
	@scripts/test slow

check: setup ## layout, lint, types, generated code
	@scripts/check

bench: setup ## all experiments, into build/bench
	@.venv/bin/tessera bench all --output-dir build/bench
