"""The lane of old devices: their ports, their TLS, their habits; and nothing of it for anybody else."""
import base64
import contextlib
import re
import socket
import ssl
import time
import unittest

from house import HOST, LEGACY, House, until

DEVICE = "127.0.0.3"  # in legacy.networks; HOST is not
OLD, MODERN = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_2


def plain(name, secret):
    return base64.b64encode(f"\0{name}\0{secret}".encode()).decode()


def client_context(version):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers("DEFAULT@SECLEVEL=0")
    context.minimum_version = context.maximum_version = version
    return context


class Line:
    """One connection from an address of our choice, line by line."""

    def __init__(self, port, source=DEVICE, tls=None):
        self.socket = socket.create_connection((HOST, port), timeout=20, source_address=(source, 0))
        self.file = None
        if tls:
            self.secure(tls)
        self.file = self.file or self.socket.makefile("rb")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with contextlib.suppress(OSError):
            self.file.close()
            self.socket.close()

    def secure(self, version):
        self.socket = client_context(version).wrap_socket(self.socket)
        self.file = self.socket.makefile("rb")

    def put(self, octets):
        self.socket.sendall(octets.encode() if isinstance(octets, str) else octets)

    def line(self):
        try:
            return self.file.readline().decode()
        except (ConnectionResetError, ssl.SSLError):
            return ""

    def reply(self):
        while (line := self.line())[3:4] == "-":
            pass
        return line

    def say(self, text):
        self.put(text + "\r\n")
        return self.reply()


