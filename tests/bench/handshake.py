"""TLS: what a full handshake costs the server beside the bare primitives, and whether resumption succeeds whichever worker gets the connection."""
import statistics

import measure
import peers

COUNT, WORKERS, ASKED = 4000, 4, 1.15


def cost(server, protocol, tls, count):
    """Microseconds of the server's CPU for connection, greeting and QUIT; connections a second."""
    options = {"port": server.ports[protocol, tls], "protocol": protocol, "tls": tls, "mechanism": "none", "sessions": 10}
    measure.Load.run("session", **options, count=count // 10)
    cpu = server.tree.cpu()
    figures = measure.Load.run("session", **options, count=count)
    return {"us": (server.tree.cpu() - cpu) / count * 1e6, "rate": figures["rate"]}


def round_of(server, protocol, count):
    secured, clear = cost(server, protocol, "yes", count), cost(server, protocol, "no", count)
    bare = measure.Load.run("primitives", certificate=server.certificate, key=server.key, count=count)
    return {"rate": secured["rate"], "whole": secured["us"], "clear": clear["us"], "bare": bare["handshake_us"], "own": secured["us"] - clear["us"],
            "sign": bare["sign_us"], "agree": bare["x25519_us"]}


def resume(server, protocol, count):
    figures = measure.Load.run("session", port=server.ports[protocol, "yes"], protocol=protocol, tls="yes", mechanism="none", sessions=20, count=count, resume=1)
    return int(figures["attempted"]), int(figures["resumed"]), figures["rate"]


def run(quick, rounds):
    count, costs, resumed = COUNT // 10 if quick else COUNT, {}, []
    with peers.Ekirei() as ekirei:
        peer = peers.peer_or_none(ekirei)
        try:
            for _ in range(rounds):
                for server, protocol in [(ekirei, "pop3"), (ekirei, "smtp"), *([(peer, "pop3")] if peer else [])]:
                    costs.setdefault((server.name, protocol), []).append(round_of(server, protocol, count))
            if peer:
                resumed.append((peer.name, "POP3, 2 login processes", *resume(peer, "pop3", count // 2)))
        finally:
            if peer:
                peer.__exit__()
    with peers.Ekirei(user__workers=str(WORKERS)) as ekirei:
        for protocol in ("pop3", "smtp"):
            resumed.insert(0, (ekirei.name, f"{'POP3' if protocol == 'pop3' else 'submission'}, {WORKERS} workers", *resume(ekirei, protocol, count // 2)))
    return {key: {name: statistics.median(row[name] for row in rows) for name in rows[0]} for key, rows in costs.items()}, resumed


def page(found):
    costs, resumed = found
    lines = ["Connect, TLS 1.3 with X25519 and a P-256 certificate, greeting, QUIT; 10 at a time. CPU of all of the server's processes, in µs a connection. \"In clear\" is the "
             "same without TLS: the difference is what TLS costs the server. \"Bare\" is the server's end of a full handshake between two ends in memory, in the generator's "
             "process with the same library and certificate, its ticket included.", "",
             "| server | handshakes/s | CPU µs | in clear | difference | bare | difference / bare | asked | CPU / (in clear + bare) | a signature | X25519 |",
             "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|"]
    for (name, protocol), row in costs.items():
        lines.append(f"| {name}, {'POP3' if protocol == 'pop3' else 'submission'} | {row['rate']:.0f} | {row['whole']:.0f} | {row['clear']:.0f} | {row['own']:.0f} | {row['bare']:.0f} "
                     f"| **{row['own'] / row['bare']:.2f}** | {ASKED if name == peers.Ekirei.name else ''} | {row['whole'] / (row['clear'] + row['bare']):.2f} "
                     f"| {row['sign']:.0f} | {row['agree']:.0f} |")
    lines += ["", "Resumption: every connection but the first of each of 20 clients tries.", "", "| server | attempts | resumed | asked | reached | connections/s |", "|---|--:|--:|--:|--:|--:|"]
    for name, how, attempted, successes, rate in resumed:
        lines.append(f"| {name}, {how} | {attempted} | {successes} | {'100 %' if name == peers.Ekirei.name else ''} | **{successes / max(attempted, 1):.1%}** | {rate:.0f} |")
    return "\n".join(lines) + "\n"
