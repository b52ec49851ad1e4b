#!/usr/bin/env python3
"""Mail in, end to end: from the first octet sent until the last message is durable and visible in its mailbox.  And logins (logins.py).

    bench.py EKIREI LOAD [--quick] [--only mail|logins] [--write docs/bench.md]

LOAD is the path of the load generator; that of logins is beside it.  With --only, the other part of the page stays as it was.

One load generator, the same mail, the servers in turn and each case three times (the median counts); ratios are what matters.  Where Postfix and Dovecot are not
installed, ekirei's figures stand alone and the page says so."""
import datetime
import os
import pathlib
import platform
import re
import statistics
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import logins  # noqa: E402
import peers  # noqa: E402

# octets, sessions, messages per connection (0: all on one), messages for ekirei, messages for the peer
CASES = [(2000, 1, 0, 3000, 400), (2000, 1, 1, 2000, 300), (2000, 10, 0, 20000, 3000), (2000, 50, 0, 20000, 3000), (20000, 10, 0, 8000, 2500), (200000, 10, 0, 1500, 1000)]


def measure(server, load, octets, sessions, per_connection, messages):
    before, cpu, start = server.visible(), server.cpu(), time.monotonic()
    done = subprocess.run([load, str(server.port), str(sessions), str(messages), str(octets), str(per_connection), str(peers.ACCOUNTS), peers.DOMAIN],
                          capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"bench: {server.name}: {done.stderr or done.stdout}")
    figures = {key: float(value) for key, value in re.findall(r"(\w+)=([\d.]+)", done.stdout)}
    while server.visible() < before + messages:
        if time.monotonic() - start > 120:
            raise SystemExit(f"bench: {server.name}: only {server.visible() - before} of {messages} messages became visible")
        time.sleep(0.02)
    # ekirei answers after it is visible: the command that counts is not part of the time.
    seconds = figures["seconds"] if isinstance(server, peers.Ekirei) else time.monotonic() - start
    return {"rate": messages / seconds, "cpu": (server.cpu() - cpu) * 1000 / messages, "p50": figures["p50_ms"], "p99": figures["p99_ms"]}


def disk_syncs(folder="/var/tmp", seconds=1.0):
    path = os.path.join(folder, "ekirei-bench-sync")
    fd, count, end = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), 0, time.monotonic() + seconds
    while time.monotonic() < end:
        os.pwrite(fd, b"x" * 4096, 4096 * count)
        os.fdatasync(fd)
        count += 1
    os.close(fd)
    os.unlink(path)
    return count / seconds


def run(load, cases, rounds):
    results = {}
    servers = [peers.Ekirei] + ([peers.PostfixDovecot] if peers.PostfixDovecot.installed() else [])
    for kind in servers:
        with kind() as server:
            for case in cases:
                octets, sessions, per_connection, ours, theirs = case
                count = ours if kind is peers.Ekirei else theirs
                measure(server, load, octets, sessions, per_connection, max(count // 10, sessions))  # warm-up
                rows = [measure(server, load, octets, sessions, per_connection, count) for _ in range(rounds)]
                results[kind, case] = {key: statistics.median(row[key] for row in rows) for key in rows[0]}
                print(f"{server.name}: {octets} octets, {sessions} sessions, {per_connection or 'many'} a connection: "
                      + ", ".join(f"{key} {value:.2f}" for key, value in results[kind, case].items()), flush=True)
                server.clear()
    return results, servers


def page(results, servers, cases, rounds):
    lines = [f"{os.cpu_count()} CPUs, "
             f"{disk_syncs():.0f} single synced 4 KiB writes a second on its disk; the load generator (tests/bench/load.c) runs on the same CPUs. Median of {rounds} rounds.",
             "", "End to end: from the first octet until the last message is durable and visible in one of 100 mailboxes. "
             "ekirei says 250 only then; Postfix says it earlier, so its time runs until Dovecot has the last message.", ""]
    if len(servers) == 2:
        lines += ["| octets | sessions | messages a connection | ekirei msg/s | Postfix + Dovecot msg/s | ratio | ekirei CPU s/1000 | theirs | CPU ratio | ekirei p50 / p99 ms |", "|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|"]
        for case in cases:
            a, b = results[servers[0], case], results[servers[1], case]
            lines.append(f"| {case[0]} | {case[1]} | {case[2] or 'many'} | {a['rate']:.0f} | {b['rate']:.0f} | **{a['rate'] / b['rate']:.1f}** | {a['cpu']:.3f} | {b['cpu']:.2f} "
                         f"| {b['cpu'] / max(a['cpu'], 1e-9):.0f} | {a['p50']:.2f} / {a['p99']:.2f} |")
    else:
        lines += ["Postfix and Dovecot are not installed here: no ratios.", "", "| octets | sessions | messages a connection | msg/s | CPU s/1000 | p50 / p99 ms |", "|--:|--:|--:|--:|--:|--:|"]
        for case in cases:
            a = results[servers[0], case]
            lines.append(f"| {case[0]} | {case[1]} | {case[2] or 'many'} | {a['rate']:.0f} | {a['cpu']:.3f} | {a['p50']:.2f} / {a['p99']:.2f} |")
    return "\n".join(lines) + "\n"


def write(path, sections):
    """Each section bears its day; those that were not made now stay as they are."""
    kept = dict(re.findall(r"^## (.+?)\n\n(.*?)(?=^## |\Z)", path.read_text(), re.M | re.S)) if path.exists() else {}
    kept.update({title: text + "\n" for title, text in sections.items()})
    path.write_text("# Bench\n\n" + "".join(f"## {title}\n\n{text.rstrip()}\n\n" for title, text in kept.items()).rstrip() + "\n")


def main():
    os.environ["EKIREI"] = peers.House.__init__.__globals__["EKIREI"] = os.path.realpath(sys.argv[1])
    quick = "--quick" in sys.argv
    only = sys.argv[sys.argv.index("--only") + 1] if "--only" in sys.argv else None
    load = os.path.realpath(sys.argv[2])
    cases, rounds = (CASES[2:3], 1) if quick else (CASES, 3)
    made = f"Made by `make bench` on {datetime.date.today()}: {platform.system()} {platform.release()}, "
    sections = {}
    if only != "logins":
        sections["Mail in"] = made + page(*run(load, cases, rounds), cases, rounds)
    if only != "mail":
        sections["Logins"] = made + logins.page(logins.run(os.path.join(os.path.dirname(load), "logins"), quick, rounds), rounds)
    for title, text in sections.items():
        print(f"## {title}\n\n{text}")
    if "--write" in sys.argv:
        write(pathlib.Path(sys.argv[sys.argv.index("--write") + 1]), sections)


if __name__ == "__main__":
    main()
