"""What an idle session costs, after its login: PSS over all of the server's processes, and the kernel's memory."""
import resource
import time

import measure
import peers

# protocol, TLS, sessions of ekirei, sessions of the peer (0: not asked), octets of PSS asked, octets of kernel memory asked
CASES = [("pop3", "yes", 20000, 300, 20, 6), ("pop3", "no", 10000, 300, 4, None), ("smtp", "yes", 10000, 100, 20, 6)]
PER_SOURCE = 500
MOST_WORKERS = 8
ROUNDS = 1


def files_allowed(wanted):
    """RLIMIT_NOFILE of everything started from here, raised if root may."""
    for files in (wanted, resource.getrlimit(resource.RLIMIT_NOFILE)[1]):
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
            return files
        except (ValueError, OSError):  # ordinary users, and root without CAP_SYS_RESOURCE
            continue


def workers_for(sessions, files):
    """A gate keeps two descriptors for each session; where few are allowed, several workers share the sessions, some unevenly."""
    each = min(20000, (files - 512) // 2)
    return -(-sessions // (each * 9 // 10)) if each < 20000 or sessions > 20000 else 1, each


def settle(read, seconds=2.0):
    """A figure when it has stopped moving, or after some seconds."""
    last, end = read(), time.monotonic() + 10 * seconds
    while time.monotonic() < end:
        time.sleep(seconds)
        value = read()
        if abs(value - last) < 0.002 * max(value, 1):
            return value
        last = value
    return last


def measure_case(server, protocol, tls, sessions, files):
    options = {"port": server.ports[protocol, tls], "protocol": protocol, "tls": tls, "accounts": peers.ACCOUNTS, "domain": peers.DOMAIN, "password": peers.PASSWORD}
    measure.Load.run("session", **options, sessions=10, count=peers.ACCOUNTS)  # every account once: what the first session of each makes is not the sessions'
    pss, slab = settle(server.tree.pss), measure.slab()
    with measure.Held(sessions, files - 100, **options, sources=max(1, sessions // PER_SOURCE)) as held:
        row = {"pss": (settle(server.tree.pss) - pss) / sessions, "slab": (measure.slab() - slab) / sessions, "logins": sessions / held.seconds}
        time.sleep(1)
        row["alive"] = held.end()
    row |= {"sessions": sessions, "approximate": server.tree.approximate}
    return row


def run(quick, _rounds):
    rows = []
    files = files_allowed(65000)
    for protocol, tls, ours, theirs, pss, kernel in CASES:
        ours = ours // 20 if quick else ours
        if files < 4 * ours // MOST_WORKERS:
            print(f"bench: only {files} open files a process are allowed: {MOST_WORKERS * files // 4} sessions instead of {ours}", flush=True)
            ours = MOST_WORKERS * files // 4
        workers, each = workers_for(ours, files)
        with peers.Ekirei(user__workers=str(workers), limits__connections=str(each)) as ekirei:  # anew for each: memory that was used once is not given back
            mine = measure_case(ekirei, protocol, tls, ours, files)
            other = None
            peer = peers.peer_or_none(ekirei) if theirs else None
            if peer:
                with peer:
                    other = measure_case(peer, protocol, tls, theirs, files)
        print(f"idle {protocol} tls={tls}: ekirei {mine}, peer {other}", flush=True)
        mine["workers"] = workers
        rows.append((protocol, tls, mine, other, pss, kernel))
    return rows


def kib(octets):
    return f"{octets / 1024:.1f}"


def page(rows):
    lines = ["Sessions after their login (STAT for POP3 is not asked), nothing more said; PSS of all processes of the server, from smaps_rollup, before and with the "
             "sessions. Kernel memory: growth of the machine's slab, less the generator's ends, for which half of the growth with ekirei is taken. The sessions come from one address "
             f"of 127.1.0.0/16 for every {PER_SOURCE}. \"Stood\": sessions that were still there at the end.", "",
             "| protocol | TLS | workers | sessions | stood | ekirei KiB PSS a session | asked | ekirei KiB kernel | asked | logins/s meanwhile | Postfix / Dovecot KiB PSS | kernel | sessions |",
             "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|"]
    for protocol, tls, mine, other, pss, kernel in rows:
        end = mine["slab"] / 2
        theirs = f"{kib(other['pss'])} | {kib(other['slab'] - end)} | {other['sessions']}" if other else " | | "
        lines.append(f"| {'POP3' if protocol == 'pop3' else 'submission'} | {'1.3' if tls == 'yes' else 'no'} | {mine['workers']} | {mine['sessions']} | {mine['alive']} | **{kib(mine['pss'])}** "
                     f"| {pss} | **{kib(mine['slab'] - end)}** | {kernel or ''} | {mine['logins']:.0f} | {theirs} |")
    if any(mine["approximate"] for _, _, mine, *_ in rows):
        lines += ["", "Only root may read the PSS of these processes: instead of it stands what is resident and not shared."]
    return "\n".join(lines) + "\n"
