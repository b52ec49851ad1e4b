"""`ekirei policy` beside other servers: the two protocols octet by octet, its walls, and a real Postfix with a real Dovecot."""
import concurrent.futures
import contextlib
import hashlib
import hmac
import os
import pathlib
import poplib
import shutil
import signal
import smtplib
import socket
import stat
import subprocess
import tempfile
import time
import unittest

from house import EKIREI, HOST, POSTFIX_DAEMONS, Lines, Sink, free_port, message, postfix_main, postfix_master, reserve_ports, until
from test_peers import Postfix

DOVECOT = shutil.which("dovecot") or "/usr/sbin/dovecot"


class Line(Lines):
    """A connection whose lines end with LF."""

    def __init__(self, where):
        connected = socket.socket(socket.AF_UNIX) if isinstance(where, str) else socket.socket()
        connected.settimeout(20)
        connected.connect(where)
        super().__init__(connected, b"\n")


class Reporter(Line):
    def __init__(self, where, key):
        super().__init__(where)
        self.key, self.sequence = key, 0
        self.greeting = self.line()
        self.nonce = self.greeting.split()[-1]

    def text(self, name, peer, verb="LOGIN", protocol="pop3", local="-", sequence=None, key=None, nonce=None):
        self.sequence += 1
        text = f"{verb} {self.sequence if sequence is None else sequence} {protocol} {peer} {local} {name}"
        return text + " " + hmac.new(key or self.key, f"{nonce or self.nonce} {text}".encode(), hashlib.sha256).hexdigest() + "\n"

    def say(self, *words, **more):
        self.put(self.text(*words, **more))
        return self.line()


class Server:
    """with Server(pop_before_smtp__window="3s") as server: ..."""

    def __init__(self, run=True, senders=None, never_networks="", **settings):
        self.top = pathlib.Path(tempfile.mkdtemp(prefix="policy-", dir="/var/tmp"))
        self.top.chmod(0o755)
        self.dir, self.process = self.top / "e", None
        subprocess.run([EKIREI, "policy", "--make-key", "--dir", self.dir], check=True, capture_output=True)
        self.key = bytes.fromhex((self.dir / "keys" / "report.key").read_text())
        self.port, self.kept_ports = reserve_ports(0, 1)
        self.reports = self.port + 1
        merged = {"pop_before_smtp.never_networks": never_networks, "policy.listen": f"{HOST}:{self.port}", "policy.reports": f"{HOST}:{self.reports}",
                  **{key.replace("__", "."): value for key, value in settings.items()}}
        if senders:
            merged["policy.senders"] = "senders"
            (self.dir / "senders").write_text(senders)
        (self.dir / "ekirei.conf").write_text("".join(f"{key} = {value}\n" for key, value in merged.items()))
        if run:
            self.run()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()
        self.kept_ports.close()
        shutil.rmtree(self.top, ignore_errors=True)

    def run(self, *words):
        with open(self.top / "log", "ab") as log:
            self.process = subprocess.Popen([EKIREI, "policy", "--dir", self.dir, *words], stdout=subprocess.PIPE, stderr=log, stdin=subprocess.DEVNULL, text=True)
        line = self.process.stdout.readline()
        assert line == "ready\n", f"policy said {line!r}: {self.logged()[-2000:]}"

    def stop(self):
        if not self.process:
            return None
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(10)
        self.process.stdout.close()
        self.process = None
        return code

    def logged(self):
        return (self.top / "log").read_text(errors="replace")

    def reporter(self):
        return Reporter((HOST, self.reports), self.key)

    def login(self, name="alice@acc.test", peer="192.0.2.7", **more):
        with self.reporter() as reporter:
            return reporter.say(name, peer, **more)

    @staticmethod
    def question(sender="alice@acc.test", peer="192.0.2.7", to="far@elsewhere.test", state="RCPT", instance="1.1", **more):
        rows = {"request": "smtpd_access_policy", "protocol_state": state, "protocol_name": "ESMTP", "client_address": peer, "client_name": "unknown",
                "helo_name": "pc", "sender": sender, "recipient": to, "recipient_count": "0", "instance": instance, "sasl_method": "", "sasl_username": "",
                "size": "100", **more}
        return "".join(f"{key}={value}\n" for key, value in rows.items()) + "\n"

    @contextlib.contextmanager
    def asking(self):
        with Line((HOST, self.port)) as line:
            def ask(*words, **more):
                line.put(self.question(*words, **more))
                action, empty = line.line(), line.line()
                assert action.startswith("action=") and empty == "", (action, empty)
                return action[7:]
            yield ask

    def ask(self, *words, **more):
        with self.asking() as ask:
            return ask(*words, **more)


