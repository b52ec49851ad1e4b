#!/usr/bin/env python3
"""kill -9 of a random role at random times, under four senders and two POP3 readers:   torture.py [--rounds N] [--seed N] [--also PROGRAM]... EKIREI

PROGRAMs are tests that can take long (the model of leases, the timing of refusals): run first, and counted.
At the end: every message that was answered 250 was there exactly once (twice only where its 250 was cut off), what a reader deleted with an acknowledged QUIT stays deleted,
nothing is half-written, and service was back within two seconds after each kill.  Closes with 'N passed, N failed'."""
import argparse
import collections
import os
import pathlib
import poplib
import random
import signal
import smtplib
import subprocess
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "e2e"))
arguments = argparse.ArgumentParser()
arguments.add_argument("program")
arguments.add_argument("--rounds", type=int, default=20)
arguments.add_argument("--seed", type=int, default=int(time.time()))
arguments.add_argument("--also", action="append", default=[], metavar="PROGRAM")
options = arguments.parse_args()
os.environ["EKIREI"] = os.path.realpath(options.program)
from house import House, message  # noqa: E402

accepted, doubtful, deleted, seen = set(), set(), set(), collections.Counter()
leaving = set()  # read whole, and QUIT was sent: gone or not, if its answer was cut off
lock, stop = threading.Lock(), threading.Event()
BODY = "".join(f"line {i} of a body that must come back whole\r\n" for i in range(60))


def sender(house, number):
    count = 0
    while not stop.is_set():
        try:
            with house.smtp() as client:
                client.ehlo()
                for _ in range(20):
                    if stop.is_set():
                        return
                    count += 1
                    name = f"s{number}-{count}"
                    client.mail("x@elsewhere.test")
                    client.rcpt(f"reader{count % 2}@acc.test")
                    with lock:
                        doubtful.add(name)
                    code, _ = client.data(message(subject=name, body=BODY).encode())
                    if code == 250:
                        with lock:
                            accepted.add(name)
                            doubtful.discard(name)
                    else:
                        with lock:
                            doubtful.discard(name)
        except (OSError, smtplib.SMTPException, ValueError):
            time.sleep(0.02)


def take(house, number, most):
    """One POP3 session: reads up to `most`, deletes what it read, and counts only if QUIT was acknowledged."""
    with house.pop3(f"reader{number}@acc.test") as client:
        found = []
        for i in range(min(client.stat()[0], most)):
            mail = b"\r\n".join(client.retr(i + 1)[1]) + b"\r\n"
            name = mail.split(b"Subject: ")[1].split(b"\r\n")[0].decode()
            assert mail.endswith(BODY.encode()), f"half a message: {name}"
            found.append(name)
            client.dele(i + 1)
        with lock:
            leaving.update(found)
        client.quit()
    with lock:
        for name in found:
            assert name not in deleted or name in doubtful or name not in accepted, f"{name} came back after an acknowledged QUIT"
            seen[name] += 1
            deleted.add(name)
    return len(found)


def reader(house, number):
    while not stop.is_set():
        try:
            take(house, number, 50)
        except (OSError, poplib.error_proto, IndexError):
            pass
        time.sleep(0.05)


def serves(house):
    try:
        with house.smtp() as client:
            client.ehlo()
            client.mail("x@elsewhere.test")
            if client.rcpt("reader0@acc.test")[0] != 250:
                return False
        with house.pop3("reader0@acc.test"):
            return True
    except (OSError, smtplib.SMTPException, poplib.error_proto):
        return False


def run_also():
    """What each test program says of itself, and whether it passed."""
    passed = {}
    for program in options.also:
        done = subprocess.run([program], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
        print("".join(line + "\n" for line in done.stdout.splitlines() if not line.startswith(("[ RUN", "20"))), end="", flush=True)
        passed[os.path.basename(program)] = done.returncode == 0
    return passed


def main():
    checks = run_also()
    dice, slow, failed = random.Random(options.seed), [], []
    print(f"torture: {options.rounds} rounds, seed {options.seed}", flush=True)
    hooked = threading.excepthook

    def note(arguments):
        failed.append(str(arguments.exc_value))
        hooked(arguments)
    threading.excepthook = note
    with House(accounts=("reader0", "reader1")) as house:
        threads = [threading.Thread(target=sender, args=(house, i)) for i in range(4)] + [threading.Thread(target=reader, args=(house, i)) for i in range(2)]
        for thread in threads:
            thread.start()
        for round_ in range(options.rounds):
            time.sleep(dice.uniform(0.05, 0.5))
            role = dice.choice(["mx", "user", "keeper", "keeper", "courier"])
            victim = [pid for name, pid in house.pids().items() if name.startswith(role)]
            try:
                os.kill(dice.choice(victim), signal.SIGKILL)
            except (ProcessLookupError, IndexError):
                continue
            start = time.monotonic()
            while not serves(house) and time.monotonic() < start + 10:
                time.sleep(0.01)
            if time.monotonic() - start > 2:
                slow.append((round_, role, round(time.monotonic() - start, 2)))
            if round_ % 10 == 9:
                print(f"torture: round {round_ + 1}, {len(accepted)} accepted, {len(deleted)} fetched and deleted", flush=True)
            time.sleep(dice.uniform(0, 0.6))  # let the back-off rest between kills of the same role
        stop.set()
        for thread in threads:
            thread.join(30)
        house.stop()
        house.serve()
        for number in (0, 1):
            while take(house, number, 1000):
                pass
    lost = accepted - deleted - leaving
    twice = {name for name, count in seen.items() if count > 1 and name in accepted}
    checks |= {"nothing lost": not lost, "nothing twice": not twice, "back within 2 s": not slow, "no half message, no return": not failed, "there was load": len(accepted) > options.rounds}
    print(f"torture: {len(accepted)} accepted, {len(doubtful)} cut off, lost {sorted(lost)[:5]}, twice {sorted(twice)[:5]}, slow {slow[:5]}, {failed[:3]}")
    print(f"{sum(checks.values())} passed, {sum(not ok for ok in checks.values())} failed")
    for name, ok in checks.items():
        if not ok:
            print(f"failed: {name}")
    return 0 if all(checks.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
