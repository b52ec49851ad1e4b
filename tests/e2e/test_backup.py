"""backup, restore and export, with the server running and without, as root and as an ordinary user."""
import email
import hashlib
import os
import pathlib
import random
import shutil
import signal
import sqlite3
import subprocess
import threading
import time
import unittest

from house import EKIREI, House, Sink, message, until

NOISE = random.Random(7)
BIG = "\r\n".join(NOISE.randbytes(30).hex() for _ in range(12000)) + "\r\n"  # a file of its own: more than 256 KiB once packed
USERS = [None, 64999] if os.getuid() == 0 else [None]


def run(house, *words, dir=None):
    return subprocess.run([EKIREI, *words, "--dir", str(dir or house.dir)], capture_output=True, text=True, timeout=60, **house._as_user())


def subjects(mails):
    return sorted(email.message_from_bytes(mail)["Subject"] for mail in mails)


def change(house, *statements):
    """By hand, beside a stopped server.  The file keeps its owner."""
    db = sqlite3.connect(house.dir / "store" / "ekirei.db")
    for statement in statements:
        db.execute(statement)
    db.commit()
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()


def give(house, path):
    """What the test made as root belongs to whom the store belongs to."""
    if os.getuid() == 0:
        owner = (house.dir / "store").stat()
        os.chown(path, owner.st_uid, owner.st_gid)


def flip(path, at=None):
    octets = bytearray(path.read_bytes())
    at = len(octets) // 2 if at is None else at
    octets[at] ^= 1
    path.write_bytes(octets)


def filled(user=None, **more):
    house = House(user=user, **more)
    for i in range(4):
        house.send(["alice@acc.test", "bob@acc.test"], subject=f"n{i}")
    for i in range(2):
        house.send("bob@acc.test", subject=f"big{i}", body=f"{i}\r\n" + BIG)
    return house


def body_files(house):
    return sorted(path for path in (house.dir / "store" / "bodies").rglob("*") if path.is_file())


