"""Reading by POP3: RETR of many messages with one and with several in flight, UIDL and LIST of a large mailbox."""
import statistics
import time

import measure
import peers

RETRIEVED, RETRIEVED_OCTETS, LISTED, LISTED_OCTETS = 10000, 5000, 100000, 600
IN_FLIGHT = (1, 16)
ASKED = {1: "2 x (19,200/s)", 16: "1 x (52,800/s)"}
LIST_TIMES = 20
ASKED_UIDL = 15  # ms of CPU
READER, LISTER = f"u0@{peers.DOMAIN}", f"u1@{peers.DOMAIN}"


def fill(server, account, count, octets):
    """`count` messages into one mailbox: ekirei's over port 25, Dovecot's over LMTP."""
    if isinstance(server, peers.Ekirei):
        where = {"port": server.port, "protocol": "smtp", "sessions": 50}
    else:
        where = {"port": server.lmtp, "protocol": "lmtp", "sessions": 4}
    start = time.monotonic()
    measure.Load.run("smtp", **where, count=count, octets=octets, accounts=1, first=account, domain=peers.DOMAIN)
    print(f"bench: {server.name}: {count} messages put into a mailbox in {time.monotonic() - start:.0f} s", flush=True)


def retr(server, count, in_flight):
    options = {"port": server.ports["pop3", "no"], "protocol": "pop3", "name": READER, "password": peers.PASSWORD, "messages": count, "in_flight": in_flight}
    measure.Load.run("retr", **options, count=count // 10)
    cpu = server.tree.cpu()
    figures = measure.Load.run("retr", **options, count=count)
    time.sleep(0.2)
    return {"rate": figures["rate"], "cpu": (server.tree.cpu() - cpu) / count * 10000, "octets": figures["octets"] / count}


def lists(server, command, times):
    """ms of CPU and of time for one such command within a session, and ms of CPU for the session around it."""
    options = {"port": server.ports["pop3", "no"], "protocol": "pop3", "name": LISTER, "password": peers.PASSWORD, "command": command}
    spent = []
    for count in (1, 1, 1 + times):  # the first is the warm-up
        cpu = server.tree.cpu()
        figures = measure.Load.run("list", **options, count=count)
        time.sleep(0.2)
        spent.append((server.tree.cpu() - cpu) * 1000)
    return {"each": (spent[2] - spent[1]) / times, "session": spent[1], "ms": figures["p50_ms"], "octets": figures["octets"] / (1 + times)}


def measure_server(server, quick, rounds):
    retrieved, listed = (RETRIEVED // 10, LISTED // 20) if quick else (RETRIEVED, LISTED)
    fill(server, 0, retrieved, RETRIEVED_OCTETS)
    fill(server, 1, listed, LISTED_OCTETS)
    time.sleep(1)
    rows = {("RETR", flight): [retr(server, retrieved, flight) for _ in range(rounds)] for flight in IN_FLIGHT}
    rows |= {(command, listed): [lists(server, command, LIST_TIMES) for _ in range(rounds)] for command in ("UIDL", "LIST")}
    found = {case: {key: statistics.median(row[key] for row in some) for key in some[0]} for case, some in rows.items()}
    print(f"{server.name}: {found}", flush=True)
    return found


def run(quick, rounds):
    with peers.Ekirei() as ekirei:
        ours, theirs = measure_server(ekirei, quick, rounds), {}
        peer = peers.peer_or_none(ekirei, fsync="never")  # it is only filled faster so
        if peer:
            with peer:
                try:
                    theirs = measure_server(peer, quick, rounds)
                except RuntimeError as error:
                    print(f"bench: {peer.name}: {error}", flush=True)
    return ours, theirs


def page(found):
    ours, theirs = found
    lines = [f"One session in clear; {RETRIEVED} messages of {RETRIEVED_OCTETS} octets. CPU of all of the server's processes.", "",
             "| RETR in flight | ekirei messages/s | Dovecot messages/s | asked | reached | ekirei CPU s/10,000 | theirs | ekirei octets/message |", "|--:|--:|--:|--:|--:|--:|--:|--:|"]
    for flight in IN_FLIGHT:
        mine, other = ours["RETR", flight], theirs.get(("RETR", flight))
        lines.append(f"| {flight} | {mine['rate']:.0f} | {'%.0f' % other['rate'] if other else ''} | {ASKED[flight]} | {'**%.1f x**' % (mine['rate'] / other['rate']) if other else ''} "
                     f"| {mine['cpu']:.2f} | {'%.2f' % other['cpu'] if other else ''} | {mine['octets']:.0f} |")
    lines += ["", f"The whole list of a large mailbox: CPU of one command among {LIST_TIMES} in a session (the first is not counted), its time, and CPU of a session with login, "
              "the command and QUIT.", "",
              "| command | messages | ekirei ms of CPU | asked | Dovecot ms of CPU | ekirei ms | Dovecot ms | ekirei session, ms of CPU | Dovecot session |",
              "|---|--:|--:|--:|--:|--:|--:|--:|--:|"]
    for command, count in (case for case in ours if case[0] != "RETR"):
        mine, other = ours[command, count], theirs.get((command, count))
        other = {key: f"{value:.1f}" for key, value in other.items()} if other else dict.fromkeys(mine, "")
        lines.append(f"| {command} | {count} | **{mine['each']:.1f}** | {ASKED_UIDL if command == 'UIDL' else ''} | {other['each']} | {mine['ms']:.1f} | {other['ms']} "
                     f"| {mine['session']:.1f} | {other['session']} |")
    return "\n".join(lines) + "\n"
