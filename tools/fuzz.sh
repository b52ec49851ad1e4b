#!/bin/sh
# Runs each fuzz target over its committed corpus and then for some seconds.   fuzz.sh BUILD-FOLDER SECONDS
set -eu
build=$1 seconds=$2
for target in "$build"/fuzz/fuzz_*; do
    case $target in *.p | *.o) continue ;; esac
    [ -x "$target" ] && [ -f "$target" ] || continue
    name=$(basename "$target")
    found=$(mktemp -d)
    dictionary=
    [ ! -f "fuzz/$name.dict" ] || dictionary="-dict=fuzz/$name.dict"
    corpus=
    [ ! -d "fuzz/corpus/$name" ] || corpus="fuzz/corpus/$name"
    echo "fuzz: $name for $seconds s"
    if ! "$target" -max_total_time="$seconds" -max_len=20000 -timeout=10 -rss_limit_mb=2048 -artifact_prefix="$found/" $dictionary "$found" $corpus >"$found/log" 2>&1; then
        tail -40 "$found/log"
        echo "fuzz: $name FAILED, input in $found"
        exit 1
    fi
    tail -1 "$found/log"
    rm -rf "$found"
done