class Backup(unittest.TestCase):
    def test_C238_there_and_back(self):
        for user in USERS:
            with filled(user) as house:
                secret = house.device("alice@acc.test", "copier")
                before = {name: house.mail_of(name) for name in ("alice@acc.test", "bob@acc.test")}
                with house.pop3("bob@acc.test") as client:
                    uidl = client.uidl()[1]
                for running in (True, False):
                    if not running:
                        house.stop()
                    folder = house.top / f"backup-{running}"
                    done = run(house, "backup", "--to", str(folder))
                    self.assertEqual((done.returncode, done.stderr), (0, ""), done.stdout)
                    self.assertEqual(folder.stat().st_mode & 0o777, 0o700)
                    self.assertEqual(subprocess.run(["sha256sum", "--quiet", "-c", "manifest.sha256"], cwd=folder).returncode, 0)
                    self.assertFalse((folder / "INCOMPLETE").exists() or (house.dir / "store" / "snapshot").exists())
                    self.assertIn("not empty", run(house, "backup", "--to", str(folder)).stderr)
                owner = (house.dir / "store" / "ekirei.db").stat()
                for running in (True, False):
                    done = run(house, "restore", "--from", str(house.top / f"backup-{running}"), "--force")
                    self.assertEqual(done.returncode, 0, done.stderr)
                    self.assertIn("new UIDVALIDITY", done.stdout)
                    self.assertEqual(run(house, "check").returncode, 0)
                    for path, mode in (("keys/keeper.key", 0o600), ("tls/key.pem", 0o600), ("tls/ca.pem", 0o644), ("ekirei.conf", 0o644), ("store", 0o700), ("run", 0o700),
                                       ("store/ekirei.db", 0o600)):
                        self.assertEqual((house.dir / path).stat().st_mode & 0o777, mode, path)
                    self.assertEqual((house.dir / "store" / "ekirei.db").stat().st_uid, owner.st_uid)
                    house.serve()
                    for name, mails in before.items():
                        self.assertEqual(house.mail_of(name), mails)
                    with house.pop3("alice@acc.test", secret):  # sealed under the restored key
                        pass
                    with house.pop3("bob@acc.test") as client:
                        renewed = client.uidl()[1]
                    self.assertEqual(len(set(renewed) | set(uidl)), 12)  # no UIDL of before comes again
                    uidl = renewed
                    house.stop()
                self.assertEqual(len(list(house.top.glob("e.before-*"))), 2)

    def test_C238_a_uidl_never_returns_with_other_contents(self):
        """Two restores of one backup, each with its own mail behind it: what clients have seen under a UIDL is all that they ever see under it."""
        with filled() as house:
            run(house, "backup", "--to", str(house.top / "b"))
            seen = {}

            def look():
                with house.pop3("bob@acc.test") as client:
                    ids = [line.split()[1] for line in client.uidl()[1]]
                    for at, name in enumerate(ids):
                        octets = hashlib.sha256(b"\n".join(client.retr(at + 1)[1])).digest()
                        self.assertEqual(seen.setdefault(name, octets), octets, name)
            for turn in range(3):
                house.send("bob@acc.test", subject=f"turn {turn}")
                look()
                house.stop()
                self.assertEqual(run(house, "restore", "--from", str(house.top / "b"), "--force").returncode, 0)
                shutil.rmtree(next(house.top.glob("e.before-*")))
                house.serve()
                look()

    def test_during_deliveries(self):
        """Each message answered 250 before the backup began is in it, whole; also one that is removed while it is made."""
        with filled() as house:
            sent, stop = [], threading.Event()

            def send(seed):
                with house.smtp() as client:
                    for number in range(10000):
                        if stop.is_set():
                            return
                        subject = f"s{seed}-{number}"
                        client.sendmail("x@elsewhere.test", "alice@acc.test", message(subject=subject, body=BIG if number % 5 == 0 else "x\r\n").encode())
                        sent.append(subject)

            threads = [threading.Thread(target=send, args=(seed,)) for seed in range(4)]
            for thread in threads:
                thread.start()
            until(lambda: len(sent) > 20, 20, "deliveries")
            acknowledged = list(sent)
            making = subprocess.Popen([EKIREI, "backup", "--dir", str(house.dir), "--to", str(house.top / "b")], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            with house.pop3("bob@acc.test") as client:
                for number in range(1, 7):
                    client.dele(number)
                client.quit()
            out, error = making.communicate(timeout=60)
            later = len(sent)
            stop.set()
            for thread in threads:
                thread.join()
            self.assertEqual(making.returncode, 0, error)
            house.stop()
            self.assertEqual(run(house, "restore", "--from", str(house.top / "b"), "--force").returncode, 0)
            self.assertEqual(run(house, "check").returncode, 0)
            house.serve()
            restored = subjects(house.mail_of("alice@acc.test"))
            self.assertEqual(len(restored), len(set(restored)))
            self.assertEqual(set(acknowledged) - set(restored), set())
            self.assertGreater(later, len(acknowledged))  # deliveries went on meanwhile
            self.assertIn(len(house.mail_of("bob@acc.test")), (0, 6))  # of one moment, before or after

    def test_what_is_damaged_is_refused(self):
        with filled() as house:
            good = house.top / "b"
            run(house, "backup", "--to", str(good))
            new = house.top / "new"
            harm = {
                "a bit of the database": lambda b: flip(b / "store" / "ekirei.db"),
                "a bit of a body": lambda b: flip(next(path for path in (b / "store" / "bodies").rglob("*") if path.is_file())),
                "a bit of a key": lambda b: flip(b / "keys" / "keeper.key"),
                "a bit of the settings": lambda b: flip(b / "ekirei.conf", 5),
                "a digest in the manifest": lambda b: flip(b / "manifest.sha256", 3),
                "a name in the manifest": lambda b: flip(b / "manifest.sha256", 68),
                "a missing file": lambda b: (b / "tls" / "key.pem").unlink(),
                "one file more": lambda b: (b / "keys" / "other.key").write_bytes(b"x"),
                "a cut manifest": lambda b: (b / "manifest.sha256").write_bytes((b / "manifest.sha256").read_bytes()[:300]),
                "no manifest": lambda b: (b / "manifest.sha256").unlink(),
                "a link": lambda b: ((b / "keys" / "keeper.key").unlink(), (b / "keys" / "keeper.key").symlink_to(house.dir / "keys" / "keeper.key")),
                "half a backup": lambda b: (b / "INCOMPLETE").write_bytes(b""),
            }
            for what, do in harm.items():
                bad = house.top / "bad"
                shutil.copytree(good, bad, symlinks=True)
                do(bad)
                done = run(house, "restore", "--from", str(bad), dir=new)
                self.assertEqual((done.returncode, new.exists()), (1, False), what)
                self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
                self.assertTrue(done.stderr.startswith("ekirei: "), done.stderr)
                shutil.rmtree(bad)
            self.assertEqual(run(house, "restore", "--from", str(good), dir=new).returncode, 0)
            self.assertIn("already", run(house, "restore", "--from", str(good), dir=new).stderr)
            self.assertIn("running", run(house, "restore", "--from", str(good), "--force").stderr)
            self.assertEqual(len(house.mail_of("bob@acc.test")), 6)

    def test_a_damaged_store_is_backed_up_and_said(self):
        with filled() as house:
            house.stop()
            change(house, "UPDATE blob SET data = cast(substr(data, 1, 60) || x'00' || substr(data, 62) AS blob) WHERE id = 2")
            body_files(house)[0].unlink()
            house.serve()
            done = run(house, "backup", "--to", str(house.top / "b"))
            self.assertEqual(done.returncode, 1)
            self.assertIn("2 bodies are damaged in the store itself", done.stderr)
            self.assertEqual(run(house, "restore", "--from", str(house.top / "b"), dir=house.top / "new").returncode, 0)
            done = run(house, "export", "--to", str(house.top / "x"))
            self.assertEqual(done.returncode, 1)
            self.assertEqual(done.stderr.count("left out, damaged: "), 3, done.stderr)
            self.assertEqual(len([path for path in (house.top / "x").rglob("*") if path.is_file()]), 7)

    def test_killed(self):
        """Whoever is killed in the middle leaves something that the next run knows and removes."""
        with filled() as house:
            for number in range(6):
                making = subprocess.Popen([EKIREI, "backup", "--dir", str(house.dir), "--to", str(house.top / "b")], stdout=subprocess.DEVNULL)
                time.sleep(0.004 * number)
                making.kill()
                making.wait()
                if (house.top / "b" / "manifest.sha256").exists() and not (house.top / "b" / "INCOMPLETE").exists():
                    shutil.rmtree(house.top / "b")  # it was quicker
            until(lambda: not (house.dir / "store" / "snapshot").exists(), what="the snapshot goes with the command")
            (house.top / "c").mkdir()
            (house.top / "c" / "INCOMPLETE").write_bytes(b"")
            (house.top / "c" / "store").mkdir()
            (house.top / "c" / "store" / "ekirei.db").write_bytes(b"half")
            for folder in ("b", "c"):
                self.assertEqual(run(house, "backup", "--to", str(house.top / folder)).returncode, 0)
            house.stop()
            (house.dir / "store" / "snapshot" / "bodies" / "ab").mkdir(parents=True)
            give(house, house.dir / "store" / "snapshot")
            for path in (house.dir / "store" / "snapshot").rglob("*"):
                give(house, path)
            house.serve()
            self.assertFalse((house.dir / "store" / "snapshot").exists())
            new = house.top / "new"
            for number in range(6):
                making = subprocess.Popen([EKIREI, "restore", "--dir", str(new), "--from", str(house.top / "b")], stdout=subprocess.DEVNULL)
                time.sleep(0.004 * number)
                making.kill()
                making.wait()
                if (new / "ekirei.conf").exists():
                    shutil.rmtree(new)
            done = run(house, "restore", "--from", str(house.top / "b"), dir=new)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertEqual(run(house, "check", dir=new).returncode, 0)

    @unittest.skipIf(os.getuid() != 0, "only root can mount a small disk")
    def test_full_disk(self):
        with filled() as house:
            small = house.top / "small"
            small.mkdir()
            if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=500k", "none", str(small)]).returncode != 0:
                self.skipTest("cannot mount")
            try:
                for folder in (small, small / "deeper"):
                    for command in ("backup", "export"):
                        done = run(house, command, "--to", str(folder))
                        self.assertEqual(done.returncode, 1)
                        self.assertRegex(done.stderr, r"\Aekirei: .*No space left on device\n\Z")
                        self.assertEqual(command == "backup" and os.listdir(small), command == "backup" and [])
                        subprocess.run(["find", str(small), "-mindepth", "1", "-delete"])
                run(house, "backup", "--to", str(house.top / "b"))
                done = run(house, "restore", "--from", str(house.top / "b"), dir=small)
                self.assertRegex(done.stderr, r"\Aekirei: .*No space left on device\n\Z")
                self.assertEqual(os.listdir(small), [])
                self.assertEqual(len(house.mail_of("bob@acc.test")), 6)
            finally:
                subprocess.run(["umount", "-l", str(small)])

    def test_queued_mail_is_held(self):
        with Sink() as sink:
            sink.answers["RCPT"] = "450 4.2.0 later"
            with House(smarthost=f"127.0.0.1:{sink.port}", smarthost__tls="none", queue__first_retry="1h") as house:
                with house.smtp("submission", "alice@acc.test") as client:
                    client.sendmail("alice@acc.test", "far@elsewhere.test", message(to="far@elsewhere.test").encode())
                until(lambda: sink.connections > 0, what="the first attempt")
                run(house, "backup", "--to", str(house.top / "b"))
                house.stop()
                done = run(house, "restore", "--from", str(house.top / "b"), "--force")
                self.assertRegex(done.stdout, r"1 queued message is held.*queue release")
                del sink.answers["RCPT"]
                house.serve()
                self.assertEqual(house.json("queue", "list")[0]["state"], "held")
                self.assertEqual(sink.mails, [])
                house.ctl("queue", "release", "all")
                until(lambda: len(sink.mails) == 1, what="what was released is sent")

    def test_an_empty_database_is_no_new_one(self):
        """One that was cut to nothing would have no row for any body: all of them would go as orphans."""
        with filled() as house:
            house.stop()
            files = body_files(house)
            self.assertEqual(len(files), 2)
            os.truncate(house.dir / "store" / "ekirei.db", 0)
            done = run(house, "serve")
            self.assertEqual((done.returncode, body_files(house)), (1, files))
            self.assertIn("is empty", done.stderr)
            for command in (("account", "list"), ("check",), ("backup", "--to", str(house.top / "b"))):
                self.assertEqual(run(house, *command).returncode, 1, command)
            self.assertEqual(body_files(house), files)

    def test_the_manifest_is_a_file(self):
        with House(serve=False) as house:
            (house.top / "b").mkdir()
            os.mkfifo(house.top / "b" / "manifest.sha256")
            self.assertIn("no whole backup", run(house, "restore", "--from", str(house.top / "b"), dir=house.top / "new").stderr)

    def test_nothing_is_moved_aside_that_may_be_in_use(self):
        with filled() as house:
            run(house, "backup", "--to", str(house.top / "b"))
            house.stop()
            for lock in ("run/lock", "store/lock"):
                (house.dir / lock).unlink()
                (house.dir / lock).symlink_to("nowhere")
                done = run(house, "restore", "--from", str(house.top / "b"), "--force")
                self.assertEqual((done.returncode, list(house.top.glob("e.before-*"))), (1, []))
                self.assertIn("cannot be opened", done.stderr)
                (house.dir / lock).unlink()
            self.assertEqual(run(house, "restore", "--from", str(house.top / "b"), "--force").returncode, 0)

    @unittest.skipIf(os.getuid() != 0, "only root may remove what is somebody else's")
    def test_what_failed_is_removed_where_it_was_made(self):
        """Whoever owns a folder above may put another one in the way meanwhile."""
        with filled() as house:
            (house.top / "deep").mkdir()
            keeper = house.pids()["keeper"]
            os.kill(keeper, signal.SIGSTOP)
            making = subprocess.Popen([EKIREI, "backup", "--dir", str(house.dir), "--to", str(house.top / "deep" / "b")], stderr=subprocess.PIPE, text=True)
            until(lambda: (house.top / "deep" / "b" / "INCOMPLETE").exists(), what="the folder is claimed")
            (house.top / "deep").rename(house.top / "moved")
            victim = house.top / "deep" / "b" / "keys" / "his.key"
            victim.parent.mkdir(parents=True)
            victim.write_bytes(b"his")
            os.kill(keeper, signal.SIGKILL)
            making.communicate(timeout=30)
            self.assertEqual(making.returncode, 1)
            self.assertTrue(victim.exists())
            self.assertFalse((house.top / "moved" / "b" / "INCOMPLETE").exists())


class Export(unittest.TestCase):
    def test_maildir(self):
        for user in USERS:
            with filled(user) as house:
                house.send("alice@acc.test", text="Subject: odd\r\n\r\n \r\n\r\n.dot\r\nno end")
                mails = {name: house.mail_of(name) for name in ("alice@acc.test", "bob@acc.test")}
                for running in (True, False):
                    if not running:
                        house.stop()
                    folder = house.top / f"x-{running}"
                    done = run(house, "export", "--to", str(folder))
                    self.assertEqual((done.returncode, done.stderr), (0, ""))
                    for name, expected in mails.items():
                        files = sorted((folder / name / "new").iterdir(), key=lambda path: int(path.name.split("U")[1].split(".")[0]))
                        self.assertEqual([path.read_bytes() for path in files], [mail.replace(b"\r\n", b"\n") for mail in expected])
                        self.assertLess(abs(files[0].stat().st_mtime - time.time()), 100)
                        self.assertEqual({path.stat().st_uid for path in (folder, folder / name, files[0])}, {user or os.getuid()})
                        self.assertEqual(list((folder / name / "tmp").iterdir()), [])
                    one = house.top / f"one-{running}"
                    self.assertEqual(run(house, "export", "--to", str(one), "alice@acc.test").returncode, 0)
                    self.assertEqual(os.listdir(one), ["alice@acc.test"])
                    self.assertIn("no account", run(house, "export", "--to", str(house.top / "none"), "x@acc.test").stderr)
                    self.assertIn("not empty", run(house, "export", "--to", str(one)).stderr)

    def test_flags_and_names(self):
        with House(accounts=("alice", "a/../b")) as house:
            for number in range(2):
                house.send(["alice@acc.test", "a/../b@acc.test"], subject=f"n{number}")
            house.stop()
            change(house, "UPDATE message SET flags = 5 WHERE mailbox = 1 AND uid = 1", "INSERT INTO message SELECT 3, 1, 2, 1, '', internaldate, size, pop3_size, blob FROM message WHERE mailbox = 1 AND uid = 2",
                   "UPDATE mailbox SET name = '../../Sent' WHERE id = 3")
            self.assertEqual(run(house, "export", "--to", str(house.top / "x")).returncode, 0)
            found = sorted(str(path.relative_to(house.top / "x")) for path in (house.top / "x").rglob("*") if path.is_file())
            self.assertEqual([name.rsplit("/", 1)[0] for name in found],
                             ["a=2F..=2Fb@acc.test/new"] * 2 + ["alice@acc.test/.=2E=2E=2F=2E=2E=2FSent/cur", "alice@acc.test/cur", "alice@acc.test/new"])
            self.assertTrue(found[2].endswith(":2,S") and found[3].endswith(":2,FS"), found)

    def test_half_of_one_stays_known_as_such(self):
        with House() as house:
            half = house.top / "x" / "bob@acc.test" / "new"
            half.mkdir(parents=True)
            (house.top / "x" / "INCOMPLETE").write_bytes(b"")
            for command in ("export", "backup", "export"):
                done = run(house, command, "--to", str(house.top / "x"))
                self.assertEqual((done.returncode, sorted(os.listdir(house.top / "x"))), (1, ["INCOMPLETE", "bob@acc.test"]), command)
                self.assertIn("not finished", done.stderr)
            run(house, "backup", "--to", str(house.top / "b"))
            self.assertIn("not finished", run(house, "restore", "--from", str(house.top / "b"), dir=house.top / "x").stderr)
            self.assertEqual(sorted(os.listdir(house.top / "x")), ["INCOMPLETE", "bob@acc.test"])
            shutil.rmtree(house.top / "x" / "bob@acc.test")
            self.assertEqual(run(house, "export", "--to", str(house.top / "x")).returncode, 0)
            self.assertFalse((house.top / "x" / "INCOMPLETE").exists())

    @unittest.skipIf(os.getuid() != 0, "only root gives anything to anybody")
    def test_only_what_was_exported_changes_its_owner(self):
        """Whoever owns a folder above may put another one in the way before the export is given back to him."""
        with filled() as house:
            folder = house.top / "deep" / "x"
            folder.mkdir(parents=True)
            os.chown(folder, 64997, 64997)
            keeper = house.pids()["keeper"]
            os.kill(keeper, signal.SIGSTOP)
            making = subprocess.Popen([EKIREI, "export", "--dir", str(house.dir), "--to", str(folder)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            children = pathlib.Path(f"/proc/{making.pid}/task/{making.pid}/children")
            until(lambda: children.read_text(), what="the child")
            child = int(children.read_text())
            os.kill(making.pid, signal.SIGSTOP)
            os.kill(keeper, signal.SIGCONT)
            until(lambda: ") Z " in pathlib.Path(f"/proc/{child}/stat").read_text(), what="the child is done")
            (house.top / "deep").rename(house.top / "moved")
            victim = folder / "etc" / "shadow"
            victim.parent.mkdir(parents=True)
            victim.write_bytes(b"root's")
            os.kill(making.pid, signal.SIGCONT)
            error = making.communicate(timeout=30)[1]
            self.assertEqual([victim.stat().st_uid, victim.parent.stat().st_uid, folder.stat().st_uid], [0, 0, 0])
            self.assertEqual(making.returncode, 1, error)
            self.assertIn("another folder", error)

    @unittest.skipIf(os.getuid() != 0, "only root gives anything to anybody")
    def test_root_exports_into_somebodys_folder(self):
        with filled() as house:
            folder = house.top / "x"
            folder.mkdir()
            os.chown(folder, 64997, 64996)
            self.assertEqual(run(house, "export", "--to", str(folder)).returncode, 0)
            found = [folder, *folder.rglob("*")]
            self.assertEqual({(path.stat().st_uid, path.stat().st_gid) for path in found}, {(64997, 64996)})
            self.assertEqual(len([path for path in found if path.is_file()]), 10)


if __name__ == "__main__":
    unittest.main()
