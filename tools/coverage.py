#!/usr/bin/env python3
"""How much of the source the unit and talk tests reach, by folder and file; fails below the targets.   coverage.py BUILD [--missing FILE]...

BUILD is a folder of meson's with -Db_coverage=true in which the tests have run; the counts are gcov's.  A branch is one way out of a condition.  What must() asks is no condition: it holds, or the
process has a bug and ends (base/must.h), and no test can take that way.  So branches on the lines of a must(...) statement do not count, from its name to its closing parenthesis; nothing else is left out.
Tests and what only they use are not counted.  --missing: which lines of a file, and which branches, are not reached."""
import argparse
import collections
import json
import pathlib
import re
import subprocess
import sys

root = pathlib.Path(__file__).resolve().parent.parent
LINES = {"src/proto": 90, "src/mail": 90, "src/ask": 90, "src/store": 90}  # percent of a folder's lines, with those beneath it
BRANCHES = {"src/proto/relay.c": 100, "src/proto/lease.c": 100, "src/proto/lease_rule.c": 100}
TEST_ONLY = re.compile(r"_test\.c$|_testing\.h$|/testing\.h$|/test_[a-z]+\.[ch]$|/contract|_contract\.c$|/fault_")


class File:
    def __init__(self, path):
        self.lines, self.branches = collections.Counter(), {}
        self.asserted = asserted(path.read_text())

    def add(self, row):
        number = row["line_number"]
        self.lines[number] += row["count"]
        if row["branches"] and number not in self.asserted:
            known = self.branches.setdefault(number, [0] * len(row["branches"]))
            if len(known) == len(row["branches"]):  # an inline function may be compiled in several ways
                self.branches[number] = [a + b["count"] for a, b in zip(known, row["branches"])]

    def counts(self):
        flat = [count for counts in self.branches.values() for count in counts]
        return collections.Counter(lines=len(self.lines), hit=sum(c > 0 for c in self.lines.values()), branches=len(flat), taken=sum(c > 0 for c in flat))


def asserted(text):
    """Numbers of the lines on which a must(...) statement stands."""
    found = set()
    for start in re.finditer(r"\bmust\(", text):
        depth, at = 1, start.end()
        while depth and at < len(text):
            depth += {"(": 1, ")": -1}.get(text[at], 0)
            at += 1
        found.update(range(text.count("\n", 0, start.start()) + 1, text.count("\n", 0, at) + 2))
    return found


def collect(build):
    """path -> File, of all that belongs to the program."""
    files, notes = {}, sorted(build.rglob("*.gcda"))
    for at in range(0, len(notes), 50):
        done = subprocess.run(["gcov", "--json-format", "--stdout", "--branch-probabilities", *map(str, notes[at:at + 50])], capture_output=True, text=True, cwd=build)
        if done.returncode:
            sys.exit(f"coverage: gcov: {done.stderr.strip().splitlines()[-1]}")
        for report in map(json.loads, filter(None, done.stdout.splitlines())):
            for source in report["files"]:
                path = (build / report["current_working_directory"] / source["file"]).resolve()
                name = str(path.relative_to(root)) if path.is_relative_to(root / "src") else ""
                if not name or TEST_ONLY.search(name) or not path.exists():
                    continue
                file = files.setdefault(name, File(path))
                for row in source["lines"]:
                    file.add(row)
    return files


def percent(hit, of):
    return 100.0 if of == 0 else int(1000 * hit / of) / 10  # never rounded up to a target


def show(name, c):
    print(f"{name:44}{c['hit']:7}/{c['lines']:<6}{percent(c['hit'], c['lines']):6.1f} %{c['taken']:7}/{c['branches']:<6}{percent(c['taken'], c['branches']):6.1f} %")


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("build", type=pathlib.Path)
    arguments.add_argument("--missing", action="append", default=[], metavar="FILE")
    options = arguments.parse_args()
    files = collect(options.build.resolve())
    for name in options.missing:
        file, text = files[name], (root / name).read_text().splitlines()
        for number in sorted(file.lines):
            untaken = sum(count == 0 for count in file.branches.get(number, []))
            if file.lines[number] == 0 or untaken:
                print(f"{name}:{number}: {'not reached' if file.lines[number] == 0 else f'{untaken} of {len(file.branches[number])} ways'}: {text[number - 1].strip()}")
    if options.missing:
        return 0
    sums = collections.defaultdict(collections.Counter)
    print(f"{'':44}{'lines':>14}{'':8}{'branches':>15}")
    for folder in sorted({str(pathlib.PurePath(name).parent) for name in files}):
        inside = {name: file.counts() for name, file in files.items() if str(pathlib.PurePath(name).parent) == folder}
        for parent in (folder, *map(str, pathlib.PurePath(folder).parents)):
            sums[parent] += sum(inside.values(), collections.Counter())
        show(folder + "/", sum(inside.values(), collections.Counter()))
        for name in sorted(inside):
            show("    " + name[len(folder) + 1:], inside[name])
    missed = []
    print("\ntargets")
    for name, least in LINES.items():
        reached = percent(sums[name]["hit"], sums[name]["lines"])
        print(f"{name + '/':44}{reached:6.1f} % of lines, {least} wanted")
        missed += [name] if reached < least else []
    for name, least in BRANCHES.items():
        c = files[name].counts()
        reached = percent(c["taken"], c["branches"])
        print(f"{name:44}{reached:6.1f} % of branches, {least} wanted")
        missed += [name] if reached < least else []
    print("coverage: below target: " + ", ".join(missed) if missed else "coverage: fine")
    return bool(missed)


if __name__ == "__main__":
    sys.exit(main())
