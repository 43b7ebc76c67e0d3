#!/usr/bin/env bash
# The main job on sample-logs/: read a team's week of logs, find what is wrong in it, look at one session.
set -euo pipefail
cd "$(dirname "$0")/.."
rm -rf "$LAKE"
logs=$(find sample-logs -type f \( -name '*.log' -o -name '*.jsonl' \) ! -name '*.expected.jsonl' | sort)
show() { printf '\n\033[1m$ calltrail %s\033[0m\n' "$*"; }
show "ingest sample-logs/…"
# shellcheck disable=SC2086 # one word a file
"$CALLTRAIL" --lake "$LAKE" ingest $logs
show "detect --min-level high"
"$CALLTRAIL" --lake "$LAKE" detect --min-level high
show "query 'SELECT agent, server, count(*) AS calls FROM calls GROUP BY agent, server ORDER BY calls DESC, agent, server LIMIT 5'"
"$CALLTRAIL" --lake "$LAKE" query "SELECT agent, server, count(*) AS calls FROM calls GROUP BY agent, server ORDER BY calls DESC, agent, server LIMIT 5"
printf '\nThe lake is in %s. Next: calltrail --lake %s session ID, or query without SQL for a shell.\n' "$LAKE" "$LAKE"
