#!/usr/bin/env python3
"""Makes docs/mechanisms.md from the table that tests/e2e/test_mechanisms.py tries on a real server.   mechanisms.py [--check]"""
import pathlib
import sys

root = pathlib.Path(__file__).resolve().parent.parent
sys.dont_write_bytecode = True
sys.path.insert(0, str(root / "tests" / "e2e"))
import mechanisms as table  # noqa: E402


def row(cells):
    return "| " + " | ".join(cells) + " |"


lines = [
    "# Which mechanism works where",
    "",
    "Made by tools/mechanisms.py from tests/e2e/mechanisms.py; `tests/e2e/test_mechanisms.py` tries every cell on a real server, over SMTP submission and POP3.",
    "",
    "*listed*: named in the reply to EHLO or CAPA. *accepted*: not named, since many programs take the first of the list that they know, and this one can never work with a",
    "person's password; a device that is set to it logs in all the same. A device made with that word in `--allow` (say, `--allow smtp,cram-md5`) puts "
    + ", ".join(sorted(table.NAMED)) + " on everybody's list under TLS, for devices that need to see it, and shuts such programs out.",
    "`-`: refused before any secret is looked at. OAUTHBEARER and XOAUTH2 need `oauth.*` to be set, EXTERNAL needs `auth.client_certificates`. PASS and APOP are commands of POP3.",
    "",
    "## By connection",
    "",
    row(["mechanism", *(words for *_, words in table.CONNECTIONS)]),
    row(["---"] * (len(table.CONNECTIONS) + 1)),
    *(row([name, *table.STANDING[name]]) for name in table.MECHANISMS),
    "",
    "On the lines in clear from `legacy.networks` and on the legacy ports only device passwords are good.",
    "",
    "## By credential",
    "",
    row(["credential", *table.MECHANISMS]),
    row(["---"] * (len(table.MECHANISMS) + 1)),
    *(row([words, *("yes" if name in can else "-" for name in table.MECHANISMS)]) for _, can, _, words in table.CREDENTIALS),
    "",
    "Mail programs that choose a -PLUS because it is listed and then cannot do it (the mutt of Debian 12 under TLS 1.3) are told to use another: `set smtp_authenticators=scram-sha-256`; or leave the -PLUS words out of `auth.mechanisms`.",
    "",
    "SCRAM-SHA-1 works with people's passwords where `auth.scram_sha1` is set and the password was set or used since. APOP in clear from anywhere needs `auth.apop_without_tls`.",
    "",
]
text, target = "\n".join(lines), root / "docs" / "mechanisms.md"
if "--check" in sys.argv:
    fresh = target.exists() and target.read_text() == text
    print("mechanisms: fine" if fresh else "docs/mechanisms.md is not up to date: run tools/mechanisms.py")
    sys.exit(not fresh)
target.write_text(text)
