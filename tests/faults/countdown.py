"""Countdown faults: the n-th event of a kind in one role of a whole server fails, once or for ever; n grows until a whole scenario passes without reaching it.

    countdown.py EKIREI EKIREI_FAULTY [--sample CPU_SECONDS] [--kinds a,b] [--jobs N] [--only KIND:ROLE:N:once]

The server under test (ekirei_faulty) is the program itself with faults linked in front of what it calls (countdown.c).  Each run: start it over a copy of one prepared
store, play the scenario below, stop it, start it again without faults and compare what is there with what clients were told."""
import argparse
import contextlib
import mmap
import os
import pathlib
import random
import re
import resource
import shutil
import signal
import socket
import sqlite3
import ssl
import struct
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
import house as e2e  # noqa: E402

ROLES = ["supervisor", "keeper", "mx", "user", "courier"]
EVENTS = ["statement", "prepare", "db-write", "db-sync", "db-file", "write", "sync", "file", "sendmsg", "put", "open", "send", "pool", "limit"]
IO, FULL, BUSY, CUT, LIE = range(5)
# kind -> event, manner.  Where the manner has no "for ever" of its own (a socket that is never writable again is a peer that hangs) only "once" is run.
KINDS = {
    "statement-io": ("statement", IO), "statement-full": ("statement", FULL), "statement-busy": ("statement", BUSY), "prepare-io": ("prepare", IO),
    "db-write-io": ("db-write", IO), "db-write-full": ("db-write", FULL), "db-sync": ("db-sync", IO), "db-file": ("db-file", IO), "db-file-full": ("db-file", FULL),
    "write-io": ("write", IO), "write-full": ("write", FULL), "sync": ("sync", IO), "file": ("file", IO), "file-full": ("file", FULL),
    "frame-lost": ("sendmsg", IO), "frame-cut": ("sendmsg", CUT), "frame-later": ("sendmsg", BUSY), "frame-busy": ("put", BUSY), "frame-refused": ("open", IO),
    "send-lost": ("send", IO), "send-cut": ("send", CUT), "send-later": ("send", BUSY), "pool-busy": ("pool", BUSY), "limit": ("limit", IO),
}
ONLY_ONCE = {"frame-later", "send-later"}
ONLY_ONCE_IN = {("frame-busy", "keeper")}  # a gate that never reads its answers is one that hangs
# What the comparison must notice: a row that was not inserted, an SQLite whose writes never reach the file, a mail that is stored and called refused.
LIES = {"lie-row": ("statement", LIE), "lie-file": ("db-write", LIE), "lie-delivery": ("put", LIE)}
# Where something was found once; these come first in every short run.
KNOWN = [("db-file", "keeper", 1, False), ("frame-lost", "user", 10, False), ("frame-lost", "supervisor", 8, False), ("write-io", "supervisor", 7, True)]
LAYOUT = struct.Struct(f"=4IQQ{len(ROLES) * len(EVENTS)}Q128s")
PATIENCE = 15.0      # seconds after which a client says that the server hangs
START_PATIENCE = 25  # until `ready`, or the end: six starts of a role with growing pauses
STOP_PATIENCE = 6.0
CPU_MOST = 2.5       # seconds for all processes of a run: beyond that something spins
SMALL, LARGE = 2000, 420_000  # octets; the large one is beyond what goes inline, and is stored in a file of its own
PEOPLE = ("alice", "bob", "carol")


class Defect(Exception):
    """What must not be, whatever failed."""


class Plan:
    """The shared file."""

    def __init__(self, path):
        self.path = path
        path.write_bytes(b"\0" * LAYOUT.size)
        with open(path, "r+b") as file:
            self.map = mmap.mmap(file.fileno(), LAYOUT.size)

    def arm(self, role=0, event=0, manner=0, for_ever=False, at=0):
        self.map[:LAYOUT.size] = LAYOUT.pack(role, event, manner, for_ever, at, 0, *[0] * (len(ROLES) * len(EVENTS)), b"")

    def disarm(self):
        self.map[16:24] = b"\0" * 8

    def read(self):
        values = LAYOUT.unpack(self.map[:LAYOUT.size])
        counts = {(role, event): values[6 + r * len(EVENTS) + e] for r, role in enumerate(ROLES) for e, event in enumerate(EVENTS)}
        return values[5], counts, values[-1].split(b"\0")[0].decode(errors="replace")