class Legacy(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        ports = {f"legacy__{name}_port": str(number) for name, number in LEGACY.items()}
        cls.house = House(serve=False, listen__address=HOST, legacy__networks=DEVICE, legacy__tls_min_version="1.0", **ports)
        cls.secret = cls.house.device("alice@acc.test", "copier", "--allow", "all")
        cls.house.serve()

    @classmethod
    def tearDownClass(cls):
        cls.house.__exit__()

    def port(self, name):
        return LEGACY[name] + self.house.offset

    def login(self, line, secret):
        line.say("EHLO copier")
        return line.say("AUTH PLAIN " + plain("alice@acc.test", secret))

    def pop_login(self, line, secret):
        line.say("USER alice@acc.test")
        return line.say("PASS " + secret)

    def test_D60_nobody_else_gets_in(self):
        with Line(self.port("submission"), source=HOST) as line:
            self.assertRegex(line.line(), r"^554 5\.7\.1 .*\[EK-11\]")
            self.assertEqual(line.line(), "")
        with Line(self.port("pop3"), source=HOST) as line:
            self.assertRegex(line.line(), r"^-ERR .*\[EK-11\]")
            self.assertEqual(line.line(), "")
        for name in ("submissions", "pop3s"):
            for version in (OLD, MODERN):
                with self.assertRaises((ssl.SSLError, ConnectionResetError)):
                    Line(self.port(name), source=HOST, tls=version)
        until(lambda: f"gate.turned-away peer={HOST}" in self.house.logged(), what="a line in the log")

    def test_C071_old_tls_for_devices_and_on_their_ports_only(self):
        for version in (OLD, ssl.TLSVersion.TLSv1_1, MODERN):
            with Line(self.port("submissions"), tls=version) as line:
                self.assertRegex(line.reply(), "^220")
                self.assertRegex(self.login(line, self.secret), "^235")
            with Line(self.port("pop3s"), tls=version) as line:
                self.assertRegex(line.reply(), r"^\+OK")
                self.assertRegex(self.pop_login(line, self.secret), r"^\+OK")
        for name, start in (("submission", "STARTTLS"), ("pop3", "STLS")):
            with Line(self.port(name)) as line:
                line.reply()
                if name == "submission":
                    line.say("EHLO copier")
                self.assertRegex(line.say(start), r"^(220|\+OK)")
                line.secure(OLD)
                self.assertRegex(self.login(line, self.secret) if name == "submission" else self.pop_login(line, self.secret), r"^(235|\+OK)")
        for name in ("submissions", "pop3s"):
            with self.assertRaises((ssl.SSLError, ConnectionResetError)):
                Line(self.house.port(name), tls=OLD)
        self.assertIn("version=TLSv1 ", self.house.logged())

    def test_D60_people_never_log_in_there(self):
        people = self.house.password("alice@acc.test")
        for version in (None, OLD, MODERN):
            for name in ("submission", "pop3") if version is None else ("submissions", "pop3s"):
                with self.subTest(version=version, name=name), Line(self.port(name), tls=version) as line:
                    line.reply()
                    is_smtp = name.startswith("sub")
                    refused = self.login(line, people) if is_smtp else self.pop_login(line, people)
                    self.assertRegex(refused, r"^535 .*\[EK-1\]" if is_smtp else r"^-ERR \[AUTH\] .*\[EK-1\]")
        with Line(self.house.port("submissions"), tls=MODERN) as line:  # the same device's address at the right door
            line.reply()
            self.assertRegex(self.login(line, people), "^235")

    def script(self, line, text):
        """A script that knows no CR.  Returns the replies' first octets."""
        replies = [line.reply()]
        for part in text:
            line.put(part)
            replies.append(line.reply())
        return [reply[:3] for reply in replies]

    def test_D57_a_script_that_knows_no_cr(self):
        mail = "From: alice@acc.test\nTo: bob@acc.test\nSubject: toner\n\n..low\nMAIL FROM:<x@y.test>\n.\n"
        talk = ["EHLO copier\n", f"AUTH PLAIN {plain('alice@acc.test', self.secret)}\n", "MAIL FROM:alice@acc.test\n", "RCPT TO:bob@acc.test\n", "DATA\n", mail, "QUIT\n"]
        for port in (self.port("submission"), self.house.port("smtp")):
            with self.subTest(port=port), Line(port) as line:
                self.assertEqual(self.script(line, talk), ["220", "250", "235", "250", "250", "354", "250", "221"])
        mails = until(lambda: len(found := self.house.mail_of("bob@acc.test")) == 2 and found)
        for mail in mails:
            self.assertIn(b"\r\nSubject: toner\r\n\r\n.low\r\nMAIL FROM:<x@y.test>\r\n", mail)
            self.assertNotRegex(mail, rb"(?<!\r)\n")
        with Line(self.house.port("smtp"), source=HOST) as line:  # and from elsewhere
            line.reply()
            line.put("EHLO copier\nNOOP\r\n")
            self.assertRegex(line.reply(), r"^500 5\.5\.2")

    def test_C001_C005_elsewhere_only_crlf_dot_crlf_ends(self):
        for mark in ("\n.\n", "\n.\r\n", "\r\n.\n", "\r.\r", "\r\n.\r", "\r.\r\n", "\r\n.\r\r\n"):
            with self.subTest(mark=mark), Line(self.house.port("smtp"), source=HOST) as line:
                line.reply()
                for text, code in (("EHLO x", "250"), ("MAIL FROM:<a@b.test>", "250"), ("RCPT TO:<bob@acc.test>", "250"), ("DATA", "354")):
                    self.assertEqual(line.say(text)[:3], code)
                line.put(f"Subject: x\r\n\r\nfirst{mark}MAIL FROM:<evil@b.test>\r\nRCPT TO:<bob@acc.test>\r\nDATA\r\nSubject: smuggled\r\n\r\n.\r\n")
                self.assertRegex(line.reply(), r"^550 5\.5\.2 .*\[EK-41\]")
                self.assertEqual(line.line(), "")

    def test_D58_pipelined_ehlo_and_auth(self):
        text = f"EHLO copier\r\nAUTH PLAIN {plain('alice@acc.test', self.secret)}\r\n"
        for port, source, last in ((self.port("submission"), DEVICE, "235"), (self.house.port("submission"), DEVICE, "235"), (self.house.port("submission"), HOST, "554")):
            with self.subTest(port=port, source=source), Line(port, source=source) as line:
                line.reply()
                line.put(text)
                if last == "235":
                    self.assertEqual(line.reply()[:3], "250")
                self.assertEqual(line.reply()[:3], last)

    def test_D60_helo_then_auth(self):
        for source, code in ((DEVICE, "235"), (HOST, "5")):
            with Line(self.house.port("submissions"), source=source, tls=MODERN) as line:
                line.reply()
                line.say("HELO copier")
                self.assertTrue(line.say("AUTH PLAIN " + plain("alice@acc.test", self.secret)).startswith(code))

    def test_D61_pop_before_smtp_in_clear(self):
        secret = self.house.device("bob@acc.test", "panel", "--allow", "pop3,lease")
        self.house.ctl("lease", "revoke")  # those that the others' logins opened
        try:
            with Line(self.port("submission")) as line:
                line.reply()
                line.say("EHLO copier")
                self.assertRegex(line.say("MAIL FROM:<bob@acc.test>"), r"^530 5\.7\.0 .*\[EK-17\]")
            with Line(self.port("pop3")) as line:
                line.reply()
                line.say("USER bob@acc.test")
                self.assertRegex(line.say("PASS " + secret), r"^\+OK")
                for version, name in ((None, "submission"), (OLD, "submissions")):  # while that one is still open
                    with Line(self.port(name), tls=version) as sender:
                        sender.reply()
                        sender.say("HELO copier")
                        self.assertEqual(sender.say("MAIL FROM:<bob@acc.test>")[:3], "250")
        finally:
            self.house.ctl("lease", "revoke")

    def test_the_ports_need_networks(self):
        with House(serve=False, accounts=()) as house:
            with open(house.dir / "ekirei.conf", "a") as conf:
                conf.write("\n[legacy]\npop3_port = 2110\n")
            self.assertIn("legacy.networks: a legacy port is set", house.ctl("config", "check", fails=2))

    def test_old_tls_is_warned_about(self):
        self.assertTrue(re.search(r"legacy\.tls_min_version: TLS 1\.0 and 1\.1 are broken", self.house.logged()))


class Greeting(unittest.TestCase):
    """C015: who talks before the greeting is no mail server."""

    @classmethod
    def setUpClass(cls):
        cls.house = House(listen__address=HOST, legacy__networks=DEVICE, mx__greeting_delay="1s")

    @classmethod
    def tearDownClass(cls):
        cls.house.__exit__()

    def greeting(self, port, source, early=None):
        start = time.monotonic()
        with Line(port, source=source) as line:
            if early:
                line.put(early)
            return line.line()[:3], time.monotonic() - start

    def test_C015_strangers_wait(self):
        code, took = self.greeting(self.house.port("smtp"), HOST)
        self.assertEqual(code, "220")
        self.assertGreaterEqual(took, 0.95)
        for port, source in ((self.house.port("smtp"), DEVICE), (self.house.port("submission"), HOST)):
            code, took = self.greeting(port, source)
            self.assertEqual(code, "220")
            self.assertLess(took, 0.9)

    def test_C015_early_talkers_are_refused(self):
        code, took = self.greeting(self.house.port("smtp"), HOST, "EHLO bot\r\nMAIL FROM:<a@b.test>\r\n")
        self.assertEqual(code, "554")
        self.assertLess(took, 0.9)
        self.assertEqual(self.greeting(self.house.port("smtp"), DEVICE, "EHLO copier\r\n")[0], "220")
        self.assertIn("smtp.refused", self.house.logged())

    def test_C015_a_stop_does_not_wait(self):
        with House(mx__greeting_delay="5s") as house, Line(house.port("smtp"), source=HOST) as line:
            time.sleep(0.2)
            start = time.monotonic()
            self.assertEqual(house.stop(), 0)
            self.assertLess(time.monotonic() - start, 2)
            self.assertEqual(line.line()[:3], "421")


if __name__ == "__main__":
    unittest.main()
