#!/usr/bin/env bash
# Set up what the tests need on a fresh Debian or Ubuntu machine and run them
# all: lint, types, unit, functional, integration.
#
# usage: sudo tools/run-tests.sh [STAGE…]   (lint types unit functional integration)
#   TROVE_TEST_VENV   virtual environment, default .venv in the tree
set -euo pipefail
cd "$(dirname "$0")/.."
. tools/packages.sh

need_debian_root
install_packages test
venv=${TROVE_TEST_VENV:-$PWD/.venv}
make_venv "$venv" all,test,docs editable
export PATH="$venv/bin:$PATH"

stages=${*:-lint types unit functional integration}
for stage in $stages; do
    say "stage $stage"
    case $stage in
        lint)
            ruff check trove_ng tests tools
            lint-imports
            sphinx-build -W --keep-going -q -b html doc/source doc/build/html
            ;;
        types) mypy ;;
        unit) pytest -q -n 2 --dist worksteal tests/unit ;;
        # half of it is waiting, and some tests take a hundred times as long as others
        functional) pytest -q -n 4 --dist worksteal --durations 20 tests/functional ;;
        # mostly waiting; tests that share servers stay in one process
        integration) pytest -q -n 4 --durations 20 tests/integration ;;
        *) die "unknown stage $stage" ;;
    esac
done
