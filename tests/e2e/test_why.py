"""Why was I refused?  Every refusal bears a number, and `ekirei why` knows what it means and what happened last."""
import base64
import os
import pathlib
import re
import subprocess
import unittest

from house import EKIREI, HOST, House, message, until

NUMBER = re.compile(r" \[EK-[0-9]+\]$")


def plain(name, password):
    return "AUTH PLAIN " + base64.b64encode(f"\0{name}\0{password}".encode()).decode()


class Why(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.house = House(serve=False, pop_before_smtp__messages="1")
        cls.house.account("carol@acc.test", "--pop-before-smtp", "--login", "caro")
        cls.house.ctl("alias", "add", "office@acc.test", "carol@acc.test")
        cls.house.account("gone@acc.test")
        cls.house.ctl("account", "disable", "gone@acc.test")
        cls.house.device("bob@acc.test", "scanner", "--from", "192.0.2.0/24")
        cls.house.serve()

    @classmethod
    def tearDownClass(cls):
        cls.house.__exit__()

    def setUp(self):
        self.house.ctl("lease", "revoke")

    def why(self, about, *words):
        return self.house.json("why", about, *words)

    def rows(self, about, **wanted):
        """Rows that have all of these; they are waited for, since what a gate tells is told behind its reply."""
        def found():
            return [row for row in self.why(about)["refusals"] if all(row[key] == value for key, value in wanted.items())]
        return until(found, what=f"{about}: {wanted}")

    def pop_login(self, name, password):
        with self.house.raw("pop3s") as client:
            client.say("USER " + name)
            return client.say("PASS " + password)

    def smtp_login(self, name, password):
        with self.house.raw("submissions") as client:
            client.say("EHLO client.test")
            return client.say(plain(name, password))

    def test_wrong_password(self):
        self.assertRegex(self.pop_login("alice@acc.test", "no"), r"^-ERR \[AUTH\] .* \[EK-1\]$")
        self.pop_login("ALICE", "no")
        row = until(lambda: next((row for row in self.rows("alice@acc.test", detail="wrong-password", protocol="POP3") if row["count"] >= 2), None))
        self.assertEqual((row["code"], row["word"], row["ip"]), ("EK-1", "login", HOST))
        self.assertRegex(self.house.logged(), r"pop3\.refused .*reason=login .*ek=1\b")
        self.assertRegex(row["session"], r"^u[0-9]+-")
        text = self.house.ctl("why", "alice")
        for part in ("[EK-1]", "wrong-password (the password was wrong)", "from 127.0.0.1", "POP3", "What to do:", "ekirei account password"):
            self.assertIn(part, text)
        self.assertTrue(any(row["name"] == "ALICE" for row in self.why("127.0.0.1")["refusals"]))

    def test_C073_nobody_learns_which(self):
        """Unknown, wrong, disabled, a device out of its place: the same octets, at every try, in SMTP and in POP3."""
        scanner = self.house.device("bob@acc.test", "copier", "--from", "192.0.2.0/24")
        tries = [("alice@acc.test", "no"), ("nobody@acc.test", "no"), ("nobody@elsewhere.test", "no"), ("x", "no"),
                 ("gone@acc.test", House.password("gone@acc.test")), ("bob@acc.test", scanner), ("alice@acc.test", "no")]
        self.assertEqual({self.pop_login(*who) for who in tries}, {"-ERR [AUTH] wrong name or password [EK-1]"})
        self.assertEqual({self.smtp_login(*who) for who in tries}, {"535 5.7.8 Authentication credentials invalid [EK-1]"})
        # The administrator is told.
        for name, detail in (("nobody@acc.test", "unknown-name"), ("gone@acc.test", "disabled"), ("bob@acc.test", "device-network")):
            for protocol in ("SMTP", "POP3"):
                self.rows(name, code="EK-1", detail=detail, protocol=protocol)
        self.assertEqual({row["code"] for row in self.why("EK-1")["refusals"]}, {"EK-1"})

    def test_where_only_devices_log_in(self):
        """Whoever types a person's password there need not look for the error in it."""
        with self.house.raw("submissions") as client:
            client.say("EHLO client.test")
            self.assertTrue(client.say("AUTH CRAM-MD5").startswith("334 "))
            self.assertIn("[EK-1]", client.say(base64.b64encode(b"alice@acc.test " + b"0" * 32).decode()))
        row = self.rows("alice@acc.test", detail="no-device-password", protocol="SMTP")[0]
        self.assertIn("only device passwords are good", row["reason"])
        self.assertRegex(self.house.ctl("why", "alice"), r"SMTP from 127\.0\.0\.1.*\n +no-device-password \(")

    def test_password_in_clear(self):
        with self.house.raw("pop3") as client:
            self.assertRegex(client.say("USER alice@acc.test"), r"^-ERR \[AUTH\] .* \[EK-2\]$")
            self.assertRegex(client.say("PASS x"), r"^-ERR \[AUTH\] .* \[EK-2\]$")
        with self.house.raw("submission") as client:
            client.say("EHLO client.test")
            self.assertRegex(client.say(plain("bob@acc.test", "x")), r"^538 5\.7\.11 .* \[EK-2\]$")
            self.assertRegex(client.say("MAIL FROM:<carol@acc.test>"), r"^530 5\.7\.0 .* \[EK-22\]$")
        self.rows(HOST, code="EK-2", protocol="POP3")
        self.rows("alice", code="EK-2", protocol="POP3")
        self.rows("bob@acc.test", code="EK-2", protocol="SMTP")
        self.rows("carol@acc.test", code="EK-22")

    def test_prove_yourself(self):
        with self.house.raw("submissions") as client:
            client.say("EHLO client.test")
            self.assertEqual(client.say("MAIL FROM:<alice@acc.test>"),
                             "530 5.7.0 Check your mail first (POP before SMTP), or turn on SMTP AUTH: https://mail.acc.test/help/sending [EK-17]")
        self.rows("alice@acc.test", code="EK-17", detail="no-lease")
        self.assertIn("ek=17", self.house.logged())
        shown = self.house.ctl("why", "[EK-17]")
        for part in ("no-lease", "alice@acc.test", "Thunderbird: Outgoing"):
            self.assertIn(part, shown)

    def test_mail_check_that_opens_no_lease(self):
        """The login is fine; that it will not help to send is told where the administrator looks first."""
        with House(serve=False, pop_before_smtp__never_networks="127.0.0.0/8") as house:
            house.account("dora@acc.test", "--pop-before-smtp")
            house.serve()
            with house.pop3("dora@acc.test"):
                pass
            row, = house.json("why", "dora")["refusals"]
            self.assertEqual((row["code"], row["protocol"], row["detail"]), ("EK-17", "POP3", "never-network"))
            self.assertIn("pop_before_smtp.never_networks", row["reason"])

    def test_lease_used_up(self):
        with self.house.pop3("caro", self.house.password("carol@acc.test")):
            pass
        with self.house.smtp("submission") as client:
            client.ehlo()
            for wanted in (250, 452):
                code, text = client.mail("carol@acc.test")
                if code == 250:
                    client.rcpt("bob@acc.test")
                    code, text = client.data(message(sender="carol@acc.test").encode())
                self.assertEqual(code, wanted, text)
                client.rset()
        self.assertTrue(text.endswith(b" [EK-19]"), text)
        for about in ("carol@acc.test", "caro", "office@acc.test"):  # by address, login name, and an alias that leads there
            self.rows(about, code="EK-19", ip=HOST)

    def test_forged_and_foreign(self):
        with self.house.smtp("submissions", login="alice@acc.test") as client:
            code, text = client.mail("bob@acc.test")
            self.assertEqual((code, text[-8:]), (553, b" [EK-23]"))
            client.mail("alice@acc.test")
            client.rcpt("bob@acc.test")
            code, text = client.data(message(sender="bob@acc.test").encode())
            self.assertEqual((code, text[-8:]), (550, b" [EK-24]"))
            client.mail("alice@acc.test")
            code, text = client.rcpt("nobody@acc.test")
            self.assertEqual((code, text[-8:]), (550, b" [EK-30]"))
        for code, about in (("EK-23", "bob@acc.test"), ("EK-24", "bob@acc.test"), ("EK-30", "nobody@acc.test")):
            row = self.rows("alice@acc.test", code=code)[0]
            self.assertEqual((row["name"], row["detail"]), ("alice@acc.test", about))  # who it was, and whom or what it was about
            self.rows(about, code=code, name="alice@acc.test")

    def test_relaying_from_the_wrong_port(self):
        with self.house.raw("smtp") as client:
            client.say("EHLO copier.test")
            client.say("MAIL FROM:<bob@acc.test>")
            self.assertEqual(client.say("RCPT TO:<somebody@elsewhere.test>"), "550 5.7.1 Relaying denied [EK-25]")
        self.rows("bob@acc.test", code="EK-25")

    def test_every_refusal_has_a_number(self):
        with self.house.raw("smtp") as client:
            for line in ("NONSENSE", "RCPT TO:<x>", "EHLO", "STARTTLS x", "AUTH PLAIN", "EHLO a", "MAIL FROM:<a b>", "MAIL FROM:<a@b.test> X=1",
                         "RCPT TO:<bob@acc.test>", "DATA", "EXPN x", "VRFY"):
                reply = client.say(line)
                self.assertEqual(reply[0] in "45", bool(NUMBER.search(reply)), reply)
        with self.house.raw("pop3s") as client:
            for line in ("NONSENSE", "STAT", "PASS x", "USER", "AUTH X", "APOP a b", "LANG xx", "STLS", "LANG ja", "STAT"):
                reply = client.say(line)
                self.assertEqual(reply.startswith("-ERR"), bool(NUMBER.search(reply)), reply)

    def test_languages(self):
        english = self.house.ctl("why", "EK-17", "--lang", "en")
        japanese = self.house.ctl("why", "17", "--lang", "ja")
        self.assertIn("Thunderbird", english)
        self.assertIn("どうすればよいか", japanese)
        self.assertIn("送信サーバー", japanese)
        for variables, text in (({"LANG": "ja_JP.UTF-8"}, japanese), ({"LANG": "en_US.UTF-8"}, english), ({"LC_ALL": "C", "LANG": "ja_JP.UTF-8"}, english),
                                ({"LC_MESSAGES": "ja", "LANG": "C"}, japanese)):
            clean = {key: value for key, value in os.environ.items() if not key.startswith(("LC_", "LANG"))}
            done = subprocess.run([EKIREI, "why", "[ek-17]", "--dir", "/nonexistent"], env=clean | variables, capture_output=True, text=True)
            self.assertEqual((done.returncode, done.stdout), (0, text.split("\n\n")[0].rstrip("\n") + "\n"))

    def test_without_a_server_and_wrong_words(self):
        done = subprocess.run([EKIREI, "why", "alice@acc.test", "--dir", "/nonexistent", "--lang", "en"], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0)
        self.assertIn("No server is running", done.stdout)
        self.assertIn("there is no refusal", self.house.ctl("why", "EK-99", fails=2))
        self.assertIn("--lang is en or ja", self.house.ctl("why", "17", "--lang", "fr", fails=2))
        self.assertIn("usage: ekirei why", self.house.ctl("why", fails=2))
        self.assertIn("Nothing was refused to stranger@acc.test", self.house.ctl("why", "stranger@acc.test", "--lang", "en"))
        self.assertEqual(self.why("198.51.100.1")["refusals"], [])

    def test_every_number_is_in_the_manual(self):
        manual = (pathlib.Path(__file__).resolve().parents[2] / "docs" / "refusals.md").read_text()
        for row in self.why("all"):
            self.assertIn(f"## {row['code']} {row['word']}\n", manual)


if __name__ == "__main__":
    unittest.main()
