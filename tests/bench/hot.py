#!/usr/bin/env python3
"""Where the time goes: ekirei under the load of the bench, sampled by perf.

    hot.py EKIREI LOAD [CASE ...]      cases: mail2 mail20 mail200 one submission pop3 handshake retr uidl; all by default

For each: the parts of CPU by thread, by library, by system call and by function."""
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import measure  # noqa: E402
import peers  # noqa: E402
import pop3  # noqa: E402

TOP = 25
SESSION = {"mode": "session", "sessions": 10, "accounts": peers.ACCOUNTS, "password": peers.PASSWORD}
MAIL = {"mode": "smtp", "sessions": 10, "accounts": peers.ACCOUNTS}
READ = {"password": peers.PASSWORD, "protocol": "pop3"}
CASES = {"mail2": (None, MAIL | {"count": 40000, "octets": 2000}), "mail20": (None, MAIL | {"count": 15000, "octets": 20000}),
         "mail200": (None, MAIL | {"count": 3000, "octets": 200000}), "one": (None, MAIL | {"count": 4000, "octets": 2000, "sessions": 1, "each": 1}),
         "submission": (("smtp", "yes"), SESSION | {"count": 4000, "octets": 2000, "protocol": "smtp", "tls": "yes"}),
         "pop3": (("pop3", "yes"), SESSION | {"count": 4000, "protocol": "pop3", "tls": "yes"}),
         "handshake": (("pop3", "yes"), SESSION | {"count": 5000, "protocol": "pop3", "tls": "yes", "mechanism": "none"}),
         "retr": (("pop3", "no"), READ | {"mode": "retr", "name": pop3.READER, "count": 100000, "messages": pop3.RETRIEVED, "in_flight": 16}),
         "uidl": (("pop3", "no"), READ | {"mode": "list", "name": pop3.LISTER, "count": 200, "command": "UIDL"})}


def load(server, where, options):
    options = dict(options)
    mode = options.pop("mode")
    return measure.Load.run(mode, port=server.ports[where] if where else server.port, **options)


def table(data, keys, title, top, children="--no-children", pattern=""):
    print(f"\n{title}:")
    done = subprocess.run(["perf", "report", "-i", data, "--stdio", children, "-g", "none", "-s", keys, "--percent-limit", "0.3"], capture_output=True, text=True)
    lines = [re.sub(r"(\s+-)+$", "", line.strip()) for line in done.stdout.splitlines() if re.match(r"\s*\d+\.\d+%", line) and pattern in line]
    print("\n".join(f"  {line}" for line in lines[:top]) or done.stderr)


def profile(server, name, where, options):
    load(server, where, options | {"count": max(options["count"] // 10, 10)})  # warm-up
    with tempfile.NamedTemporaryFile(prefix="ekirei-perf-") as data:
        pids = ",".join(map(str, server.tree.pids()))
        perf = subprocess.Popen(["perf", "record", "-q", "-F", "1999", "-g", "-o", data.name, "-p", pids], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        time.sleep(0.5)
        if perf.poll() is not None:
            raise SystemExit(f"hot: perf may not sample here: {perf.stderr.read().strip()}")
        cpu = server.tree.cpu()
        figures = load(server, where, options)
        cpu = server.tree.cpu() - cpu
        perf.send_signal(signal.SIGINT)
        perf.communicate()
        print(f"\n## {name}: {figures['rate']:.0f}/s, {cpu / options['count'] * 1e6:.1f} µs of CPU each")
        table(data.name, "comm", "by thread", TOP)
        table(data.name, "dso", "by library", TOP)
        table(data.name, "symbol", "by system call, with all that the kernel does in it (second column: of itself)", TOP, "--children", "__x64_sys_")
        table(data.name, "dso,symbol", "by function", TOP)


def main():
    os.environ["EKIREI"] = peers.House.__init__.__globals__["EKIREI"] = os.path.realpath(sys.argv[1])
    measure.Load.path = os.path.realpath(sys.argv[2])
    wanted = sys.argv[3:] or list(CASES)
    with peers.Ekirei() as server:
        if "retr" in wanted:
            pop3.fill(server, 0, pop3.RETRIEVED, pop3.RETRIEVED_OCTETS)
        if "uidl" in wanted:
            pop3.fill(server, 1, pop3.LISTED, pop3.LISTED_OCTETS)
        for name in wanted:
            profile(server, name, *CASES[name])


if __name__ == "__main__":
    main()
