#!/usr/bin/env bash
# Runs the fuzz targets one after the other, each for SECONDS_EACH seconds of CPU time, however busy the machine is; `fuzz/run.sh TARGET…` runs
# these only.
#
# The seeds are the sample logs: whole, and line by line. The dictionary is made of the fixed texts in the sources. What a target
# learns stays in fuzz/corpus/ for the next time, what it finds in fuzz/artifacts/; neither is committed.
set -euo pipefail
cd "$(dirname "$0")"
seconds=${SECONDS_EACH:-600}
target_dir=${CARGO_TARGET_DIR:-../target}/fuzz
# Coverage needs options that a stable compiler takes only when told so. There is no unsafe code of ours for a sanitizer to watch.
export RUSTC_BOOTSTRAP=1
options=(--fuzz-dir . --target-dir "$target_dir" --sanitizer none)

command -v cargo-fuzz > /dev/null || cargo install --locked cargo-fuzz@0.13.2
cargo fuzz build "${options[@]}"
targets=("$@")
[ $# -gt 0 ] || mapfile -t targets < <(cargo fuzz list --fuzz-dir .)

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/files" "$work/lines"
for log in ../sample-logs/*/*.{jsonl,log}; do
    case $log in *.expected.jsonl) continue ;; esac
    name=$(basename "$(dirname "$log")").$(basename "$log")
    cp "$log" "$work/files/$name"
    split -l 1 -a 3 "$log" "$work/lines/$name."
done
# Configurations with records for them, from the examples of the documentation.
mkdir "$work/mappings"
awk -v dir="$work/mappings" '/^```toml$/ { n++; on = 1; next } /^```/ { on = 0 } on { print > (dir "/" n ".toml") }' ../docs/mapping.md
for mapping in "$work"/mappings/*.toml; do
    { echo "---"; grep -E '^(\{|2026-)' ../docs/mapping.md; } >> "$mapping"
done
grep -rhoE '"[A-Za-z0-9_./:$ -]{2,40}"' ../src/source ../src/enrich --include='*.rs' --exclude=tests.rs | sort -u > "$work/words.dict"

# Sets `cpu` to the CPU seconds of all commands so far. `times` knows them in this shell only, not in one for `$(…)`.
note_cpu() {
    times > "$work/times"
    cpu=$(awk -F'[ms ]+' 'NR == 2 { print int(60 * ($1 + $3) + $2 + $4) }' "$work/times")
}

found=0
for target in "${targets[@]}"; do
    case $target in
        framing | ingest | input) seeds=$work/files ;;
        mapping) seeds=$work/mappings ;;
        *) seeds=$work/lines ;;
    esac
    mkdir -p "corpus/$target"
    spent=0 inputs=0
    # libFuzzer's limit is time by the clock: what others have taken of it is made up for by running on.
    while [ "$spent" -lt "$seconds" ]; do
        log=$work/$target.log
        note_cpu
        before=$cpu
        if ! cargo fuzz run "${options[@]}" "$target" "corpus/$target" "$seeds" -- -max_total_time=$((seconds - spent + 1)) -timeout=20 \
            -rss_limit_mb=2048 -max_len=16384 -dict="$work/words.dict" -print_final_stats=1 > "$log" 2>&1; then
            found=1
            grep -vE '^#[0-9]' "$log" | tail -40
            break
        fi
        note_cpu
        spent=$((spent + cpu - before))
        inputs=$((inputs + $(sed -nE 's/^stat::number_of_executed_units: *//p' "$log")))
    done
    echo "fuzz: $target, $spent CPU s, $inputs inputs, $(sed -nE 's/^stat::peak_rss_mb: *//p' "$log") MB, $(grep -oE 'cov: [0-9]+' "$log" | tail -1)"
done
exit $found