class Wire:
    """One client's conversation; None where the server closed the connection."""

    def __init__(self, port, tls=None, may_wait=False):
        """may_wait: nobody may come to the door, as long as the fault lasts; the connection stays in the kernel's queue."""
        self.held, self.socket, self.waited, self.greeting = b"", None, False, None
        try:
            self.socket = socket.create_connection((e2e.HOST, port), timeout=0.7 if may_wait else PATIENCE)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if tls:
                self.socket = tls.wrap_socket(self.socket, server_hostname="localhost")
            self.greeting = self.socket.recv(65536)
            self.held = self.greeting
        except socket.timeout:
            self.waited = True
            self.close()
            if not may_wait:
                raise Defect("hang: no greeting") from None
        except (OSError, ssl.SSLError):
            self.close()
        if self.socket:
            self.socket.settimeout(PATIENCE)

    def secure(self, tls):
        try:
            self.socket = tls.wrap_socket(self.socket, server_hostname="localhost")
        except socket.timeout:
            raise Defect("hang: no handshake") from None
        except (OSError, ssl.SSLError):
            self.close()
        return self.socket is not None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        if self.socket:
            self.socket.close()
        self.socket = None

    def put(self, octets):
        with contextlib.suppress(OSError):
            if self.socket:
                self.socket.sendall(octets)

    def line(self):
        while b"\r\n" not in self.held:
            try:
                more = self.socket.recv(65536) if self.socket else b""
            except socket.timeout:
                raise Defect("hang: no reply") from None
            except OSError:
                more = b""
            if not more:
                self.close()
                return None
            self.held += more
        line, self.held = self.held.split(b"\r\n", 1)
        return line.decode("utf-8", "replace")

    def smtp(self, text=None):
        """The code of the reply, or None."""
        if text:
            self.put(text.encode() + b"\r\n")
        while (line := self.line()) is not None:
            if not re.match(r"[2345]\d\d[ -]", line):
                raise Defect(f"no reply of SMTP: {line!r}")
            if line[3] == " ":
                self.last = line
                return int(line[:3])
        return None

    def pop(self, text=None):
        """True for +OK, the line for -ERR, or None."""
        if text:
            self.put(text.encode() + b"\r\n")
        line = self.line()
        if line is None or line.startswith("+OK"):
            self.last = line
            return line and True
        if not line.startswith("-ERR"):
            raise Defect(f"no reply of POP3: {line!r}")
        return line

    def lines(self):
        """A multi-line answer; None where it was cut off."""
        found = []
        while (line := self.line()) is not None:
            if line == ".":
                return found
            found.append(line[1:] if line.startswith(".") else line)
        return None


