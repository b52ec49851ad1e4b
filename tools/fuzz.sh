#!/bin/sh
# Runs fuzz targets over their committed corpora and then for some seconds.   fuzz.sh BUILD-FOLDER SECONDS [TARGET...]
# With COVERAGE=FOLDER (a build with -fprofile-instr-generate -fcoverage-mapping and without sanitizers) it prints, for each source file, which lines and
# branches the committed inputs and those found in BUILD-FOLDER reach.
set -eu
build=$1 seconds=$2
shift 2
cd "$(dirname "$0")/.."
targets=${*:-mail token session client policy ask config store}
export UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1

run() {
    name=fuzz_$1 found=$build/fuzz/found/$1 corpus= dictionary=
    rm -rf "$found"
    mkdir -p "$found"
    [ ! -f "$build/fuzz/$name.dict" ] || dictionary="-dict=$build/fuzz/$name.dict"
    [ ! -d "fuzz/corpus/$1" ] || corpus="fuzz/corpus/$1"
    begun=$(date +%s)
    if ! "$build/fuzz/$name" -max_total_time="$seconds" -max_len=8000 -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 -artifact_prefix="$found/" \
        $dictionary "$found" $corpus >"$found.log" 2>&1; then
        tail -40 "$found.log"
        echo "fuzz: $name FAILED, the input is in $found"
        return 1
    fi
    echo "fuzz: $name: $(sed -n 's/^stat::number_of_executed_units: *//p' "$found.log") inputs in $(($(date +%s) - begun)) s, fine"
}

cover() {
    profiles=$COVERAGE/fuzz/profiles objects=
    rm -rf "$profiles"
    mkdir -p "$profiles"
    for name in $targets; do
        found=
        [ ! -d "$build/fuzz/found/$name" ] || found=$build/fuzz/found/$name
        LLVM_PROFILE_FILE=$profiles/$name.profraw "$COVERAGE/fuzz/fuzz_$name" -runs=0 -rss_limit_mb=0 -artifact_prefix="$profiles/" \
            "fuzz/corpus/$name" $found >"$profiles/$name.log" 2>&1 || { tail -40 "$profiles/$name.log"; return 1; }
        objects="$objects -object $COVERAGE/fuzz/fuzz_$name"
    done
    llvm-profdata merge -o "$profiles/all" "$profiles"/*.profraw
    llvm-cov export -summary-only -instr-profile "$profiles/all" $objects | python3 -c '
import json, re, sys
print("%-32s %16s %18s" % ("parser", "lines", "branches"))
for row in sorted(json.load(sys.stdin)["data"][0]["files"], key=lambda row: row["filename"]):
    name, about = row["filename"], row["summary"]
    if not re.search(r"/src/((mail|proto|ask|store)/.*|config[^/]*|net/(wire|boot))\.c$", name) or not about["lines"]["covered"]:
        continue
    cells = ["%d/%d %3d %%" % (about[k]["covered"], about[k]["count"], about[k]["percent"]) for k in ("lines", "branches")]
    print("%-32s %16s %18s" % (name[name.rindex("/src/") + 5:], *cells))'
}

# Where the store that is damaged lies: in memory.
room=$(mktemp -d -p /dev/shm 2>/dev/null || mktemp -d)
trap 'rm -rf "$room"' EXIT
export TMPDIR="$room"
if [ -n "${COVERAGE:-}" ]; then
    cover
else
    for target in $targets; do
        run "$target"
    done
fi
