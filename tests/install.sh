#!/usr/bin/env bash
# Installs what the tests need beside Rust: DuckDB with its Delta extension, from PyPI, into a virtual environment in the
# target folder. Safe to run again.
set -euo pipefail
cd "$(dirname "$0")/.."
venv="${CARGO_TARGET_DIR:-target}/test-venv"
if [ ! -x "$venv/bin/python" ]; then
    python3 -m venv "$venv"
fi
"$venv/bin/python" - <<'PY' 2>/dev/null || "$venv/bin/pip" install --quiet --disable-pip-version-check "duckdb==1.5.5" "duckdb-extensions==1.5.5" "duckdb-extension-delta==1.5.5"
import duckdb, duckdb_extensions
PY
