#!/usr/bin/env python3
"""Writes the table of settings into man/ekirei.conf.5, from what the program itself says:   settings_man.py build/ekirei [--check]

The lines between the two marks are made here, the rest is written by hand.  --check fails where they are out of date."""
import json
import pathlib
import subprocess
import sys

BEGIN = '.\\" -- settings: made by tools/settings_man.py --'
END = '.\\" -- end of settings --'

top = pathlib.Path(__file__).resolve().parent.parent
target = top / "man" / "ekirei.conf.5"
program = next(argument for argument in sys.argv[1:] if not argument.startswith("--"))


def escape(text):
    return text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq")


run = subprocess.run([program, "config", "show", "--json", "--dir", "/nonexistent"], capture_output=True, text=True, check=True)
lines, sections = [], {}
for row in json.loads(run.stdout):
    sections.setdefault(row["name"].rpartition(".")[0], []).append(row)
for section in sorted(sections, key=bool):  # what has no section stands at the top, as in the file
    lines.append(f".SS [{escape(section)}]" if section else ".SS Outside any section, at the top")
    for row in sections[section]:
        default = escape(row["default"]) or "nothing"
        choices = escape(row["range"]).replace("|", "|\\:")  # where a long line may break
        lines += [".TP", f".B {escape(row['name'])}", f"{escape(row['help'])}.", ".br",
                  f"Default: {default}.  {escape(row['unit'][:1].upper() + row['unit'][1:])}: {choices}."]
text = target.read_text()
before, rest = text.split(BEGIN + "\n", 1)
made = before + BEGIN + "\n" + "\n".join(lines) + "\n" + END + rest.split(END, 1)[1]
if "--check" in sys.argv:
    if made != text:
        print("man/ekirei.conf.5 is out of date: run tools/settings_man.py build/ekirei")
        sys.exit(1)
    print("settings: the manual is up to date")
else:
    target.write_text(made)
