"""POP before SMTP, every rule of the house, over real sockets."""
import email
import email.policy
import smtplib
import socket
import threading
import time
import unittest

from house import HOST, House, Sink, message, received, until

WINDOW = 3


class Lease(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.house = House(serve=False, accounts=("bob",), pop_before_smtp__window=f"{WINDOW}s", pop_before_smtp__cap="8s", pop_before_smtp__messages="3",
                          pop_before_smtp__recipients="5", auth__apop_without_tls="yes", auth__plaintext_networks="127.0.0.0/8")
        cls.house.account("alice@acc.test", "--pop-before-smtp")
        cls.house.account("plain@acc.test")
        cls.house.ctl("alias", "add", "sales@acc.test", "alice@acc.test")
        cls.house.serve()

    @classmethod
    def tearDownClass(cls):
        cls.house.__exit__()

    def setUp(self):
        self.house.ctl("lease", "revoke")

    def login(self, who="alice@acc.test", **words):
        with self.house.pop3(who, **words):
            pass

    def submit(self, sender="alice@acc.test", to=("bob@acc.test",), author=None, client=None):
        """The code of the first refusal, or 250."""
        if client is None:
            with self.house.smtp("submission") as client:
                return self.submit(sender, to, author, client)
        client.ehlo()
        code, text = client.mail(sender)
        if code != 250:
            return code, text.decode()
        for address in to:
            code, text = client.rcpt(address)
            if code != 250:
                client.rset()
                return code, text.decode()
        code, text = client.data(message(sender=author or sender, to=to[0]).encode())
        return code, text.decode()

    def test_C112_stranger_is_told_what_to_do(self):
        code, text = self.submit()
        self.assertEqual(code, 530)
        self.assertIn("Check your mail first (POP before SMTP), or turn on SMTP AUTH: https://mail.acc.test/help/sending", text)
        self.login()
        self.assertEqual(self.submit()[0], 250)  # the second try works (D18)

    def test_open_session_gains_the_right(self):
        with self.house.smtp("submission") as client:
            self.assertEqual(self.submit(client=client)[0], 530)
            self.login()
            self.assertEqual(self.submit(client=client)[0], 250)

    def test_C099_half_a_login_grants_nothing(self):
        with self.house.raw("pop3s") as pop:
            pop.say("USER alice@acc.test")
            pop.say("PASS wrong")
            pop.say("USER alice@acc.test")
        self.assertEqual(self.submit()[0], 530)

    def test_C100_names_that_look_like_log_lines_grant_nothing(self):
        with self.house.raw("pop3s") as pop:
            for name in ("x event=login.ok account=alice@acc.test peer=127.0.0.1", "x\x1b[2K lease.granted account=alice@acc.test", '" login.ok'):
                pop.say("USER " + name)
                self.assertTrue(pop.say("PASS x").startswith("-ERR"))
            pop.put("USER x\nlogin.ok account=alice@acc.test\r\n")
            self.assertTrue(pop.line().startswith("-ERR"))
        self.assertEqual(self.submit()[0], 530)
        self.assertEqual(self.house.json("lease", "list"), [])

    def test_only_flagged_accounts_and_devices(self):
        self.login("plain@acc.test")
        self.assertEqual(self.submit("plain@acc.test")[0], 530)
        secret = self.house.device("plain@acc.test", "copier", "--allow", "pop3,lease")
        self.login("plain@acc.test", password=secret)
        self.assertEqual(self.submit("plain@acc.test")[0], 250)
        self.house.ctl("device", "revoke", "plain@acc.test", "copier")
        self.assertEqual(self.submit("plain@acc.test")[0], 530)

    def test_C095_the_sender_must_be_the_accounts_own(self):
        self.login()
        self.assertIn(self.submit("bob@acc.test")[0], (530, 550, 553))
        self.assertIn(self.submit("someone@elsewhere.test")[0], (530, 550, 553))
        self.assertEqual(self.submit("alice@acc.test", author="bob@acc.test")[0], 550)
        self.assertEqual(self.submit("sales@acc.test")[0], 250)

    def test_C111_received_says_lease_not_auth(self):
        self.login()
        self.assertEqual(self.submit()[0], 250)
        field = received(self.house.mail_of("bob@acc.test")[-1])[0]
        self.assertIn("with ESMTPS id", field)
        self.assertIn("lease", field)

    def test_C098_window_ends_and_sending_does_not_renew(self):
        self.login()
        end = time.monotonic() + WINDOW
        self.assertEqual(self.submit()[0], 250)
        while time.monotonic() < end + 0.3:
            time.sleep(0.2)
        self.assertEqual(self.submit()[0], 530)

    def test_cap_ends_a_lease_that_is_renewed_for_ever(self):
        start, ids = time.monotonic(), set()
        while time.monotonic() < start + 10:
            self.login()
            ids |= {row["id"] for row in self.house.json("lease", "list")}
            time.sleep(1)
        self.assertEqual(len(ids), 2, ids)  # the cap was 8 s: the next login opened a new one

    def test_C096_counts_and_a_new_login(self):
        self.login()
        for _ in range(3):
            self.assertEqual(self.submit()[0], 250)
        code, text = self.submit()
        self.assertEqual((code, text[:5]), (452, "4.7.1"))
        self.login()
        self.assertEqual(self.submit()[0], 250)
        self.login()
        many = [f"bob+{i}@acc.test" for i in range(6)]
        self.assertEqual(self.submit(to=many)[0], 452)
        self.assertEqual(self.submit(to=many[:5])[0], 250)  # the refused one gave its reservation back

    def test_C109_parallel_sessions_cannot_overdraw(self):
        self.login()
        codes = []
        clients = [smtplib.SMTP(HOST, self.house.port("submission"), timeout=20, local_hostname="client.test") for _ in range(12)]
        for client in clients:
            client.ehlo()
        threads = [threading.Thread(target=lambda c=c: codes.append(self.submit(client=c)[0])) for c in clients]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for client in clients:
            client.close()
        self.assertEqual(codes.count(250), 3, codes)

    def test_C108_disable_and_password_change_end_it(self):
        self.login()
        self.house.ctl("account", "disable", "alice@acc.test")
        self.assertEqual(self.submit()[0], 530)
        self.house.ctl("account", "enable", "alice@acc.test")
        self.login()
        self.assertEqual(self.submit()[0], 250)
        self.house.ctl("account", "password", "alice@acc.test", "--password-stdin", text="Pass-word-alice")
        self.assertEqual(self.submit()[0], 530)

    def test_failed_logins_end_it(self):
        self.login()
        for _ in range(10):
            with self.house.raw("pop3s") as pop:
                pop.say("USER alice@acc.test")
                self.assertTrue(pop.say("PASS wrong").startswith("-ERR"))
        self.assertEqual(self.submit()[0], 530)

    def test_device_from_old_copier(self):
        """APOP without TLS on 110, mail on 587 without TLS: a listed network, a device password, nothing newer."""
        secret = self.house.device("plain@acc.test", "old")
        with self.house.pop3(service="pop3", stls=False) as pop:
            pop.apop("plain@acc.test", secret)
        with self.house.smtp("submission", starttls=False) as client:
            self.assertEqual(self.submit("plain@acc.test", client=client)[0], 250)
        self.house.ctl("device", "revoke", "plain@acc.test", "old")

    def test_list_and_revoke(self):
        self.login()
        rows = self.house.json("lease", "list")
        self.assertEqual([row["address"] for row in rows], ["alice@acc.test"])
        self.assertEqual(rows[0]["ip"], HOST)
        self.assertEqual(rows[0]["messages_left"], 3)
        self.house.ctl("lease", "revoke", HOST)
        self.assertEqual(self.house.json("lease", "list"), [])
        self.assertEqual(self.submit()[0], 530)

    def test_log_ties_login_lease_and_mail(self):
        self.login()
        self.submit()
        until(lambda: "lease.used" in self.house.logged(), what="lease.used in the log")
        log = self.house.logged()
        for event in ("pop3.login", "lease.granted", "lease.used", "smtp.accepted"):
            self.assertIn(event, log)
        self.assertNotIn("Pass-word", log)


class DeviceNetwork(unittest.TestCase):
    def test_port_25_is_for_everyone_and_for_the_device(self):
        """A listed network: who reads mail may submit on port 25 too, all others there are strangers as anywhere."""
        with Sink() as sink, House(serve=False, accounts=("bob",), legacy__networks="127.0.0.0/8", smarthost=f"127.0.0.1:{sink.port}", smarthost__tls="none") as house:
            house.account("alice@acc.test")
            secret = house.device("alice@acc.test", "scanner", "--allow", "pop3,lease")
            house.serve()

            def codes(sender, to):
                with house.smtp() as client:
                    client.helo("scanner")
                    mail = client.docmd(f"MAIL FROM:<{sender}>")[0]
                    return mail, client.docmd(f"RCPT TO:<{to}>")[0]
            house.send("bob@acc.test", sender="friend@elsewhere.test")
            self.assertEqual(codes("alice@acc.test", "far@elsewhere.test"), (250, 530))
            with house.pop3(service="pop3", stls=False) as pop:
                pop.user("alice@acc.test")
                pop.pass_(secret)
            self.assertEqual(codes("alice@acc.test", "far@elsewhere.test"), (250, 250))
            self.assertEqual(codes("friend@elsewhere.test", "far@elsewhere.test"), (250, 530))
            with house.smtp() as client:
                client.helo("scanner")
                client.sendmail("alice@acc.test", ["far@elsewhere.test"], message().encode())
            until(lambda: sink.mails, what="the scan at the smarthost")
            self.assertIn(b"Message-ID", sink.mails[0]["data"])
            house.send("bob@acc.test", sender="friend@elsewhere.test")
            self.assertNotIn(b"Message-ID", house.mail_of("bob@acc.test")[-1])


def check_mail(house, who, password=None, **where):
    """A POP3 login over TLS, from and to where it is said."""
    with house.raw("pop3s", **where) as pop:
        pop.say(f"USER {who}")
        reply = pop.say(f"PASS {password or house.password(who)}")
        assert reply.startswith("+OK"), reply
        pop.say("QUIT")


def send_from(house, sender, to, helo="client.test", **where):
    """The first refusal, or the reply to the message."""
    with house.raw("submissions", **where) as smtp:
        smtp.say(f"EHLO {helo}")
        for line in (f"MAIL FROM:<{sender}>", f"RCPT TO:<{to}>", "DATA"):
            reply = smtp.say(line)
            if reply[0] not in "23":
                return reply
        return smtp.say(f"From: {sender}\r\nSubject: x\r\n\r\nx\r\n.")


def has_both_families():
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
        return True
    except OSError:
        return False


class Families(unittest.TestCase):
    @unittest.skipUnless(has_both_families(), "this machine has no ::1")
    def test_C104_both_addresses_are_named(self):
        with House(listen__address="127.0.0.1, ::1", pop_before_smtp__accounts="all") as house:
            check_mail(house, "alice@acc.test", host="::1")
            reply = send_from(house, "alice@acc.test", "bob@acc.test")
            self.assertTrue(reply.startswith("530 5.7.0 You checked your mail from ::1 but send from 127.0.0.1: "), reply)
            self.assertIn("SMTP AUTH", reply)
            self.assertTrue(send_from(house, "alice@acc.test", "bob@acc.test", host="::1").startswith("250"))
            house.ctl("lease", "revoke")
            check_mail(house, "alice@acc.test")
            reply = send_from(house, "alice@acc.test", "bob@acc.test", host="::1")
            self.assertTrue(reply.startswith("530 5.7.0 You checked your mail from 127.0.0.1 but send from ::1: "), reply)
            # Whoever has not checked any, or sits elsewhere in the same family, learns nothing of it.
            for sender, source in (("bob@acc.test", "127.0.0.7"), ("alice@acc.test", "127.0.0.7")):
                self.assertIn("Check your mail first", send_from(house, sender, "bob@acc.test", source=source))
            self.assertIn("reason=other-family", house.logged())

    def test_C096_pinned_to_an_ehlo_name(self):
        with House(pop_before_smtp__accounts="all", pop_before_smtp__pin_helo="yes") as house:
            check_mail(house, "alice@acc.test")
            for helo, code in (("scanner.lan", "250"), ("Scanner.LAN", "250"), ("laptop.lan", "530")):
                reply = send_from(house, "alice@acc.test", "bob@acc.test", helo=helo)
                self.assertEqual(reply[:3], code, (helo, reply))
            self.assertIn("<laptop.lan>", reply)
            house.ctl("lease", "revoke", "alice@acc.test")
            check_mail(house, "alice@acc.test")
            self.assertEqual(send_from(house, "alice@acc.test", "bob@acc.test", helo="laptop.lan")[:3], "250")


class Notices(unittest.TestCase):
    def notices(self, house, who):
        return [mail for mail in house.mail_of(who) if b"Auto-Submitted: auto-generated" in mail]

    def test_the_owner_is_mailed_at_the_first_lease_from_a_new_address(self):
        with House(pop_before_smtp__accounts="all") as house:
            for _ in range(2):  # the first place of all
                check_mail(house, "alice@acc.test", source="127.0.0.1")
            self.assertEqual(self.notices(house, "alice@acc.test"), [])
            for _ in range(2):
                check_mail(house, "alice@acc.test", source="127.0.7.1")
            (mail,) = until(lambda: self.notices(house, "alice@acc.test"), what="the notice")
            parsed = email.message_from_bytes(mail, policy=email.policy.default)
            self.assertEqual((parsed["From"].addresses[0].addr_spec, parsed["To"].addresses[0].addr_spec), ("postmaster@acc.test", "alice@acc.test"))
            self.assertIn("new address / ", parsed["Subject"])
            text = parsed.get_content()
            for word in ("127.0.7.1", "POP3", "change it at once", "心当たり", "+0000"):
                self.assertIn(word, text)
            self.assertEqual(parsed["Return-Path"], "<>")
            until(lambda: "notice.stored" in house.logged(), what="its log line")
            house.stop()
            house.serve()
            check_mail(house, "alice@acc.test", source="127.0.7.1")  # places outlive a restart
            time.sleep(0.3)
            self.assertEqual(len(self.notices(house, "alice@acc.test")), 1)

    def test_no_notices_where_they_are_off(self):
        with House(pop_before_smtp__accounts="all", auth__notices="no") as house:
            for source in ("127.0.0.1", "127.0.7.1"):
                check_mail(house, "alice@acc.test", source=source)
            time.sleep(0.3)
            self.assertEqual(house.mail_of("alice@acc.test"), [])

    def test_a_password_in_clear_is_told(self):
        with House() as house:
            check_mail(house, "alice@acc.test")
            for _ in range(2):
                with house.raw("pop3") as pop:
                    pop.say("USER alice@acc.test")
                    self.assertTrue(pop.say("PASS " + house.password("alice@acc.test")).startswith("-ERR"))
            (mail,) = until(lambda: self.notices(house, "alice@acc.test"), what="the notice")
            text = email.message_from_bytes(mail, policy=email.policy.default).get_content()
            self.assertIn("was not looked at", text)
            self.assertRegex(text, r"EK-\d+")
            self.assertNotIn(b"Pass-word", mail)


class Crowd(unittest.TestCase):
    def test_offices_are_named_and_shared_places_explained(self):
        names = [f"u{i}@acc.test" for i in range(4)]
        with House(serve=False, accounts=(), pop_before_smtp__shared_accounts="2", pop_before_smtp__accounts="all",
                   pop_before_smtp__office_networks="Tokyo branch=127.0.7.0/24, 127.0.8.1") as house:
            for name in names:
                house.account(name)
            house.serve()
            self.assertIn("Tokyo branch=127.0.7.0/24, 127.0.8.1", house.ctl("config", "show"))
            for name in names:
                check_mail(house, name, source="127.0.7.1")
            rows = house.json("lease", "list")
            self.assertEqual([row["office"] for row in rows], ["Tokyo branch"] * 4)
            self.assertIn('office="Tokyo branch"', house.logged())
            for name in names:
                check_mail(house, name, source="127.0.9.1")
            self.assertEqual(house.json("lease", "list", "127.0.9.1"), [])
            self.assertIn("no leases at 127.0.9.1: ", house.ctl("lease", "list"))
            self.assertIn("no leases at 127.0.9.1: ", house.ctl("lease", "list", "127.0.9.1"))
            self.assertNotIn("no leases at", house.ctl("lease", "list", "127.0.7.1"))
            self.assertRegex(house.logged(), r"lease\.refused .*reason=shared-address network=127\.0\.9\.1 accounts=[34]")

    def test_C110_a_person_in_clear_gets_no_lease(self):
        with House(accounts=(), legacy__networks="127.0.0.0/8") as house:
            house.account("alice@acc.test", "--pop-before-smtp")
            secret = house.device("alice@acc.test")
            for word, fine in ((house.password("alice@acc.test"), False), (secret, True)):
                with house.raw("pop3") as pop:
                    pop.say("USER alice@acc.test")
                    self.assertEqual(pop.say("PASS " + word).startswith("+OK"), fine)
                self.assertEqual(len(house.json("lease", "list")), int(fine))

    def test_C095_many_accounts_mark_an_address_shared(self):
        names = [f"u{i}" for i in range(5)]
        with House(serve=False, accounts=(), pop_before_smtp__shared_accounts="3", pop_before_smtp__accounts="all") as house:
            for name in names:
                house.account(f"{name}@acc.test")
            house.serve()
            for count, name in enumerate(names, 1):
                with house.pop3(f"{name}@acc.test"):
                    pass
                self.assertEqual(len(house.json("lease", "list")), count if count <= 3 else 0, name)
            self.assertIn("shared", house.logged())

    def test_never_networks_and_restart(self):
        with House(serve=False, accounts=(), pop_before_smtp__never_networks="127.0.0.0/8", pop_before_smtp__accounts="all") as house:
            house.account("alice@acc.test")
            house.serve()
            with house.pop3("alice@acc.test"):
                pass
            self.assertEqual(house.json("lease", "list"), [])

    def test_C107_a_restart_ends_all(self):
        with House(pop_before_smtp__accounts="all") as house:
            with house.pop3("alice@acc.test"):
                pass
            self.assertEqual(len(house.json("lease", "list")), 1)
            house.stop()
            house.serve()
            self.assertEqual(house.json("lease", "list"), [])


if __name__ == "__main__":
    unittest.main()