class Delegation(unittest.TestCase):
    """Postfix's protocol, and who may send."""

    def server(self, **settings):
        server = Server(**settings)
        self.addCleanup(server.__exit__)
        return server

    def test_login_lets_its_address_send(self):
        server = self.server()
        self.assertEqual(server.ask(), "DUNNO")
        self.assertRegex(server.login(), r"^OK lease=1 seconds=600 messages=20$")
        self.assertEqual(server.ask(), "OK")
        self.assertEqual(server.ask("Alice@ACC.TEST"), "OK")
        self.assertEqual(server.ask("alice+shop@acc.test"), "OK")
        self.assertEqual(server.ask(peer="192.0.2.8"), "DUNNO")
        self.assertEqual(server.ask(""), "DUNNO")  # the null sender belongs to nobody
        self.assertEqual(server.ask(sasl_username="bob@acc.test"), "DUNNO")  # he has proved himself by a login
        self.assertEqual(server.ask(state="MAIL"), "DUNNO")
        self.assertEqual(server.ask(peer="unknown"), "DUNNO")
        for event in ("lease.granted", "lease.used"):
            self.assertRegex(server.logged(), rf"{event} lease=1 account=alice@acc\.test peer=192\.0\.2\.7 ")

    def test_C095_C096_other_senders_from_that_address(self):
        server = self.server(senders="# who may send as what\nalice@acc.test sales@acc.test Info@acc.test\nassistant@acc.test @boss.test\n")
        server.login()
        for sender in ("bob@acc.test", "alice@other.test", "xalice@acc.test", "alice@acc.test.evil.test", "alice", "a@boss.test", "+alice@acc.test", "bob+alice@acc.test", "<alice@acc.test>"):
            self.assertEqual(server.ask(sender), "DUNNO", sender)
        for sender in ("sales@acc.test", "info@acc.test", "sales+x@acc.test"):
            self.assertEqual(server.ask(sender), "OK", sender)
        server.login("assistant@acc.test")
        self.assertEqual(server.ask("a@boss.test"), "OK")

    def test_names_without_domain(self):
        server = self.server(policy__domain="acc.test", senders="bob robert@acc.test\n")
        server.login("alice")
        server.login("BOB")
        self.assertEqual(server.ask(), "OK")
        self.assertEqual(server.ask("robert@acc.test"), "OK")
        bare = self.server()
        bare.login("alice")
        self.assertEqual(bare.ask(), "DUNNO")

    def test_C095_C097_many_accounts_at_one_address(self):
        server = self.server(pop_before_smtp__office_networks="198.51.100.0/24")
        for name in ("a", "b", "c"):
            self.assertTrue(server.login(f"{name}@acc.test").startswith("OK "))
        self.assertEqual(server.login("d@acc.test"), "NO shared-address")
        self.assertEqual(server.ask("a@acc.test"), "DUNNO")
        for name in ("a", "b", "c", "d", "e"):
            self.assertTrue(server.login(f"{name}@acc.test", "198.51.100.7").startswith("OK "))
        self.assertEqual(server.ask("e@acc.test", "198.51.100.7"), "OK")

    def test_C098_renewal_ends_at_the_cap(self):
        server = self.server(pop_before_smtp__window="2s", pop_before_smtp__cap="3s")
        server.login()
        time.sleep(1.5)
        self.assertIn("lease=1 ", server.login())
        time.sleep(1.8)  # the window is open still, the cap is reached
        self.assertEqual(server.ask(), "DUNNO")
        self.assertIn("lease=2 ", server.login())

    def test_C099_C100_no_lease_but_by_a_whole_login(self):
        server = self.server()
        with server.reporter() as reporter:
            self.assertEqual(reporter.say("alice@acc.test", "192.0.2.7", verb="FAIL"), "OK")
        with server.reporter() as reporter:
            self.assertEqual(reporter.say("x%0Alease.granted%20account=alice@acc.test", "192.0.2.7"), "NO malformed")
        with server.reporter() as reporter:
            reporter.put(reporter.text("alice@acc.test", "192.0.2.7")[:-1])  # its end never comes
        time.sleep(0.2)
        self.assertEqual(server.ask(), "DUNNO")
        self.assertNotIn("lease.granted", server.logged())

    def test_ten_failures_end_it(self):
        server = self.server()
        server.login()
        with server.reporter() as reporter:
            for number in range(9):
                reporter.say("alice@acc.test", "192.0.2.7", verb="FAIL")
                reporter.say("bob@acc.test", "192.0.2.7", verb="FAIL")
            self.assertEqual(server.ask(), "OK")
            reporter.say("alice@acc.test", "192.0.2.7", verb="FAIL")
        self.assertEqual(server.ask(instance="2"), "DUNNO")
        self.assertIn("reason=failed-logins", server.logged())

    def test_C101_C108_over_within_the_message(self):
        server = self.server(pop_before_smtp__window="1s")
        server.login()
        with server.asking() as ask:
            self.assertEqual(ask(), "OK")
            self.assertEqual(ask(state="DATA"), "DUNNO")
            time.sleep(1.1)
            for state in ("RCPT", "DATA", "END-OF-MESSAGE"):
                self.assertRegex(ask(state=state), r"^530 5\.7\.0 .*\[EK-18\]$")

    def test_C104_C105_forms_of_addresses(self):
        server = self.server()
        server.login(peer="::ffff:192.0.2.7")
        self.assertEqual(server.ask(), "OK")
        server.login(peer="2001:DB8:0::7")
        self.assertEqual(server.ask(peer="2001:db8::7"), "OK")
        self.assertEqual(server.ask(peer="2001:db8::8"), "DUNNO")  # a neighbour in the same /64

    def test_C106_proxies_and_own_addresses(self):
        server = self.server(never_networks="127.0.0.0/8, 192.0.2.64/26")
        self.assertEqual(server.login(peer="127.0.0.1"), "NO never-network")
        self.assertEqual(server.login(peer="192.0.2.65"), "NO never-network")
        self.assertEqual(server.login(peer="198.51.100.1", local="198.51.100.1"), "NO own-address")
        self.assertTrue(server.login(peer="198.51.100.2", local="198.51.100.1").startswith("OK "))

    def test_imap_may_be_left_out(self):
        server = self.server(pop_before_smtp__imap="no")
        self.assertEqual(server.login(protocol="imap"), "NO not-wanted")
        self.assertTrue(server.login().startswith("OK "))

    def test_C107_restart_ends_all(self):
        server = self.server()
        server.login()
        self.assertEqual(server.ask(), "OK")
        self.assertEqual(server.stop(), 0)
        server.run()
        self.assertEqual(server.ask(), "DUNNO")

    def test_counts(self):
        server = self.server(pop_before_smtp__messages="2", pop_before_smtp__recipients="4")
        server.login()
        with server.asking() as ask:
            self.assertEqual([ask(to=f"{n}@elsewhere.test", instance="a") for n in range(3)], ["OK"] * 3)
            self.assertEqual(ask(to="2@elsewhere.test", instance="a"), "OK")  # another restriction asks about the same
            self.assertEqual(ask(state="END-OF-MESSAGE", instance="a"), "DUNNO")
            self.assertEqual(ask(instance="b"), "OK")
            used_up = "452 4.7.1 Sent enough for one mail check: check your mail again [EK-19]"
            self.assertEqual(ask(to="more@elsewhere.test", instance="b"), used_up)  # recipients
            self.assertEqual(ask(instance="c"), used_up)  # messages
            server.login()
            self.assertEqual(ask(instance="c"), "OK")
            # b was not ended: it may have been sent, and counts on
            self.assertEqual(ask(instance="d"), used_up)

    def test_C109_parallel_questions_do_not_overrun(self):
        server = self.server(pop_before_smtp__messages="7", pop_before_smtp__recipients="100")
        server.login()
        with concurrent.futures.ThreadPoolExecutor(20) as pool:
            answers = list(pool.map(lambda n: server.ask(instance=f"x{n}"), range(50)))
        self.assertEqual(answers.count("OK"), 7)

    def test_C112_refuse_tells_what_to_do(self):
        server = self.server(policy__refuse="yes")
        self.assertRegex(server.ask(), r"^530 5\.7\.0 Check your mail first .*\[EK-17\]$")
        server.login()
        self.assertEqual(server.ask(), "OK")
        self.assertRegex(server.ask("bob@acc.test"), r"^553 5\.7\.1 .*\[EK-23\]$")
        self.assertEqual(server.ask("bob@acc.test", sasl_username="bob"), "DUNNO")

    def test_C112_one_port_is_for_submission(self):
        server = self.server()
        self.assertRegex(server.ask(policy_context="submission"), r"^530 5\.7\.0 Check your mail first .*\[EK-17\]$")
        self.assertEqual(server.ask(policy_context="other"), "DUNNO")

    def test_pipelined_cut_and_endless_questions(self):
        server = self.server()
        server.login()
        question = server.question()
        with Line((HOST, server.port)) as line:
            line.put((question + server.question("bob@acc.test")) * 50)
            got = [line.line() for _ in range(200)]
            self.assertEqual(got, ["action=OK", "", "action=DUNNO", ""] * 50)
        with Line((HOST, server.port)) as line:
            for octet in question.encode():
                line.put(bytes([octet]))
            self.assertEqual(line.line(), "action=OK")

    def test_malformed_questions_are_hung_up_on(self):
        server = self.server()
        server.login()
        good = server.question()
        bad = {"nothing": "\n", "no request": good.replace("request=smtpd_access_policy\n", ""), "other request": good.replace("smtpd_access_policy", "other"),
               "no name": good.replace("client_name=", "="), "no value": good.replace("client_name=unknown", "client_name"), "NUL": good.replace("unknown", "\0"),
               "two senders": good.replace("recipient=", "sender=bob@acc.test\nrecipient="), "two addresses": good.replace("size=", "client_address="),
               "HTTP": "POST / HTTP/1.1\r\nHost: x\r\n\r\n\n", "long": good.replace("unknown", "x" * 70000), "lines": good[:-1] + "a=b\n" * 300 + "\n", "CRLF": good.replace("\n", "\r\n") + "\n"}
        for name, octets in bad.items():
            with Line((HOST, server.port)) as line:
                try:
                    line.put(octets)
                except OSError:
                    pass
                self.assertIsNone(line.line(), name)
        self.assertEqual(server.ask(), "OK")

    def test_who_does_not_read_holds_nobody_up(self):
        server = self.server()
        server.login()
        with Line((HOST, server.port)) as line:
            line.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            line.socket.setblocking(False)
            octets, sent = server.question().encode() * 100, 0
            with contextlib.suppress(BlockingIOError):
                while True:  # until neither side's buffers take more
                    sent += line.socket.send(octets[sent % len(octets):])
            self.assertGreater(sent, 100000)
            self.assertEqual(server.ask(), "OK")
            memory = int(pathlib.Path(f"/proc/{server.process.pid}/statm").read_text().split()[1]) * 4096
            self.assertLess(memory, 100 << 20)

    def test_half_a_question_is_not_waited_for(self):
        server = self.server()
        with Line((HOST, server.port)) as half, Line((HOST, server.port)) as idle:
            began = time.monotonic()
            half.put("request=smtpd_access_policy\n")
            for _ in range(4):
                time.sleep(1)
                half.put("a=b\n")  # an octet now and then does not help
            self.assertIsNone(half.line())
            self.assertLess(time.monotonic() - began, 14)
            idle.put(server.question())
            self.assertEqual(idle.line(), "action=DUNNO")

    def test_end_with_half_a_question(self):
        server = self.server()
        for octets in ("", "request=smtpd_access_policy\n", "x"):
            with Line((HOST, server.port)) as line:
                line.put(octets)
                line.socket.shutdown(socket.SHUT_WR)
                self.assertIsNone(line.line())


