"""Postfix as the other side: as a client of our port 25, and as the smarthost that the courier hands over to.

It runs with a folder of its own, on loopback only.  Skipped where Postfix is not installed or we are not root, whom its master needs."""
import os
import pathlib
import shutil
import smtplib
import subprocess
import tempfile
import time
import unittest

from house import HOST, POSTFIX_DAEMONS, House, free_port, message, postfix_main, postfix_master, received, until


class Postfix:
    """Mailboxes far@ and near@elsewhere.test; acc.test is relayed to `house`."""

    def __init__(self, port, house):
        self.port, self.house = port, house
        # Its programs run as other users: the folder must be passable.
        self.top = pathlib.Path(tempfile.mkdtemp(prefix="peers-", dir="/var/tmp"))
        self.top.chmod(0o755)
        self.conf = self.top / "etc"
        for name in ("etc", "spool", "data", "mail"):
            (self.top / name).mkdir()
        shutil.chown(self.top / "data", "postfix")
        shutil.chown(self.top / "mail", "nobody", "nogroup")
        self._configure()
        subprocess.run(["postfix", "-c", str(self.conf), "check"], capture_output=True)
        self.process = subprocess.Popen([f"{POSTFIX_DAEMONS}/master", "-c", str(self.conf), "-d"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until(self._answers, what="Postfix's greeting")

    def _configure(self):
        (self.conf / "master.cf").write_text(postfix_master(self.port))
        tls = self.house.dir / "tls"
        (self.conf / "main.cf").write_text(f"""{postfix_main(self.top)}myhostname = hub.elsewhere.test
mynetworks = 127.0.0.0/8
virtual_mailbox_domains = elsewhere.test
virtual_mailbox_base = {self.top}/mail
virtual_mailbox_maps = inline:{{ far@elsewhere.test=far/, near@elsewhere.test=near/ }}
virtual_uid_maps = static:65534
virtual_gid_maps = static:65534
virtual_minimum_uid = 100
transport_maps = inline:{{ acc.test=smtp:[{HOST}]:{self.house.port("smtp")} }}
default_transport = error:not for elsewhere
smtpd_recipient_restrictions = permit_mynetworks, reject
smtpd_tls_security_level = may
smtpd_tls_cert_file = {tls}/cert.pem
smtpd_tls_key_file = {tls}/key.pem
smtp_tls_security_level = may
smtp_tls_CAfile = {tls}/ca.pem
message_size_limit = 50000000
virtual_mailbox_limit = 0
""")

    def _answers(self):
        try:
            with smtplib.SMTP(HOST, self.port, timeout=5, local_hostname="client.test"):
                return True
        except OSError:
            return False

    def logged(self):
        return (self.top / "log").read_text(errors="replace")

    def mails(self, name):
        """Of one mailbox, as bytes with LF."""
        return [file.read_bytes() for file in sorted(self.top.glob(f"mail/{name}/new/*"))]

    def clear(self):
        for file in self.top.glob("mail/*/new/*"):
            file.unlink()

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        time.sleep(0.3)
        shutil.rmtree(self.top, ignore_errors=True)


@unittest.skipUnless(os.getuid() == 0 and shutil.which("postfix") and os.path.exists(f"{POSTFIX_DAEMONS}/master"), "needs Postfix, and root")
class Peers(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        port = free_port()
        cls.house = House(smarthost=f"{HOST}:{port}", smarthost__tls="may")
        try:
            cls.postfix = Postfix(port, cls.house)
        except BaseException:
            cls.house.__exit__()
            raise

    @classmethod
    def tearDownClass(cls):
        cls.postfix.stop()
        cls.house.__exit__()

    def setUp(self):
        self.postfix.clear()
        for name in ("alice", "bob"):
            with self.house.pop3(f"{name}@acc.test") as client:
                for number in range(client.stat()[0]):
                    client.dele(number + 1)
                client.quit()

    def from_postfix(self, recipients, text, sender="far@elsewhere.test", mail=(), rcpt=()):
        with smtplib.SMTP(HOST, self.postfix.port, timeout=20, local_hostname="client.test") as client:
            client.ehlo("pc.elsewhere.test")
            client.sendmail(sender, recipients, text.encode(), mail_options=mail, rcpt_options=rcpt)

    def arrived(self, name, what="mail from Postfix"):
        return until(lambda: self.house.mail_of(f"{name}@acc.test"), 20, what)

    # -- Postfix sends to us

    def test_postfix_sends(self):
        body = "Grüße, 日本語\r\n.\r\n..\r\n.dot\r\n" + "x" * 990 + "\r\n\r\nlast\r\n"
        text = "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n" + message("eight bits", "far@elsewhere.test", body=body)
        self.from_postfix(["bob@acc.test", "alice@acc.test"], text, mail=["BODY=8BITMIME"])
        for name in ("bob", "alice"):
            mail = self.arrived(name)[0]
            self.assertTrue(mail.startswith(b"Return-Path: <far@elsewhere.test>\r\n"))
            self.assertTrue(mail.endswith(b"\r\n\r\n" + body.encode()), mail[-1200:])
            self.assertRegex(received(mail)[0], r"from hub\.elsewhere\.test \(\[127\.0\.0\.1\]\) by mail\.acc\.test .* with ESMTPS id .*version=TLSv1\.3")
        ids = {received(self.arrived(name)[0])[0].split(" id ")[1].split()[0] for name in ("bob", "alice")}
        self.assertEqual(len(ids), 1)  # both recipients in one transaction

    def test_postfix_sends_a_large_message_of_dots(self):
        body = (".\r\n..\r\n." + "y" * 70 + "\r\n") * 30000
        self.from_postfix("bob@acc.test", message("large", "far@elsewhere.test", body=body))
        mail = self.arrived("bob")[0]
        self.assertTrue(mail.endswith(body.encode()))

    def test_postfix_sends_from_an_address_in_utf8(self):
        self.from_postfix("bob@acc.test", message("日本語", "jürgen@elsewhere.test"), sender="jürgen@elsewhere.test", mail=["SMTPUTF8", "BODY=8BITMIME"])
        mail = self.arrived("bob")[0]
        self.assertTrue(mail.startswith("Return-Path: <jürgen@elsewhere.test>\r\n".encode()), mail[:200])
        self.assertIn(" with UTF8SMTPS ", received(mail)[0])

    def test_postfix_tells_of_our_refusal(self):
        self.from_postfix(["nobody@acc.test", "bob@acc.test"], message("one of two", "far@elsewhere.test"))
        self.arrived("bob")
        bounce = until(lambda: self.postfix.mails("far"), 20, "Postfix's bounce")[0]
        self.assertIn(b"Final-Recipient: rfc822; nobody@acc.test", bounce)
        self.assertIn(b"Status: 5.1.1", bounce)
        self.assertIn(b"Diagnostic-Code: smtp; 550 5.1.1 No such user here", bounce)
        self.assertNotIn(b"Final-Recipient: rfc822; bob@acc.test", bounce)

    def test_postfix_asks_for_success(self):
        self.from_postfix("bob@acc.test", message("tell me", "far@elsewhere.test"), mail=["ENVID=Q+2B1", "RET=HDRS"], rcpt=["NOTIFY=SUCCESS", "ORCPT=rfc822;Bob@acc.test"])
        self.arrived("bob")
        told = until(lambda: self.postfix.mails("far"), 20, "our notification")[0]
        for line in (b"Original-Envelope-Id: Q+1", b"Reporting-MTA: dns; mail.acc.test", b"Original-Recipient: rfc822;Bob@acc.test", b"Action: delivered"):
            self.assertIn(line, told)
        self.assertEqual(len(self.postfix.mails("far")), 1)  # Postfix left it to us

    # -- the courier hands over to Postfix

    def submit(self, recipients, text, mail=(), rcpt=()):
        with self.house.smtp("submission", login="alice@acc.test") as client:
            client.ehlo("pc.acc.test")
            client.sendmail("alice@acc.test", recipients, text.encode(), mail_options=mail, rcpt_options=rcpt)

    def test_courier_sends(self):
        body = "Grüße, 日本語\r\n.\r\n..\r\n.dot\r\n" + "x" * 990 + "\r\n\r\nlast\r\n"
        text = "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n" + message("eight bits", to="far@elsewhere.test", body=body)
        self.submit(["far@elsewhere.test", "near@elsewhere.test"], text, mail=["BODY=8BITMIME"])
        for name in ("far", "near"):
            mail = until(lambda: self.postfix.mails(name), 20, f"mail for {name}")[0]
            self.assertTrue(mail.endswith(b"\n\n" + body.replace("\r\n", "\n").encode()), mail[-1200:])
            self.assertIn(b"Return-Path: <alice@acc.test>", mail)
            self.assertIn(b"by hub.elsewhere.test (Postfix) with ESMTPS id", mail)  # the last hop
            self.assertIn(b"with ESMTPSA id", mail)  # the first, in ours
        until(lambda: self.house.json("queue", "list") == [], what="empty queue")

    def test_courier_sends_a_large_message_of_dots(self):
        body = (".\r\n..\r\n." + "y" * 70 + "\r\n") * 30000
        self.submit("far@elsewhere.test", message("large", to="far@elsewhere.test", body=body))
        mail = until(lambda: self.postfix.mails("far"), 20, "mail for far")[0]
        self.assertTrue(mail.endswith(body.replace("\r\n", "\n").encode()))

    def test_courier_tells_of_the_refusal(self):
        self.submit(["gone@elsewhere.test", "far@elsewhere.test"], message("one of two", to="far@elsewhere.test"))
        until(lambda: self.postfix.mails("far"), 20, "mail for far")
        bounce = self.arrived("alice", "our bounce")[0]
        for line in (b"Final-Recipient: rfc822; gone@elsewhere.test", b"Action: failed", b"Status: 5.1.1"):
            self.assertIn(line, bounce)
        self.assertNotIn(b"Final-Recipient: rfc822; far@elsewhere.test", bounce)

    def test_courier_hands_the_wish_for_success_on(self):
        self.submit("far@elsewhere.test", message("tell me", to="far@elsewhere.test"), mail=["ENVID=Q+2B2"], rcpt=["NOTIFY=SUCCESS", "ORCPT=rfc822;Far@elsewhere.test"])
        told = self.arrived("alice", "Postfix's notification")[0]
        for line in (b"Original-Envelope-Id: Q+2", b"Reporting-MTA: dns; hub.elsewhere.test", b"Original-Recipient: rfc822;Far@elsewhere.test", b"Action: delivered"):
            self.assertIn(line, told)
        until(lambda: self.house.json("queue", "list") == [], what="empty queue")
        self.assertEqual(len(self.house.mail_of("alice@acc.test")), 1)  # "relayed" is not said of a host with DSN


if __name__ == "__main__":
    unittest.main()
