"""The load generator does what the bench believes: each mode against a real ekirei, with few messages.    test_load.py LOAD [unittest words]"""
import email
import email.policy
import os
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import measure  # noqa: E402
import peers  # noqa: E402

ACCOUNTS, OCTETS = 3, 20000


class Load(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = peers.Ekirei(accounts=ACCOUNTS, auth__hash_cost="1")
        cls.addClassCleanup(cls.server.__exit__)

    def session(self, protocol, tls, **options):
        return measure.Load.run("session", port=self.server.ports[protocol, tls], protocol=protocol, tls=tls, accounts=ACCOUNTS, sessions=2, **options)

    def read(self, mode, **options):
        return measure.Load.run(mode, port=self.server.ports["pop3", "no"], name=f"u0@{peers.DOMAIN}", **options)

    def test_mail_in_is_whole_and_of_its_size(self):
        before = self.server.visible()
        sent = measure.Load.run("smtp", port=self.server.port, count=4, sessions=2, each=1, octets=OCTETS, accounts=1)
        self.assertEqual((sent["sent"], self.server.visible() - before), (4, 4))
        with self.server.house.pop3(f"u0@{peers.DOMAIN}", peers.PASSWORD) as client:
            mails = [b"\r\n".join(client.retr(i + 1)[1]) for i in range(4)]
        parsed = [email.message_from_bytes(mail, policy=email.policy.default) for mail in mails]
        self.assertTrue(all(OCTETS - 200 < len(mail) < OCTETS + 800 for mail in mails), [len(mail) for mail in mails])
        self.assertEqual([part.defects for mail in parsed for part in mail.walk() if part.defects], [])
        texts = [part.get_content() for mail in parsed for part in mail.walk() if part.get_content_type() == "text/plain"]
        self.assertTrue(len(texts) == 4 and all("請求書" in text for text in texts))
        self.assertEqual({mail.get_content_type() for mail in parsed}, {"text/plain", "multipart/mixed", "multipart/alternative"})
        self.assertIn("iso-2022-jp", {mail.get_content_charset() for mail in parsed})
        self.assertEqual({mail["subject"] for mail in parsed}, {"請求書の件について"})
        for in_flight in (1, 3):
            found = self.read("retr", count=8, messages=4, in_flight=in_flight)
            self.assertEqual(found["sent"], 8)
            self.assertGreater(found["octets"], 8 * OCTETS)
        self.assertEqual(self.read("list", command="UIDL", count=2)["sent"], 2)

    def test_sessions(self):
        before = self.server.visible()
        for tls in ("yes", "start"):
            self.assertEqual(self.session("smtp", tls, octets=2000, count=4)["sent"], 4)
        self.assertEqual(self.server.visible() - before, 8)
        self.assertEqual(self.session("smtp", "no", mechanism="SCRAM-SHA-256", count=4, skip=3)["sent"], 4)
        self.assertEqual(self.session("pop3", "yes", count=4)["sent"], 4)

    def test_every_connection_but_the_first_resumes(self):
        found = self.session("pop3", "yes", mechanism="none", count=10, resume=1)
        self.assertGreaterEqual(found["attempted"], 1)  # one of the two clients may be quicker; its first has no ticket
        self.assertEqual(found["attempted"], found["resumed"])

    def test_idle_sessions_stand(self):
        with measure.Held(9, 4, port=self.server.ports["smtp", "yes"], tls="yes", accounts=ACCOUNTS, sources=2) as held:
            self.assertEqual(held.end(), 9)

    def test_what_is_refused_ends_it(self):
        with self.assertRaisesRegex(RuntimeError, "refused: 535"):
            self.session("smtp", "yes", password="wrong", count=1)

    def test_the_primitives(self):
        found = measure.Load.run("primitives", certificate=self.server.certificate, key=self.server.key, count=3)
        self.assertGreater(found["handshake_us"], found["x25519_us"])


if __name__ == "__main__":
    measure.Load.path = os.path.realpath(sys.argv.pop(1))
    unittest.main()
