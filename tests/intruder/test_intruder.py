"""Every role, behind its real walls, tries what it must not; every role that asks the keeper asks what it must not.

    test_intruder.py [--write]        EKIREI is the test build (puppet.h), PRODUCT the program that people run

What came of it is compared with results.json, from which tools/jail_table.py makes the tables in SECURITY.md.  As root everything is tried twice: started by root, and by an
ordinary user; as an ordinary user only the latter.  --write (as root) notes what was found instead."""
import collections
import errno
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time

here = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(here.parent / "e2e"))
NAME = f"ekirei-intruder-{os.getpid()}"
os.environ["EKIREI_INTRUDER"], os.environ["EKIREI_INTRUDER_AGAIN"] = NAME, "1"
from house import EKIREI, HOST, House, message, reserve_ports, until  # noqa: E402

BIT = {"mx": 1, "user": 2, "courier": 4, "keeper": 16, "supervisor": 32, "policy": 64}
SOON = 2.0  # seconds: a role that was replaced serves again
ORDER = []  # of the attempts, as tries.c has them
ENDS, POSSIBLE, TRADE = "ends it", "possible", "its trade"


class Puppet:
    """One life of one role."""

    def __init__(self, line):
        self.line = line
        line.settimeout(20)
        _, self.role, pid = self.line.recv(1 << 16).decode().split()
        self.pid, self.born = int(pid), time.monotonic()

    def hear(self):
        """None: it is dead."""
        try:
            return self.line.recv(1 << 16).decode("utf-8", "replace") or None
        except ConnectionResetError:
            return None
        except TimeoutError:
            raise AssertionError(f"{self.role}: neither an answer nor its end") from None

    def call(self, text):
        try:
            self.line.send(text.encode())
        except (BrokenPipeError, ConnectionResetError):
            return None
        while (said := self.hear()) and said.startswith("answer "):  # to octets of its own that were an ask
            pass
        return said

    def ask(self, session, kind, /, **fields):
        """Its answer, or what happened instead."""
        words = " ".join(f"{name.replace('__', '.')}={escape(value)}" for name, value in fields.items())
        return self.answer(self.call(f"ask {session} {kind} {words}".strip()))

    def answer(self, sent):
        assert sent is None or sent.startswith("sent ") or sent == "failed away", sent  # away: the channel is closed already, and its own end is near
        begin = f"answer {sent[5:]} " if sent else ""
        while sent and (said := self.hear()):
            if said.startswith(begin):  # others are to octets that it made up, and may come late
                return "answer " + said[len(begin):]
        return None


def escape(value):
    return "".join(c if c.isalnum() or c in "@.:<>-_" else "".join(f"%{octet:02x}" for octet in c.encode()) for c in str(value))


class Strings:
    """All puppets meet here."""

    def __init__(self):
        self.door = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.door.bind("\0" + NAME)
        self.door.listen(100)
        self.there, self.came = collections.defaultdict(list), threading.Condition()
        self.kept = []  # a puppet whose strings are let go ends
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            line, _ = self.door.accept()
            threading.Thread(target=self.meet, args=(line,), daemon=True).start()

    def meet(self, line):
        try:
            puppet = Puppet(line)
        except (ValueError, OSError):
            return  # it ended before it served
        with self.came:
            self.there[puppet.role].append(puppet)
            self.kept.append(puppet)
            self.came.notify_all()

    def take(self, role, seconds=20):
        with self.came:
            assert self.came.wait_for(lambda: self.there[role], seconds), f"no {role} came"
            return self.there[role].pop(0)

    def forget(self):
        with self.came:
            self.there.clear()


strings = Strings()


