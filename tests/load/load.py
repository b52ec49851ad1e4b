#!/usr/bin/env python3
"""Load that is not mail:   load.py [--quick] [--favour] [--only NAME]... EKIREI FLOOD

Each case lets `flood` loose on a server with the limits that it is shipped with, while somebody honest comes ten times a second, delivers a message and logs in to a
mailbox, and somebody else stays logged in.  What must hold: memory of the whole process tree (PSS) under a bound that stands before the case and comes from base/limits.h; CPU time under a bound, where
the case is one of waiting; the honest are served, each within a second; and afterwards memory and descriptors go back.  Closes with 'N passed, N failed'."""
import argparse
import json
import os
import pathlib
import poplib
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
arguments = argparse.ArgumentParser()
arguments.add_argument("program")
arguments.add_argument("flood")
arguments.add_argument("--quick", action="store_true", help="a sample, in 20 s")
arguments.add_argument("--only", action="append", default=[], metavar="NAME")
arguments.add_argument("--favour", action="store_true", help="on a machine that is busy otherwise, as root: the server and the honest come first, the flood does not")
options = arguments.parse_args()
if options.favour:
    pathlib.Path("/proc/self/autogroup").write_text("-15")
os.environ["EKIREI"] = os.path.realpath(options.program)
from house import House, message  # noqa: E402
from watch import MIB, Honest, Tree, client_hello, limits  # noqa: E402
import cases  # noqa: E402

SERVED_WITHIN = 3.0 if options.quick else 1.0  # the sample runs among other tests
SLACK = 24 * MIB      # of any case: what the honest use, pages that the allocator keeps, the cache of the database
WAITS = 0.3           # CPUs that a case of waiting may take, with the honest, who take some 5 %


class Flood:
    def __init__(self, house, case, folder):
        words = dict(case.words)
        for name in ("hello", "first", "then"):
            if name in words:
                path = pathlib.Path(folder) / name
                path.write_bytes(words[name])
                words[name] = path
        self.process = subprocess.Popen([options.flood, str(house.port(case.service)), *(f"{k}={v}" for k, v in words.items())],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True)

    def counts(self):
        self.process.stdin.write("?\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def end(self):
        counts = self.counts()
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()
        return counts


def until_back(tree, memory, files, seconds=12):
    """Seconds until memory and descriptors are where they were; None: never.  Descriptors to the last but what the honest hold; of memory the allocator keeps some."""
    start = time.monotonic()
    while time.monotonic() < start + seconds:
        if tree.files() <= files + 4 and tree.memory() <= memory:
            return time.monotonic() - start
        time.sleep(0.1)
    return None


def play(house, case, folder):
    tree, problems = Tree(house), []
    time.sleep(0.3)
    base, files, cpu = tree.memory(), tree.files(), tree.cpu()
    bound = base + case.bound + SLACK
    peak, most_files, start = base, files, time.monotonic()
    with house.pop3("honest@acc.test") as guest, Honest(house) as honest:
        flood = Flood(house, case, folder)
        while time.monotonic() < start + case.seconds:
            time.sleep(0.1)
            peak, most_files = max(peak, tree.memory()), max(most_files, tree.files())
            if case.until and case.until(flood.counts()):
                break
        took = time.monotonic() - start
        used = (tree.cpu() - cpu) / took
        counts = flood.end()
        try:
            guest.noop()
        except (OSError, EOFError, poplib.error_proto) as error:
            problems.append(f"somebody who had logged in before was turned out: {error!r}")
    back = until_back(tree, base + max(SLACK, (peak - base) // 4), files)
    times = sorted(honest.times)
    worst, p99 = times[-1], times[int(len(times) * 0.99)]
    if peak > bound:
        problems.append(f"memory {peak / MIB:.0f} MiB")
    if case.waits and used > WAITS:
        problems.append(f"{used:.2f} CPUs for those who wait")
    if honest.misses:
        problems.append(f"{len(honest.misses)} honest not served: {honest.misses[:2]}")
    if worst > SERVED_WITHIN:
        problems.append(f"an honest client waited {worst:.2f} s")
    if back is None:
        problems.append(f"does not go back: {tree.memory() / MIB:.0f} MiB, {tree.files()} files; before {base / MIB:.0f} and {files}")
    if case.check and (wrong := case.check(counts)):
        problems.append(f"{wrong}: {counts}")
    print(f"{case.name}: {case.what}")
    print(f"    {took:.1f} s: {counts['opened']} connections, {counts['open']} open at the end, {counts['sent'] / MIB:.1f} MiB sent, {counts['received'] / MIB:.1f} MiB read; {used:.2f} CPUs")
    print(f"    memory: {base / MIB:.1f} MiB before, at most {peak / MIB:.1f}, bound {bound / MIB:.0f} ({case.why}); descriptors {files}, {most_files}; "
          f"back {'never' if back is None else f'in {back:.1f} s'}")
    print(f"    honest: {len(times)} served, median {statistics.median(times) * 1000:.0f} ms, p99 {p99 * 1000:.0f} ms, worst {worst * 1000:.0f} ms")
    for problem in problems:
        print(f"    FAILED: {problem}")
    sys.stdout.flush()
    return not problems


def main():
    wanted = [case for case in cases.all(limits(), client_hello(), options.quick) if case.name in (options.only or (cases.SAMPLE if options.quick else [case.name]))]
    done = []
    with House(accounts=("honest", "many"), limits__connections_per_address="50", auth__throttle="yes", auth__plaintext_networks="127.0.0.0/8", log__level="error") as house:
        with house.smtp() as client:
            for i in range(200):
                client.sendmail("x@elsewhere.test", "many@acc.test", message(subject=str(i), body=("x" * 70 + "\r\n") * 700).encode())
        for case in wanted:
            with tempfile.TemporaryDirectory() as folder:
                done.append((case.name, play(house, case, folder)))
    print(f"{sum(ok for _, ok in done)} passed, {sum(not ok for _, ok in done)} failed")
    for name, ok in done:
        if not ok:
            print(f"failed: {name}")
    return 0 if all(ok for _, ok in done) else 1


if __name__ == "__main__":
    sys.exit(main())
