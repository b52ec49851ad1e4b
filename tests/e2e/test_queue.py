"""Mail for elsewhere: queued durably, handed to the smarthost, also after that was away; bounces."""
import email
import os
import poplib
import signal
import time
import unittest

from house import House, Sink, message, until


class Queue(unittest.TestCase):
    def submit(self, house, to="far@elsewhere.test", **words):
        with house.smtp("submission", login="alice@acc.test") as client:
            client.sendmail("alice@acc.test", to, message(to=to if isinstance(to, str) else to[0], **words).encode(), rcpt_options=words.get("rcpt_options", ()))

    def test_through_the_smarthost(self):
        with Sink() as sink, House(smarthost=f"127.0.0.1:{sink.port}", smarthost__tls="none") as house:
            self.submit(house, subject="far away", body="a\r\n.dot\r\n" + "x" * 70 + "\r\n")
            mail = until(lambda: sink.mails and sink.mails[0], what="mail at the smarthost")
            self.assertIn("<alice@acc.test>", mail["from"])
            self.assertIn(b"Subject: far away", mail["data"])
            self.assertIn(b"\r\n.dot\r\n", mail["data"])
            self.assertNotIn(b"Return-Path", mail["data"])
            until(lambda: house.json("queue", "list") == [], what="empty queue")

    def test_large_and_mixed_recipients(self):
        with Sink() as sink, House(smarthost=f"127.0.0.1:{sink.port}", smarthost__tls="none") as house:
            body = ("y" * 70 + "\r\n") * 30000
            self.submit(house, to=["far@elsewhere.test", "bob@acc.test", "near@elsewhere.test"], body=body)
            mail = until(lambda: sink.mails and sink.mails[0], what="mail at the smarthost")
            self.assertTrue(mail["data"].endswith(body.encode()))
            self.assertEqual(len(mail["to"]), 2)
            local = house.mail_of("bob@acc.test")[0]
            self.assertTrue(local.startswith(b"Return-Path: <alice@acc.test>"))
            self.assertTrue(local.endswith(body.encode()))

    def test_C008_C009_C010_one_message_stays_one(self):
        """What looks like an end mark and a second message goes through every hop of the house as text, and our fields stand before it."""
        inner = "MAIL FROM:<admin@acc.test>\r\nRCPT TO:<victim@elsewhere.test>\r\nDATA\r\nSubject: smuggled\r\n\r\nx\r\n.\r\n"
        text = message(to="far@elsewhere.test", body="first\r\n.\r\n" + inner + "..\r\n.x\r\nQUIT\r\nlast\r\n").encode()
        with Sink() as sink, House(smarthost=f"127.0.0.1:{sink.port}", smarthost__tls="none") as house:
            for chunk in (None, 1, 7, len(text)):
                if chunk is None:
                    with house.smtp("submission", login="alice@acc.test") as client:
                        client.sendmail("alice@acc.test", ["far@elsewhere.test", "bob@acc.test"], text)
                else:
                    with house.smtp("submission", login="alice@acc.test") as client:
                        client.mail("alice@acc.test")
                        client.rcpt("far@elsewhere.test")
                        client.rcpt("bob@acc.test")
                        for at in range(0, len(text), chunk):
                            piece = text[at:at + chunk]
                            client.send(b"BDAT %d%s\r\n" % (len(piece), b" LAST" if at + chunk >= len(text) else b"") + piece)
                            self.assertEqual(client.getreply()[0], 250)
            until(lambda: len(sink.mails) == 4, what="four mails at the smarthost")
            until(lambda: house.json("queue", "list") == [], what="empty queue")
            self.assertEqual(len(sink.mails), 4)
            for mail in [*(mail["data"] for mail in sink.mails), *house.mail_of("bob@acc.test")]:
                self.assertTrue(mail.endswith(text), mail)
                ours = mail[:-len(text)]
                self.assertNotIn(b"\r\n\r\n", ours)
                self.assertIn(b"Received: from", ours)
            self.assertEqual(len(house.mail_of("bob@acc.test")), 4)

    def test_C210_no_bounce_to_strangers(self):
        """What is refused is refused while its sender is there: nothing of it comes into the queue."""
        with Sink() as sink, House(smarthost=f"127.0.0.1:{sink.port}", smarthost__tls="none", message__size_limit="100KB") as house:
            with house.smtp() as client:
                client.ehlo()
                for to in ("nobody@acc.test", "far@elsewhere.test"):
                    client.mail("forged@victim.test")
                    self.assertEqual(client.rcpt(to)[0], 550)
                    client.rset()
                for text in (b"Subject: big\r\n\r\n" + b"x" * 70 * 3000, b"Received: x\r\n" * 150 + b"\r\nloop\r\n", b" no header\r\n"):
                    client.mail("forged@victim.test")
                    client.rcpt("bob@acc.test")
                    self.assertGreaterEqual(client.data(text)[0], 500)
            self.assertEqual(house.json("queue", "list"), [])
            self.assertEqual(house.mail_of("bob@acc.test"), [])
            self.assertEqual(sink.mails, [])

    def test_smarthost_away_for_a_while(self):
        probe = Sink()
        port = probe.port
        probe.__exit__()
        with House(smarthost=f"127.0.0.1:{port}", smarthost__tls="none", queue__first_retry="1s") as house:
            self.submit(house, subject="patience")
            row = until(lambda: [r for r in house.json("queue", "list") if r["attempts"] > 0], what="a failed attempt")[0]
            self.assertEqual(row["recipient"], "far@elsewhere.test")
            house.stop()  # durable: over a restart, and over kill -9
            house.serve()
            for name, pid in house.pids().items():
                if name.startswith("keeper"):
                    os.kill(pid, signal.SIGKILL)
            with Sink(port) as sink:
                until(lambda: sink.mails, 20, "mail at the smarthost")
                until(lambda: house.json("queue", "list") == [], 10, "empty queue")
                self.assertEqual(len(sink.mails), 1)

    def test_refusal_bounces_to_the_sender(self):
        with Sink(answers={"RCPT TO:<GONE@": "550 5.1.1 No such person"}) as sink, House(smarthost=f"127.0.0.1:{sink.port}", smarthost__tls="none") as house:
            self.submit(house, to=["gone@elsewhere.test", "here@elsewhere.test"], subject="two")
            until(lambda: sink.mails, what="mail for the good one")
            bounce = until(lambda: house.mail_of("alice@acc.test"), what="bounce")[0]
            self.assertTrue(bounce.startswith(b"Return-Path: <>"))
            for part in (b"multipart/report", b"Final-Recipient: rfc822;gone@elsewhere.test", b"Action: failed", b"Status: 5.1.1", b"Subject: two", b"No such person"):
                self.assertIn(part.lower().replace(b" ", b""), bounce.lower().replace(b" ", b""), part)
            self.assertNotIn(b"here@elsewhere.test", bounce.split(b"message/delivery-status")[1].split(b"--")[0])
            until(lambda: house.json("queue", "list") == [], what="empty queue")

    def test_age_bounces(self):
        with Sink(answers={"MAIL": "451 4.3.0 not now"}) as sink, House(smarthost=f"127.0.0.1:{sink.port}", smarthost__tls="none", queue__first_retry="1s", queue__lifetime="2s") as house:
            self.submit(house)
            bounce = until(lambda: house.mail_of("alice@acc.test"), 15, "bounce by age")[0]
            self.assertIn(b"not now", bounce)

    def test_temporary_refusal_is_tried_again(self):
        with Sink(answers={"END-OF-DATA": "451 4.3.0 later"}) as sink, House(smarthost=f"127.0.0.1:{sink.port}", smarthost__tls="none", queue__first_retry="1s") as house:
            self.submit(house)
            until(lambda: [r for r in house.json("queue", "list") if "later" in r["last_reply"]], what="the reply in the queue list")
            sink.answers.clear()
            until(lambda: sink.mails, 10, "second attempt")

    def test_tls_must_and_may(self):
        with Sink() as sink, House(smarthost=f"127.0.0.1:{sink.port}", smarthost__tls="must", queue__first_retry="1s") as house:
            self.submit(house)
            until(lambda: [r for r in house.json("queue", "list") if r["attempts"] > 0], what="a refused attempt")
            time.sleep(0.5)
            self.assertEqual(sink.mails, [])  # never in clear

    def test_starttls_is_used(self):
        import ssl
        with House() as other:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(other.dir / "tls" / "cert.pem", other.dir / "tls" / "key.pem")
            with Sink(tls=context) as sink, House(smarthost=f"127.0.0.1:{sink.port}", smarthost__tls="may") as house:
                self.submit(house)
                mail = until(lambda: sink.mails and sink.mails[0], what="mail at the smarthost")
                self.assertTrue(mail["tls"])
                self.assertIn("tls=TLSv1.3", house.logged())

    def test_hold_release_remove_show(self):
        with House(smarthost="", queue__first_retry="1h") as house:
            self.submit(house, subject="shown")
            row = until(lambda: [r for r in house.json("queue", "list") if r["attempts"] > 0], what="first attempt")[0]
            number = str(row["id"])
            self.assertIn("Subject: shown", house.ctl("queue", "show", number))
            house.ctl("queue", "hold", number)
            self.assertEqual(house.json("queue", "list")[0]["state"], "held")
            house.ctl("queue", "release", number)
            self.assertEqual(house.json("queue", "list")[0]["state"], "waiting")
            house.ctl("queue", "retry", number)
            until(lambda: house.json("queue", "list")[0]["attempts"] > 1, what="a second attempt")
            house.ctl("queue", "remove", number)
            self.assertEqual(house.json("queue", "list"), [])
            house.ctl("queue", "show", number, fails=1)

    def test_dsn_parameters_reach_the_next_hop(self):
        with Sink() as sink, House(smarthost=f"127.0.0.1:{sink.port}", smarthost__tls="none") as house:
            with house.smtp("submission", login="alice@acc.test") as client:
                client.ehlo_or_helo_if_needed()
                self.assertEqual(client.docmd("MAIL FROM:<alice@acc.test> RET=HDRS ENVID=abc+2B1")[0], 250)
                self.assertEqual(client.docmd("RCPT TO:<far@elsewhere.test> NOTIFY=FAILURE,DELAY ORCPT=rfc822;far@elsewhere.test")[0], 250)
                self.assertEqual(client.data(message().encode())[0], 250)
            mail = until(lambda: sink.mails and sink.mails[0], what="mail at the smarthost")
            self.assertIn("RET=HDRS", mail["from"])
            self.assertIn("ENVID=abc+2B1", mail["from"])
            self.assertIn("ORCPT=rfc822;far@elsewhere.test", mail["to"][0])
            self.assertIn("NOTIFY=FAILURE,DELAY", mail["to"][0])

    def test_eight_bits_are_announced_to_the_next_hop(self):
        """RFC 6152 3, also where the client did not say BODY."""
        with Sink() as sink, House(smarthost=f"127.0.0.1:{sink.port}", smarthost__tls="none") as house:
            self.submit(house, body="Gr\u00fc\u00dfe\r\n")
            self.submit(house, body="plain\r\n")
            until(lambda: len(sink.mails) == 2, what="both mails at the smarthost")
            for mail in sink.mails:
                self.assertEqual("BODY=8BITMIME" in mail["from"], b"\xc3" in mail["data"], mail["from"])

    def submit_for(self, house, recipients, sender="alice@acc.test", mail=""):
        """recipients: address -> its parameters."""
        with house.smtp("submission", login="alice@acc.test") as client:
            client.ehlo_or_helo_if_needed()
            self.assertEqual(client.docmd(f"MAIL FROM:<{sender}> {mail}")[0], 250)
            for address, words in recipients.items():
                self.assertEqual(client.docmd(f"RCPT TO:<{address}> {words}")[0], 250, address)
            self.assertEqual(client.data(message(subject="told").encode())[0], 250)

    def report(self, mail):
        """The fields about each recipient of a notification: Final-Recipient -> {field: value}."""
        parsed = email.message_from_bytes(mail)
        self.assertEqual(parsed.get_content_type(), "multipart/report")
        status = parsed.get_payload(1)
        self.assertEqual(status.get_content_type(), "message/delivery-status")
        return {str(block["Final-Recipient"]).split(";")[1].strip(): block for block in status.get_payload()[1:]}

    def test_success_is_told_of_local_recipients(self):
        with House(smarthost="", accounts=("alice", "bob", "carol")) as house:
            house.ctl("alias", "add", "one@acc.test", "bob@acc.test")
            house.ctl("alias", "add", "team@acc.test", "bob@acc.test")
            house.ctl("alias", "add", "team@acc.test", "carol@acc.test")
            self.submit_for(house, {"bob@acc.test": "NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;Bob+40acc.test", "carol@acc.test": "NOTIFY=FAILURE",
                                    "one@acc.test": "NOTIFY=SUCCESS", "team@acc.test": "NOTIFY=SUCCESS", "Postmaster": "NOTIFY=SUCCESS"}, mail="ENVID=Q1+2B2 RET=FULL")
            told = until(lambda: [mail for mail in house.mail_of("alice@acc.test") if b"multipart/report" in mail], what="the notification")
            until(lambda: house.json("queue", "list") == [], what="empty queue")
            self.assertEqual(len(told), 1)
            self.assertTrue(told[0].startswith(b"Return-Path: <>"))
            self.assertIn(b"Original-Envelope-Id: Q1+2", told[0])
            self.assertNotIn(b"\r\nlast\r\n", told[0])  # RFC 3461 4.3: RET is for failures
            rows = self.report(told[0])
            self.assertEqual({address: row["Action"] for address, row in rows.items()},
                             {"bob@acc.test": "delivered", "one@acc.test": "delivered", "team@acc.test": "expanded", "Postmaster": "delivered"})
            self.assertEqual(rows["bob@acc.test"]["Original-Recipient"], "rfc822;Bob@acc.test")
            self.assertEqual(rows["bob@acc.test"]["Status"], "2.0.0")
            self.assertNotIn("Remote-MTA", rows["bob@acc.test"])
            self.assertEqual(len(house.mail_of("bob@acc.test")), 1)
            self.assertEqual(len(house.mail_of("carol@acc.test")), 1)
            self.assertNotIn("No route", house.logged())  # nothing was attempted

    def test_a_notice_waits_for_its_courier_and_outlives_a_crash(self):
        with House(smarthost="") as house:
            courier = next(pid for name, pid in house.pids().items() if name.startswith("courier"))
            os.kill(courier, signal.SIGSTOP)
            try:
                self.submit_for(house, {"bob@acc.test": "NOTIFY=SUCCESS"})
                row = house.json("queue", "list")[0]
                self.assertEqual((row["state"], row["recipient"], row["attempts"]), ("notice", "bob@acc.test", 0))
                self.assertEqual(len(house.mail_of("bob@acc.test")), 1)
                os.kill(next(pid for name, pid in house.pids().items() if name.startswith("keeper")), signal.SIGKILL)
            finally:
                os.kill(courier, signal.SIGCONT)

            def told():
                try:
                    return house.mail_of("alice@acc.test")
                except (OSError, EOFError, poplib.error_proto):  # the keeper is not back yet
                    return None

            until(told, 20, "the notification")
            until(lambda: house.json("queue", "list") == [], what="empty queue")
            self.assertEqual(len(house.mail_of("alice@acc.test")), 1)
            self.assertEqual(len(house.mail_of("bob@acc.test")), 1)

    def test_nobody_is_told_who_did_not_ask_or_has_no_address(self):
        with House(smarthost="") as house:
            self.submit_for(house, {"bob@acc.test": "NOTIFY=NEVER"})
            self.submit_for(house, {"bob@acc.test": ""})
            self.submit_for(house, {"bob@acc.test": "NOTIFY=FAILURE,DELAY"})
            self.submit_for(house, {"bob@acc.test": "NOTIFY=SUCCESS"}, sender="")
            self.assertEqual(house.json("queue", "list"), [])
            self.submit_for(house, {"bob@acc.test": "NOTIFY=SUCCESS"})
            until(lambda: house.mail_of("alice@acc.test"), what="the notification of the last")
            until(lambda: house.json("queue", "list") == [], what="empty queue")
            self.assertEqual(len(house.mail_of("alice@acc.test")), 1)
            self.assertEqual(len(house.mail_of("bob@acc.test")), 5)

    def test_success_behind_a_hop_without_dsn_and_with_it(self):
        for extensions, action in (("PIPELINING", "8BITMIME"), "relayed"), (("8BITMIME", "DSN"), None):
            with self.subTest(action=action), Sink(extensions=extensions) as sink, House(smarthost=f"127.0.0.1:{sink.port}", smarthost__tls="none") as house:
                house.ctl("alias", "add", "away@acc.test", "away@elsewhere.test")
                house.ctl("alias", "add", "both@acc.test", "bob@acc.test")
                house.ctl("alias", "add", "both@acc.test", "second@elsewhere.test")
                self.submit_for(house, {"far@elsewhere.test": "NOTIFY=SUCCESS", "bob@acc.test": "NOTIFY=SUCCESS", "quiet@elsewhere.test": "NOTIFY=NEVER",
                                        "away@acc.test": "NOTIFY=SUCCESS,FAILURE", "both@acc.test": "NOTIFY=SUCCESS"})
                mail = until(lambda: sink.mails and sink.mails[0], what="mail at the smarthost")
                until(lambda: house.json("queue", "list") == [], what="empty queue")
                actions = {}
                for told in house.mail_of("alice@acc.test"):
                    actions |= {address: row["Action"] for address, row in self.report(told).items()}
                expected = {"bob@acc.test": "delivered", "both@acc.test": "expanded"}
                if action:
                    expected |= {"far@elsewhere.test": action, "away@elsewhere.test": action}
                self.assertEqual(actions, expected)
                if not action:
                    words = {line.split("<")[1].split(">")[0]: line for line in mail["to"]}
                    self.assertIn("NOTIFY=SUCCESS,FAILURE", words["away@elsewhere.test"])  # RFC 3461 5.2.7.2
                    self.assertIn("NOTIFY=NEVER", words["second@elsewhere.test"])          # 5.2.7.3 (c): SUCCESS was all of it
                    self.assertIn("NOTIFY=NEVER", words["quiet@elsewhere.test"])

    def test_strangers_are_told_through_the_smarthost(self):
        with Sink() as sink, House(smarthost=f"127.0.0.1:{sink.port}", smarthost__tls="none") as house:
            with house.smtp() as client:
                client.ehlo_or_helo_if_needed()
                self.assertEqual(client.docmd("MAIL FROM:<stranger@elsewhere.test>")[0], 250)
                self.assertEqual(client.docmd("RCPT TO:<bob@acc.test> NOTIFY=SUCCESS")[0], 250)
                self.assertEqual(client.data(message().encode())[0], 250)
            mail = until(lambda: sink.mails and sink.mails[0], what="the notification")
            self.assertIn("MAIL FROM:<>", mail["from"])
            self.assertIn("<stranger@elsewhere.test>", mail["to"][0])
            self.assertIn("NOTIFY=NEVER", mail["to"][0])  # RFC 3461 6.1
            self.assertEqual(self.report(mail["data"])["bob@acc.test"]["Action"], "delivered")


if __name__ == "__main__":
    unittest.main()
