"""The millionth message into one mailbox beside its first thousand, and a start with all of them there."""
import poplib
import statistics
import time

import measure
import peers

MILLION, OCTETS, THOUSAND, TURNS = 1000000, 600, 1000, 5
ROUNDS = 1
ASKED_RATIO, ASKED_START = 1.2, 1.0
WARM_UP = 3000


def put(server, account, count, sessions):
    cpu = server.tree.cpu()
    figures = measure.Load.run("smtp", port=server.port, sessions=sessions, count=count, octets=OCTETS, accounts=1, first=account, domain=peers.DOMAIN)
    return {"cpu": (server.tree.cpu() - cpu) / count * 1e6, "us": figures["seconds"] / count * 1e6, "p99": figures["p99_ms"]}


def median(rows, key):
    return statistics.median(row[key] for row in rows)


def read(server):
    """Seconds of login with STAT and QUIT, of LIST; how many messages there are."""
    options = {"port": server.ports["pop3", "no"], "protocol": "pop3", "name": f"u0@{peers.DOMAIN}", "password": peers.PASSWORD}
    login = measure.Load.run("session", **options)["seconds"]
    listed = measure.Load.run("list", **options, command="LIST")["seconds"]
    client = poplib.POP3(peers.HOST, server.ports["pop3", "no"], timeout=60)
    client.user(options["name"])
    client.pass_(peers.PASSWORD)
    count = client.stat()[0]
    client.quit()
    return login, listed, count


def run(quick, _rounds):
    million, found = MILLION // 50 if quick else MILLION, {}
    accounts = {1: range(1, 1 + TURNS), 10: range(1 + TURNS, 1 + 2 * TURNS)}
    with peers.Ekirei(accounts=2 * TURNS + 2) as server:
        put(server, 2 * TURNS + 1, WARM_UP, 50)
        for sessions in (1, 10):
            # The first thousand of several mailboxes, so that one hiccup of the disk does not decide.
            found["first", sessions] = [put(server, account, THOUSAND, sessions) for account in accounts[sessions]]
        found["bulk"] = put(server, 0, million - 2 * TURNS * THOUSAND, 50)
        for sessions in (1, 10):
            found["last", sessions] = [put(server, 0, THOUSAND, sessions) for _ in range(TURNS)]
        found["seen"] = server.visible()
        found["starts"] = [server.again() for _ in range(3)]
        read(server)  # the first hashes the password
        reads = [read(server) for _ in range(3)]
        found["login"], found["list"], found["count"] = (statistics.median(row[i] for row in reads) for i in range(3))
        server.house.process.kill()
        server.house.process.wait()
        server.house.stop()
        found["after_kill"] = server.serve()
        found["again"] = read(server)[2]
    print(found, flush=True)
    return found


def page(found):
    lines = [f"{found['count']:.0f} messages of {OCTETS} octets in one mailbox, put there over port 25 in 50 sessions at {1e6 / found['bulk']['us']:.0f} a second "
             f"({found['bulk']['cpu']:.0f} µs of CPU each). Medians of {TURNS} times a thousand: the first of as many empty mailboxes, the last of the full one.", "",
             "| sessions | first thousand, µs a message | last thousand | ratio | asked | first thousand, µs of CPU | last thousand | ratio | asked |",
             "|--:|--:|--:|--:|--:|--:|--:|--:|--:|"]
    for sessions in (1, 10):
        first, last = found["first", sessions], found["last", sessions]
        cells = [f"{median(first, key):.0f} | {median(last, key):.0f} | **{median(last, key) / median(first, key):.2f}** | {ASKED_RATIO}" for key in ("us", "cpu")]
        lines.append(f"| {sessions} | {' | '.join(cells)} |")
    lines += ["", f"Start until it serves: **{statistics.median(found['starts']):.2f} s** (asked: under {ASKED_START:.0f} s); after kill -9 {found['after_kill']:.2f} s, with "
              f"{found['again']} messages still there. POP3 on that mailbox: {found['login']:.2f} s for login, STAT and QUIT, {found['list']:.2f} s for LIST."]
    return "\n".join(lines) + "\n"