class Reports(unittest.TestCase):
    """Who may say that somebody logged in (C102)."""

    @classmethod
    def setUpClass(cls):
        cls.server = Server()

    @classmethod
    def tearDownClass(cls):
        cls.server.__exit__()

    def refused(self, reason, octets, peer):
        with self.server.reporter() as reporter:
            reporter.put(octets(reporter) if callable(octets) else octets)
            self.assertEqual(reporter.line(), f"NO {reason}")
            self.assertIsNone(reporter.line())
        self.assertEqual(self.server.ask(peer=peer), "DUNNO")

    def test_many_over_one_connection(self):
        with self.server.reporter() as reporter:
            self.assertRegex(reporter.greeting, r"^EKIREI-REPORT 1 [0-9a-f]{32}$")
            reporter.put("".join(reporter.text(f"u{n}@acc.test", f"198.51.100.{n}") for n in range(100)))
            self.assertTrue(all(reporter.line().startswith("OK lease=") for n in range(100)))
        self.assertEqual(self.server.ask("u42@acc.test", "198.51.100.42"), "OK")

    def test_C102_wrong_key(self):
        self.refused("not-authentic", lambda r: r.text("alice@acc.test", "203.0.113.1", key=bytes(32)), "203.0.113.1")

    def test_C102_changed_line(self):
        self.refused("not-authentic", lambda r: r.text("alice@acc.test", "203.0.113.3").replace("203.0.113.3", "203.0.113.2"), "203.0.113.2")
        self.refused("not-authentic", lambda r: r.text("alice@acc.test", "203.0.113.2", verb="FAIL").replace("FAIL", "LOGIN"), "203.0.113.2")

    def test_C102_line_of_another_connection(self):
        with self.server.reporter() as first:
            line = first.text("alice@acc.test", "203.0.113.4")
        self.refused("not-authentic", line, "203.0.113.4")

    def test_C102_line_said_twice(self):
        with self.server.reporter() as reporter:
            line = reporter.text("bob@acc.test", "203.0.113.5")
            reporter.put(line)
            self.assertTrue(reporter.line().startswith("OK "))
            reporter.put(line)
            self.assertEqual(reporter.line(), "NO replayed")
            self.assertIsNone(reporter.line())
        self.refused("replayed", lambda r: r.text("alice@acc.test", "203.0.113.5", sequence=0), "203.0.113.5")

    def test_C102_no_key_at_all(self):
        for octets in ("LOGIN 1 pop3 203.0.113.6 - alice@acc.test\n", "LOGIN 1 pop3 203.0.113.6 - alice@acc.test \n", "\n", " \n", "\0\n", "GET / HTTP/1.1\n"):
            self.refused("malformed", octets, "203.0.113.6")
        self.refused("not-authentic", "LOGIN 1 pop3 203.0.113.6 - alice@acc.test " + "0" * 64 + "\n", "203.0.113.6")

    def test_malformed_with_the_key(self):
        for more in ({"protocol": "smtp"}, {"verb": "login"}, {"local": "x"}, {"sequence": "-1"}, {"sequence": "99999999999999999999"}):
            self.refused("malformed", lambda r: r.text("alice@acc.test", "203.0.113.7", **more), "203.0.113.7")
        for name in ("", "a b", "%", "%4", "%zz", "%00", "%0d", "%ff", "x" * 321, "a\tb"):
            self.refused("malformed", lambda r: r.text(name, "203.0.113.7"), "203.0.113.7")
        for peer in ("", "203.0.113", "203.0.113.7/24", "localhost", "[::1]"):
            self.refused("malformed", lambda r: r.text("alice@acc.test", peer), "203.0.113.7")

    def test_too_long(self):
        self.refused("too-long", "x" * 5000, "203.0.113.8")

    def test_silence_is_not_waited_for(self):
        with self.server.reporter() as reporter:
            began = time.monotonic()
            self.assertIsNone(reporter.line())
            self.assertLess(time.monotonic() - began, 8)

    def test_names_in_other_letters(self):
        with self.server.reporter() as reporter:
            self.assertTrue(reporter.say("j%C3%BCrgen%25@acc.test", "203.0.113.9").startswith("OK "))
        self.assertEqual(self.server.ask("jürgen%@acc.test", "203.0.113.9"), "OK")

    def run_report(self, *words, key=None):
        began = time.monotonic()
        done = subprocess.run([EKIREI, "report", "--key", key or self.server.dir / "keys" / "report.key", *words], capture_output=True, text=True, timeout=20)
        self.assertLess(time.monotonic() - began, 3)
        return done

    def test_command(self):
        to = f"{HOST}:{self.server.reports}"
        done = self.run_report("--to", to, "Carol Müller", "203.0.113.10", "imap", "--local", "203.0.113.1")
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "", ""))
        self.assertRegex(self.server.logged(), r'lease\.granted .*account="carol müller" peer=203\.0\.113\.10 protocol=imap')
        done = self.run_report("--to", to, "--failed", "carol", "203.0.113.10")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertEqual(self.run_report("--to", to, "carol", "here").returncode, 2)
        self.assertEqual(self.run_report("--to", to, "carol", "203.0.113.10", "smtp").returncode, 2)

    def test_command_never_holds_a_login_up(self):
        for answer in (b"", b"EKIREI-REPORT 1 0123456789abcdef0123456789abcdef\n", b"220 hello\n"):  # a server that says no more than this
            with socket.socket() as mute:
                mute.bind((HOST, 0))
                mute.listen()
                with concurrent.futures.ThreadPoolExecutor(1) as pool:
                    running = pool.submit(self.run_report, "--to", f"{HOST}:{mute.getsockname()[1]}", "alice@acc.test", "203.0.113.11")
                    guest, _ = mute.accept()
                    guest.sendall(answer)
                    done = running.result()
                    guest.close()
            self.assertEqual(done.returncode, 0)
            self.assertIn("alice@acc.test at 203.0.113.11: no lease", done.stderr)
        nobody = free_port()
        self.assertIn("nobody answers", self.run_report("--to", f"{HOST}:{nobody}", "alice@acc.test", "203.0.113.11").stderr)
        wrong = self.server.top / "wrong.key"
        wrong.write_text("00" * 32 + "\n")
        wrong.chmod(0o600)
        done = self.run_report("--to", f"{HOST}:{self.server.reports}", "alice@acc.test", "203.0.113.11", key=wrong)
        self.assertIn("NO not-authentic", done.stderr)
        self.assertEqual(self.server.ask(peer="203.0.113.11"), "DUNNO")


