#!/usr/bin/env python3
"""Functions up to 60 lines, files up to 500; exceptions stand below with their reason, and the list may only shrink."""
import pathlib
import re
import sys

FUNCTION, FILE = 60, 500
EXCEPTIONS = {
}

top = pathlib.Path(__file__).resolve().parent.parent
problems = []
files = [f for folder in ("src", "fuzz", "tests") for f in sorted((top / folder).rglob("*.[ch]"))]
for file in files:
    name = str(file.relative_to(top))
    lines = file.read_text().splitlines()
    is_test = "_test.c" in name or "contract" in name
    if len(lines) > FILE * (2 if is_test else 1) and name not in EXCEPTIONS:
        problems.append(f"{name}: {len(lines)} lines")
    start, title = None, ""
    for number, line in enumerate(lines, 1):
        if line == "{" and number > 1:
            start, title = number, lines[number - 2]
        elif line == "}" and start:
            called = re.search(r"(\w+)\(", title)
            key = f"{name}:{called[1] if called else title}"
            if number - start > FUNCTION + 1 and key not in EXCEPTIONS and not is_test:
                problems.append(f"{key}: {number - start} lines")
            start = None
unused = [key for key in EXCEPTIONS if not (top / key.split(":")[0]).exists()]
problems += [f"exception for {key}, which is gone" for key in unused]
print("\n".join(problems) or f"sizes: {len(files)} files fine")
sys.exit(bool(problems))
