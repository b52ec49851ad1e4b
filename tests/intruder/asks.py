"""What gates and the courier ask in an intruder's hands: kinds that are not theirs, frames that are none, the wrong moment, somebody else's.

Each bad ask has to cost its sender the place: another process serves within SOON seconds, and nobody else notices."""
import os
import poplib
import re
import smtplib
import struct
import time

from house import House, Sink, message, until

BIT = {"mx": 1, "user": 2, "courier": 4}
SOON = 2.0
REPLACED, UNHEARD = "closed, replaced", "answered as if it were not there"
LOGIN = {1: "OK", 2: "wrong", 3: "busy", 4: "too soon"}
MAIL = {1: "OK", 2: "prove yourself", 3: "foreign sender", 4: "forged author", 5: "no such user", 6: "relaying denied"}


class Stage:
    """A house, and one puppet of each role that asks."""

    def __init__(self, house, strings):
        self.house, self.strings, self.found, self.ends = house, strings, {}, 0
        self.puppets = {role: strings.take(role) for role in BIT}
        asking = {puppet.pid for puppet in self.puppets.values()}
        self.steady = {name: pid for name, pid in house.pids().items() if pid not in asking}
        self.slowest = 0.0

    def note(self, role, name, cell):
        self.found.setdefault(role, {})[name] = cell

    def replaced(self, role, name, because="the keeper got a forbidden or malformed ask from it"):
        """The one that asked is dead: whose place is it, and for what reason?"""
        asked, old = time.monotonic(), self.puppets[role]
        self.puppets[role] = self.strings.take(role)
        took = time.monotonic() - asked
        self.slowest = max(self.slowest, took)
        assert took < SOON, f"{role}: {name}: {took:.1f} s without"
        log = until(lambda: (text := self.house.logged()).count(f"child={old.pid} signal=") and text, 5, f"the end of {role} in the log")
        assert re.search(rf'role\.killed .*child={old.pid} why="?{because}', log), f"{role}: {name}: ended, but not because of that"
        self.ends += 1
        return REPLACED

    def undisturbed(self):
        now = self.house.pids()
        for name, pid in self.steady.items():
            assert now[name] == pid, f"{name} was disturbed"
        count = self.house.logged().count("role.ended")
        assert count == self.ends, f"{count} processes ended, {self.ends} were to"

    # -- one attempt each

    def forbidden(self, role, kind):
        said = self.puppets[role].ask(0x77, kind)
        self.note(role, "ask: " + kind, self.replaced(role, kind) if said is None else "possible: " + said)

    def octets(self, role, name, octets, riders=0):
        """Just these octets on the keeper's channel, and then a good ask, which shows whether anybody listens."""
        puppet = self.puppets[role]
        said = puppet.call(f"raw {riders} {octets.hex()}")
        assert said in (None, "raw 0"), said
        said = puppet.ask(0x78, "rcpt", recipient="nobody@acc.test") if role != "courier" else puppet.ask(0, "queue-body", id=1)
        self.note(role, name, self.replaced(role, name) if said is None else UNHEARD)


def frame_of(puppet, session, kind, /, **fields):
    words = " ".join(f"{key.replace('__', '.')}={value}" for key, value in fields.items())
    return bytes.fromhex(puppet.call(f"octets {session} {kind} {words}".strip()))


def sized(payload, mark=0):
    return (len(payload) + 1).to_bytes(4, "little") + bytes([mark]) + payload


