#!/usr/bin/env python3
"""Writes man/ekirei-limits.7 from src/base/limits.h: every number that bounds anything, with its reason.   --check fails where it is out of date."""
import pathlib
import re
import sys

top = pathlib.Path(__file__).resolve().parent.parent


known = {}


def value(name, text):
    """A number, or one operation on numbers and rows above."""
    words = [known.get(word) or int(word.rstrip("u")) for word in re.findall(r"\w+", text)]
    operator = re.search(r"<<|[*/]", text)
    known["LIMIT_" + name] = {None: lambda a: a, "<<": lambda a, b: a << b, "*": lambda a, b: a * b, "/": lambda a, b: a // b}[operator and operator[0]](*words)
    return f"{known['LIMIT_' + name]:,}"


def escape(text):
    return text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq")


lines = [
    '.\\" Made by tools/limits_man.py from src/base/limits.h; do not edit.',
    ".TH EKIREI\\-LIMITS 7 2026 ekirei",
    ".SH NAME",
    "ekirei\\-limits \\- the numbers that bound the mail server ekirei, and why they are what they are",
    ".SH DESCRIPTION",
    "No line, list, buffer or queue of",
    ".BR ekirei (8)",
    "grows without a bound.",
    "These are the bounds that are built in; what an administrator may change is a setting, see",
    ".BR ekirei.conf (5).",
    "Whoever reaches a bound gets a reply that says so, and nothing else changes.",
]
count = 0
for line in (top / "src/base/limits.h").read_text().splitlines():
    section = re.fullmatch(r"/\* ([^*]+) \*/", line)
    row = re.fullmatch(r"#define LIMIT_(\w+)\s+(\(.*?\)|\S+)\s*/\* (.+) \*/", line)
    if section:
        lines.append(f".SH {section[1].upper()}")
    elif row:
        count += 1
        lines += [".TP", f"\\fB{escape(row[1].lower().replace('_', ' '))}\\fR = {value(row[1], row[2])}", escape(row[3])]
    elif line.startswith("#define"):
        sys.exit(f"limits.h: this row has no reason or not the form of a row: {line}")
lines += [".SH SEE ALSO", ".BR ekirei (8),", ".BR ekirei.conf (5)"]
text = "\n".join(lines) + "\n"
target = top / "man" / "ekirei-limits.7"
if "--check" in sys.argv:
    if not target.exists() or target.read_text() != text:
        print("man/ekirei-limits.7 is out of date: run tools/limits_man.py")
        sys.exit(1)
    print(f"limits: {count} in the manual")
else:
    target.write_text(text)
