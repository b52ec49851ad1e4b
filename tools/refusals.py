#!/usr/bin/env python3
"""Writes docs/refusals.md from what the program itself says:   refusals.py build/ekirei [--check]

--check fails where the page is out of date, where a text names a setting or a command that the program does not have, or where two
explanations of one number differ in what they tell to type."""
import json
import pathlib
import re
import subprocess
import sys

top = pathlib.Path(__file__).resolve().parent.parent
target = top / "docs" / "refusals.md"
program = next(argument for argument in sys.argv[1:] if not argument.startswith("--"))


def say(*words):
    return subprocess.run([program, *words], capture_output=True, text=True, check=True).stdout


settings = {row["name"] for row in json.loads(say("config", "show", "--json", "--dir", "/nonexistent"))}
sections = {name.split(".")[0] for name in settings}
commands = {tuple(line.split()[1:3]) for line in say("--help").splitlines() if line.startswith("  ekirei ")}
groups = {words[0] for words in commands}
problems = []


def check(row):
    text = row["happened"] + " " + row["remedy"]
    for name in re.findall(r"\b[a-z_0-9]+\.[a-z_]+\b", text):
        if name.split(".")[0] in sections and name not in settings:
            problems.append(f"{row['code']}: there is no setting {name}")
    for words in re.findall(r"'ekirei ([^']+)'", text):
        first, second = (words.split() + [""])[:2]
        if first not in groups or ((first, second) not in commands and second.islower() and second.isascii()):
            problems.append(f"{row['code']}: there is no command 'ekirei {words}'")


def to_type(row):
    """What stays the same in every language: settings, and commands without the words that stand for something."""
    text = row["happened"] + " " + row["remedy"]
    return (set(re.findall(r"\b[a-z_0-9]+\.[a-z_]+\b", text)) & settings,
            {tuple(words.split()[:2]) for words in re.findall(r"'ekirei ([a-z]+ [a-z]+)", text)})


english, japanese = (json.loads(say("why", "all", "--json", "--lang", language)) for language in ("en", "ja"))
lines = [
    "<!-- Made by tools/refusals.py from src/proto/refusal.c; do not edit. -->",
    "# Why was I refused?",
    "",
    "Each refusal ends with a number in brackets, like `[EK-17]`. It is the same in every protocol and will always mean the same. "
    "`ekirei why 17` explains it, `ekirei why alice@example.org` or `ekirei why 192.0.2.7` tells what was refused lately to somebody, or to an address.",
    "",
    "拒否の応答の末尾には `[EK-17]` のような番号があります。番号はどのプロトコルでも同じで、意味が変わることはありません。"
    "`ekirei why 17` で説明が、`ekirei why alice@example.org` や `ekirei why 192.0.2.7` でその人やアドレスへの最近の拒否が分かります。",
]
for row, other in zip(english, japanese, strict=True):
    check(row)
    check(other)
    if to_type(row) != to_type(other):
        problems.append(f"{row['code']}: English and Japanese name different settings or commands: {to_type(row)} {to_type(other)}")
    lines += ["", f"## {row['code']} {row['word']}", "", row["happened"], "", f"**What to do:** {row['remedy']}",
              "", other["happened"], "", f"**どうすればよいか:** {other['remedy']}"]
text = "\n".join(lines) + "\n"
if problems:
    print("\n".join(problems))
    sys.exit(1)
if "--check" in sys.argv:
    if not target.exists() or target.read_text() != text:
        print("docs/refusals.md is out of date: run tools/refusals.py build/ekirei")
        sys.exit(1)
    print(f"refusals: {len(english)} explained in the manual")
else:
    target.write_text(text)