def bad_frames(good, rows_at):
    """name -> octets, descriptors.  `good`: a frame whose first field is a text or an id; rows_at: where a count of rows stands, or None."""
    payload = good[5:]
    head, fields = payload[:13], payload[13:]
    frames = {
        "frame: length 0": (b"\0\0\0\0" + good[4:], 0),
        "frame: length beyond any": (b"\xff\xff\xff\xff" + good[4:], 0),
        "frame: a mark that is none": (good[:4] + b"\x02" + payload, 0),
        "frame: kind 0": (sized(b"\0" + payload[1:]), 0),
        "frame: a kind that nobody knows": (sized(b"\x7f" + payload[1:]), 0),
        "frame: an answer": (sized(bytes([payload[0] | 0x80]) + head[1:] + b"\0" + fields), 0),
        "frame: an answer that refuses": (sized(bytes([payload[0] | 0x80]) + head[1:] + b"\x03"), 0),
        "frame: cut in its head": (sized(payload[:7]), 0),
        "frame: cut in its fields": (sized(payload[:-1]), 0),
        "frame: octets behind its end": (sized(payload + b"x"), 0),
        "frame: a descriptor announced that does not come": (good[:4] + b"\x01" + payload, 0),
        "frame: a descriptor where none belongs": (good[:4] + b"\x01" + payload, 1),
        "frame: a descriptor that nobody announced": (good, 1),
        "frame: eight descriptors that nobody announced": (good, 8),
    }
    if rows_at is None:
        frames["frame: a slice longer than the frame"] = (sized(head + b"\xff\xff\xff\xff" + fields[4:]), 0)
        frames["frame: a slice longer than its limit"] = (sized(head + (5000).to_bytes(4, "little") + b"a" * 5000 + fields[4 + fields[0]:]), 0)
        for name, octet in ("a line's end", b"\n"), ("a NUL", b"\0"):
            frames[f"frame: {name} in a text"] = (sized(head + fields[:4] + octet + fields[5:]), 0)
    else:
        frames["frame: more rows than it has"] = (sized(payload[:rows_at] + b"\xff\xff\xff\xff" + payload[rows_at + 4:]), 0)
    return frames


def kinds(stage, role):
    for row in stage.puppets[role].call("asks").splitlines():
        roles, name = row.split()
        if not int(roles) & BIT[role]:
            stage.forbidden(role, name)


def frames(stage, role):
    def of(kind, **fields):
        return frame_of(stage.puppets[role], 0x79, kind, **fields)
    rows = bad_frames(of("settle", id=1), 13 + 8) if role == "courier" else bad_frames(of("rcpt", recipient="nobody@acc.test"), None)
    if role != "courier":
        good = of("deliver", sender="x@else.test")
        rows["frame: more recipients than it has"] = (sized(good[5:18 + 15] + b"\xff\xff\xff\x7f" + good[18 + 19:]), 0)
    for name, (octets, riders) in rows.items():
        stage.octets(role, name, octets, riders)


# ---- the signer ----


def signs(stage, role):
    """What the thread with the private keys signs is a handshake of ours, and nothing else (net/sign.h): number, kind, detail, key, octets."""
    def sign(octets, kind=1, detail=0x0804, key=b"k" * 32):
        fields = b"".join((struct.pack("<IBI", 1, kind, detail), struct.pack("<I", len(key)), key, struct.pack("<I", len(octets)), octets))
        return struct.pack("<I", len(fields)) + fields
    proof = b" " * 64 + b"TLS 1.3, %s CertificateVerify\0" + b"h" * 32
    good = sign(proof % b"server")
    for name, octets in (("a message of mail", sign(b"From: alice@acc.test\r\n\r\nx\r\n")), ("a digest", sign(b"d" * 32)), ("nothing", sign(b"")),
                         ("a client's proof in TLS 1.3", sign(proof % b"client")), ("a certificate", sign(b"\x30\x82\x01\x00" + b"c" * 256)),
                         ("a handshake, under a scheme that there is not", sign(proof % b"server", detail=0x9999)), ("a kind that there is not", sign(b"x", kind=9)),
                         ("a secret of a version beyond any", sign(b"x" * 256, kind=2, detail=0x10000)), ("two at a time", good + good), ("octets behind its end", struct.pack("<I", len(good) - 1) + good[4:] + b"xyz"),
                         ("a slice longer than the frame", good[:13] + b"\xff\xff\xff\xff" + good[17:]), ("length 0", b"\0\0\0\0" + good[4:]), ("length beyond any", b"\xff\xff\xff\xff" + good[4:])):
        said = stage.puppets[role].call(f"sign 0 {octets.hex()}")
        assert said in (None, "raw 0"), f"{role}: {name}: {said}"
        assert stage.puppets[role].hear() is None, f"{role}: {name}"
        stage.note(role, "signer: " + name, stage.replaced(role, name))


