#!/usr/bin/env python3
"""All that `make bench` measures, section by section; docs/bench.md is made of what this prints.

    bench.py EKIREI LOAD [--quick] [--only mail,logins,...] [--write docs/bench.md]

LOAD is the load generator.  Each section bears its day and its command; with --only, the others of the page stay as they were.  The same mail and the same
generator for all servers, in turn, with a warm-up; where a case is measured several times, the median counts."""
import argparse
import datetime
import os
import pathlib
import platform
import re
import signal
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import handshake  # noqa: E402
import idle  # noqa: E402
import logins  # noqa: E402
import mail_in  # noqa: E402
import measure  # noqa: E402
import million  # noqa: E402
import peers  # noqa: E402
import pop3  # noqa: E402

SECTIONS = {"mail": ("Mail in", mail_in), "logins": ("Logins", logins), "idle": ("Idle sessions", idle),
            "handshake": ("TLS handshakes", handshake), "pop3": ("POP3", pop3),
            "million": ("The millionth message", million)}
APART = ("million",)  # only when asked for by name: minutes
ROUNDS = 3


def preface():
    """What holds for every section; of the peers only where they are installed, or it stays as it was."""
    text = ("ekirei beside what people run today, with one load generator (tests/bench/load.c) and the same mail for both, on one machine. \"Asked\" is what the figure was to "
            "reach when this was planned. `make bench` makes all sections but the millionth message; each names its own command and day. `make bench-profile` shows where "
            "the time goes.\n\n")
    return text + f"The peers: {peers.PostfixDovecot.versions()}. {peers.PostfixDovecot.tuned}\n\n" if peers.PostfixDovecot.installed() else ""


def made(name, rounds):
    return (f"`make bench BENCH={name}` on {datetime.date.today()}: {platform.system()} {platform.release()}, {os.cpu_count()} CPUs, the load generator on the same"
            f"{f'; median of {rounds}' if rounds > 1 else ''}.\n\n")


def write(path, sections):
    """Each section bears its day; those that were not made now stay as they are."""
    old = path.read_text() if path.exists() else ""
    kept = dict(re.findall(r"^## (.+?)\n\n(.*?)(?=^## |\Z)", old, re.M | re.S))
    begin = preface() or re.match(r"(?:# Bench\n\n)?(.*?)(?=^## |\Z)", old, re.M | re.S)[1]
    kept.update({title: text + "\n" for title, text in sections.items()})
    path.write_text("# Bench\n\n" + begin + "".join(f"## {title}\n\n{text.rstrip()}\n\n" for title, text in kept.items()).rstrip() + "\n")


def main():
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("ekirei")
    words.add_argument("load")
    words.add_argument("--quick", action="store_true", help="small counts, one round: whether it runs")
    words.add_argument("--only", default="", help=f"of {', '.join(SECTIONS)}")
    words.add_argument("--write", type=pathlib.Path)
    options = words.parse_args()
    os.environ["EKIREI"] = peers.House.__init__.__globals__["EKIREI"] = os.path.realpath(options.ekirei)
    measure.Load.path = os.path.realpath(options.load)
    names = [name for name in options.only.split(",") if name] or [name for name in SECTIONS if name not in APART]
    unknown = [name for name in names if name not in SECTIONS]
    if unknown:
        words.error(f"no such section: {', '.join(unknown)}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("bench: ended"))  # and the servers with it
    rounds, failed = 1 if options.quick else ROUNDS, []
    for name in names:
        title, section = SECTIONS[name]
        try:
            text = made(name, getattr(section, "ROUNDS", rounds)) + section.page(section.run(options.quick, rounds))
        except (RuntimeError, AssertionError) as error:
            print(f"bench: {title}: {error}", flush=True)
            failed.append(name)
            continue
        print(f"\n## {title}\n\n{text}", flush=True)
        if options.write:  # at once: what comes after may fail
            write(options.write, {title: text})
    sys.exit(f"bench: not made: {', '.join(failed)}" if failed else 0)


if __name__ == "__main__":
    main()
