"""No open relay, no spoofed sender: from outside and from inside."""
import unittest

from house import House


class Relay(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.house = House(serve=False, smarthost="127.0.0.1:9", queue__first_retry="5min")
        cls.house.ctl("alias", "add", "team@acc.test", "alice@acc.test")
        cls.house.ctl("alias", "add", "team@acc.test", "bob@acc.test")
        cls.house.serve()

    @classmethod
    def tearDownClass(cls):
        cls.house.__exit__()

    def codes(self, sender, *recipients, service="smtp", login=None):
        with self.house.smtp(service, login=login) as client:
            client.ehlo_or_helo_if_needed()
            code, _ = client.docmd(f"MAIL FROM:{sender}")
            if code != 250:
                return [code]
            return [client.docmd(f"RCPT TO:{r}")[0] for r in recipients]

    def test_C031_open_relay_set(self):
        refused = ["<v@elsewhere.test>", "<v%elsewhere.test@acc.test>", "<elsewhere.test!v@acc.test>", '<"v@elsewhere.test"@acc.test>', "<v@[192.0.2.1]>",
                   "<v@localhost>", '<"elsewhere.test!v">', "<v@acc.test.evil.test>", "<@acc.test:v@elsewhere.test>"]
        for sender in ("<>", "<x@elsewhere.test>", "<postmaster@acc.test>", "<alice@acc.test>", "<x@mail.acc.test>", "<x@[127.0.0.1]>"):
            for recipient in refused:
                self.assertGreaterEqual(self.codes(sender, recipient)[0], 500, (sender, recipient))

    def test_C226_ours_and_postmaster_are_taken(self):
        for recipient in ("<bob@acc.test>", "<BOB@ACC.TEST>", "<bob@acc.test.>", "<bob+tag@acc.test>", "<team@acc.test>", "<postmaster@acc.test>", "<postmaster>",
                          "<Postmaster>", "<@relay.test:bob@acc.test>", '<"bob"@acc.test>', " <bob@acc.test>"):
            self.assertEqual(self.codes("<x@elsewhere.test>", recipient), [250], recipient)
        self.assertEqual(self.codes("<x@elsewhere.test>", "<nobody@acc.test>", "<\"\"@acc.test>"), [550, 550])

    def test_C211_the_null_sender_is_taken_for_ours(self):
        self.assertEqual(self.codes("<>", "<bob@acc.test>", "<team@acc.test>", "<postmaster>", "<v@elsewhere.test>"), [250, 250, 250, 550])

    def test_C051_submission_wants_proof_even_for_local(self):
        self.assertEqual(self.codes("<x@elsewhere.test>", "<bob@acc.test>", service="submission"), [530])
        self.assertEqual(self.codes("<alice@acc.test>", "<bob@acc.test>", service="submissions"), [530])

    def test_C092_no_spoofing_inside(self):
        def submit(sender, header):
            with self.house.smtp("submission", login="alice@acc.test") as client:
                code, _ = client.mail(sender)
                if code != 250:
                    return code
                self.assertEqual(client.rcpt("bob@acc.test")[0], 250)
                return client.data((header + "Subject: s\r\n\r\nx\r\n").encode())[0]
        self.assertEqual(submit("bob@acc.test", "From: bob@acc.test\r\n"), 553)
        self.assertEqual(submit("alice@acc.test", "From: bob@acc.test\r\n"), 550)
        self.assertEqual(submit("alice@acc.test", "From: alice@acc.test\r\nFrom: bob@acc.test\r\n"), 550)
        self.assertEqual(submit("alice@acc.test", "From: alice@acc.test, bob@acc.test\r\n"), 550)
        self.assertEqual(submit("alice@acc.test", "From: alice@acc.test\r\nSender: bob@acc.test\r\n"), 550)
        self.assertEqual(submit("alice@acc.test", "From: alice@acc.test\r\nResent-From: bob@acc.test\r\n"), 550)
        self.assertEqual(submit("alice@acc.test", "Resent-From: alice@acc.test\r\nResent-Sender: bob@acc.test\r\nFrom: alice@acc.test\r\n"), 550)
        self.assertEqual(submit("alice@acc.test", "Resent-From: alice@acc.test\r\nFrom: alice@acc.test\r\n"), 250)
        self.assertEqual(submit("alice@acc.test", 'From: "bob@acc.test" <alice@acc.test>\r\n'), 250)
        self.assertEqual(submit("alice+news@acc.test", "From: Team <team@acc.test>\r\n"), 250)

    def test_submission_to_a_domain_without_a_dot(self):
        """RFC 6409 4.2; an address literal is complete, and so is <postmaster>."""
        self.assertEqual(self.codes("<alice@acc.test>", "<v@squeaky>", "<v@localhost>", "<v@[192.0.2.1]>", "<postmaster>", "<v@elsewhere.test>",
                                    service="submission", login="alice@acc.test"), [554, 554, 250, 250, 250])

    def test_device_for_internal_mail_only(self):
        secret = self.house.device("alice@acc.test", "camera", "--allow", "smtp,internal-only")
        with self.house.smtp("submission") as client:
            client.login("alice@acc.test", secret)
            client.mail("alice@acc.test")
            self.assertEqual(client.rcpt("bob@acc.test")[0], 250)
            self.assertEqual(client.rcpt("x@elsewhere.test")[0], 550)
        with self.assertRaises(Exception):
            with self.house.pop3("alice@acc.test", secret):
                pass
        self.house.ctl("device", "revoke", "alice@acc.test", "camera")

    def test_alias_to_two_and_one_body(self):
        self.house.send(["team@acc.test", "bob@acc.test"], subject="to the team")
        for name in ("alice", "bob"):
            mails = [m for m in self.house.mail_of(f"{name}@acc.test") if b"to the team" in m]
            self.assertEqual(len(mails), 1, name)

    def test_login_names(self):
        self.house.account("carol@acc.test", "--login", "carolus", password="Pass-word-carol")
        for name in ("carol@acc.test", "CAROL@ACC.TEST", "carol", "carolus"):
            with self.house.pop3(name, "Pass-word-carol"):
                pass

    def test_revoked_while_connected(self):
        self.house.account("dora@acc.test")
        with self.house.smtp("submission", login="dora@acc.test") as client:
            self.assertEqual(client.mail("dora@acc.test")[0], 250)
            client.rset()
            self.house.ctl("account", "disable", "dora@acc.test")
            self.assertIn(client.mail("dora@acc.test")[0], (421, 530))


if __name__ == "__main__":
    unittest.main()