def in_threads(calls):
    """All at once; the first failure is the caller's."""
    failed = []

    def run(call):
        try:
            call()
        except BaseException as error:  # noqa: B902
            failed.append(error)
    threads = [threading.Thread(target=run, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]


def ended_by(log, pid):
    found = re.search(rf"role\.ended .*child={pid} signal=(\d+) ", log)  # the space: the line may be half written
    return found and int(found[1])


# ---- system calls ----


def try_all(role, tries, mark, next_life, cause):
    """name -> what came of it."""
    found, puppet = {}, next_life(None)
    for name in tries:
        said = puppet.call(f"try {mark} {name}")
        if said is None:
            signal = until(lambda: cause(puppet.pid), 5, f"{role}: its end after {name}")
            assert signal == 31, f"{role}: {name} ended it with signal {signal}, not SIGSYS"
            found[name], puppet = ENDS, next_life(puppet)
        else:
            code = int(said.split()[1])
            assert code >= 0, f"{role}: {name}: {said}"
            found[name] = errno.errorcode.get(code, str(code)) if code else POSSIBLE
    return found


def of_house(user, results):
    strings.forget()
    with House(user=user) as house, socket.create_server((HOST, 0)) as listener:
        (house.dir / "run" / "decoy").write_text("x")
        supervisor, pids = strings.take("supervisor"), house.pids()
        rows = [row.split(" ", 1) for row in supervisor.call("list").splitlines()]
        ORDER[:] = [name for _, name in rows]

        def of_role(role):
            mine = [name for roles, name in rows if int(roles) & BIT[role]]
            victim = pids["supervisor"] if role != "supervisor" else pids["user-0"]
            mark = f"{victim} {listener.getsockname()[1]} {house.dir}"
            results[role] = try_all(role, mine, mark, lambda old: supervisor if role == "supervisor" else strings.take(role), lambda pid: ended_by(house.logged(), pid))
            results[role].update({name: TRADE for roles, name in rows if not int(roles) & BIT[role] and role != "supervisor"})
        in_threads([lambda role=role: of_role(role) for role in ("mx", "user", "courier", "keeper", "supervisor")])
        assert (house.dir / "run" / "decoy").exists()
        assert house.pids()["supervisor"] == supervisor.pid
        house.send("alice@acc.test")  # it serves as if nothing had been
        until(lambda: len(house.mail_of("alice@acc.test")) == 1, 10, "mail after all that")
        return int(re.search(r"jail\.entered role=keeper .*landlock=(\d+)", house.logged())[1])


def of_policy(user, results):
    top = pathlib.Path(tempfile.mkdtemp(prefix="ekirei-intruder-", dir="/var/tmp"))
    as_user = {"user": user, "group": user, "extra_groups": []} if user else {}
    port, kept = reserve_ports(0, 1)
    processes = []
    try:
        top.chmod(0o755)
        if user:
            os.chown(top, user, user)
        subprocess.run([EKIREI, "policy", "--make-key", "--dir", top / "e"], check=True, capture_output=True, **as_user)
        (top / "e" / "ekirei.conf").write_text(f"policy.listen = {HOST}:{port}\npolicy.reports = {HOST}:{port + 1}\n")

        def next_life(old):
            if old:
                processes[-1].wait(10)
            with open(top / "log", "ab") as log:
                processes.append(subprocess.Popen([EKIREI, "policy", "--dir", top / "e"], stdout=subprocess.DEVNULL, stderr=log, stdin=subprocess.DEVNULL, **as_user))
            return strings.take("policy")

        def cause(pid):
            process = next(p for p in processes if p.pid == pid)
            return -process.wait(10)
        first = next_life(None)
        rows = [row.split(" ", 1) for row in first.call("list").splitlines()]
        mine = [name for roles, name in rows if int(roles) & BIT["policy"]]
        results["policy"] = try_all("policy", mine, f"{os.getpid()} {port} {top}/e", lambda old: next_life(old) if old else first, cause)
        results["policy"].update({name: TRADE for roles, name in rows if not int(roles) & BIT["policy"]})
    finally:
        for process in processes:
            if process.poll() is None:
                process.kill()
            process.wait()
        kept.close()
        shutil.rmtree(top, ignore_errors=True)


def system_calls(user):
    """role -> name -> what came of it; and the version of Landlock."""
    results, level = {}, []
    in_threads([lambda: level.append(of_house(user, results))])
    of_policy(user, results)
    return results, level[0]


def compare(found, known, kinds):
    """Each cell is what both found, or "as root / as an ordinary user"."""
    for (table, name, role), cell in found.items():
        row = known[table].get(name, {}).get(role, "nothing of it").split(" / ")
        for kind, place in kinds.items():
            if kind in cell and cell[kind] != row[place]:
                yield f"{role} (started by {kind}): {name}: {cell[kind]}, but results.json says {row[place]}"
    for table, rows in known.items():
        for name, cells in rows.items():
            yield from (f"{role}: {name}: results.json has it, and it was not tried" for role in cells if (table, name, role) not in found)


def write(found, target):
    tables = {"calls": {name: {} for name in ORDER}, "asks": {name: {} for name in sorted({name for table, name, _ in found if table == "asks"})}}
    for (table, name, role), cell in sorted(found.items()):
        tables[table][name][role] = " / ".join(dict.fromkeys([cell["root"], cell["a user"]]))
    rows = {table: ",\n".join(f"  {json.dumps(name)}: {json.dumps(cells)}" for name, cells in rows.items()) for table, rows in tables.items()}
    target.write_text("{\n" + ",\n".join(f' "{table}": {{\n{text}\n }}' for table, text in rows.items()) + "\n}\n")


def main():
    import asks
    began, target = time.monotonic(), here / "results.json"
    root = os.geteuid() == 0
    kinds = {"root": (None, 0), "a user": (64999, -1)} if root else {"a user": (None, -1)}
    found, problems, tried, replaced = collections.defaultdict(dict), [], 0, 0
    for kind, (user, _) in kinds.items():
        calls, landlock = system_calls(user)
        asked, ends = asks.all_asks(strings, in_threads, user)
        replaced += ends
        for table, roles in (("calls", calls), ("asks", asked)):
            for role, name, cell in ((role, name, cell) for role, cells in roles.items() for name, cell in cells.items()):
                tried += cell != TRADE
                if cell == POSSIBLE and landlock < 4 and role in ("keeper", "courier"):
                    print(f"not compared: {role}: {name}: this kernel's Landlock ({landlock}) cannot keep it from that")
                    found[table, name, role].update()  # it was tried
                    continue
                if cell.startswith(POSSIBLE):
                    problems.append(f"{role} (started by {kind}): {name} was possible: {cell}")
                found[table, name, role][kind] = cell
    slowest = asks.replaced_in_time(strings)
    if "PRODUCT" in os.environ and b"EKIREI_INTRUDER" in pathlib.Path(os.environ["PRODUCT"]).read_bytes():
        problems.append("the program that people run has the test's hooks in it")
    if "--write" in sys.argv and root:
        write(found, target)
    else:
        problems += compare(found, json.loads(target.read_text()), {kind: place for kind, (_, place) in kinds.items()})
    print(f"intruder: {tried} attempts, {replaced} senders of bad asks replaced, served again after {slowest:.2f} s at most; {time.monotonic() - began:.0f} s")
    print("\n".join(problems[:40]))
    return bool(problems)


if __name__ == "__main__":
    sys.exit(main())
