#!/usr/bin/env python3
"""Adds up the last `meson test` of each build folder, names what was left out and what failed, and closes with 'N passed, N failed'.

A folder without results counts as one failure: its tests could not run."""
import json
import pathlib
import re
import sys

passed, skips, failures = 0, [], []
for folder in sys.argv[1:]:
    log = pathlib.Path(folder, "meson-logs", "testlog.json")
    if not log.exists():
        failures.append(f"{folder}: its tests did not run; the lines above say why")
        continue
    for line in log.read_text().splitlines():
        test = json.loads(line)
        left_out = re.search(r"\(.*skipped=(\d+)", test.get("stderr") or "")  # unittest's last line
        if left_out or test["result"] == "SKIP":
            skips.append(f"{folder}: {test['name']}: {left_out[1] if left_out else 'all'} left out: something is not here, or needs root")
        if test["result"] in ("OK", "EXPECTEDFAIL"):
            passed += 1
        elif test["result"] != "SKIP":
            failures.append(f"{folder}: {test['name']}: {test['result']}; all it said: {folder}/meson-logs/testlog.txt")
print("\n".join(skips + failures + [f"{passed} passed, {len(failures)} failed"]))
sys.exit(bool(failures))