# ---- the wrong moment, and somebody else's ----


def login(name, protocol, **more):
    words = {"name": name, "secret": House.password(name), "session": "x", "peer": "192.0.2.7", "local": "192.0.2.250", "protocol": protocol, "mechanism": 2, "encrypted": 1}
    return words | more


def verdict(said, names):
    found = re.search(r"verdict=(\d+)", said)
    return f"answer: {names.get(int(found[1]), found[1])}" if found else "answer: " + said.split()[2]


def moments(stage, role):
    """(what, session, asks...): the last one is the bad one."""
    send, read = login("alice@acc.test", 1), login("alice@acc.test", 2)
    rows = [("login: a second time in a session", 0x101, ("login", send), ("login", send)),
            ("login: the right password, as somebody else (authzid)", 0x102, ("login", send | {"authzid": "bob@acc.test"})),
            ("login: a SCRAM proof without a nonce", 0x103, ("login-scram", {"name": "alice@acc.test", "message": "n=alice,r=x", "proof": "x" * 32, **from_of(1, 7)})),
            ("login: a protocol that there is not", 0x105, ("login", login("alice@acc.test", 9))),
            ("mail: delivered elsewhere, without a login", 0x108, ("deliver", letter("alice@acc.test", "victim@else.test")))]
    if role == "mx":
        rows += [("login: at port 25, to a mailbox", 0x109, ("login", read)),
                 ("mail: a recipient elsewhere, without a login", 0x107, ("mail", sender("alice@acc.test")), ("rcpt", {"recipient": "victim@else.test"}))]
    else:
        rows += [("mail: another's sender, after a login", 0x106, ("login", send), ("mail", sender("bob@acc.test"))),
                 ("mail: submitted without a login", 0x107, ("mail", sender("alice@acc.test"))),
                 ("mailbox: listed before a login", 0x110, ("drop-list", {})), ("mailbox: read before a login", 0x111, ("fetch", {"uid": 1})),
                 ("mailbox: deleted before a login", 0x112, ("expunge", {"ranges__first": 1, "ranges__last": 9})),
                 ("mailbox: read after a login to send", 0x113, ("login", send), ("fetch", {"uid": 1})),
                 ("mailbox: listed after a login to send", 0x114, ("login", send), ("drop-list", {})),
                 ("mailbox: deleted after a login to send", 0x115, ("login", send), ("expunge", {"ranges__first": 1, "ranges__last": 9})),
                 ("mailbox: a number that one's own has not", 0x117, ("login", read), ("fetch", {"uid": 7})),
                 ("mail: another's sender at the end of data", 0x118, ("login", send), ("mail", sender("alice@acc.test")), ("deliver", letter("bob@acc.test", "victim@else.test"))),
                 ("mail: another as author", 0x119, ("login", send), ("mail", sender("alice@acc.test")),
                  ("deliver", letter("alice@acc.test", "victim@else.test") | {"authors__address": "bob@acc.test"}))]
    for name, session, *asks in rows:
        for kind, words in asks[:-1]:
            said = stage.puppets[role].ask(session, kind, **words)
            assert said and "verdict=1" in said, f"{role}: {name}: {kind}: {said}"
        kind, words = asks[-1]
        said = stage.puppets[role].ask(session, kind, **words)
        stage.note(role, name, stage.replaced(role, name) if said is None else verdict(said, LOGIN if kind.startswith("login") else MAIL))


