"""Mail goes round with the clients that people have: Python, curl, swaks, msmtp, fetchmail."""
import hashlib
import os
import subprocess
import unittest

from house import HOST, House, message, received


def run(*words, text=None, cwd=None, env=None, ok=True):
    done = subprocess.run(words, input=text, capture_output=True, text=True, timeout=60, cwd=cwd, env={**os.environ, **(env or {})})
    if ok:
        assert done.returncode == 0, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


class RoundTrip(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.house = House(accounts=("alice", "bob"), auth__apop_without_tls="yes")

    @classmethod
    def tearDownClass(cls):
        cls.house.__exit__()

    def setUp(self):
        with self.house.pop3("bob@acc.test") as client:
            for i in range(client.stat()[0]):
                client.dele(i + 1)
            client.quit()

    def test_python_submission_and_pop3(self):
        for service in ("submission", "submissions"):
            with self.house.smtp(service, login="alice@acc.test") as client:
                client.sendmail("alice@acc.test", ["bob@acc.test"], message(subject=service).encode())
        mails = self.house.mail_of("bob@acc.test")
        self.assertEqual(len(mails), 2)
        for mail in mails:
            self.assertTrue(mail.startswith(b"Return-Path: <alice@acc.test>\r\n"), mail[:200])
            self.assertIn("with ESMTPSA", received(mail)[0])
            self.assertIn("TLSv1.3", received(mail)[0])
            self.assertIn(b"\r\n.dot\r\nlast\r\n", mail)
            self.assertIn(b"\r\nMessage-ID: <", mail)
            self.assertIn(b"\r\nDate: ", mail)

    def test_from_outside_over_25(self):
        self.house.send("bob@acc.test")
        mail = self.house.mail_of("bob@acc.test")[0]
        self.assertIn("with ESMTP id", received(mail)[0])
        self.assertIn("for <bob@acc.test>", received(mail)[0])
        self.assertNotIn(b"Message-ID", mail)  # added on submission only

    def test_size_is_exact_and_mail_is_unchanged(self):
        digests = {}
        for octets in (0, 1, 100, 65000, 70000, 300000, 2000000):
            line = "x" * 70 + "\r\n"
            body = (line * (octets // 72 + 1))[:octets]
            body = body if body.endswith("\r\n") or not body else body[:-2] + "\r\n"
            self.house.send("bob@acc.test", subject=f"size {octets}", body=body)
            digests[f"size {octets}"] = hashlib.sha256(body.encode()).hexdigest()
        with self.house.pop3("bob@acc.test") as client:
            sizes = dict(map(int, row.split()) for row in client.list()[1])
            for number, size in sizes.items():
                mail = b"\r\n".join(client.retr(number)[1]) + b"\r\n"
                self.assertEqual(len(mail), size)
                header, body = mail.split(b"\r\n\r\n", 1)
                subject = header.decode().split("Subject: ")[1].split("\r\n")[0]
                self.assertEqual(hashlib.sha256(body).hexdigest(), digests[subject], subject)
            client.quit()

    def test_curl(self):
        house = self.house
        ca = str(house.dir / "tls" / "ca.pem")
        run("curl", "-sS", "--cacert", ca, "--ssl-reqd", "--url", f"smtp://localhost:{house.port('submission')}", "--user", "alice@acc.test:Pass-word-alice",
            "--mail-from", "alice@acc.test", "--mail-rcpt", "bob@acc.test", "-T", "-", text=message(subject="by curl"))
        run("curl", "-sS", "--cacert", ca, "--url", f"smtps://localhost:{house.port('submissions')}", "--user", "alice@acc.test:Pass-word-alice",
            "--mail-from", "alice@acc.test", "--mail-rcpt", "bob@acc.test", "-T", "-", text=message(subject="by curl with TLS"))
        listed = run("curl", "-sS", "--cacert", ca, "--user", "bob@acc.test:Pass-word-bob", f"pop3s://localhost:{house.port('pop3s')}/").stdout
        self.assertEqual(len(listed.split("\n")), 3, listed)
        mail = run("curl", "-sS", "--cacert", ca, "--ssl-reqd", "--user", "bob@acc.test:Pass-word-bob", f"pop3://localhost:{house.port('pop3')}/1").stdout
        self.assertIn("Subject: by curl", mail)
        wrong = run("curl", "-sS", "--cacert", ca, "--user", "bob@acc.test:wrong", f"pop3s://localhost:{house.port('pop3s')}/", ok=False)
        self.assertEqual(wrong.returncode, 67)  # CURLE_LOGIN_DENIED

    def test_swaks(self):
        house = self.house
        for mechanism in ("PLAIN", "LOGIN"):
            run("swaks", "--server", f"{HOST}:{house.port('submission')}", "-tls", "--auth", mechanism, "--auth-user", "alice@acc.test",
                "--auth-password", "Pass-word-alice", "--from", "alice@acc.test", "--to", "bob@acc.test", "--header", f"Subject: by swaks {mechanism}")
        self.assertEqual(len(house.mail_of("bob@acc.test")), 2)
        refused = run("swaks", "--server", f"{HOST}:{house.port('submission')}", "-tls", "--auth", "PLAIN", "--auth-user", "alice@acc.test",
                      "--auth-password", "wrong", "--from", "alice@acc.test", "--to", "bob@acc.test", ok=False)
        self.assertIn("535 5.7.8", refused.stdout)

    def test_msmtp(self):
        house = self.house
        run("msmtp", "--host=localhost", f"--port={house.port('submission')}", "--tls=on", "--tls-starttls=on", f"--tls-trust-file={house.dir}/tls/ca.pem",
            "--auth=plain", "--user=alice@acc.test", "--passwordeval=echo Pass-word-alice", "--from=alice@acc.test", "bob@acc.test",
            text=message(subject="by msmtp").replace("\r\n", "\n"))
        self.assertIn(b"Subject: by msmtp", house.mail_of("bob@acc.test")[0])

    def fetchmail(self, server, secret, account, *words):
        rc = self.house.top / "fetchmailrc"
        box = self.house.top / "fetched"
        box.unlink(missing_ok=True)
        rc.write_text(f'poll localhost {server} username "bob@acc.test" password "{secret}" {account} mda "cat >>{box}"\n')
        rc.chmod(0o600)
        done = run("fetchmail", "-f", str(rc), "--pidfile", str(self.house.top / "fetchmail.pid"), *words, ok=False, env={"HOME": str(self.house.top), "FETCHMAILUSER": "root"})
        return done, box.read_text() if box.exists() else ""

    def test_fetchmail(self):
        house = self.house
        house.send("bob@acc.test", subject="for fetchmail")
        ca = house.dir / "tls" / "ca.pem"
        done, box = self.fetchmail(f'protocol POP3 service {house.port("pop3s")}', house.password("bob"), f'ssl sslcertck sslcertfile "{ca}"', "--keep")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn("Subject: for fetchmail", box)
        secret = house.device("bob@acc.test", "fetcher")
        done, box = self.fetchmail(f'protocol APOP service {house.port("pop3")}', secret, "sslproto ''", "--all")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn("Subject: for fetchmail", box)
        self.assertEqual(house.mail_of("bob@acc.test"), [])  # fetched without --keep: deleted at QUIT
        house.ctl("device", "revoke", "bob@acc.test", "fetcher")

    def test_uidl_never_changes(self):
        for subject in ("one", "two", "three"):
            self.house.send("bob@acc.test", subject=subject)
        with self.house.pop3("bob@acc.test") as client:
            before = dict(row.split() for row in client.uidl()[1])
            client.dele(2)
            client.quit()
        self.house.stop()
        self.house.serve()
        with self.house.pop3("bob@acc.test") as client:
            after = dict(row.split() for row in client.uidl()[1])
        self.assertEqual(list(after.values()), [before[b"1"], before[b"3"]])


if __name__ == "__main__":
    unittest.main()
