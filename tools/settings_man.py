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
lines, section = [], None
for row in json.loads(run.stdout):
    name = row["name"]
    if "." in name and name.split(".")[0] != section:
        section = name.split(".")[0]
        lines.append(f".SS [{escape(section)}]")
    default = escape(row["default"]) or "nothing"
    lines += [".TP", f".B {escape(name)}", f"{escape(row['help'])}.", ".br",
              f"Default: {default}.  {escape(row['unit'][:1].upper() + row['unit'][1:])}: {escape(row['range'])}."]
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