class Start(unittest.TestCase):
    """What it needs, and what it holds."""

    def fails(self, server, *words):
        done = subprocess.run([EKIREI, "policy", "--dir", server.dir, *words], capture_output=True, text=True, timeout=20)
        self.assertNotEqual(done.returncode, 0)
        self.assertNotIn("ready", done.stdout)
        return done.stderr

    def test_C103_key(self):
        with Server(run=False) as server:
            path = server.dir / "keys" / "report.key"
            self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o600)
            self.assertIn("already", self.fails(server, "--make-key"))
            path.chmod(0o640)
            self.assertIn("by others", self.fails(server))
            path.chmod(0o600)
            path.write_text("zz" * 32)
            self.assertIn("is no such key", self.fails(server))
            path.unlink()
            self.assertIn("--make-key", self.fails(server))

    def test_settings(self):
        with Server(run=False, senders="alice@acc.test\n") as server:
            self.assertIn("line 1", self.fails(server))
            (server.dir / "senders").write_text("# fine\nalice@acc.test nobody\n")
            self.assertIn("line 2", self.fails(server))
            (server.dir / "senders").write_text("alice@acc.test a@b.test\n")
            for place in ("here", "127.0.0.1", "127.0.0.1:99999", "unix:relative", "unix:"):
                self.assertIn("policy.listen", self.fails(server, "--listen", place))
            with socket.socket() as taken:
                taken.bind((HOST, 0))
                taken.listen()
                self.assertIn("cannot listen", self.fails(server, "--reports", f"{HOST}:{taken.getsockname()[1]}"))

    def test_unix_sockets(self):
        with Server(run=False) as server:
            places = [str(server.top / name) for name in ("policy.sock", "report.sock")]
            words = ["--listen", f"unix:{places[0]}", "--reports", f"unix:{places[1]}"]
            for _ in range(2):  # the second time it finds what the first left behind
                server.run(*words)
                with Reporter(places[1], server.key) as reporter:
                    self.assertTrue(reporter.say("alice@acc.test", "192.0.2.7").startswith("OK "))
                with Line(places[0]) as line:
                    line.put(server.question())
                    self.assertEqual(line.line(), "action=OK")
                key = server.dir / "keys" / "report.key"
                done = subprocess.run([EKIREI, "report", "--to", f"unix:{places[1]}", "--key", key, "bob@acc.test", "192.0.2.7"], capture_output=True, text=True)
                self.assertEqual((done.returncode, done.stderr), (0, ""))
                self.assertIn("cannot listen", self.fails(server, *words))
                server.stop()

    def test_C232_walls(self):
        with Server() as server, Line((HOST, server.port)), server.reporter():
            pid = server.process.pid
            facts = dict(line.split(":\t", 1) for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line)
            self.assertEqual((facts["Seccomp"], facts["NoNewPrivs"], facts["CapEff"].strip("0"), facts["CapPrm"].strip("0"), facts["Threads"]), ("2", "1", "", "", "1"))
            self.assertIn("landlock=", server.logged())
            if os.geteuid() != 0:
                self.skipTest("only root may look further: the process is not dumpable")
            self.assertNotIn("0", facts["Uid"].split())
            self.assertTrue(os.readlink(f"/proc/{pid}/root").endswith(" (deleted)"))
            held = [os.readlink(entry) for entry in pathlib.Path(f"/proc/{pid}/fd").iterdir()]
            for what in held:
                self.assertTrue(what.startswith(("anon_inode:", "pipe:", "socket:", "/dev/null", str(server.top / "log"))), what)
            self.assertEqual(sum(what.startswith("socket:") for what in held), 4)  # two doors, two guests
            for part in ("cmdline", "environ"):
                octets = pathlib.Path(f"/proc/{pid}/{part}").read_bytes()
                self.assertNotIn(server.key.hex().encode(), octets)
            row = next(line for line in pathlib.Path(f"/proc/{pid}/limits").read_text().splitlines() if line.startswith("Max core"))
            self.assertEqual(row.split()[4:6], ["0", "0"])

    def test_log_on_demand(self):
        with Server() as server:
            server.login()
            server.process.send_signal(signal.SIGUSR1)
            until(lambda: "policy.status" in server.logged(), 5, "the status in the log")
            self.assertRegex(server.logged(), r"lease\.live lease=1 account=alice@acc\.test peer=192\.0\.2\.7 ")


