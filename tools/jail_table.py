#!/usr/bin/env python3
"""Makes the tables of SECURITY.md, "What is tried in vain", from tests/intruder/results.json, which tests/intruder/test_intruder.py compares with what really happens.   jail_table.py [--check]"""
import json
import pathlib
import sys

root = pathlib.Path(__file__).resolve().parent.parent
results = json.loads((root / "tests" / "intruder" / "results.json").read_text())
BEGIN, END = "<!-- made by tools/jail_table.py -->", "<!-- end of what tools/jail_table.py made -->"
ASKING = ["mx", "user", "courier"]
ROLES = ["mx", "user", "courier", "keeper", "policy", "supervisor"]


def table(heading, names, roles, other):
    """Attempts that end alike share a row."""
    rows = {}
    for shown, cells in names:
        rows.setdefault(tuple(cells.get(role, other) for role in roles), []).append(shown)
    lines = ["| " + " | ".join([heading, *roles]) + " |", "|" + "---|" * (len(roles) + 1)]
    return lines + ["| " + " | ".join(["; ".join(shown), *cells]) + " |" for cells, shown in rows.items()]


def asks():
    groups = {}
    for name, cells in sorted(results["asks"].items()):
        kind, shown = name.split(": ", 1)
        groups.setdefault(kind, []).append((shown, cells))
    what = {"ask": "a kind of ask", "frame": "octets on the keeper's channel", "signer": "asked of the signer", "word": "a word to the supervisor"}
    lines = []
    for kind in ("ask", "frame", "signer", "login", "mail", "mailbox", "queue", "errand", "word"):
        other = "may ask it" if kind == "ask" else "-"
        lines += table(what.get(kind, kind), groups.pop(kind), ASKING, other) + [""]
    assert not groups, groups.keys()
    return lines


lines = [BEGIN, "", *table("system call", results["calls"].items(), ROLES, "-"), "", *asks()[:-1], "", END]
target = root / "SECURITY.md"
text = target.read_text()
before, rest = text.split(BEGIN)
fresh = before + "\n".join(lines) + rest.split(END)[1]
if "--check" in sys.argv:
    print("jail_table: fine" if fresh == text else "the tables in SECURITY.md are not up to date: run tools/jail_table.py")
    sys.exit(fresh != text)
target.write_text(fresh)
