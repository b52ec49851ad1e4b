"""A whole ekirei on loopback for end-to-end tests: init, accounts, serve, and raw conversations.

Python's standard library only.  The program under test is named by the environment variable EKIREI."""
import contextlib
import json
import os
import pathlib
import random
import re
import shutil
import signal
import smtplib
import socket
import ssl
import subprocess
import tempfile
import time
import poplib

EKIREI = os.environ.get("EKIREI", str(pathlib.Path(__file__).resolve().parents[2] / "build" / "ekirei"))
HOST = "127.0.0.1"
POSTFIX_DAEMONS = "/usr/lib/postfix/sbin"
STANDARD = {"smtp": 25, "submission": 587, "submissions": 465, "pop3": 110, "pop3s": 995}
LEGACY = {"submission": 2587, "submissions": 2465, "pop3": 2110, "pop3s": 2995}  # what tests set legacy.*_port to
KEPT = []
QUICK = {"listen.address": HOST, "auth.throttle": "no", "auth.hash_cost": "1", "limits.connections_per_address": "500",
         "pop_before_smtp.never_networks": "", "queue.first_retry": "1s", "store.disk_reserve": "1MB"}


def reserve_ports(*ports):
    """An offset at which these ports are free, and what keeps them so until it is closed: sockets that are bound and do not listen, which are in
    nobody's way but other tests'.  Below 32768: from there on the system takes ports for outgoing connections."""
    while True:
        offset, kept = random.randrange(5000, 32000 - max(ports)), contextlib.ExitStack()
        try:
            for port in ports:
                holder = kept.enter_context(socket.socket())
                holder.bind((HOST, port + offset))
                holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # only now: the program may have it, another test may not
            return offset, kept
        except OSError:
            kept.close()


def free_port():
    """One that is kept as long as this process lives."""
    port, kept = reserve_ports(0)
    KEPT.append(kept)
    return port


def message(subject="hello", sender="alice@acc.test", to="bob@acc.test", body="a line\r\n.dot\r\nlast\r\n"):
    return f"From: {sender}\r\nTo: {to}\r\nSubject: {subject}\r\n\r\n{body}"


