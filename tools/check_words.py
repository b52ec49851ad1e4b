#!/usr/bin/env python3
"""Words and calls that the house does not use (ARCHITECTURE.md, "Glossary"): one name for one thing."""
import pathlib
import re
import sys

top = pathlib.Path(__file__).resolve().parent.parent
CALLS = {  # in C outside base/
    r"\b(malloc|calloc|realloc|free|strdup)\s*\(": "memory comes from base/alloc.h, an arena or a buf",
    r"\b(strcpy|strcat|sprintf|vsprintf|gets|strtok|atoi|atol|alloca)\s*\(": "unbounded or stateful",
    r"\b(system|popen|execlp|execvp)\s*\(": "no shell, no search path (C039)",
    r"\bgoto\b": "no goto",
    r"\bassert\s*\(": "must(), which stays on in release",
    r"\b(TODO|FIXME|XXX|HACK)\b": "an issue, not a mark in the code",
}
ENGINE = {r"\b(4|5)[0-9]{2} [0-9]\.[0-9]+\.[0-9]+": "reply codes stand in the reply table only"}

problems = []
files = sorted(str(file.relative_to(top)) for folder in ("src", "fuzz", "tests") for file in (top / folder).rglob("*.[ch]"))
for name in files:
    is_test = "_test.c" in name or name.startswith(("tests/", "fuzz/")) or "contract" in name or "fault_vfs" in name
    rules = dict(CALLS)
    if name.startswith("src/proto/") and "_reply" not in name and not is_test:
        rules |= ENGINE
    in_comment = False
    for number, line in enumerate((top / name).read_text().splitlines(), 1):
        code = re.sub(r"/\*.*?\*/", "", line)
        if in_comment:
            if "*/" not in code:
                continue
            code, in_comment = code.split("*/", 1)[1], False
        if "/*" in code:
            code, in_comment = code.split("/*", 1)[0], True
        bare = re.sub(r'"(\\.|[^"\\])*"', '""', code)
        for pattern, reason in rules.items():
            text = code if pattern in ENGINE else bare
            if re.search(pattern, text) and not name.startswith("src/base/") and not (is_test and "memory" in reason):
                problems.append(f"{name}:{number}: {re.search(pattern, text)[0].strip()}: {reason}")
print("\n".join(problems) or f"words: {len(files)} files fine")
sys.exit(bool(problems))
