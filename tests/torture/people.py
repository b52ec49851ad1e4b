"""Who uses the server while its roles are killed: senders, readers, holders of leases."""
import base64
import poplib
import random
import smtplib
import socket
import ssl
import threading
import time

from house import HOST, Raw
from ledger import Message

TROUBLE = (OSError, EOFError, ssl.SSLError, poplib.error_proto, smtplib.SMTPException, ValueError, IndexError)
BACKLOG = 400  # messages that wait for their readers: then senders wait, too


class Gone(OSError):
    """The other side hung up."""


class Talk(Raw):
    """SMTP, with a look at each moment in which a connection can end."""

    def __init__(self, house, service, source=None, starttls=False):
        super().__init__(house, service, service == "submissions", source=source)
        self.code = None
        if not (self.greeting or "").startswith("220"):
            raise Gone(self.greeting)
        self.ask("EHLO client.test")
        if starttls:
            self.ask("STARTTLS")
            self.secure()
            self.ask("EHLO client.test")

    def ask(self, line):
        """The code of the reply; whoever hangs up is an error."""
        reply = self.say(line)
        if reply is None:
            raise Gone(line)
        self.code = int(reply[:3])
        if self.code == 421:
            raise Gone(reply)
        return self.code

    def login(self, name, password):
        secret = base64.b64encode(f"\0{name}\0{password}".encode()).decode()
        if self.ask("AUTH PLAIN " + secret) != 235:
            raise Gone("AUTH")

    def send(self, ledger, message, chunked=False):
        """One attempt.  True: answered 250.  Up to the last octets it cannot have been accepted; from there on, until an answer is read, nobody knows."""
        to = [f"{ledger.boxes[i].name}@acc.test" for i in message.boxes] + (["far@elsewhere.test"] if message.abroad else [])
        for address in to:
            if self.ask(f"RCPT TO:<{address}>") // 100 != 2:
                self.ask("RSET")
                return False
        text = message.text()
        if chunked:
            first, last = text[:len(text) // 2], text[len(text) // 2:]
            self.put(b"BDAT %d\r\n" % len(first) + first)
            reply = self.reply()
            if not (reply or "").startswith("250"):
                raise Gone(reply)
            last = b"BDAT %d LAST\r\n" % len(last) + last
            self.put(last[:-3])
            last = last[-3:]
        else:
            if self.ask("DATA") != 354:
                self.ask("RSET")
                return False
            self.put(text[:-1])
            last = text[-1:] + b".\r\n"
        with ledger.lock:
            message.attempts += 1
            message.cut_off += 1
        self.put(last)
        reply = self.reply()
        if reply is None or reply.startswith("421"):  # 421 there: it was not said whether it was done before
            raise Gone("end of data")
        code = int(reply[:3])
        with ledger.lock:
            message.cut_off -= 1
            message.accepted = message.accepted or code == 250
        if code >= 500:
            ledger.fail(f"{message.name}: {code}")
        if code != 250:
            message.refusals.append(reply)
        return code == 250


class Person(threading.Thread):
    def __init__(self, torture, number):
        super().__init__(daemon=True)
        self.torture, self.house, self.ledger = torture, torture.house, torture.ledger
        self.number, self.dice = number, random.Random(f"{torture.seed}-{type(self).__name__}-{number}")
        self.count = 0

    def run(self):
        while not self.torture.stop.is_set():
            try:
                self.session()
            except TROUBLE:
                time.sleep(0.02)
            except Exception as error:  # a check of ours that could not be made is a failure, too
                self.ledger.fail(f"{type(self).__name__} {self.number}: {error!r}")
                time.sleep(0.5)

    def new_message(self, prefix, sender, abroad=False):
        self.count += 1
        boxes = self.dice.choice([(0,), (1,), (0, 1)])
        size = self.dice.choices([self.dice.randint(0, 3000), self.dice.randint(30000, 100000), self.dice.randint(400000, 500000)], [94, 5, 1])[0]
        message = Message(f"{prefix}{self.number}-{self.count}", sender, boxes, size, abroad)
        self.ledger.put(message)
        return message


class Sender(Person):
    """0 and 1 come from outside, 2 and 3 have logged in; 3 also writes to people elsewhere."""

    def __init__(self, torture, number):
        super().__init__(torture, number)
        self.message = None

    def session(self):
        inside = self.number >= 2
        sender = f"writer{self.number}@acc.test" if inside else "x@elsewhere.test"
        with Talk(self.house, "submissions" if inside else "smtp") as talk:
            if inside:
                talk.login(sender, self.house.password(sender))
            for _ in range(self.dice.randint(1, 15)):
                if self.message is None:
                    if self.torture.stop.is_set() or self.torture.waiting() > BACKLOG:
                        time.sleep(0.05)
                        return
                    self.message = self.new_message("s", sender, abroad=self.number == 3 and self.dice.random() < 0.3)
                if talk.ask(f"MAIL FROM:<{sender}>") == 250 and talk.send(self.ledger, self.message, chunked=self.dice.random() < 0.3):
                    self.message = None
                time.sleep(self.dice.uniform(0, 0.03))


class Reader(Person):
    """Reads and deletes, keeps some, hangs up without QUIT now and then."""

    def session(self, most=40, tidy=False):
        box, dice = self.ledger.boxes[self.number], self.dice
        time.sleep(0 if tidy else dice.uniform(0, 0.1))
        with self.house.pop3(f"{box.name}@acc.test") as client:
            rows = [line.decode().split(" ") for line in client.uidl()[1]]
            with self.ledger.lock:
                box.listed([identity for _, identity in rows])
            chosen = []
            for number, identity in rows if len(rows) <= most else dice.sample(rows, most):
                octets = b"\r\n".join(client.retr(int(number))[1]) + b"\r\n"
                with self.ledger.lock:
                    box.read(identity, octets)
                if tidy or dice.random() < 0.8:
                    client.dele(int(number))
                    chosen.append(identity)
            if not tidy and dice.random() < 0.15:
                self.ledger.kept += len(chosen)
                return len(rows)  # hung up: nothing of it may be deleted (RFC 1939 6)
            with self.ledger.lock:
                box.deleting(chosen)
            client.quit()  # an error if not +OK
            with self.ledger.lock:
                box.deleted(chosen)
                self.ledger.deletions += len(chosen)
            return len(rows)


class Holder(Person):
    """POP before SMTP.  Whoever logged in before the keeper died has no right any more, until he logs in again."""

    def session(self):
        keeper, account = self.torture.keeper, f"lease{self.number}@acc.test"
        source = f"127.0.1.{self.number + 1}"
        begun_before = keeper.begun
        with Raw(self.house, "pop3s", True, source=source) as pop:
            if not (pop.greeting or "").startswith("+OK"):
                return
            pop.say(f"USER {account}")
            if not (pop.say(f"PASS {self.house.password(account)}") or "").startswith("+OK"):
                return
        begun_after, message = keeper.begun, None
        for _ in range(self.dice.randint(2, 8)):
            if self.torture.stop.is_set():
                return
            time.sleep(self.dice.uniform(0, 0.5))
            with Talk(self.house, "submission", source, starttls=True) as talk:
                over = keeper.ended > begun_after  # a keeper that was killed after our +OK is dead for sure
                code = talk.ask(f"MAIL FROM:<{account}>")
                alive = keeper.begun == begun_before
                with self.ledger.lock:
                    self.ledger.lease_used += code == 250
                    self.ledger.lease_refused += over and code == 530
                if over and code == 250:
                    self.ledger.fail(f"{account}: a lease lived on after its keeper")
                if alive and code == 530:
                    self.ledger.fail(f"{account}: a lease ended and no keeper had died")
                if code == 250:
                    message = message or self.new_message("h", account)
                    if talk.send(self.ledger, message):
                        message = None
                elif code == 530:
                    return


def serves(house):
    """Would somebody who comes now be served?  A delivery up to its RCPT, and a login to a mailbox.  Whatever does not answer at once does not serve."""
    try:
        with socket.create_connection((HOST, house.port("smtp")), timeout=1) as smtp:
            stream = smtp.makefile("rwb")
            for line in (b"", b"EHLO probe.test\r\n", b"MAIL FROM:<x@elsewhere.test>\r\n", b"RCPT TO:<reader0@acc.test>\r\n"):
                stream.write(line)
                stream.flush()
                while (reply := stream.readline())[3:4] == b"-":
                    pass
                if reply[:1] != b"2":
                    return False
        client = poplib.POP3_SSL(HOST, house.port("pop3s"), context=house.probe_tls, timeout=1)
        try:
            client.user("reader0@acc.test")
            client.pass_(house.password("reader0@acc.test"))
            return True
        finally:
            client.close()
    except TROUBLE:
        return False