def from_of(protocol, mechanism):
    return {"session": "x", "peer": "192.0.2.7", "local": "192.0.2.250", "protocol": protocol, "mechanism": mechanism, "encrypted": 1}


def sender(address):
    return {"sender": address, "helo": "client.test", "session": "x", "peer": "192.0.2.7", "encrypted": 1, "submission": 1}


def letter(address, recipient):
    return {"sender": address, "recipients__address": recipient, "body": "x\r\n", "return_path": "Return-Path: <x>\r\n", "id": "x"}


def others_session(stage):
    """The number of a session that another gate of the same pool has, and of one that has ended."""
    here, there = stage.puppets["user"], stage.strings.take("user")
    assert "verdict=1" in there.ask(0x200, "login", **login("bob@acc.test", 2))

    for name, kind, words in (("listed", "drop-list", {}), ("read", "fetch", {"uid": 1}), ("deleted", "expunge", {"ranges__first": 1, "ranges__last": 9})):
        said = here.ask(0x200, kind, **words)
        stage.note("user", f"mailbox: {name} by another gate's session", verdict(said, {}))
    here.call("ask 512 end-session")  # of another gate's, as it would have it
    said = there.ask(0x200, "fetch", uid=1)
    assert said.startswith("answer fetch ok") and "uid=1" in said, said
    there.call("ask 512 end-session")
    stage.note("user", "mailbox: read after the session's end", verdict(there.ask(0x200, "fetch", uid=1), {}))


def claims(stage):
    """A message that is in the queue and that no courier has claimed, and one that there is not."""
    courier, house = stage.puppets["courier"], stage.house
    with house.smtp("submission", login="alice@acc.test") as client:
        client.sendmail("alice@acc.test", "far@elsewhere.test", message(to="far@elsewhere.test"))
    queued = until(lambda: [row for row in house.json("queue", "list") if row["attempts"]], 10, "an attempt in vain")[0]["id"]
    house.ctl("queue", "hold", str(queued))
    for name, kind, words in (("queue: a body that there is not", "queue-body", {"id": 12345}),
                              ("queue: settled, a message that there is not", "settle", {"id": 12345, "recipients__id": 1, "recipients__outcome": 1}),
                              ("queue: settled, a recipient that it has not", "settle", {"id": queued, "recipients__id": 4711, "recipients__outcome": 1}),
                              ("queue: bounced, a message that there is not", "settle", {"id": 12345, "recipients__id": 1, "recipients__outcome": 2, "bounce": "x"})):
        said = courier.ask(0, kind, **words)
        stage.note("courier", name, stage.replaced("courier", name) if said is None else verdict(said, {}))
    assert [row["id"] for row in house.json("queue", "list")] == [queued], "the queue is not what it was"
    courier = stage.puppets["courier"]
    courier.call("ask 0 errand-done id=99 code=200 body=%7B%7D")  # has no answer
    said = courier.ask(0, "queue-body", id=1)
    stage.note("courier", "errand: an answer to none", stage.replaced("courier", "errand-done") if said is None else UNHEARD)


def words(stage, role):
    """To the supervisor, on the control line: kind, role, service, worker."""
    others = {name: pid for name, pid in stage.house.pids().items() if not name.startswith(role)}
    victim = 2 if role != "user" else 1
    for name, octets, riders in (("word: another sent a bad ask", bytes([7, victim, 0, 0]), 0), ("word: the keeper did", bytes([7, 16, 0, 0]), 0),
                                 ("word: stop", bytes([4, 0, 0, 0]), 0), ("word: new settings, with a descriptor", bytes([3, 0, 0, 0]), 1),
                                 ("word: a listening socket", bytes([2, 0, 1, 0]), 8), ("word: three octets", b"\x05\0\0", 0), ("word: 3000 octets", b"\x07" * 3000, 0)):
        puppet = stage.puppets[role]
        assert puppet.call(f"word {riders} {octets.hex()}") == "raw 0", name
        said = puppet.ask(0x78, "rcpt", recipient="nobody@acc.test") if role != "courier" else puppet.ask(0, "queue-body", id=1)
        assert said, f"{role}: {name}: gone"
        stage.note(role, name, "not heeded")
    time.sleep(0.1)
    now = stage.house.pids()
    assert all(now[name] == pid for name, pid in others.items()), f"{role}: a word of its own ended another: {others} {now}"