def text_of(name, size):
    """The same octets for the same name; they do not pack."""
    noise = random.Random(name)
    rows = ["".join(noise.choices("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", k=72)) for _ in range(size // 74)]
    return rows


MAILS = {}  # text lines by name: made once


def body_of(name):
    if name not in MAILS:
        MAILS[name] = text_of(name, LARGE if name.startswith("large") else SMALL)
    return MAILS[name]


def octets_of(name, sender, to):
    rows = [f"From: {sender}", f"To: {to}", f"Subject: {name}", "", *body_of(name)]
    return "\r\n".join(rows).encode() + b"\r\n"


class Mail:
    """What became of one message as its sender was told: True (250), False (refused), None (never heard)."""

    def __init__(self, name, to):
        self.name, self.to, self.taken = name, to, False


class Run:
    """One start to the last comparison."""

    def __init__(self, world, folder):
        self.world, self.folder = world, folder
        self.mails, self.deleted, self.uids, self.devices = {}, {}, {}, {}
        self.process, self.log = None, folder / "log"
        self.reading = None
        self.for_ever = self.limits = False
        self.under_fault = True

    # -- the server

    def start(self):
        """True: it is ready; else it ended and said why."""
        with open(self.log, "ab") as log:
            began = log.tell()
            self.process = subprocess.Popen([self.world.faulty, "serve", "--dir", str(self.folder / "e")], stdout=subprocess.PIPE, stderr=log,
                                            env=os.environ | {"EKIREI_COUNTDOWN": str(self.world.plan.path), "ASAN_OPTIONS": "detect_leaks=0"})
        timer = threading.Timer(START_PATIENCE, self.process.kill)
        timer.start()
        line = self.process.stdout.readline()
        timer.cancel()
        if line.startswith(b"ready"):
            return True
        code = self.process.wait()
        self.process.stdout.close()
        self.process = None
        if code == -signal.SIGABRT:
            self.check_ends()  # a must() of the supervisor's
            return False
        if code < 0:
            raise Defect(f"start: neither ready nor ended in time (exit {code})")
        if code == 0 or len(self.log.read_bytes()) == began:
            raise Defect(f"start: ended with {code} and said nothing")
        return False

    def stop(self):
        process, self.process = self.process, None
        if not process:
            return
        process.send_signal(signal.SIGTERM)
        try:
            code = process.wait(STOP_PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise Defect("stop: not within its time") from None
        finally:
            process.stdout.close()
        if code != 0:
            raise Defect(f"stop: exit {code}")

    def kill(self):
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process.stdout.close()
            self.process = None

    def port(self, service):
        return e2e.STANDARD[service] + self.world.offset

    # -- what clients do

    def connect(self, service, tls=None):
        return Wire(self.port(service), tls, self.for_ever and self.under_fault)

    def judge(self, code, wire, what):
        """5yz says that a mail can never be taken: never true of a fault, but of a limit."""
        if code is None or code < 500 or self.limits or "EK-17]" in wire.last:  # 17: without a lease; it is gone with the keeper's memory
            return
        if "EK-" in wire.last:
            raise Defect(f"{what}: refused for good: {wire.last}")

    def smtp_mail(self, wire, name, sender, to):
        mail = self.mails[name] = Mail(name, to)
        code = wire.smtp(f"MAIL FROM:<{sender}>")
        self.judge(code, wire, "MAIL")
        if code != 250:
            return False
        for address in to:
            code = wire.smtp(f"RCPT TO:<{address}>")
            self.judge(code, wire, "RCPT")
            if code != 250:
                return False
        code = wire.smtp("DATA")
        self.judge(code, wire, "DATA")
        if code != 354:
            return False
        mail.taken = None
        wire.put(octets_of(name, sender, to[0]) + b".\r\n")
        code = wire.smtp()
        self.judge(code, wire, "end of data")
        mail.taken = None if code is None or code == 421 else code == 250
        return mail.taken is True

    def deliver(self, *letters, service="smtp", sender="someone@far.test"):
        """All of them over one connection; False at the first that is not taken."""
        with self.connect(service) as wire:
            done = wire.smtp() == 220 and wire.smtp("EHLO client.test") == 250
            if done and service == "submission":
                done = wire.smtp("STARTTLS") == 220 and wire.secure(self.world.tls) and wire.smtp("EHLO client.test") == 250
            for name, to in letters:
                done = done and self.smtp_mail(wire, name, sender, to)
            if done:
                wire.smtp("QUIT")
            return done

    def pop_login(self, who):
        wire = self.connect("pop3s", self.world.tls)
        for line in (None, f"USER {who}@acc.test", f"PASS Pass-word-{who}"):
            reply = wire.pop(line)
            if reply is not True:
                if reply and ("[AUTH]" in reply or "[SYS/PERM]" in reply) and not self.limits:
                    raise Defect(f"a right password is refused for good: {reply}")
                wire.close()
                return None
        return wire

    def pop_retr(self, wire, number):
        """The name of the message; None where it cannot be had now."""
        reply = wire.pop(f"RETR {number}")
        if reply is not True:
            if reply and "SYS/PERM" in reply and not self.limits:
                raise Defect(f"RETR: {reply}")
            return None
        lines = wire.lines()
        if lines is None:
            return None
        name = next((line[9:] for line in lines if line.startswith("Subject: ")), "")
        if "" not in lines or name in self.mails and lines[lines.index("") + 1:] != body_of(name):
            raise Defect(f"RETR: a complete answer with another text: {name}")
        return name

    def pop_session(self, who, delete=None, strict=False):
        """uid -> name of what is there, or None where the session broke off.  delete: names."""
        wire = self.pop_login(who)
        if not wire:
            return None
        with wire:
            if wire.pop("UIDL") is not True or (rows := wire.lines()) is None:
                return None
            found, going = {}, []
            for row in rows:
                number, uid = row.split()
                name = self.pop_retr(wire, number)
                if name is None:
                    if strict:
                        raise Defect(f"{who}: message {number} cannot be read")
                    continue
                found[uid] = name
                if self.uids.setdefault((who, uid), name) != name:
                    raise Defect(f"{who}: UID {uid} was {self.uids[who, uid]} and is {name}")
                if delete and name in delete and wire.pop(f"DELE {number}") is True:
                    self.deleted[who, name] = None  # until QUIT says so
                    going.append((who, name))
            if wire.pop("QUIT") is True:
                self.deleted.update(dict.fromkeys(going, True))
            return found

    def add_device(self, name):
        self.devices[name] = None
        try:
            done = subprocess.run([self.world.ekirei, "device", "add", "carol@acc.test", "--name", name, "--json", "--dir", str(self.folder / "e")],
                                  capture_output=True, timeout=2 * PATIENCE)
        except subprocess.TimeoutExpired:
            raise Defect("hang: device add") from None
        if done.returncode == 0:
            self.devices[name] = True
        elif not done.stderr:
            raise Defect("device add: failed and said nothing")

    def reload(self):
        mark = len(self.logged())
        self.process.send_signal(signal.SIGHUP)
        end = time.monotonic() + (0.3 if self.for_ever else 1.0)
        while time.monotonic() < end and not re.search(r"supervisor\.reload(ed|-refused)|settings-refused", self.logged()[mark:]):
            time.sleep(0.005)

    def logged(self):
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def scenario(self):
        everybody = [f"{who}@acc.test" for who in PEOPLE]
        self.add_device("scanner")
        self.deliver(("small-3", everybody), ("large-1", everybody[:1]))
        self.pop_session("alice", delete=("old-1", "large-old"))
        # Nothing but the lease that this login opened gives the right to do that.
        self.deliver(("out-1", ["x@far.test", "bob@acc.test"]), service="submission", sender="alice@acc.test")
        self.reload()
        self.pop_session("bob", delete=("small-3",))
        self.wait_for_courier(0.25)

    def second_scenario(self):
        """After a stop: over a store that was in use."""
        self.deliver(("small-late", ["bob@acc.test", "carol@acc.test"]))
        self.pop_session("carol", delete=("small-3",))

    def wait_for_courier(self, seconds):
        end = time.monotonic() + seconds
        while self.mails.get("out-1") and self.mails["out-1"].taken and time.monotonic() < end:
            if self.gone_out("out-1"):
                return True
            time.sleep(0.005)
        return False

    def gone_out(self, name):
        marks = b"Subject: " + name.encode() + b"\r\n"
        return sum(marks in mail["data"] for mail in list(self.world.sink.mails))

    def probe(self, name):
        """What failed is over: within seconds everybody is served again."""
        end = time.monotonic() + PATIENCE
        tries = 0
        while time.monotonic() < end:
            tries += 1
            if self.deliver((f"{name}-{tries}", ["bob@acc.test"])) and self.pop_session("bob") is not None:
                return
            time.sleep(0.05)
        raise Defect("the fault is over, and clients are still not served")

    # -- afterwards

    def check_ends(self):
        text = self.logged()
        for line in text.splitlines():
            if failed := re.search(r"must\((.*)\) failed at (\S+):(\d+)", line):
                where = place_in_source(failed[2], int(failed[3]))
                self.world.musts[where] = self.world.musts.get(where, 0) + 1
                if not self.limits or (where not in ARITHMETIC and self.world.strict):
                    raise Defect(f"must({failed[1]}) in {where}")
            if "Sanitizer" in line:
                raise Defect(line)
            ended = re.search(r"role\.ended.* role=(\S+).* signal=(\d+)", line)
            if ended and int(ended[2]) not in (0, signal.SIGKILL) and "must(" not in text:
                raise Defect(line)
            if "role.killed" in line and not re.search("malformed ask|does not read what it is told|it cannot be", line):
                raise Defect(line)

    def check_mails(self, syncs_fail):
        there = {who: self.pop_session(who, strict=True) for who in PEOPLE}
        for who, found in there.items():
            if found is None:
                raise Defect(f"{who}: no session on a server without faults")
            names = list(found.values())
            for name in {*names, *self.mails, "old-1", "large-old"}:
                self.check_mail(who, name, names.count(name), syncs_fail)

    def check_mail(self, who, name, count, syncs_fail):
        mail = self.mails.get(name)
        if mail:
            expected = f"{who}@acc.test" in mail.to
            taken = mail.taken
        else:
            expected, taken = who == "alice" and name in ("old-1", "large-old"), True
        gone = self.deleted.get((who, name), False)
        least = 1 if expected and taken and gone is False else 0
        # What was refused after a sync failed may be found after all (store.h): then once.
        most = 1 if expected and (taken is not False or syncs_fail) and gone is not True else 0
        if not least <= count <= most:
            raise Defect(f"{who}: {name} is there {count} times; the sender was told {taken}, deleted: {gone}")

    def check_queue(self, syncs_fail):
        mail = self.mails.get("out-1")
        if not mail:
            return
        if mail.taken and not self.wait_for_courier(8.0):
            raise Defect("a mail for elsewhere was taken and does not arrive there")
        count = self.gone_out("out-1")
        if count > 2 or count and mail.taken is False and not syncs_fail:
            raise Defect(f"a mail for elsewhere arrived {count} times; the sender was told {mail.taken}")

    def check_store(self):
        store = self.folder / "e" / "store"
        db = sqlite3.connect(store / "ekirei.db")

        def rows(sql):
            return db.execute(sql).fetchall()

        wrong = [row for row in rows("PRAGMA integrity_check") if row != ("ok",)] + rows("PRAGMA foreign_key_check")
        wrong += rows("SELECT 'counts', b.id, b.messages FROM mailbox b WHERE messages <> (SELECT count(*) FROM message m WHERE m.mailbox = b.id)")
        wrong += rows("SELECT 'octets', b.id FROM mailbox b WHERE octets <> (SELECT coalesce(sum(size), 0) FROM message m WHERE m.mailbox = b.id)")
        wrong += rows("SELECT 'uidnext', b.id FROM mailbox b WHERE uidnext <= (SELECT max(uid) FROM message m WHERE m.mailbox = b.id)")
        wrong += rows("SELECT 'modseq', b.id FROM mailbox b WHERE highestmodseq < (SELECT max(modseq) FROM message m WHERE m.mailbox = b.id)")
        wrong += rows("SELECT 'uid used twice', m.mailbox, m.uid FROM message m JOIN expunged USING (mailbox, uid)")
        wrong += rows("SELECT 'body missing', m.uid FROM message m WHERE blob NOT IN (SELECT id FROM blob)")
        wrong += rows("SELECT 'orphan in use', m.uid FROM message m JOIN orphan USING (blob)")
        wrong += rows("SELECT 'body forgotten', id FROM blob WHERE id NOT IN (SELECT blob FROM message UNION SELECT blob FROM queue_message UNION SELECT blob FROM orphan)")
        wrong += rows("SELECT 'references', s.blob, refs FROM share s WHERE refs <> (SELECT count(*) FROM message m WHERE m.blob = s.blob)"
                      " + (SELECT count(*) FROM queue_message q WHERE q.blob = s.blob)")
        files = {str(path.relative_to(store)) for path in (store / "bodies").rglob("*") if path.is_file()}
        wrong += [("files", *pair) for pair in zip(["there and unknown, or known and not there"] * 9, files ^ {row[0] for row in rows("SELECT file FROM blob WHERE file IS NOT NULL")})]
        devices = {row[0] for row in rows("SELECT name FROM credential")}
        wrong += [("device", name) for name, made in self.devices.items() if made and name not in devices]
        db.close()
        if wrong:
            raise Defect(f"store: {wrong[:4]}")


SOURCE = pathlib.Path(__file__).resolve().parents[2] / "src"
# must() that says of a limit: it cannot be reached, because sizes that were checked before see to that.  The reason stands beside it.
ARITHMETIC = {
    "config.c:config_default": "the presets of a table of constants, in an arena 16 times the largest settings file",
    "proto/session.c:make_name": "a name of fixed form, in a buffer for its longest",
    "proto/smtp/smtp_reply.c:smtp_say": "a reply is a row of a table and one bounded argument; the session stops reading before its output is full",
    "proto/smtp/smtp_reply.c:smtp_say_lines": "as smtp_say",
    "proto/smtp/smtp.c:cmd_ehlo": "the rows of one table, in a buffer of twice their size",
    "proto/pop3/pop3_reply.c:pop3_say": "as smtp_say",
    "proto/smtp/smtp_client.c:keep_line": "cut at the size of its buffer",
    "proto/smtp/smtp_client_say.c:client_say": "commands go out in groups that are smaller than the buffer",
    "courier/attempt.c:copy_claim": "an arena of twice what an answer of the keeper may hold",
    "courier/attempt.c:attempt_keep": "as copy_claim",
    "courier/attempt.c:settle": "as copy_claim",
    "net/channel.c:read_frames": "room for the longest frame and one read",
    "net/signer.c:serve_ask": "one answer, in a buffer for its longest",
    "proto/pop3/pop3_drop.c:cmd_dele": "a bit for each message of a maildrop of bounded length",
    "proto/pop3/pop3_drop.c:expunge_more": "an arena that was just emptied, with room for that table",
    "mail/dot.c:dot_decode": "the caller asks for no more than the room that is left",
    "keeper/reader.c:read_page": "one page's rows, in an arena for a page of a list",
    "keeper/task.c:put_answer": "an answer that is a status alone, on a channel that is not full",
    "keeper/task.c:task_state": "an arena far above any state and any ask",
}


def place_in_source(file, number):
    """file:function of a line."""
    file = file[file.rindex("src/") + 4:]
    for line in reversed((SOURCE / file).read_text().splitlines()[:number]):
        if found := re.match(r"\w.*?(\w+)\(", line):
            return f"{file}:{found[1]}"
    return file


class World:
    """What all runs of this process share: the prepared store, the peer that takes mail, the shared file."""

    def __init__(self, ekirei, faulty):
        self.ekirei, self.faulty = ekirei, faulty
        e2e.EKIREI = ekirei
        self.sink = e2e.Sink()
        self.house = e2e.House(serve=False, accounts=(), smarthost=f"{e2e.HOST}:{self.sink.port}", smarthost__tls="none",
                               queue__first_retry="200ms", queue__max_retry="1s", pop_before_smtp__messages="10")
        self.offset, self.top = self.house.offset, self.house.top
        self.plan = Plan(self.top / "countdown")
        self.house.account("alice@acc.test", "--pop-before-smtp")
        for who in PEOPLE[1:]:
            self.house.account(f"{who}@acc.test")
        self.prepare()
        self.tls = self.house.tls()
        self.worst, self.musts, self.strict = (0.0, ""), {}, True

    def close(self):
        self.sink.__exit__()
        self.house.__exit__()

    def prepare(self):
        """Mail that is there before, and a body that the next sweep takes away."""
        self.house.serve()
        for name in ("large-gone", "old-1", "large-old"):
            with self.house.smtp() as client:
                client.sendmail("someone@far.test", ["alice@acc.test"], octets_of(name, "someone@far.test", "alice@acc.test"))
        with self.house.pop3("alice@acc.test") as client:
            client.dele(1)
            client.quit()
        self.house.stop()
        db = sqlite3.connect(self.house.dir / "store" / "ekirei.db")
        db.execute("UPDATE orphan SET since = 1")
        db.commit()
        db.close()
        for path in (self.house.dir / "run").glob("*"):
            path.unlink()

    def open_run(self, number):
        """A copy of the prepared folder; owners stay, since as root each role has its own."""
        folder = self.top / f"run-{number}"
        folder.mkdir()
        subprocess.run(["cp", "-a", str(self.house.dir), str(folder / "e")], check=True)
        self.sink.mails.clear()
        return Run(self, folder)


def play(world, number, role, kind, at, for_ever):
    """One run; whether the fault was reached, and where."""
    event, manner = (KINDS | LIES)[kind] if kind else ("statement", 0)
    run = world.open_run(number)
    run.for_ever, run.limits = for_ever, kind == "limit"
    syncs_fail = kind in ("db-sync", "sync", "db-write-io", "db-write-full") or event in ("db-sync",)
    world.plan.arm(ROLES.index(role), EVENTS.index(event), manner, for_ever, at)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    try:
        for scenario in (run.scenario, run.second_scenario):
            if run.start():
                scenario()
                if world.plan.read()[0] and not for_ever:
                    run.probe("probe")
                run.stop()
            if world.plan.read()[0]:
                break
        failed, counts, place = world.plan.read()
        world.plan.disarm()
        run.under_fault = False
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        world.worst = max(world.worst, (cpu, f"{kind} {role} {at} {for_ever}"))
        run.check_ends()
        if cpu > CPU_MOST:
            raise Defect(f"{cpu:.1f} s of CPU")
        if not run.start():
            raise Defect("no start without faults")
        run.check_mails(syncs_fail)
        run.check_queue(syncs_fail)
        run.stop()
        run.check_store()
    except Defect as defect:
        run.kill()
        failed, _, place = world.plan.read()
        raise Defect(f"{kind} in {role}, number {at}, {'for ever' if for_ever else 'once'} (at {place}): {defect}\n"
                     + "\n".join("    " + line for line in run.logged().splitlines()[-12:])) from None
    finally:
        run.kill()
        shutil.rmtree(run.folder, ignore_errors=True)
    return failed, counts, place


def points_of(kind, counts):
    """Each role in which such events come, and how many there were in an untouched run."""
    event = (KINDS | LIES)[kind][0]
    return [(role, counts[role, event]) for role in ROLES if counts[role, event]]


class Tally:
    """How many points of each kind were reached; and what was wrong."""

    def __init__(self):
        self.reached, self.runs, self.late, self.defects = {}, 0, 0, []

    def add(self, kind, role, for_ever, failed):
        self.runs += 1
        if failed:
            key = (kind, role)
            once, ever = self.reached.get(key, (0, 0))
            self.reached[key] = (once + (not for_ever), ever + for_ever)

    def print(self):
        print(f"{'kind':<16} {'role':<11} {'once':>6} {'for ever':>9}")
        for (kind, role), (once, ever) in sorted(self.reached.items()):
            print(f"{kind:<16} {role:<11} {once:>6} {ever:>9}")
        print(f"{self.runs} runs, {sum(map(sum, self.reached.values()))} of them with a fault reached, {len(self.defects)} defects, {self.late} that did not come a second time")


def one(world, tally, number, role, kind, at, for_ever):
    """False: this number was not reached any more."""
    try:
        failed, _, _ = play(world, number, role, kind, at, for_ever)
    except Defect as first:
        try:  # once more: on a machine that is busy with other things somebody may only have been late
            failed, _, _ = play(world, f"{number}-again", role, kind, at, for_ever)
            tally.late += 1
            print("not again:", first, flush=True)
        except Defect as defect:
            tally.defects.append(str(defect))
            print("DEFECT", defect, flush=True)
            failed = 1
    tally.add(kind, role, for_ever, failed)
    return failed


def sweep(world, tally, work, stride):
    """n = 1, 2, 3 ... until a whole scenario passes."""
    number = 0
    for kind, role, for_ever in work:
        at = 1
        while one(world, tally, (number := number + 1), role, kind, at, for_ever):
            at += stride
        print(f"{kind} {role} {'for ever' if for_ever else 'once'}: {at - 1}", flush=True)


def sample(world, tally, counts, kinds, seconds, seed):
    """Numbers chosen anew each time, as many as fit."""
    dice, number = random.Random(seed), 0
    work = [(kind, role, most, for_ever) for kind in kinds for role, most in points_of(kind, counts) for for_ever in (False, True)
            if not (for_ever and (kind in ONLY_ONCE or (kind, role) in ONLY_ONCE_IN))]
    end = time.monotonic() + 4 * seconds  # on a machine that is busy with other things
    for kind, role, at, for_ever in KNOWN:
        one(world, tally, (number := number + 1), role, kind, at, for_ever)
    while cpu() < seconds and time.monotonic() < end:
        kind, role, most, for_ever = dice.choice(work)
        one(world, tally, (number := number + 1), role, kind, dice.randint(1, most), for_ever)


def notice_lies(world):
    """The test's own test: with each of these something must be found; otherwise what it finds elsewhere says nothing."""
    unseen = 0
    for number, (kind, role, at, for_ever) in enumerate((("lie-row", "keeper", 1, False), ("lie-file", "keeper", 1, True), ("lie-delivery", "keeper", 1, True))):
        try:
            play(world, f"lie-{number}", role, kind, at, for_ever)
            print(f"{kind}: not noticed")
            unseen += 1
        except Defect as defect:
            print(f"{kind}: noticed:", str(defect).splitlines()[0])
    return unseen


def cpu():
    both = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(use.ru_utime + use.ru_stime for use in both)


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("ekirei")
    arguments.add_argument("faulty")
    arguments.add_argument("--only", action="append", default=[], help="KIND:ROLE:N:once or KIND:ROLE:N:ever")
    arguments.add_argument("--kinds", default=",".join(KINDS))
    arguments.add_argument("--roles", default=",".join(ROLES))
    arguments.add_argument("--sample", type=float, help="seconds of CPU")
    arguments.add_argument("--stride", type=int, default=1)
    arguments.add_argument("--seed", default=str(int(time.time())))
    chosen = arguments.parse_args()
    world, tally = World(chosen.ekirei, chosen.faulty), Tally()
    try:
        _, counts, _ = play(world, 0, "keeper", None, 0, False)
        kinds = chosen.kinds.split(",")
        unseen = 0 if chosen.only else notice_lies(world)
        if chosen.only:
            for text in chosen.only:
                kind, role, at, how = text.split(":")
                one(world, tally, 1, role, kind, int(at), how == "ever")
        elif chosen.sample:
            print("seed", chosen.seed)
            world.strict = False  # which places of limits come up is chance; the whole run fails at one that is not in the list
            sample(world, tally, counts, kinds, chosen.sample, chosen.seed)
        else:
            sweep(world, tally, [(kind, role, for_ever) for kind in kinds for role, _ in points_of(kind, counts) if role in chosen.roles.split(",")
                                 for for_ever in (False, True) if not (for_ever and (kind in ONLY_ONCE or (kind, role) in ONLY_ONCE_IN))], chosen.stride)
        tally.print()
        for where, count in sorted(world.musts.items()):
            print(f"must: {where} {count} times: {ARITHMETIC.get(where, 'nobody has looked at it yet')}")
        print(f"most CPU in one run: {world.worst[0]:.2f} s, {world.worst[1]}")
    finally:
        world.close()
    sys.exit(1 if tally.defects or unseen else 0)


if __name__ == "__main__":
    main()
