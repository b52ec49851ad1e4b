"""check and its repair, with the server running and without, as root and as an ordinary user: each damage is done by hand."""
import json
import os
import sqlite3
import threading
import unittest

from house import House, message
from test_backup import BIG, USERS, body_files, change, filled, flip, give, run


class Check(unittest.TestCase):
    def found(self, house, *words, code=1):
        done = run(house, "check", "--json", *words)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        answer = json.loads(done.stdout)
        self.assertEqual(answer["whole"], code == 0)
        return {(row["found"], row["account"], row["uid"]) for row in answer["findings"]}, answer

    def test_whole(self):
        for user in USERS:
            with filled(user) as house:
                self.assertEqual(self.found(house, code=0)[0], set())
                self.assertIn("10 messages", run(house, "check").stdout)
                house.stop()
                found, answer = self.found(house, code=0)
                self.assertEqual((found, answer["messages"], answer["bodies"], answer["pages_checked"]), (set(), 10, 6, True))
                house.serve()
                self.assertEqual(len(house.mail_of("bob@acc.test")), 6)

    def test_damage_is_found_and_put_right(self):
        for user in USERS:
            with filled(user) as house:
                house.stop()
                change(house, "UPDATE blob SET data = cast(substr(data, 1, 60) || x'00' || substr(data, 62) AS blob) WHERE id = 2",
                       "UPDATE mailbox SET messages = 77, uidnext = 1 WHERE id = 1", "UPDATE share SET refs = 9 WHERE blob = 1",
                       "INSERT INTO message VALUES (1, 50, 60, 0, '', 0, 10, 10, 4711)")
                first, second = body_files(house)
                names = [name for (name,) in sqlite3.connect(house.dir / "store" / "ekirei.db").execute("SELECT file FROM blob WHERE file IS NOT NULL ORDER BY id")]
                flip(house.dir / "store" / names[0])
                (house.dir / "store" / names[1]).unlink()
                orphan = first.parent / (first.parent.name + "0" * 30)
                orphan.write_bytes(b"nobody's")
                give(house, orphan)
                os.utime(orphan, (1000, 1000))
                lasting = {("damaged-body", "alice@acc.test", 2), ("damaged-body", "bob@acc.test", 2), ("damaged-body", "bob@acc.test", 5),
                           ("missing-file", "bob@acc.test", 6)}
                wanted = lasting | {("count", "alice@acc.test", 0), ("octets", "alice@acc.test", 0), ("uidnext", "alice@acc.test", 0), ("modseq", "alice@acc.test", 0),
                                    ("no-body", "alice@acc.test", 50), ("references", "", 0), ("orphan-file", "", 0)}
                found, answer = self.found(house)
                self.assertEqual(found, wanted)
                self.assertEqual([row["where"] for row in answer["findings"] if row["found"] == "orphan-file"], [str(orphan.relative_to(house.dir / "store"))])
                self.assertEqual(self.found(house)[0], wanted)  # looking changes nothing
                text = run(house, "check").stdout
                self.assertRegex(text, r"(?m)^damaged-body: bob@acc.test INBOX uid 2: .*digest differs; restore it")
                self.assertRegex(text, r"(?m)^count: alice@acc.test INBOX: .*\(77, must be 5\)")
                house.serve()
                # A start sweeps files that no row names; the rest is found through the server, too.
                self.assertEqual(self.found(house)[0], wanted - {("orphan-file", "", 0)})
                found, answer = self.found(house, "--repair")
                self.assertEqual(set(answer["repaired"]), {"count", "counter", "uidnext", "modseq", "no-body", "references"})
                self.assertEqual(self.found(house)[0], lasting)
                # Mail goes on, with UIDs that were never given out.
                house.send("alice@acc.test", subject="after")
                with house.pop3("alice@acc.test") as client:
                    self.assertIn(b"Subject: after", client.retr(client.stat()[0])[1])
                    self.assertEqual([line.split(b".")[1] for line in client.uidl()[1]][-1], b"%08x" % 51)
                house.stop()
                self.assertEqual(self.found(house)[0], lasting)

    def test_repair_of_a_stopped_store_and_orphan_files(self):
        with filled() as house:
            house.stop()
            file = body_files(house)[0]
            orphan = file.parent / (file.parent.name + "1" * 30)
            orphan.write_bytes(b"nobody's")
            give(house, orphan)
            done = run(house, "check", "--repair")
            self.assertEqual((done.returncode, orphan.exists()), (0, False), done.stdout)
            self.assertIn("in one transaction", done.stderr)
            self.assertIn("put right: orphan-file, 1", done.stdout)
            self.assertEqual(run(house, "check").returncode, 0)

    def test_a_wrong_key_and_a_spoilt_database(self):
        with House(serve=False) as house:
            house.device("alice@acc.test")
            flip(house.dir / "keys" / "keeper.key", 3)
            self.assertEqual({row[0] for row in self.found(house)[0]}, {"device-sealed"})
            flip(house.dir / "keys" / "keeper.key", 3)
            self.assertEqual(self.found(house, code=0)[0], set())
            database = house.dir / "store" / "ekirei.db"
            octets = bytearray(database.read_bytes())
            octets[16384:24576] = b"\xa5" * 8192
            database.write_bytes(octets)
            done = run(house, "check")
            self.assertEqual(done.returncode, 1)
            self.assertRegex(done.stdout + done.stderr, "damaged|corrupt")

    def test_deliveries_meanwhile_are_no_findings(self):
        with filled() as house:
            stop = threading.Event()

            def send(seed):
                with house.smtp() as client:
                    while not stop.is_set():
                        client.sendmail("x@elsewhere.test", ["alice@acc.test", "bob@acc.test"], message(body=BIG if seed else "x\r\n").encode())

            def remove():
                while not stop.is_set():
                    with house.pop3("alice@acc.test") as client:
                        for number in range(1, client.stat()[0] + 1):
                            client.dele(number)
                        client.quit()

            threads = [threading.Thread(target=send, args=(i,)) for i in range(2)] + [threading.Thread(target=remove)]
            for thread in threads:
                thread.start()
            try:
                for _ in range(8):
                    self.assertEqual(self.found(house, code=0)[0], set())
            finally:
                stop.set()
                for thread in threads:
                    thread.join()


if __name__ == "__main__":
    unittest.main()
