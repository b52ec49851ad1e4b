"""Sessions from beginning to end: submission with a message, and logins with people's passwords at the default cost."""
import statistics
import time

import measure
import peers

# protocol, TLS, mechanism, sessions, octets of a message (0: none), the peer's passwords ("cheap", "hash", "" for none), whether ours are remembered,
# logins of ekirei, logins of the peer, ratio asked (0: none)
CASES = [("smtp", "yes", "PLAIN", 10, 2000, "cheap", True, 3000, 800, 2.5), ("smtp", "start", "PLAIN", 10, 2000, "cheap", True, 3000, 800, 2.5),
         ("smtp", "yes", "PLAIN", 10, 2000, "hash", True, 3000, 200, 2.5), ("smtp", "yes", "PLAIN", 10, 0, "cheap", True, 3000, 800, 0),
         ("smtp", "yes", "PLAIN", 10, 0, "hash", False, peers.ACCOUNTS, 200, 0), ("smtp", "yes", "SCRAM-SHA-256", 10, 0, "", True, 3000, 0, 0),
         ("smtp", "no", "PLAIN", 1, 0, "cheap", True, 4000, 400, 0), ("smtp", "no", "SCRAM-SHA-256", 10, 0, "", True, 10000, 0, 0),
         ("pop3", "yes", "PLAIN", 10, 0, "cheap", True, 3000, 1500, 3), ("pop3", "no", "PLAIN", 10, 0, "cheap", True, 10000, 3000, 3),
         ("pop3", "yes", "PLAIN", 10, 0, "hash", True, 3000, 200, 3), ("pop3", "yes", "PLAIN", 10, 0, "hash", False, peers.ACCOUNTS, 200, 0)]
DRAIN = 60


def sessions_of(server, case, count, domain, mechanism=None):
    protocol, tls, asked, sessions, octets = case[:5]
    before, cpu, start = server.visible(), server.tree.cpu(), time.monotonic()
    skip = peers.ACCOUNTS if asked.startswith("SCRAM") else 0  # the client derives its keys once for each account, and keeps them
    figures = measure.Load.run("session", port=server.ports[protocol, tls], protocol=protocol, tls=tls, mechanism=mechanism or asked, sessions=sessions, count=count,
                               octets=octets, skip=skip, accounts=peers.ACCOUNTS, domain=domain, password=peers.PASSWORD)
    while octets and server.visible() < before + count + skip:  # handing over is part of its CPU time, not of the sessions' time
        if time.monotonic() - start > DRAIN:
            raise RuntimeError(f"{server.name}: only {server.visible() - before} of {count} messages became visible within {DRAIN} s{server.trouble()}")
        time.sleep(0.5)
    time.sleep(0.3)  # what runs on after the last reply
    return {"rate": figures["rate"], "cpu": (server.tree.cpu() - cpu) * 1000 / (count + skip), "p50": figures["p50_ms"], "p99": figures["p99_ms"]}


def round_of(case, ekirei, peer, rows, quick):
    passwords, remembered, ours, theirs = case[5:9]
    if remembered:
        sessions_of(ekirei, case, peers.ACCOUNTS, peers.DOMAIN, "PLAIN")
    else:
        ekirei.again()
    rows.setdefault((ekirei.name, case), []).append(sessions_of(ekirei, case, max(ours // 10, 100) if quick else ours, peers.DOMAIN))
    if peer and theirs:
        domain = peers.DOMAIN if passwords == "cheap" else peer.hash_domain
        if passwords == "cheap":
            sessions_of(peer, case, peers.ACCOUNTS, domain)
        rows.setdefault((peer.name, case), []).append(sessions_of(peer, case, max(theirs // 10, 50) if quick else theirs, domain))


def run(quick, rounds):
    """The servers in turn within each round; the median of the rounds counts."""
    rows, cases = {}, [CASES[0], CASES[8]] if quick else CASES
    with peers.Ekirei() as ekirei:
        peer = peers.peer_or_none(ekirei)
        try:
            for case in (case for _ in range(rounds) for case in cases):
                try:
                    round_of(case, ekirei, peer, rows, quick)
                except RuntimeError as error:
                    print(f"bench: {error}", flush=True)
        finally:
            if peer:
                peer.__exit__()
    for (name, case), figures in rows.items():
        print(f"{name}: {' '.join(map(str, case[:7]))}: rates", ", ".join(f"{figure['rate']:.0f}" for figure in figures),
              "CPU", ", ".join(f"{figure['cpu']:.2f}" for figure in figures), flush=True)
    return cases, rows


def row_of(case, rows):
    def median(name, key):
        return statistics.median(row[key] for row in rows[name, case])
    protocol, tls, mechanism, sessions, octets, passwords, remembered, _, _, asked = case
    ours, theirs = peers.Ekirei.name, peers.PostfixDovecot.name
    what = "message" if octets else "STAT" if protocol == "pop3" else "login only"
    text = f"| {'submission' if protocol == 'smtp' else 'POP3'}, {what} | { {'yes': '1.3', 'start': 'STARTTLS', 'no': 'no'}[tls] } | {mechanism} | {sessions} "
    text += f"| {'-' if mechanism != 'PLAIN' else 'yes' if remembered else 'no'} "
    if (ours, case) not in rows:
        return text + "| | | | | | | | |"
    text += f"| {median(ours, 'rate'):.0f} "
    if (theirs, case) in rows:
        text += (f"| {median(theirs, 'rate'):.0f} | {'none' if passwords == 'cheap' else 'Argon2id'} | {asked or ''} | **{median(ours, 'rate') / median(theirs, 'rate'):.1f}** "
                 f"| {median(ours, 'cpu'):.2f} | {median(theirs, 'cpu'):.1f} ")
    else:
        text += f"| | | {asked or ''} | | {median(ours, 'cpu'):.2f} | "
    return text + f"| {median(ours, 'p50'):.2f} / {median(ours, 'p99'):.2f} |"


def page(found):
    cases, rows = found
    return "\n".join([f"{peers.ACCOUNTS} people, Argon2id at the default auth.hash_cost ({peers.HASH_COST}). A session is: connect, TLS without resumption, AUTH, one message "
                      "of 2,000 octets to another of them where the table says so (STAT in POP3), QUIT. \"Theirs, hash\": Argon2id are the very same verifiers, none are "
                      "passwords in clear, which cost Dovecot nothing.", "",
                      "A password that was right in the last five minutes is known again to ekirei without hashing; the rows with \"no\" are the first login of each person "
                      "after a start, and the hashes use all CPUs. SCRAM needs no hash in the server.", "",
                      "| protocol | TLS | mechanism | sessions | remembered | ekirei sessions/s | Postfix / Dovecot sessions/s | theirs, hash | ratio asked | reached "
                      "| ekirei CPU s/1000 | theirs | ekirei p50 / p99 ms |", "|---|---|---|--:|---|--:|--:|---|--:|--:|--:|--:|--:|",
                      *(row_of(case, rows) for case in cases)]) + "\n"
