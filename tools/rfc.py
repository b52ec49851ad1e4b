#!/usr/bin/env python3
"""Writes docs/rfc.txt: one line for each RFC that the code cites, with the files that do.   --check fails where it is out of date."""
import collections
import pathlib
import re
import sys

top = pathlib.Path(__file__).resolve().parent.parent
cited = collections.defaultdict(lambda: collections.defaultdict(set))
for file in sorted([*(top / "src").rglob("*.[ch]"), *(top / "tests").rglob("*.talk")]):
    for number, section in re.findall(r"RFC (\d{3,5})(?:,? (?:section )?(\d+(?:\.\d+)*))?", file.read_text()):
        cited[int(number)][str(file.relative_to(top))].add(section)

lines = ["RFCs that the code cites, with sections and files.  Made by tools/rfc.py; do not edit.", ""]
for number in sorted(cited):
    lines.append(f"RFC {number}")
    for file, sections in sorted(cited[number].items()):
        named = " ".join(sorted((s for s in sections if s), key=lambda s: [int(x) for x in s.split(".")]))
        lines.append(f"    {file}{': ' + named if named else ''}")
text = "\n".join(lines) + "\n"
target = top / "docs" / "rfc.txt"
if "--check" in sys.argv:
    if not target.exists() or target.read_text() != text:
        print("docs/rfc.txt is out of date: run tools/rfc.py")
        sys.exit(1)
    print(f"rfc: {len(cited)} RFCs cited")
else:
    target.write_text(text)