class House:
    """with House(domain="acc.test", set={...}) as house: ..."""

    def __init__(self, domain="acc.test", serve=True, accounts=("alice", "bob"), user=None, **settings):
        self.top = pathlib.Path(tempfile.mkdtemp(prefix="ekirei-test-"))
        self.dir = self.top / "e"
        self.domain, self.host = domain, f"mail.{domain}"
        self.offset, self.kept_ports = reserve_ports(*STANDARD.values(), *LEGACY.values())
        self.process = None
        self.user = user  # a numeric id: everything runs as that ordinary user
        if user:
            os.chown(self.top, user, user)
        merged = QUICK | {key.replace("__", "."): value for key, value in settings.items()}
        sets = [word for key, value in merged.items() for word in ("--set", f"{key}={value}")]
        self.ctl("init", "--domain", domain, "--hostname", self.host, "--port-offset", str(self.offset), *sets)
        for name in accounts:
            self.account(f"{name}@{domain}")
        if serve:
            self.serve()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()
        self.kept_ports.close()
        shutil.rmtree(self.top, ignore_errors=True)

    # -- the program

    def _as_user(self):
        return {"user": self.user, "group": self.user, "extra_groups": []} if self.user else {}

    def ctl(self, *words, text=None, fails=None):
        done = subprocess.run([EKIREI, *words, "--dir", str(self.dir)], input=text, capture_output=True, text=True, timeout=60, **self._as_user())
        if fails is None:
            assert done.returncode == 0, f"{words}: exit {done.returncode}: {done.stderr}"
            return done.stdout
        assert done.returncode == fails, f"{words}: exit {done.returncode}, not {fails}: {done.stdout} {done.stderr}"
        return done.stderr

    def json(self, *words):
        return json.loads(self.ctl(*words, "--json"))

    def account(self, address, *words, password=None):
        self.ctl("account", "add", address, "--password-stdin", *words, text=password or self.password(address))

    @staticmethod
    def password(address):
        return "Pass-word-" + address.split("@")[0]

    def device(self, address, name="scanner", *words):
        return self.json("device", "add", address, "--name", name, *words)["password"]

    def serve(self, wait=True):
        self.log = open(self.top / "log", "ab")
        self.process = subprocess.Popen([EKIREI, "serve", "--dir", str(self.dir)], stdout=subprocess.PIPE, stderr=self.log, text=True, **self._as_user())
        if wait:
            line = self.process.stdout.readline()
            assert line.startswith("ready"), f"serve said {line!r}: {self.logged()[-2000:]}"

    def stop(self):
        if not self.process:
            return None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
        code = self.process.wait()
        self.process.stdout.close()
        self.log.close()
        self.process = None
        return code

    def logged(self):
        return (self.top / "log").read_text(errors="replace")

    def pids(self):
        found = {}
        for file in (self.dir / "run").glob("*.pid"):
            with contextlib.suppress(FileNotFoundError):  # that process has just ended
                found[file.stem] = int(file.read_text())
        return found

    def port(self, service):
        return STANDARD[service] + self.offset

    # -- clients

    def tls(self):
        context = ssl.create_default_context(cafile=str(self.dir / "tls" / "ca.pem"))
        return context

    @contextlib.contextmanager
    def smtp(self, service="smtp", login=None, starttls=None):
        if service == "submissions":
            client = smtplib.SMTP_SSL(HOST, self.port(service), context=self.tls(), timeout=20, local_hostname="client.test")
        else:
            # Named, or the library would look its own name up: seconds on a machine without a resolver.
            client = smtplib.SMTP(HOST, self.port(service), timeout=20, local_hostname="client.test")
            if service == "submission" if starttls is None else starttls:
                client.starttls(context=self.tls())
        try:
            if login:
                client.login(login, self.password(login))
            yield client
        finally:
            client.close()

    @contextlib.contextmanager
    def pop3(self, login=None, password=None, service="pop3s", stls=True):
        if service == "pop3s":
            client = poplib.POP3_SSL(HOST, self.port(service), context=self.tls(), timeout=20)
        else:
            client = poplib.POP3(HOST, self.port(service), timeout=20)
            if stls:
                client.stls(context=self.tls())
        try:
            if login:
                client.user(login)
                client.pass_(password or self.password(login))
            yield client
        finally:
            client.close()

    def send(self, to, sender="someone@elsewhere.test", text=None, **words):
        """Delivers from outside, over port 25."""
        with self.smtp() as client:
            client.sendmail(sender, to, (text or message(sender=sender, to=to if isinstance(to, str) else to[0], **words)).encode())

    def mail_of(self, login, password=None):
        """All messages of an account, as bytes with CRLF."""
        with self.pop3(login, password) as client:
            count = client.stat()[0]
            mails = [b"\r\n".join(client.retr(i + 1)[1]) + b"\r\n" for i in range(count)]
            client.quit()
            return mails

    def raw(self, service="smtp", tls=None, **where):
        return Raw(self, service, service in ("submissions", "pop3s") if tls is None else tls, **where)


class Lines:
    """A socket, read line by line."""

    def __init__(self, connected, end=b"\r\n"):
        self.socket, self.end, self.held = connected, end, b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def put(self, octets):
        self.socket.sendall(octets.encode() if isinstance(octets, str) else octets)

    def line(self):
        """The next line without its end, or None where there is no more."""
        while self.end not in self.held:
            try:
                more = self.socket.recv(65536)
            except (ConnectionResetError, ssl.SSLEOFError):
                more = b""
            if not more:
                return None
            self.held += more
        line, self.held = self.held.split(self.end, 1)
        return line.decode("utf-8", "replace")


class Raw(Lines):
    """A conversation octet by octet."""

    def __init__(self, house, service, tls, host=HOST, source=None):
        """`source`: the address that the server sees, of this machine."""
        super().__init__(socket.create_connection((host, house.port(service)), timeout=20, source_address=(source, 0) if source else None))
        self.house = house
        if tls:
            self.secure()
        self.greeting = self.line()

    def secure(self):
        self.socket = self.house.tls().wrap_socket(self.socket, server_hostname="localhost")
        self.held = b""

    def reply(self):
        """One SMTP reply: its last line."""
        while True:
            line = self.line()
            if line is None or line[3:4] != "-":
                return line

    def say(self, text):
        self.put(text + "\r\n")
        return self.reply()

    def rest(self):
        """Everything until the other side closes, as lines."""
        lines = []
        while (line := self.line()) is not None:
            lines.append(line)
        return lines


