"""auth.throttle=yes, as it is by default: guessing grows slow, and only for who guesses."""
import poplib
import socket
import threading
import time
import unittest

from house import HOST, House

RIGHT = House.password("alice@acc.test")


class Throttle(unittest.TestCase):
    def setUp(self):
        self.house = House(auth__throttle="yes", listen__address="0.0.0.0")
        self.context = self.house.tls()

    def tearDown(self):
        self.house.__exit__()

    def connect(self, source=HOST):
        plain = socket.create_connection((HOST, self.house.port("pop3s")), timeout=90, source_address=(source, 0))
        client = self.context.wrap_socket(plain, server_hostname="localhost")
        stream = client.makefile("rwb")
        stream.readline()
        return client, stream

    def login(self, name, password, source=HOST):
        """Whether it was right, and how many seconds that took."""
        client, stream = self.connect(source)
        with client:
            return self.try_in(stream, name, password)

    @staticmethod
    def try_in(stream, name, password):
        stream.write(f"USER {name}\r\n".encode())
        stream.flush()
        stream.readline()
        begin = time.monotonic()
        stream.write(f"PASS {password}\r\n".encode())
        stream.flush()
        answer = stream.readline()
        return answer.startswith(b"+OK"), time.monotonic() - begin

    def test_C076_delay_grows_for_the_guesser_only(self):
        times = []
        for _ in range(7):
            right, took = self.login("alice@acc.test", "guess")
            self.assertFalse(right)
            times.append(took)
        self.assertLess(max(times[:3]), 0.2, times)  # typos are free
        self.assertGreater(times[3], 0.2, times)
        self.assertGreater(times[6], 1.8, times)
        self.assertTrue(all(later > earlier for earlier, later in zip(times[3:], times[4:])), times)
        # Her name has been guessed at from 127.0.0: she is not kept out from elsewhere, nor is anybody else there.
        right, took = self.login("alice@acc.test", RIGHT, source="127.0.1.2")
        self.assertTrue(right)
        self.assertLess(took, 0.2)
        right, took = self.login("bob@acc.test", House.password("bob@acc.test"), source="127.0.0.2")
        self.assertTrue(right)
        self.assertLess(took, 0.2)
        # Other names of hers share the counter; the right password waits, is taken, and ends it.
        right, took = self.login("ALICE", RIGHT)
        self.assertTrue(right)
        self.assertGreater(took, 2)
        right, took = self.login("alice@acc.test", RIGHT)
        self.assertTrue(right)
        self.assertLess(took, 0.2)

    def test_right_password_after_a_few_typos(self):
        with self.house.pop3() as client:
            for _ in range(2):
                with self.assertRaises(poplib.error_proto):
                    client.user("alice@acc.test")
                    client.pass_("typo")
            client.user("alice@acc.test")
            self.assertTrue(client.pass_(RIGHT).startswith(b"+OK"))

    def test_many_sessions_are_no_way_around(self):
        for _ in range(4):
            self.login("alice@acc.test", "guess")
        took, threads = [], []
        begin = time.monotonic()

        def guess():
            took.append(self.login("alice@acc.test", "guess")[1])

        for _ in range(5):
            threads.append(threading.Thread(target=guess))
            threads[-1].start()
        # While they wait, the server serves others.
        for _ in range(5):
            right, other = self.login("bob@acc.test", House.password("bob@acc.test"), source="127.0.0.2")
            self.assertTrue(right)
            self.assertLess(other, 0.3)
        for thread in threads:
            thread.join()
        self.assertGreater(time.monotonic() - begin, 2, took)  # one after another: 0.5 s each, not all of them in one
        self.assertGreater(max(took), 4 * 0.4, took)

    def test_unknown_names_wait_alike(self):
        known = [self.login("bob@acc.test", "guess", source="127.0.3.1")[1] for _ in range(5)]
        unknown = [self.login("nobody@acc.test", "guess", source="127.0.4.1")[1] for _ in range(5)]
        for one, other in zip(known, unknown):
            self.assertLess(abs(one - other), 0.2, (known, unknown))

    def test_C076_an_office_shares_its_address_and_no_mistakes(self):
        for who in ("alice@acc.test", "bob@acc.test"):
            self.assertTrue(self.login(who, House.password(who), source="127.0.5.1")[0])
        # One phone with an old password, from the place that they both know: 25 tries, and it waits.
        client, stream = self.connect("127.0.5.1")
        with client:
            for _ in range(4):
                self.assertFalse(self.try_in(stream, "bob@acc.test", "his old one")[0])
            self.assertGreater(self.try_in(stream, "bob@acc.test", "his old one")[1], 0.3)
        right, took = self.login("alice@acc.test", RIGHT, source="127.0.5.1")
        self.assertTrue(right)
        self.assertLess(took, 0.2)
        # Somebody guesses at names behind the same address: new ones wait there, those at home do not.
        for number in range(11):
            self.login(f"name{number}@acc.test", "guess", source="127.0.5.1")
        right, took = self.login("alice@acc.test", RIGHT, source="127.0.5.1")
        self.assertTrue(right)
        self.assertLess(took, 0.2)
        self.assertGreater(self.login("carol@acc.test", "guess", source="127.0.5.1")[1], 1.5)

    def test_C076_one_password_under_many_names(self):
        for number in range(10):
            right, took = self.login(f"name{number}@acc.test", "Summer2026!", source=f"127.1.{number}.1")
            self.assertFalse(right)
            self.assertLess(took, 0.3)
        right, took = self.login("alice@acc.test", "Summer2026!", source="127.2.0.1")
        self.assertFalse(right)
        self.assertGreater(took, 9)
        right, took = self.login("alice@acc.test", RIGHT, source="127.2.1.1")  # another password: nobody waits
        self.assertTrue(right)
        self.assertLess(took, 0.2)

    def test_full_width_and_upper_case_names(self):
        for name in ("ＡＬＩＣＥ＠ａｃｃ．ｔｅｓｔ", "alice＠acc。test", "Ａｌｉｃｅ", "ALICE@ACC.TEST"):
            self.assertTrue(self.login(name, RIGHT, source="127.0.6.1")[0], name)


class Session(unittest.TestCase):
    """Ten failures end a session, also where delays are off (DESIGN section 9)."""

    def test_ten_failures_in_smtp(self):
        with House() as house, house.raw("submissions") as client:
            client.say("EHLO client.test")
            for _ in range(10):
                self.assertEqual(client.say("AUTH PLAIN AGFsaWNlAGd1ZXNz")[:3], "535")
            self.assertEqual(client.reply()[:3], "421")
            self.assertIsNone(client.line())

    def test_ten_failures_in_pop3(self):
        with House() as house, house.raw("pop3s") as client:
            for _ in range(10):
                client.put("USER alice\r\nPASS guess\r\n")
                self.assertEqual(client.line()[:3], "+OK")
                self.assertEqual(client.line()[:4], "-ERR")
            self.assertIsNone(client.line())


if __name__ == "__main__":
    unittest.main()
