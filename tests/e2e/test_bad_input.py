"""Bad input over real sockets: smuggling, floods, HTTP, and that honest clients go on (PITFALLS C1, C2, C6, C11)."""
import socket
import threading
import time
import unittest

from house import HOST, House, message, until


class BadInput(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.house = House(message__size_limit="300KB", limits__connections_per_address="60")

    @classmethod
    def tearDownClass(cls):
        cls.house.__exit__()

    def setUp(self):
        self.clear()

    def clear(self):
        with self.house.pop3("bob@acc.test") as client:
            for i in range(client.stat()[0]):
                client.dele(i + 1)
            client.quit()

    def count(self):
        with self.house.pop3("bob@acc.test") as client:
            return client.stat()[0]

    def begin(self, raw):
        raw.say("EHLO x.test")
        raw.say("MAIL FROM:<x@elsewhere.test>")
        raw.say("RCPT TO:<bob@acc.test>")

    def test_C001_to_C006_no_smuggling(self):
        inner = b"MAIL FROM:<admin@acc.test>\r\nRCPT TO:<bob@acc.test>\r\nDATA\r\nFrom: admin@acc.test\r\n\r\nsmuggled\r\n.\r\n"
        ends = (b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r\n.\r", b"\r.\r\n", b"\r\n.\r\r\n", b"\r\n\0.\r\n", b"\r\n.\0\r\n", b"\r\n.\x0b\r\n", b"\r\n .\r\n")
        for end in ends:
            with self.house.raw() as raw:
                self.begin(raw)
                raw.say("DATA")
                raw.put(b"From: x@elsewhere.test\r\nSubject: outer\r\n\r\nouter" + end + inner + b"QUIT\r\n")
                answers = [line for line in raw.rest() if line.startswith("250 2.6.0") or line.startswith("250 2.0.0")]
            self.assertLessEqual(self.count(), 1, end)
            for mail in self.house.mail_of("bob@acc.test"):
                self.assertIn(b"Subject: outer", mail, end)
                self.assertNotIn(b"\r\n\r\nsmuggled", mail.split(b"Subject: outer")[0], end)
            self.assertLessEqual(len(answers), 1, end)
            self.clear()

    def test_C016_http_is_shown_the_door(self):
        for service in ("smtp", "submission", "pop3"):
            with self.house.raw(service) as raw:
                raw.put("GET /evil HTTP/1.1\r\nHost: x\r\n\r\nMAIL FROM:<a@b.test>\r\n")
                rest = "\n".join(raw.rest())
                self.assertNotIn("evil", rest)
                self.assertNotIn("250", rest)

    def test_C014_endless_lines(self):
        with self.house.raw() as raw:
            raw.put("X" * 1000000 + "\r\n")
            self.assertTrue(raw.line().startswith("500"))
            self.assertTrue(raw.say("NOOP").startswith("250"))
        with self.house.raw("pop3") as raw:
            raw.put("X" * 1000000 + "\r\n")
            self.assertTrue(raw.line().startswith("-ERR"))

    def test_C049_size(self):
        with self.house.smtp() as client:
            client.ehlo()
            self.assertEqual(client.docmd("MAIL FROM:<x@e.test> SIZE=400000")[0], 552)
            client.mail("x@elsewhere.test")
            client.rcpt("bob@acc.test")
            code, text = client.data(b"Subject: big\r\n\r\n" + b"x" * 70 * 5000 + b"\r\n")
            self.assertEqual((code, text[:5]), (552, b"5.3.4"))
            self.assertEqual(client.noop()[0], 250)
        self.assertEqual(self.count(), 0)

    def test_C018_C019_reset_after_errors(self):
        with self.house.raw() as raw:
            self.begin(raw)
            self.assertTrue(raw.say("BDAT x").startswith("5"))
        with self.house.raw() as raw:
            self.begin(raw)
            self.assertTrue(raw.say("BDAT 99999999999999999999").startswith("5"))
        with self.house.raw() as raw:
            self.begin(raw)
            raw.say("DATA")
            raw.put(b" leading space\r\n\r\n.\r\n")
            self.assertTrue(raw.reply().startswith("5"))
            self.assertTrue(raw.say("RCPT TO:<bob@acc.test>").startswith("503"))
            self.assertTrue(raw.say("DATA").startswith("503"))

    def test_chunking(self):
        with self.house.raw() as raw:
            self.begin(raw)
            text = message(subject="chunks").encode()
            for i in range(0, len(text), 7):
                piece = text[i:i + 7]
                raw.put(b"BDAT %d\r\n" % len(piece) + piece)
                self.assertTrue(raw.reply().startswith("250"))
            self.assertTrue(raw.say("BDAT 0 LAST").startswith("250"))
        mail = self.house.mail_of("bob@acc.test")[0]
        self.assertTrue(mail.endswith(text))

    def test_binary_body(self):
        with self.house.raw() as raw:
            raw.say("EHLO x.test")
            self.assertTrue(raw.say("MAIL FROM:<x@e.test> BODY=BINARYMIME").startswith("250"))
            raw.say("RCPT TO:<bob@acc.test>")
            self.assertTrue(raw.say("DATA").startswith("503"))
            text = b"Subject: binary\r\n\r\n\x00\x01bare\nlf\rcr\r\n.\r\nend"
            raw.put(b"BDAT %d LAST\r\n" % len(text) + text)
            self.assertTrue(raw.reply().startswith("250"))
        with self.house.pop3("bob@acc.test") as client:
            size = int(client.list(1).split()[2])
            mail = b"\r\n".join(client.retr(1)[1]) + b"\r\n"
            self.assertEqual(len(mail), size)  # C151
            self.assertNotIn(b"\0", mail)

    def test_C149_drop_without_quit_deletes_nothing(self):
        self.house.send("bob@acc.test")
        with self.house.pop3("bob@acc.test") as client:
            client.dele(1)
        self.assertEqual(self.count(), 1)

    def test_C150_two_pop3_sessions(self):
        for i in range(3):
            self.house.send("bob@acc.test", subject=f"m{i}")
        with self.house.pop3("bob@acc.test") as one, self.house.pop3("bob@acc.test") as two:
            one.dele(2)
            one.quit()
            self.assertEqual(two.stat()[0], 3)
            self.assertIn(b"Subject: m0", b"\n".join(two.retr(1)[1]))
            self.assertIn(b"Subject: m2", b"\n".join(two.retr(3)[1]))
            with self.assertRaises(Exception):
                two.retr(2)
            two.dele(2)
            two.dele(3)
            two.quit()
        self.assertEqual(self.count(), 1)

    def test_C227_crowd_from_one_address(self):
        held = [socket.create_connection((HOST, self.house.port("smtp")), timeout=10) for _ in range(60)]

        def greeted():
            with socket.create_connection((HOST, self.house.port("smtp")), timeout=10) as one_more:
                first = one_more.recv(100)
                return first[:3], first.startswith(b"220") or one_more.recv(100)
        until(lambda: greeted() == (b"421", b""), what="no room for one more")
        for connection in held:
            connection.close()
        until(lambda: greeted()[0] == b"220", what="room again")
        with self.house.smtp() as client:
            self.assertEqual(client.noop()[0], 250)

    def test_C229_junk_commands(self):
        with self.house.raw() as raw:
            raw.put("NOOP\r\n" * 5000)
            lines = raw.rest()
            self.assertTrue(lines[-1].startswith("421"))
            self.assertLess(len(lines), 300)

    def test_C118_C154_log_lines_cannot_be_forged(self):
        with self.house.raw("pop3s") as raw:
            raw.put(b"USER x\x1b[31m\xff event=forged\r\n")
            raw.line()
            raw.put(b"PASS y\r\n")
            raw.line()
        with self.house.raw() as raw:
            raw.put(b"EHLO a\tb\x07c\r\n")
            raw.reply()
        self.assertNotIn("\x1b", self.house.logged())
        for line in self.house.logged().splitlines():
            self.assertRegex(line, r"^\d{4}-\d\d-\d\dT[\d:.]+Z (debug|info|warning|error) ")

    def test_C228_slow_talkers_do_not_hold_up_honest_clients(self):
        stop = threading.Event()
        slow = [socket.create_connection((HOST, self.house.port("smtp")), timeout=10) for _ in range(40)]

        def drip():
            while not stop.wait(0.05):
                for connection in slow:
                    connection.sendall(b"N")
        thread = threading.Thread(target=drip)
        thread.start()
        start = time.monotonic()
        for _ in range(10):
            self.house.send("bob@acc.test")
        self.assertLess(time.monotonic() - start, 2.0)
        stop.set()
        thread.join()
        for connection in slow:
            connection.close()


if __name__ == "__main__":
    unittest.main()
