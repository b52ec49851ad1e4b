"""Mail in, end to end: from the first octet sent until the last message is durable and visible in its mailbox."""
import statistics
import time

import measure
import peers

# octets, sessions, messages per connection (0: all on one), messages for ekirei, messages for the peer, ratio asked (0: none), part of the CPU asked (1/n)
CASES = [(2000, 1, 0, 3000, 400, 0, 0), (2000, 1, 1, 2000, 300, 5, 0), (2000, 10, 0, 20000, 3000, 25, 30), (2000, 50, 0, 20000, 3000, 25, 30),
         (20000, 10, 0, 8000, 2500, 12, 0), (20000, 50, 0, 8000, 2500, 12, 0), (200000, 10, 0, 1500, 1000, 5, 0), (200000, 50, 0, 1500, 1000, 5, 0)]
PATIENCE = 120
STRACED = 300  # messages under strace


def send(server, case, messages):
    """Figures of one run.  Raises RuntimeError where not every message becomes visible."""
    octets, sessions, each = case[:3]
    before, cpu, switches, start, clock = server.visible(), server.tree.cpu(), measure.switches(), time.monotonic(), time.time()
    figures = measure.Load.run("smtp", port=server.port, sessions=sessions, count=messages, octets=octets, each=each, accounts=peers.ACCOUNTS, domain=peers.DOMAIN)
    while (seen := server.visible()) < before + messages:
        if time.monotonic() - start > PATIENCE:
            raise RuntimeError(f"{server.name}: only {seen - before} of {messages} messages became visible within {PATIENCE} s{server.trouble()}")
        time.sleep(0.5)  # counting takes CPU from who is being measured: the files tell when the last one came
    seconds = max(figures["seconds"], server.last_visible() - clock)
    switched = measure.switches() - switches - figures["switches"]
    return {"rate": messages / seconds, "cpu": (server.tree.cpu() - cpu) * 1000 / messages, "p50": figures["p50_ms"], "p99": figures["p99_ms"],
            "switches": switched / messages}


def calls(server, case):
    """(system calls, syncs) a message, in a short run of its own; None where nothing may be traced."""
    counts = measure.calls(server.tree, 1.0, lambda: send(server, case, STRACED))
    return counts and (sum(counts.values()) / STRACED, sum(counts.get(name, 0) for name in measure.SYNCS) / STRACED)


def case_of(server, case, count, rounds):
    """The median of the rounds; what went wrong instead of figures, if it did."""
    try:
        send(server, case, max(count // 10, peers.ACCOUNTS))  # warm-up: every mailbox has been written to
        rows = [send(server, case, count) for _ in range(rounds)]
    except RuntimeError as error:
        print(f"bench: {error}", flush=True)
        return None
    result = {key: statistics.median(row[key] for row in rows) for key in rows[0]}
    print(f"{server.name}: {case[0]} octets, {case[1]} sessions, {case[2] or 'many'} a connection: "
          + ", ".join(f"{key} {value:.3f}" for key, value in result.items()), flush=True)
    return result


def traced(servers, case):
    found = {}
    for server in servers:
        try:
            found[server.name] = calls(server, case)
        except (RuntimeError, OSError) as error:
            print(f"bench: {server.name} under strace: {error}", flush=True)
    return found


def run(quick, rounds):
    cases = CASES[1:3] if quick else CASES
    results, notes = {}, []
    with peers.Ekirei() as ekirei:
        peer = peers.peer_or_none(ekirei)
        try:
            servers = [ekirei, *([peer] if peer else [])]
            for case in cases:
                for server, count in zip(servers, case[3:5]):
                    results[server.name, case] = case_of(server, case, count // 10 if quick else count, rounds)
            straced = [(case, traced(servers, case)) for case in (CASES[0], CASES[2])]
            if peer:
                times, reason = peer.deferred()
                notes.append(f"Postfix had to try again {times} times{f' ({reason})' if times else ''}; that is in its times: it tries again after 2 s.")
        finally:
            if peer:
                peer.__exit__()
    return cases, results, straced, notes, measure.disk()


def row(case, mine, theirs):
    def cell(figures, key, form):
        return form.format(figures[key]) if figures else ""
    asked, share = case[5] or "", f"1/{case[6]}" if case[6] else ""
    both = mine and theirs
    return (f"| {case[0]} | {case[1]} | {case[2] or 'many'} | {cell(mine, 'rate', '{:.0f}')} | {cell(theirs, 'rate', '{:.0f}')} | {asked} "
            f"| {'**%.1f**' % (mine['rate'] / theirs['rate']) if both else ''} | {cell(mine, 'cpu', '{:.3f}')} | {cell(theirs, 'cpu', '{:.2f}')} | {share} "
            f"| {'1/%.0f' % (theirs['cpu'] / mine['cpu']) if both else ''} | {cell(mine, 'p50', '{:.2f}')} / {cell(mine, 'p99', '{:.2f}')} "
            f"| {cell(mine, 'switches', '{:.1f}')} / {cell(theirs, 'switches', '{:.0f}')} |")


def page(found):
    cases, results, straced, notes, (single, grouped) = found
    lines = [f"The disk does {single:.0f} synced 4 KiB writes a second one after the other, {grouped:.0f} by 64 at once.", "",
             "From the first octet until the last message is durable and visible in one of 100 mailboxes. ekirei says 250 only then; Postfix says it earlier, so its time "
             "runs until Dovecot has the last message. The messages are a quarter each UTF-8 text, ISO-2022-JP text, text with an attachment in base64, text with HTML. "
             "Context switches are those of the whole machine without the generator's.", "",
             "| octets | sessions | messages a connection | ekirei msg/s | Postfix + Dovecot msg/s | ratio asked | reached | ekirei CPU s/1000 | theirs | asked | reached "
             "| ekirei p50 / p99 ms | switches a message, ekirei / theirs |", "|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|"]
    lines += [row(case, results.get((peers.Ekirei.name, case)), results.get((peers.PostfixDovecot.name, case))) for case in cases]
    lines += ["", f"A message of 2,000 octets under strace (-c -f, {STRACED} messages; strace slows everything, so fewer share a sync):", "",
              "| server | sessions | system calls a message | syncs a message |", "|---|--:|--:|--:|"]
    for case, by_name in straced:
        for name, counted in by_name.items():
            lines.append(f"| {name} | {case[1]} | {counted[0]:.0f} | {counted[1]:.2f} |" if counted else f"| {name} | {case[1]} | may not be traced here | |")
    return "\n".join(lines + [""] + notes) + "\n"
