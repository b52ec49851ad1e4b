#!/usr/bin/env python3
"""Fails where a file includes from a higher floor or from a sibling (ARCHITECTURE.md, "Floors"), or where an engine or a
format touches the system: proto/ and mail/ are functions of bytes, and this is how a machine can tell."""
import pathlib
import re
import sys

FLOOR = {"base": 0, "mail": 1, "ask": 2, "proto": 3, "net": 4, "store": 4, "jail": 4,
         "supervisor": 5, "gate": 5, "keeper": 5, "courier": 5, "scribe": 5, "policy": 5, "": 6}
PURE = {"stdint.h", "stddef.h", "stdbool.h", "string.h"}
LIBRARIES = {"idn2.h", "zstd.h", "openssl/evp.h", "openssl/hmac.h", "openssl/sha.h", "openssl/crypto.h", "iconv.h",
             "jansson.h", "openssl/bn.h", "openssl/core_names.h", "openssl/ec.h", "openssl/err.h", "openssl/param_build.h", "openssl/rsa.h",
             "unicase.h", "unictype.h", "uninorm.h", "unistr.h"}

root = pathlib.Path(__file__).resolve().parent.parent / "src"
problems = []
for file in sorted(root.rglob("*.[ch]")):
    inside = file.relative_to(root)
    room = inside.parts[0] if len(inside.parts) > 1 else ""
    is_test = file.stem.endswith("_test") or file.stem in ("store_contract", "fault_vfs")
    for number, line in enumerate(file.read_text().splitlines(), 1):
        found = re.match(r'\s*#\s*include\s*([<"])([^>"]+)[>"]', line)
        if not found:
            continue
        where = f"src/{inside}:{number}"
        if found[1] == '"':
            target = found[2].split("/")[0] if "/" in found[2] else ""
            if target not in FLOOR:
                problems.append(f"{where}: {found[2]} is not named from src/")
            elif target != room and FLOOR[target] >= FLOOR[room] and not is_test:
                problems.append(f"{where}: floor {FLOOR[room]} ({room}) may not include {found[2]}")
        elif room in ("mail", "proto", "ask") and not is_test and found[2] not in PURE | LIBRARIES:
            problems.append(f"{where}: {found[2]} is a way out of pure code")
print("\n".join(problems) or "floors: fine")
sys.exit(bool(problems))