def until(condition, seconds=10.0, what="condition"):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"{what} did not come true within {seconds} s")


class Sink:
    """A small SMTP server for tests, in a thread: takes mail, or refuses it as told.  answers: verb -> reply."""

    def __init__(self, port=0, answers=None, tls=None, extensions=("PIPELINING", "SIZE 50000000", "8BITMIME", "DSN")):
        import threading
        self.mails, self.answers, self.tls, self.extensions, self.connections = [], answers or {}, tls, extensions, 0
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind((HOST, port))
        self.listener.listen(20)
        self.port = self.listener.getsockname()[1]
        self.stopped = False
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stopped = True
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def _accept(self):
        import threading
        while not self.stopped:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection):
        stream = connection.makefile("rwb")
        secured = False

        def say(text):
            stream.write(text.encode() + b"\r\n")
            stream.flush()

        say("220 sink.test ESMTP")
        mail = {}
        try:
            while line := stream.readline():
                verb = line.strip().split(b" ")[0].upper().decode()
                text = line.strip().decode("utf-8", "replace")
                if verb == "EHLO":
                    offers = [*self.extensions, *(["STARTTLS"] if self.tls and not secured else [])]
                    say("\r\n".join(["250-sink.test", *(f"250-{e}" for e in offers), "250 ENHANCEDSTATUSCODES"]))
                elif verb == "STARTTLS" and self.tls:
                    say("220 go")
                    stream.close()
                    connection = self.tls.wrap_socket(connection, server_side=True)
                    stream, secured = connection.makefile("rwb"), True
                elif verb == "QUIT":
                    say("221 bye")
                    return
                elif found := next((a for key, a in self.answers.items() if text.upper().startswith(key.upper())), None):
                    say(found)
                elif verb == "MAIL":
                    mail = {"from": text, "to": [], "tls": secured}
                    say("250 2.1.0 ok")
                elif verb == "DATA" and not mail.get("to") or verb == "RCPT" and "to" not in mail:
                    say("503 5.5.1 no mail")
                elif verb == "RCPT":
                    mail["to"].append(text)
                    say("250 2.1.5 ok")
                elif verb == "DATA":
                    say("354 go on")
                    lines = []
                    while (part := stream.readline()) not in (b".\r\n", b""):
                        lines.append(part[1:] if part.startswith(b".") else part)
                    mail["data"] = b"".join(lines)
                    if part:
                        final = self.answers.get("END-OF-DATA", "250 2.0.0 taken")
                        if final.startswith("2"):
                            self.mails.append(mail)
                        say(final)
                else:
                    say("250 ok")
        except (OSError, ValueError):
            pass
        finally:
            with contextlib.suppress(OSError):
                connection.close()


def received(mail):
    """The Received fields of a message, unfolded."""
    header = mail.split(b"\r\n\r\n")[0].decode("utf-8", "replace")
    return re.findall(r"(?m)^Received: .*", re.sub(r"\r\n[ \t]+", " ", header))


def postfix_master(port):
    """Debian's master.cf for a Postfix in a folder of its own: smtpd on this port, and no chroot, so that no files must be copied into the spool."""
    shipped = next(path for path in map(pathlib.Path, ("/etc/postfix/master.cf.proto", "/usr/share/postfix/master.cf.dist")) if path.exists())
    lines = [line for line in shipped.read_text().splitlines() if not line.startswith(("#", "smtp      inet"))]
    lines = [" ".join(f if i != 4 else "n" for i, f in enumerate(line.split())) if line and not line.startswith(" ") else line for line in lines]
    return "\n".join([f"{HOST}:{port} inet n - n - - smtpd", *lines]) + "\n"


def postfix_main(top):
    """The part of its main.cf that says where such a Postfix lives; the maps of its machine are not its own."""
    return f"""
compatibility_level = 3.6
queue_directory = {top}/spool
data_directory = {top}/data
command_directory = /usr/sbin
daemon_directory = {POSTFIX_DAEMONS}
mail_owner = postfix
setgid_group = postdrop
mydestination =
inet_interfaces = {HOST}
inet_protocols = ipv4
alias_maps =
alias_database =
maillog_file = {top}/log
maillog_file_prefixes = /var/tmp
"""
