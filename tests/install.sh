#!/usr/bin/env bash
# Installs what the tests need beside Rust: DuckDB with its Delta extension, Polars, moto's S3 server, and Zstandard for `make eval`, from PyPI,
# into a virtual environment in the target folder, and libfaketime. Safe to run again.
set -euo pipefail
cd "$(dirname "$0")/.."
venv="${CARGO_TARGET_DIR:-target}/test-venv"
python="$venv/bin/python"
works() {
    "$python" -c 'import polars, deltalake; from duckdb_extensions import import_extension; import_extension("delta")' 2>/dev/null
}
[ -x "$python" ] || python3 -m venv "$venv"
works || "$python" -m pip install --quiet --disable-pip-version-check \
    "duckdb==1.5.5" "duckdb-extensions==1.5.5" "duckdb-extension-delta==1.5.5" "polars==2.1.0" "deltalake==1.6.6"
works || echo "DuckDB's Delta extension or Polars does not load: tests with them will be skipped" >&2
serves() {
    "$python" -c 'import moto.server, moto.s3.responses' 2>/dev/null
}
serves || "$python" -m pip install --quiet --disable-pip-version-check "moto[s3]==5.2.5" "flask==3.1.3" "flask-cors==6.0.5"
serves || echo "moto's S3 server does not start: the test of object stores will be skipped" >&2
"$python" -c 'import zstandard' 2>/dev/null || "$python" -m pip install --quiet --disable-pip-version-check "zstandard==0.25.0"
faked() { compgen -G '/usr/lib/*/faketime/libfaketime.so.1' >/dev/null; }
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi; }
faked || { as_root apt-get update -qq && as_root apt-get install -y -qq libfaketime; } >/dev/null 2>&1 || true
faked || echo "libfaketime is not there: the test of a clock that jumps will be skipped" >&2
