# Works with GNU make 3.81, which is what macOS has.
.DEFAULT_GOAL := help
.PHONY: help demo test lint crds bench

CONTROL_PLANE := hack/control-plane/install

help: ## show this
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-6s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## a cluster, the operator and a walk through it, on this machine (DEMO_EXIT=1: end after the walk)
	@assets=$$($(CONTROL_PLANE)) && exec cargo run --release -- demo --assets "$$assets"

test: ## all tests, those against a real API server included
	@assets=$$($(CONTROL_PLANE)) && exec env KUBEBUILDER_ASSETS="$$assets" cargo test

bench: ## measure
	@assets=$$($(CONTROL_PLANE)) && exec env KUBEBUILDER_ASSETS="$$assets" cargo bench

lint: ## formatting, clippy, dependencies, generated files
	cargo fmt --check
	cargo clippy --all-targets -- -D warnings
	@hack/check-dependencies
	@hack/check-generated

crds: ## generate crds/ and docs/conditions.md from the source
	cargo run --quiet -- crds --out crds
	cargo run --quiet -- docs --out docs