class Hub(Postfix):
    """A Postfix that relays to a sink whatever `ekirei policy` lets through."""

    def __init__(self, port, server, sink):
        self.server, self.sink = server, sink
        self.submission = free_port()
        super().__init__(port, None)

    def _configure(self):
        (self.conf / "master.cf").write_text(f"""{postfix_master(self.port)}
{HOST}:{self.submission} inet n - n - - smtpd
  -o {{ smtpd_relay_restrictions = permit_sasl_authenticated, check_policy_service {{ inet:{HOST}:{self.server.port}, policy_context=submission }}, reject }}
""")
        service = f"check_policy_service {{ inet:{HOST}:{self.server.port}, default_action=DUNNO, timeout=5s, try_limit=1 }}"
        (self.conf / "main.cf").write_text(f"""{postfix_main(self.top)}myhostname = hub.acc.test
mynetworks = 192.0.2.1
relay_domains = here.test
relayhost = [{HOST}]:{self.sink.port}
smtp_dns_support_level = disabled
smtp_tls_security_level = none
smtpd_relay_restrictions = permit_mynetworks, permit_sasl_authenticated, {service}, reject_unauth_destination
smtpd_end_of_data_restrictions = {service}
""")


class Dovecot:
    """POP3 for any name with the password "secret"; its post-login script reports to `server`."""

    def __init__(self, server):
        self.top = pathlib.Path(tempfile.mkdtemp(prefix="dovecot-", dir="/var/tmp"))
        self.top.chmod(0o755)
        self.port = free_port()
        (self.top / "mail").mkdir(mode=0o777)
        (self.top / "mail").chmod(0o777)
        program, key, script = self.top / "ekirei", self.top / "report.key", self.top / "report-login"
        shutil.copy(EKIREI, program)  # where the mailbox server's users may run it
        program.chmod(0o755)
        shutil.copy(server.dir / "keys" / "report.key", key)
        shutil.chown(key, "dovecot")
        key.chmod(0o400)
        script.write_text(f"""#!/bin/sh
{program} report --to {HOST}:{server.reports} --key {key} --local "$LOCAL_IP" "$USER" "$IP" pop3 </dev/null >/dev/null
exec "$@"
""")
        script.chmod(0o755)
        (self.top / "dovecot.conf").write_text(f"""
default_vsz_limit = 0
base_dir = {self.top}/run
state_dir = {self.top}/state
log_path = {self.top}/log
protocols = pop3
listen = {HOST}
ssl = no
disable_plaintext_auth = no
auth_failure_delay = 0
mail_location = maildir:{self.top}/mail/%u
passdb {{
  driver = static
  args = password=secret
}}
userdb {{
  driver = static
  args = uid=nobody gid=nogroup home={self.top}/mail/%u
}}
first_valid_uid = 1
service pop3-login {{
  inet_listener pop3 {{
    port = {self.port}
  }}
  inet_listener pop3s {{
    port = 0
  }}
}}
service pop3 {{
  executable = pop3 pop3-postlogin
}}
service pop3-postlogin {{
  executable = script-login {script}
  user = dovecot
  unix_listener pop3-postlogin {{
  }}
}}
""")
        self.process = subprocess.Popen([DOVECOT, "-F", "-c", self.top / "dovecot.conf"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        until(self._answers, what="Dovecot's greeting")

    def _answers(self):
        assert self.process.poll() is None, self.process.stderr.read()
        with contextlib.suppress(OSError, poplib.error_proto):
            poplib.POP3(HOST, self.port, timeout=5).quit()
            return True

    def login(self, name, source, password="secret"):
        with socket.create_connection((HOST, self.port), timeout=20, source_address=(source, 0)) as client:
            stream = client.makefile("rwb")
            assert stream.readline().startswith(b"+OK")
            for line in (f"USER {name}", f"PASS {password}", "STAT", "QUIT"):
                stream.write(line.encode() + b"\r\n")
                stream.flush()
                answer = stream.readline()
                if not answer.startswith(b"+OK"):
                    return False
            return True

    def logged(self):
        return (self.top / "log").read_text(errors="replace")

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stderr.close()
        shutil.rmtree(self.top, ignore_errors=True)


@unittest.skipUnless(os.getuid() == 0, "needs root, whom Postfix's and Dovecot's masters need")
@unittest.skipUnless(os.path.exists(f"{POSTFIX_DAEMONS}/master"), "needs Postfix (Debian: postfix)")
@unittest.skipUnless(os.path.exists(DOVECOT) and os.path.exists("/usr/lib/dovecot/pop3"), "needs Dovecot (Debian: dovecot-core, dovecot-pop3d)")
class Beside(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        with contextlib.ExitStack() as stack:
            cls.sink = stack.enter_context(Sink())
            cls.server = stack.enter_context(Server(pop_before_smtp__messages="3", pop_before_smtp__recipients="5"))
            cls.dovecot = Dovecot(cls.server)
            stack.callback(cls.dovecot.stop)
            cls.postfix = Hub(free_port(), cls.server, cls.sink)
            stack.callback(cls.postfix.stop)
            cls.addClassCleanup(stack.pop_all().close)

    def send(self, source, sender="alice@acc.test", to=("far@elsewhere.test",), subject="hello", port=None):
        """(code, text) of the first refusal, or of the end."""
        with smtplib.SMTP(HOST, port or self.postfix.port, timeout=20, local_hostname="client.test", source_address=(source, 0)) as client:
            client.ehlo()
            client.mail(sender)
            for address in to:
                code, text = client.rcpt(address)
                if code != 250:
                    client.rset()
                    return code, text.decode()
            code, text = client.data(message(subject, sender, to[0]).encode())
            return code, text.decode()

    def relayed(self, subject):
        return [mail for mail in self.sink.mails if f"Subject: {subject}\r\n".encode() in mail["data"]]

    def test_login_at_dovecot_lets_send_through_postfix(self):
        code, text = self.send("127.0.0.11", subject="too early")
        self.assertEqual((code, "Relay access denied" in text), (554, True), text)
        self.assertTrue(self.dovecot.login("alice@acc.test", "127.0.0.11"), self.dovecot.logged())
        self.assertRegex(self.server.logged(), r"lease\.granted .*account=alice@acc\.test peer=127\.0\.0\.11 protocol=pop3")
        self.assertEqual(self.send("127.0.0.11", subject="in time")[0], 250)
        mail = until(lambda: self.relayed("in time"), 20, "mail at the sink")[0]
        self.assertIn("<alice@acc.test>", mail["from"])
        self.assertEqual(self.relayed("too early"), [])
        until(lambda: "lease.settled" in self.server.logged(), 5, "the end of the message")

    def test_C095_neighbour_and_other_sender(self):
        self.assertTrue(self.dovecot.login("alice@acc.test", "127.0.0.12"))
        code, text = self.send("127.0.0.12", "bob@acc.test")
        self.assertEqual((code, "Relay access denied" in text), (554, True), text)
        self.assertEqual(self.send("127.0.0.13")[0], 554)
        self.assertEqual(self.send("127.0.0.12", "")[0], 554)
        self.assertEqual(self.send("127.0.0.12", "Alice+x@acc.test")[0], 250)

    def test_C099_wrong_password(self):
        self.assertFalse(self.dovecot.login("alice@acc.test", "127.0.0.14", "wrong"))
        self.assertEqual(self.send("127.0.0.14")[0], 554)
        self.assertNotIn("peer=127.0.0.14 protocol", self.server.logged())

    def test_C112_submission_port_tells_what_to_do(self):
        port = self.postfix.submission
        code, text = self.send("127.0.0.19", "frank@acc.test", port=port)
        self.assertEqual((code, "5.7.0" in text, "Check your mail first (POP before SMTP), or turn on SMTP AUTH [EK-17]" in text), (530, True, True), text)
        self.assertTrue(self.dovecot.login("frank@acc.test", "127.0.0.19"))
        self.assertEqual(self.send("127.0.0.19", "frank@acc.test", port=port, subject="submitted")[0], 250)
        self.assertEqual(self.send("127.0.0.19", "alice@acc.test", port=port)[0], 553)
        until(lambda: self.relayed("submitted"), 20, "mail at the sink")

    def test_used_up(self):
        self.assertTrue(self.dovecot.login("carol@acc.test", "127.0.0.15"))
        for number in range(3):
            self.assertEqual(self.send("127.0.0.15", "carol@acc.test", subject=f"one of {number}")[0], 250)
        code, text = self.send("127.0.0.15", "carol@acc.test", subject="one too many")
        self.assertEqual((code, "check your mail again" in text), (452, True), text)
        self.assertTrue(self.dovecot.login("carol@acc.test", "127.0.0.15"))
        self.assertEqual(self.send("127.0.0.15", "carol@acc.test", [f"{n}@elsewhere.test" for n in range(5)], "five")[0], 250)
        self.assertEqual(self.send("127.0.0.15", "carol@acc.test")[0], 452)
        until(lambda: self.relayed("five") and len(self.relayed("five")[0]["to"]) == 5, 20, "five recipients at the sink")
        self.assertEqual(self.relayed("one too many"), [])

    def test_several_messages_in_one_session(self):
        self.assertTrue(self.dovecot.login("dave@acc.test", "127.0.0.16"))
        with smtplib.SMTP(HOST, self.postfix.port, timeout=20, local_hostname="client.test", source_address=("127.0.0.16", 0)) as client:
            for number in range(3):
                client.sendmail("dave@acc.test", "far@elsewhere.test", message(f"dave {number}", "dave@acc.test", "far@elsewhere.test"))
            with self.assertRaises(smtplib.SMTPRecipientsRefused) as caught:
                client.sendmail("dave@acc.test", "far@elsewhere.test", message("dave 3"))
            self.assertEqual(caught.exception.recipients["far@elsewhere.test"][0], 452)

    def test_login_goes_on_without_policy(self):
        """Fails closed: the mailbox opens, nothing is relayed; and mail from outside comes in all the same."""
        self.server.stop()
        try:
            began = time.monotonic()
            self.assertTrue(self.dovecot.login("erin@acc.test", "127.0.0.17"))
            self.assertLess(time.monotonic() - began, 5)
            self.assertEqual(self.send("127.0.0.17", "erin@acc.test")[0], 554)
            self.assertEqual(self.send("127.0.0.18", "stranger@elsewhere.test", ["me@here.test"])[0], 250)
        finally:
            self.server.run()


if __name__ == "__main__":
    unittest.main()