def one_role(stage, role):
    if role != "courier":
        moments(stage, role)
        signs(stage, role)
    frames(stage, role)
    kinds(stage, role)


def descriptors(house):
    """How many the keeper holds, where this user may see it."""
    try:
        return len(os.listdir(f"/proc/{house.pids()['keeper']}/fd"))
    except PermissionError:
        return 0


def all_asks(strings, in_threads, user):
    """role -> name -> what came of it."""
    strings.forget()
    with House(user=user, mx__workers=2, user__workers=2, smarthost="127.0.0.1:9", smarthost__tls="none") as house:
        house.send("bob@acc.test")
        stage = Stage(house, strings)
        others_session(stage)
        claims(stage)
        stage.undisturbed()
        for role in BIT:
            words(stage, role)
        stage.undisturbed()
        supervisor, held = house.pids()["supervisor"], descriptors(house)
        stage.steady = {name: pid for name, pid in stage.steady.items() if name in ("supervisor", "keeper")}
        in_threads([lambda role=role: one_role(stage, role) for role in BIT])
        stage.undisturbed()
        assert house.pids()["supervisor"] == supervisor
        house.send("alice@acc.test", subject="afterwards")
        assert len(house.mail_of("alice@acc.test")) == 1 and len(house.mail_of("bob@acc.test")) == 1, "somebody's mail is not what it was"
        until(lambda: descriptors(house) <= held + 4, 5, f"descriptors of the keeper: {held} before")
    return stage.found, stage.ends


def replaced_in_time(strings):
    """Three bad asks of each role in a row, and the supervisor waits as it always does: how long until strangers, readers and the queue are served again, and do open sessions notice?"""
    strings.forget()
    slowest = 0.0
    before = os.environ.pop("EKIREI_INTRUDER_AGAIN")
    with Sink() as sink, House(smarthost=f"127.0.0.1:{sink.port}", smarthost__tls="none") as house:
        os.environ["EKIREI_INTRUDER_AGAIN"] = before
        puppets = {role: strings.take(role) for role in BIT}

        def read():
            with house.pop3("alice@acc.test") as client:
                return client.stat()

        def relay():
            count = len(sink.mails)
            with house.smtp("submission", login="alice@acc.test") as client:
                client.sendmail("alice@acc.test", "far@elsewhere.test", message(to="far@elsewhere.test"))
            until(lambda: len(sink.mails) > count, 10, "mail at the smarthost")
        works = {"mx": lambda: house.send("alice@acc.test"), "user": read, "courier": relay}
        for role in BIT:
            with house.smtp() as stranger, house.pop3("bob@acc.test") as reader:
                for _ in range(3):
                    began = time.monotonic()
                    assert puppets[role].ask(7, "account-list") is None
                    until(lambda: serves(works[role]), 10, f"service of {role}")
                    slowest = max(slowest, time.monotonic() - began)
                    puppets[role] = strings.take(role)
                if role != "user":
                    assert reader.stat()[0] == 0, "a reader was disturbed"
                if role != "mx":
                    assert stranger.ehlo()[0] == 250, "a stranger's session was disturbed"
    assert slowest < SOON, f"{slowest:.1f} s without service"
    return slowest


def serves(work):
    try:
        work()
        return True
    except (OSError, EOFError, poplib.error_proto, smtplib.SMTPException):
        return False
