#!/usr/bin/env python3
"""Adds up the last `meson test` of each build folder and closes with 'N passed, N failed'."""
import json
import pathlib
import sys

passed = failed = 0
for folder in sys.argv[1:]:
    log = pathlib.Path(folder, "meson-logs", "testlog.json")
    for line in log.read_text().splitlines():
        if json.loads(line)["result"] in ("OK", "EXPECTEDFAIL"):
            passed += 1
        elif json.loads(line)["result"] != "SKIP":
            failed += 1
print(f"{passed} passed, {failed} failed")
sys.exit(failed != 0)
