#!/usr/bin/env bash
# Measures ingest, detect and query on generated captures: CALLTRAIL=path/to/calltrail benches/run.sh [MB...]
# It reports and does not fail; docs/benchmarks.md says how to read the figures. RUNS=1 for a quick look.
set -uo pipefail
: "${CALLTRAIL:?set it to the calltrail binary to measure}"
command -v "$CALLTRAIL" >/dev/null || { echo "no such program: $CALLTRAIL" >&2; exit 2; }
CALLTRAIL=$(realpath "$(command -v "$CALLTRAIL")")
[ $# -gt 0 ] || set -- 100 1000
for mb in "$@"; do
    case $mb in *[!0-9]* | '' | 0) echo "not a size in whole MB: $mb" >&2; exit 2 ;; esac
done
cd "$(dirname "$0")/.." || exit 1
runs=${RUNS:-3}
folder=${TMPDIR:-/tmp}/calltrail-bench
lake=$folder/lake
scratch=$folder/scratch
mkdir -p "$folder" || exit 1
trap 'rm -rf "$lake"-* "$scratch"' EXIT # the captures stay

# A user's configuration must not change what is measured.
unset CALLTRAIL_LAKE
config=$folder/empty.toml
: >"$config"

least_speed=60  # MB per CPU second
most_memory=512 # MiB, at 1000 MB

measure() { python3 benches/measure.py --runs "$runs" "$@"; }
calltrail() { # LAKE ARGUMENT...: the command line, one word a line
    printf '%s\n' "$CALLTRAIL" --lake "$1" --config "$config" --quiet --color never "${@:2}"
}
number() { grep -oE "\"$1\":[0-9]+" "$folder/stdout" | head -n 1 | cut -d : -f 2; }

printf '%s, %s, %s cores, medians of %s\n' "$("$CALLTRAIL" --version)" "$(uname -sm)" "$(getconf _NPROCESSORS_ONLN)" "$runs"
case $CALLTRAIL in */debug/*) echo "This is a debug build: its figures say nothing about speed." ;; esac

printf '\nIngest into a new lake\n'
row='%8s %8s %8s %8s %9s %9s %9s %8s   %s\n'
# shellcheck disable=SC2059 # the format is the row above
printf "$row" "size MB" "wall s" "CPU s" MB/s "MB/CPU s" "RSS MiB" calls "lake MB" "CPU s of each run"
verdicts=()
largest=0
for mb in "$@"; do
    capture=$folder/capture-$mb.jsonl
    if [ ! -s "$capture" ] || [ benches/generate.py -nt "$capture" ]; then
        python3 benches/generate.py --mb "$mb" --out "$capture" || continue
    fi
    cat "$capture" >/dev/null # into the page cache: the disk is not what is measured
    mapfile -t command < <(calltrail "$lake-$mb" --format json ingest "$capture")
    read -r wall cpu rss each < <(measure --before "rm -rf '$lake-$mb'" --stdout "$folder/stdout" -- "${command[@]}")
    if [ "$wall" = - ]; then
        echo "$mb MB: ingest failed"
        continue
    fi
    read -r speed efficiency < <(awk -v mb="$mb" -v wall="$wall" -v cpu="$cpu" 'BEGIN { printf "%.1f %.1f\n", mb / wall, mb / cpu }')
    lake_mb=$(du -sk "$lake-$mb" | awk '{ printf "%.0f", $1 * 1024 / 1e6 }')
    # shellcheck disable=SC2059
    printf "$row" "$mb" "$wall" "$cpu" "$speed" "$efficiency" "$rss" "$(number calls)" "$lake_mb" "$each"
    verdicts+=("$(awk -v mb="$mb" -v got="$efficiency" -v want=$least_speed 'BEGIN {
        printf "%s  ingest of %s MB: %s MB per CPU second, wanted %s or more", (got >= want ? "PASS" : "MISS"), mb, got, want }')")
    if [ "$mb" -ge 1000 ]; then
        verdicts+=("$(awk -v mb="$mb" -v got="$rss" -v want=$most_memory 'BEGIN {
            printf "%s  ingest of %s MB: peak %s MiB, wanted below %s", (got < want ? "PASS" : "MISS"), mb, got, want }')")
    fi
    [ "$mb" -gt "$largest" ] && largest=$mb
done

if [ "$largest" -gt 0 ]; then
    printf '\nOn the lake of %s MB\n' "$largest"
    row='%8s %8s %8s   %s\n'
    # shellcheck disable=SC2059
    printf "$row" "wall s" "CPU s" "RSS MiB" what
    report() { # WHAT LAKE ARGUMENT...
        local command wall cpu rss
        mapfile -t command < <(calltrail "${@:2}")
        read -r wall cpu rss _ < <(measure "${before[@]}" --stdout "$folder/stdout" -- "${command[@]}")
        # shellcheck disable=SC2059
        printf "$row" "$wall" "$cpu" "$rss" "$1"
    }
    # Detect writes alerts: each run gets the lake as ingest left it.
    before=(--before "rm -rf '$scratch' && cp -a '$lake-$largest' '$scratch'")
    report "detect, all rules" "$scratch" --format json detect
    echo "                             ($(number rules) rules, $(number failed_rules) failed, $(number findings) findings)"
    before=()
    for sql in \
        "SELECT count(*) FROM calls" \
        "SELECT server, tool, count(*) AS calls, avg(result_bytes) AS bytes FROM calls GROUP BY server, tool" \
        "SELECT count(*) FROM calls WHERE result ILIKE '%rollback incident%'"; do
        report "$sql" "$lake-$largest" --format csv query "$sql"
    done
fi

printf '\n'
printf '%s\n' "${verdicts[@]:-nothing was measured}"
printf 'The captures stay in %s.\n' "$folder"
