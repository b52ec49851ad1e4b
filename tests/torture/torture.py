#!/usr/bin/env python3
"""kill -9 of roles at random times, under four senders, two POP3 readers and two holders of leases:   torture.py [--rounds N] [--seed N] [--also PROGRAM]... EKIREI

A round kills one role, several close together, or the supervisor (then everything ends, and is started again).  At the end every message that was answered 250
was there exactly once, and again only as often as an answer was cut off; whole, for all of its recipients or none; what was deleted with an acknowledged QUIT stayed so,
and nothing else went; identities grew and kept their contents; no lease outlived its keeper; service was back within two seconds of each kill; the store is sound.
PROGRAMs are tests that can take long (the model of leases, the timing of refusals): run first, and counted.  Closes with 'N passed, N failed'."""
import argparse
import collections
import os
import pathlib
import random
import signal
import sqlite3
import statistics
import subprocess
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
arguments = argparse.ArgumentParser()
arguments.add_argument("program")
arguments.add_argument("--rounds", type=int, default=20)
arguments.add_argument("--seed", type=int, default=int(time.time()))
arguments.add_argument("--also", action="append", default=[], metavar="PROGRAM")
options = arguments.parse_args()
os.environ["EKIREI"] = os.path.realpath(options.program)
from house import House, Sink, until  # noqa: E402
from ledger import Ledger, look_at  # noqa: E402
from people import TROUBLE, Holder, Reader, Sender, serves  # noqa: E402

BACK_WITHIN = 2.0
ROLES = ("mx", "user", "keeper", "keeper", "courier")


class Deaths:
    """Of the keeper: `begun` before it is killed, `ended` when it surely is dead."""
    begun = ended = 0


