"""What the people of the torture know: which message was answered how, and what each mailbox was seen to hold."""
import collections
import hashlib
import random
import threading


class Message:
    """One message of one sender; he sends it again, the same, until somebody answers."""

    def __init__(self, name, sender, boxes, size, abroad=False):
        body = random.Random(name).randbytes(size // 2 + 1).hex()
        self.name, self.sender, self.boxes, self.abroad = name, sender, boxes, abroad
        self.body = "".join(body[i:i + 70] + "\r\n" for i in range(0, len(body), 70))
        self.accepted, self.cut_off, self.attempts, self.refusals = False, 0, 0, []

    def text(self):
        return (f"From: <{self.sender}>\r\nSubject: {self.name}\r\nX-Length: {len(self.body)}\r\n"
                f"X-Digest: {hashlib.sha256(self.body.encode()).hexdigest()}\r\n\r\n{self.body}").encode()


def look_at(octets):
    """The name of a message that came back, if it came back whole; and the error else."""
    head, _, body = octets.partition(b"\r\n\r\n")
    fields = dict(line.split(": ", 1) for line in head.decode("latin-1").split("\r\n") if ": " in line and line[0] not in " \t")
    name = fields.get("Subject")
    if name is None or len(body) != int(fields.get("X-Length", -1)) or hashlib.sha256(body).hexdigest() != fields.get("X-Digest"):
        return name, f"{name}: {len(body)} octets of {fields.get('X-Length')}, or others than were sent"
    return name, None


class Box:
    """One mailbox, as its one reader sees it.  An id is its UIDVALIDITY and its UID, in hexadecimal."""

    def __init__(self, ledger, name):
        self.ledger, self.name = ledger, name
        self.known = {}                          # id -> name of the message; as it was read
        self.there, self.gone, self.maybe = set(), set(), set()  # listed once and not deleted; deleted for sure; QUIT was sent, and its answer was cut off
        self.highest = ("", "")

    def listed(self, ids):
        """The whole listing of a new session."""
        fail, found = self.ledger.fail, set(ids)
        if [tuple(i.split(".")) for i in ids] != sorted(tuple(i.split(".")) for i in ids) or len(found) != len(ids):
            fail(f"{self.name}: ids do not grow: {ids[:5]}")
        for back in found & self.gone:
            fail(f"{self.name}: {back} ({self.known.get(back)}) came back after its deletion")
        for lost in self.there - found - self.maybe:
            fail(f"{self.name}: {lost} ({self.known.get(lost)}) vanished, and nobody deleted it")
        new = [tuple(i.split(".")) for i in found - self.there - self.maybe]
        if new and min(new) <= self.highest:
            fail(f"{self.name}: a new message got {min(new)}, below {self.highest}")
        self.highest = max([self.highest, *new])
        self.gone |= self.maybe - found           # it was done after all; from now on it stays done
        self.maybe &= found
        self.there = found

    def read(self, identity, octets):
        name, error = look_at(octets)
        if error:
            self.ledger.fail(f"{self.name}: {identity}: {error}")
        elif self.known.setdefault(identity, name) != name:
            self.ledger.fail(f"{self.name}: {identity} was {self.known[identity]}, and is {name}")

    def deleting(self, ids):
        self.maybe |= set(ids)

    def deleted(self, ids):
        self.maybe -= set(ids)
        self.there -= set(ids)
        self.gone |= set(ids)

    def counts(self):
        return collections.Counter(self.known.values())


class Ledger:
    def __init__(self):
        self.lock = threading.RLock()
        self.messages, self.failures = {}, []
        self.boxes = [Box(self, f"reader{i}") for i in range(2)]
        self.deletions = self.kept = self.revived = self.lease_used = self.lease_refused = 0

    def fail(self, what):
        with self.lock:
            self.failures.append(what)
            if len(self.failures) < 10:
                print(f"torture: {what}", flush=True)

    def put(self, message):
        with self.lock:
            self.messages[message.name] = message

    def accepted(self):
        return sum(message.accepted for message in list(self.messages.values()))

    def settle(self, abroad):
        """At the end, when all was read: how many were lost, came twice without need, or where they should not be."""
        lost, twice, strange, halves = [], [], [], []
        counts = [box.counts() for box in self.boxes]
        for i, box in enumerate(counts):
            strange += [name for name in box if name not in self.messages or i not in self.messages[name].boxes]
        for name, message in self.messages.items():
            found = [counts[box][name] for box in message.boxes]
            if message.accepted and min(found) < 1:
                lost.append(name)
            if max(found) > message.accepted + message.cut_off:
                twice.append(f"{name} {found} of {message.attempts} attempts, {message.cut_off} cut off, refused {message.refusals}")
            if min(found) != max(found):  # one transaction: all of its recipients have it, or none
                halves.append(name)
            if message.abroad and message.accepted and abroad[name] < 1:
                lost.append(name + " (smarthost)")
        return lost, twice, strange, halves
