"""Logins: connect, TLS, log in, QUIT, and again, with people's passwords at the default cost."""
import os
import re
import statistics
import subprocess
import time

import login_peers
import peers

# protocol, TLS, mechanism, sessions, whether passwords are remembered, logins for ekirei, logins for the peer (0: not asked)
CASES = [("smtp", "tls", "PLAIN", 10, True, 3000, 200), ("smtp", "tls", "PLAIN", 10, False, peers.ACCOUNTS, 200), ("smtp", "tls", "SCRAM-SHA-256", 10, True, 3000, 0),
         ("smtp", "clear", "PLAIN", 10, True, 10000, 200), ("smtp", "clear", "PLAIN", 1, True, 4000, 100), ("smtp", "clear", "SCRAM-SHA-256", 10, True, 10000, 0),
         ("pop3", "tls", "PLAIN", 10, True, 3000, 200), ("pop3", "tls", "PLAIN", 10, False, peers.ACCOUNTS, 200), ("pop3", "clear", "PLAIN", 10, True, 10000, 200)]


def measure(server, logins, protocol, tls, mechanism, sessions, count):
    cpu = server.cpu()
    done = subprocess.run([logins, str(server.ports[protocol, tls]), protocol, tls, mechanism, str(sessions), str(count), str(peers.ACCOUNTS), peers.DOMAIN,
                           peers.PASSWORD], capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"bench: {server.name}: {done.stderr or done.stdout}")
    figures = {key: float(value) for key, value in re.findall(r"(\w+)=([\d.]+)", done.stdout)}
    time.sleep(0.3)  # what runs on after the last reply is part of its CPU time
    return {"rate": figures["rate"], "cpu": (server.cpu() - cpu) * 1000 / count, "p50": figures["p50_ms"], "p99": figures["p99_ms"]}


def round_of(case, ekirei, peer, logins, rows):
    protocol, tls, mechanism, sessions, remembered, ours, theirs = case
    if remembered:
        measure(ekirei, logins, protocol, tls, "PLAIN", sessions, peers.ACCOUNTS)
    else:
        ekirei.forget()
    rows.setdefault((ekirei.name, case), []).append(measure(ekirei, logins, protocol, tls, mechanism, sessions, ours))
    if peer and theirs:
        rows.setdefault((peer.name, case), []).append(measure(peer, logins, protocol, tls, mechanism, sessions, theirs))


def run(logins, quick, rounds):
    """Table rows of the page: the servers in turn within each round, the median of the rounds counts."""
    rows, cases = {}, CASES[:1] if quick else CASES
    with login_peers.Ekirei() as ekirei:
        peer = login_peers.PostfixDovecot(ekirei) if peers.PostfixDovecot.installed() else None
        try:
            for _ in range(rounds):
                for case in cases:
                    round_of(case, ekirei, peer, logins, rows)
        finally:
            if peer:
                peer.__exit__()
        names = ekirei.name, peer.name if peer else None
    for (name, case), figures in rows.items():
        print(f"{name}: {' '.join(map(str, case[:5]))}: rates", ", ".join(f"{figure['rate']:.0f}" for figure in figures), flush=True)
    return [row_of(case, rows, *names) for case in cases]


def row_of(case, rows, ours, theirs):
    def median(name, key):
        return statistics.median(row[key] for row in rows[name, case])
    protocol, tls, mechanism, sessions, remembered, *_ = case
    text = f"| {'submission' if protocol == 'smtp' else 'POP3'} | {'1.3' if tls == 'tls' else 'no'} | {mechanism} | {sessions} "
    text += f"| {'-' if mechanism != 'PLAIN' else 'yes' if remembered else 'no'} | {median(ours, 'rate'):.0f} "
    if (theirs, case) in rows:
        text += f"| {median(theirs, 'rate'):.0f} | **{median(ours, 'rate') / median(theirs, 'rate'):.1f}** | {median(ours, 'cpu'):.2f} | {median(theirs, 'cpu'):.1f} "
    else:
        text += f"| | | {median(ours, 'cpu'):.2f} | "
    return text + f"| {median(ours, 'p50'):.2f} / {median(ours, 'p99'):.2f} |"


def page(rows, rounds):
    return "\n".join([f"{os.cpu_count()} CPUs, the load generator (tests/bench/logins.c) on the same; {peers.ACCOUNTS} people, Argon2id at the default auth.hash_cost "
                      f"({login_peers.HASH_COST}), the very same verifiers for Dovecot. Median of {rounds} rounds, the servers in turn. A login is: connect, TLS without "
                      "resumption, EHLO, AUTH, QUIT. `python3 tests/bench/bench.py build/ekirei build/tests/bench/load --only logins` makes this part alone.", "",
                      "A password that was right in the last five minutes is known again without hashing; the rows with \"no\" are the first login of each person after a "
                      "start, and the hashes use all CPUs. Dovecot hashes at every login, in its one auth process. SCRAM needs no hash in the server.", "",
                      "| protocol | TLS | mechanism | sessions | remembered | ekirei logins/s | Postfix / Dovecot logins/s | ratio | ekirei CPU s/1000 | theirs "
                      "| ekirei p50 / p99 ms |", "|---|---|---|--:|---|--:|--:|--:|--:|--:|--:|", *rows]) + "\n"
