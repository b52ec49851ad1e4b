"""A full disk: 452, nothing lost, and service again when there is room (C219, C220)."""
import os
import subprocess
import unittest

from house import House, message, until


@unittest.skipIf(os.getuid() != 0, "only root can mount a small disk")
class FullDisk(unittest.TestCase):
    def test_C220_full_disk(self):
        house = House(serve=False, accounts=("bob",), store__disk_reserve="0MB", message__size_limit="20MB")
        small = house.top / "small"
        small.mkdir()
        store = house.dir / "store"
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=12m", "none", str(small)]).returncode != 0:
            house.__exit__()
            self.skipTest("cannot mount")
        try:
            subprocess.run(["cp", "-a", f"{store}/.", str(small)], check=True)
            owner = store.stat()
            os.chown(small, owner.st_uid, owner.st_gid)
            os.chmod(small, 0o700)
            subprocess.run(["mount", "--bind", str(small), str(store)], check=True)
            house.serve()
            body = os.urandom(300000).hex()
            body = "\r\n".join(body[i:i + 70] for i in range(0, len(body), 70)) + "\r\n"
            accepted, refused = [], 0
            for i in range(60):
                with house.smtp() as client:
                    client.ehlo()
                    client.mail("x@elsewhere.test")
                    code, _ = client.rcpt("bob@acc.test")
                    if code == 250:
                        code, _ = client.data(message(subject=f"n{i}", body=body).encode())
                    if code == 250:
                        accepted.append(f"n{i}")
                    else:
                        self.assertIn(code, (451, 452), i)
                        refused += 1
                if refused > 3:
                    break
            self.assertGreater(len(accepted), 3)
            self.assertGreater(refused, 3)
            subjects = [m.split(b"Subject: ")[1].split(b"\r\n")[0].decode() for m in house.mail_of("bob@acc.test")]
            self.assertEqual(subjects, accepted)
            subprocess.run(["mount", "-o", "remount,size=60m", str(small)], check=True)

            def works():
                with house.smtp() as client:
                    client.ehlo()
                    client.mail("x@elsewhere.test")
                    return client.rcpt("bob@acc.test")[0] == 250 and client.data(message(subject="room again", body=body).encode())[0] == 250
            until(works, 10, "service with room again")
            house.stop()
            house.serve()
            self.assertEqual(len(house.mail_of("bob@acc.test")), len(accepted) + 1)
        finally:
            house.stop()
            for mounted in (store, small):
                subprocess.run(["umount", "-l", str(mounted)], stderr=subprocess.DEVNULL)
            house.__exit__()


if __name__ == "__main__":
    unittest.main()
