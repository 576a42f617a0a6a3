# What a developer does with callbox. `make help` lists it. Needs GNU make and Rust 1.95; the rest is fetched or said.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

CARGO ?= cargo
# The dev profile has optimised dependencies (see Cargo.toml): good enough to try and to test, and built in a third of the
# time of a release.
TARGET := $(or $(CARGO_TARGET_DIR),target)
CALLBOX := $(TARGET)/debug/callbox
CALLBOX_RELEASE := $(TARGET)/release/callbox
# Passed to the test binaries: `make test ARGS='--nocapture answer'`.
ARGS ?=
FUZZ_SECONDS ?= 60

.PHONY: help run test test-postgresql flows guests host peers bench bench-load bench-isolation bench-reload fuzz lint fmt doc clean

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{ printf "  make %-12s %s\n", $$1, $$2 }'

run: flows host ## build flows and host, serve the example tenants on 127.0.0.1:5060
	$(CALLBOX) serve --config examples/callbox.toml

test: flows guests peers ## every test: units, simulator, real SIP peers, hostile flows, the SDK
	$(CARGO) build --workspace --locked --bins --tests
	$(CARGO) test --workspace --locked --no-fail-fast -- $(ARGS)
	cd guest-sdk && $(CARGO) test --quiet

flows: ## build the example flows into examples/target/flows
	examples/build.sh

guests: ## build the example flows in Python and JavaScript (their tools from PyPI and npm)
	examples/build-guests.sh

host: ## build the callbox binary (dev profile)
	$(CARGO) build --workspace --locked --bins

# The peers of the tests: SIPp, Kamailio and baresip; Lua 5.1 is that of the pattern matcher. Root on Debian gets them
# installed, anybody else is told. The tests start their own Kamailio: the service that comes with the package is neither
# started nor enabled.
peers: ## SIPp, Kamailio, baresip and Lua 5.1 from Debian's packages
	@has() { PATH="$$PATH:/usr/sbin" command -v "$$1" >/dev/null; }; \
	missing=""; \
	has sipp || missing="$$missing sip-tester"; \
	has lua5.1 || missing="$$missing lua5.1"; \
	has kamailio && has kamcmd || missing="$$missing kamailio"; \
	ls /usr/lib/*/kamailio/modules/presence_mwi.so >/dev/null 2>&1 || missing="$$missing kamailio-presence-modules"; \
	ls /usr/lib/*/kamailio/modules/tls.so >/dev/null 2>&1 || missing="$$missing kamailio-tls-modules"; \
	has baresip || missing="$$missing baresip-core"; \
	[ -n "$$missing" ] || exit 0; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  echo "installing$$missing"; \
	  export DEBIAN_FRONTEND=noninteractive; \
	  policy=/usr/sbin/policy-rc.d; \
	  if [ ! -e "$$policy" ]; then \
	    trap 'rm -f "$$policy"' EXIT; \
	    printf '#!/bin/sh\nexit 101\n' >"$$policy"; chmod 755 "$$policy"; \
	  fi; \
	  apt-get install -qq -y --no-install-recommends $$missing >/dev/null 2>&1 \
	    || { apt-get update -qq && apt-get install -qq -y --no-install-recommends $$missing >/dev/null; }; \
	  case "$$missing" in \
	    *" kamailio "*|*" kamailio") [ ! -d /run/systemd/system ] || systemctl disable --quiet kamailio || true;; \
	  esac; \
	else \
	  echo "the tests need$$missing. On Debian: sudo apt-get install --no-install-recommends$$missing" >&2; exit 1; \
	fi

test-postgresql: flows ## call records in a PostgreSQL of their own (Debian: postgresql)
	CARGO="$(CARGO)" tests/postgresql.sh

bench: ## criterion: parse, build, a transaction round, an instance
	$(CARGO) bench --locked -p callbox-sip -p callbox --benches

bench-load: flows peers ## callbox and sipp side by side at 1 000 calls/s (release build)
	$(CARGO) build --release --locked -p callbox -p callbox-tests --bins
	CALLBOX_BIN=$(CALLBOX_RELEASE) $(TARGET)/release/bench-load $(ARGS)

bench-isolation: flows peers ## a tenant's calls alone, beside hostile tenants at every bound, and beside 64 endless loops (release build)
	$(CARGO) build --release --locked -p callbox -p callbox-tests --bins
	CALLBOX_BIN=$(CALLBOX_RELEASE) $(TARGET)/release/bench-isolation $(ARGS)

bench-reload: flows ## 200 deploys and 50 broken ones in a minute under 100 calls/s (release build)
	$(CARGO) build --release --locked -p callbox -p callbox-tests --bins
	CALLBOX_BIN=$(CALLBOX_RELEASE) $(TARGET)/release/bench-reload $(ARGS)

# libFuzzer needs the sanitizer flags of a nightly compiler; a stable one takes them when it is told to.
fuzz: ## each fuzz target for FUZZ_SECONDS (60)
	@command -v cargo-fuzz >/dev/null || $(CARGO) install --locked --quiet cargo-fuzz
	cd host/sip && for target in $$($(CARGO) fuzz list); do \
	  RUSTC_BOOTSTRAP=1 $(CARGO) fuzz run $$target -- -max_total_time=$(FUZZ_SECONDS) -rss_limit_mb=2048; \
	done

lint: ## rustfmt and clippy, as CI runs them
	$(CARGO) fmt --all --check
	cd examples && $(CARGO) fmt --all --check
	cd guest-sdk && $(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings
	@if command -v cargo-deny >/dev/null; then $(CARGO) deny --all-features check licenses bans sources 2>&1 | grep -vE '^( |$$)|^warning\[(duplicate|no-license-field)\]|^[0-9]+ │'; \
	else echo "cargo-deny is not installed: licences and sources were not checked"; fi

fmt: ## format all workspaces
	$(CARGO) fmt --all
	cd examples && $(CARGO) fmt --all
	cd guest-sdk && $(CARGO) fmt --all

doc: ## API documentation, warnings denied
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --locked
	cd guest-sdk && RUSTDOCFLAGS="-D warnings" $(CARGO) doc --no-deps --quiet

clean: ## remove everything that was built
	$(CARGO) clean
	rm -rf examples/target guest-sdk/target