def is_dead(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return True


class Torture:
    def __init__(self, house, sink, seed):
        self.house, self.sink, self.seed = house, sink, seed
        self.dice, self.ledger, self.keeper, self.stop = random.Random(seed), Ledger(), Deaths(), threading.Event()
        self.back, self.kills, self.slow = collections.defaultdict(list), collections.Counter(), []

    def waiting(self):
        return self.ledger.accepted() - self.ledger.deletions

    def kill(self, pids):
        keepers = [pid for name, pid in pids if name == "keeper"]
        self.keeper.begun += bool(keepers)
        for name, pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
                self.kills[name.split("-")[0]] += 1
            except ProcessLookupError:
                pass
        while not all(is_dead(pid) for pid in keepers):
            pass
        self.keeper.ended = self.keeper.begun

    def kill_role(self, role):
        self.kill([(name, pid) for name, pid in self.house.pids().items() if name.split("-")[0] == role])

    def kill_all(self):
        """The supervisor: what it leaves behind ends by itself, and the keeper with it."""
        pids, house = self.house.pids(), self.house
        self.keeper.begun += 1
        house.process.kill()
        self.kills["supervisor"] += 1
        house.process.wait()
        end = time.monotonic() + 1
        while not all(is_dead(pid) for name, pid in pids.items() if name != "supervisor"):
            if time.monotonic() > end:
                self.ledger.fail(f"a role outlived its supervisor: {pids}")
                break
        self.keeper.ended = self.keeper.begun
        house.process.stdout.close()
        house.log.close()
        house.serve()

    def round(self, number):
        dice = self.dice
        time.sleep(dice.uniform(0.05, 0.4))
        kind = dice.choices(["one", "several", "supervisor"], [72, 20, 8])[0]
        pauses = [dice.uniform(0, 0.15) for _ in range(4)]
        roles = dice.choices(ROLES, k=1 if kind == "one" else dice.randint(2, 4))
        start = time.monotonic()
        if kind == "supervisor":
            self.kill_all()
        else:
            for i, role in enumerate(roles):
                time.sleep(pauses[i] if i > 0 else 0)
                start = time.monotonic()
                self.kill_role(role)
        while not serves(self.house) and time.monotonic() < start + 15:
            time.sleep(0.005)
        took = time.monotonic() - start
        self.back[kind if kind != "one" else roles[0]].append(took)
        if took > BACK_WITHIN:
            self.slow.append((number, kind, roles, round(took, 2)))
        time.sleep(dice.uniform(0, 0.4))

    def run(self, rounds):
        people = [Sender(self, i) for i in range(4)] + [Reader(self, i) for i in range(2)] + [Holder(self, i) for i in range(2)]
        for person in people:
            person.start()
        for number in range(rounds):
            self.round(number)
            if number % 20 == 19:
                print(f"torture: round {number + 1}, {self.ledger.accepted()} accepted, {self.ledger.deletions} read and deleted", flush=True)
        self.stop.set()
        for person in people:
            person.join(30)
            if person.is_alive():
                self.ledger.fail(f"{person} hangs")

    def read_all(self):
        for number in (0, 1):
            reader, end = Reader(self, number), time.monotonic() + 120
            while time.monotonic() < end:
                try:
                    if reader.session(1000, tidy=True) == 0:
                        break
                except TROUBLE as error:
                    print(f"torture: reading: {error!r}", flush=True)
                    time.sleep(0.2)
            else:
                self.ledger.fail(f"reader{number} cannot read all")

    def abroad(self):
        """What the smarthost has: how often each message came."""
        counts = collections.Counter()
        for mail in list(self.sink.mails):
            name, error = look_at(mail["data"])
            counts[name] += 1
            if error:
                self.ledger.fail(f"smarthost: {error}")
        return counts


def run_also():
    """What each test program says of itself, and whether it passed."""
    passed = {}
    for program in options.also:
        done = subprocess.run([program], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
        print("".join(line + "\n" for line in done.stdout.splitlines() if not line.startswith(("[ RUN", "20"))), end="", flush=True)
        passed[os.path.basename(program)] = done.returncode == 0
    return passed


def look_into_store(house):
    """Of the server that has stopped: what SQLite says, and what `ekirei check` says where there is one."""
    with sqlite3.connect(f"file:{house.dir}/store/ekirei.db?mode=ro", uri=True) as store:
        said = [row[0] for row in store.execute("PRAGMA integrity_check")] + [str(row) for row in store.execute("PRAGMA foreign_key_check")]
    help_text = subprocess.run([os.environ["EKIREI"], "help"], capture_output=True, text=True).stdout
    checked = "not there"
    if "\n  ekirei check " in help_text:
        done = subprocess.run([os.environ["EKIREI"], "check", "--dir", str(house.dir)], capture_output=True, text=True)
        checked = "ok" if done.returncode == 0 else f"exit {done.returncode}: {(done.stdout + done.stderr)[-1000:]}"
    print(f"torture: integrity_check {said}, ekirei check: {checked}")
    return said == ["ok"] and checked in ("ok", "not there")


def print_times(back):
    for kind, times in sorted(back.items()) + [("all", [t for some in back.values() for t in some])]:
        times = sorted(times)
        print(f"torture: back after {kind}: {len(times)} rounds, median {statistics.median(times):.3f} s, p95 {times[int(len(times) * 0.95)]:.3f} s, worst {times[-1]:.3f} s")


def main():
    checks = run_also()
    print(f"torture: {options.rounds} rounds, seed {options.seed}", flush=True)
    accounts = ("reader0", "reader1", "writer2", "writer3")
    with Sink() as sink, House(accounts=accounts, serve=False, smarthost=f"127.0.0.1:{sink.port}", smarthost__tls="none") as house:
        for i in range(2):
            house.account(f"lease{i}@acc.test", "--pop-before-smtp")
        house.probe_tls = house.tls()
        house.serve()
        torture = Torture(house, sink, options.seed)
        ledger = torture.ledger
        torture.run(options.rounds)
        try:
            until(lambda: house.json("queue", "list") == [], 60, "an empty queue")
        except AssertionError as error:
            ledger.fail(str(error))
        house.stop()
        house.serve()
        torture.read_all()
        house.stop()
        sound = look_into_store(house)
    abroad = torture.abroad()
    lost, twice, strange, halves = ledger.settle(abroad)
    messages = ledger.messages.values()
    again = sum(abroad[m.name] - 1 for m in messages if m.abroad and abroad[m.name] > 1)
    accepted, cut_off = ledger.accepted(), sum(m.cut_off for m in messages)
    print(f"torture: {accepted} accepted in {sum(m.attempts for m in messages)} attempts, {cut_off} answers cut off, {ledger.deletions} deletions acknowledged, "
          f"{ledger.kept} given up without QUIT; {sum(m.abroad for m in messages)} to the smarthost, {again} of them came again")
    print(f"torture: kills {dict(torture.kills)}; leases: {ledger.lease_used} messages, {ledger.lease_refused} refused 530 after their keeper's death")
    print_times(torture.back)
    print(f"torture: lost {lost[:5]}, twice {twice[:5]}, in part {halves[:5]}, strange {strange[:5]}, slow {torture.slow[:5]}")
    checks |= {"nothing lost": not lost, "nothing twice": not twice, "for all recipients or none": not halves, "nothing strange": not strange, "back within 2 s": not torture.slow,
               "nothing half, no return, no loss, no lease revived": not ledger.failures, "the store is sound": sound,
               "there was load": accepted > options.rounds and ledger.deletions > options.rounds and ledger.lease_used > options.rounds // 10 and ledger.lease_refused > options.rounds // 20}
    print(f"{sum(checks.values())} passed, {sum(not ok for ok in checks.values())} failed")
    for name, ok in checks.items():
        if not ok:
            print(f"failed: {name}")
    if not all(checks.values()):
        print(f"torture: repeat with --seed {options.seed}; {ledger.failures[:3]}")
    return 0 if all(checks.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
