"""What each process holds, as the kernel sees it: descriptors, ports, files' modes, and who may command."""
import os
import pathlib
import random
import socket
import stat
import unittest

from house import House, until

ROLES = {"mx-0": {"smtp"}, "user-0": {"submission", "submissions", "pop3", "pop3s"}, "courier": set(), "keeper": set()}
OWN = ("anon_inode:[eventpoll]", "anon_inode:[eventfd]", "pipe:", "socket:", "/dev/null")


def descriptors(pid):
    """number -> what it is."""
    found = {}
    for entry in pathlib.Path(f"/proc/{pid}/fd").iterdir():
        found[int(entry.name)] = os.readlink(entry)
    return found


def inodes(pid):
    return {text[8:-1] for text in descriptors(pid).values() if text.startswith("socket:[")}


def listening():
    """inode -> port, of all TCP sockets that listen."""
    rows = [line.split() for name in ("tcp", "tcp6") for line in pathlib.Path("/proc/net/" + name).read_text().splitlines()[1:]]
    return {row[9]: int(row[1].rsplit(":", 1)[1], 16) for row in rows if row[3] == "0A"}


def network_sockets():
    names = [name for name in ("tcp", "tcp6", "udp", "udp6", "raw", "raw6") if os.path.exists("/proc/net/" + name)]
    return {line.split()[9] for name in names for line in pathlib.Path("/proc/net/" + name).read_text().splitlines()[1:]}


class Walls(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.house = House()
        cls.house.send("alice@acc.test")
        cls.pids = cls.house.pids()

    @classmethod
    def tearDownClass(cls):
        cls.house.__exit__()

    def need_root(self):
        if os.geteuid() != 0:
            self.skipTest("only root may look: the processes are not dumpable")

    def test_no_role_is_dumpable(self):
        for name, pid in self.pids.items():
            limits = pathlib.Path(f"/proc/{pid}/limits").read_text() if os.geteuid() == 0 else None
            if limits:
                row = next(line for line in limits.splitlines() if line.startswith("Max core file size"))
                self.assertEqual(row.split()[4:6], ["0", "0"], name)
            self.assertEqual(os.stat(f"/proc/{pid}/mem").st_uid, 0, name)  # root's, whoever the process is

    def test_each_role_holds_only_its_own(self):
        self.need_root()
        ports = listening()
        command = [line.split()[6] for line in pathlib.Path("/proc/net/unix").read_text().splitlines() if line.endswith("/control.sock")]
        for name, services in ROLES.items():
            pid = self.pids[name]
            held = descriptors(pid)
            mine = {ports[i] for i in inodes(pid) if i in ports}
            self.assertEqual(mine, {self.house.port(service) for service in services}, name)
            if name != "keeper":
                self.assertFalse(inodes(pid) & set(command), f"{name} holds a socket of the command line")
            for number, what in held.items():
                store = name == "keeper" and what.startswith(str(self.house.dir / "store"))
                self.assertTrue(what.startswith(OWN) or number == 2 or store, f"{name}: {number} is {what}")

    def test_keeper_and_gates_have_no_way_out(self):
        self.need_root()
        ports, others = listening(), network_sockets()
        for name in ("keeper", "mx-0", "user-0"):
            # accepted connections may linger; nothing else of the network is there but what listens
            until(lambda: not (inodes(self.pids[name]) & others) - set(ports), 5, f"{name} has no other sockets")

    def test_roots(self):
        self.need_root()
        for name in ROLES:
            root = os.readlink(f"/proc/{self.pids[name]}/root")
            if name == "keeper":
                self.assertEqual(root, str(self.house.dir / "store"))
            else:
                self.assertTrue(root.endswith(" (deleted)"), root)  # a folder that is there no longer: nothing can be made in it

    def test_roles_are_different_users(self):
        self.need_root()
        uids = {name: pathlib.Path(f"/proc/{pid}/status").read_text().split("Uid:")[1].split()[:4] for name, pid in self.pids.items()}
        roles = [uids[name] for name in ROLES]
        self.assertEqual(len({tuple(row) for row in roles}), len(ROLES), uids)
        self.assertTrue(all(len(set(row)) == 1 and row[0] != "0" for row in roles), uids)

    def test_argv_and_environment_hold_no_secret(self):
        self.need_root()
        key = (self.house.dir / "keys" / "keeper.key").read_bytes()
        for name, pid in self.pids.items():
            for part in ("cmdline", "environ"):
                octets = pathlib.Path(f"/proc/{pid}/{part}").read_bytes()
                self.assertNotIn(key, octets)
                self.assertNotIn(b"PRIVATE KEY", octets)
            if name != "supervisor":
                self.assertEqual(pathlib.Path(f"/proc/{pid}/cmdline").read_bytes(), b"ekirei\0--role\0" + name.split("-")[0].encode() + b"\0")

    def test_modes(self):
        """Nobody but the owner gets at anything; what holds a secret is his alone, also by itself."""
        top = self.house.dir
        self.assertEqual(stat.S_IMODE(top.stat().st_mode), 0o700)
        for path in top.rglob("*"):
            mode = stat.S_IMODE(path.lstat().st_mode)
            self.assertEqual(mode & 0o022, 0, f"{path} can be written by others")
            part = path.relative_to(top).parts[0]
            secret = part in ("keys", "store", "run") or path.name.endswith((".key", "key.pem"))
            if secret:
                self.assertEqual(mode & 0o077, 0, f"{path} has mode {mode:o}")

    def test_modes_with_an_open_umask(self):
        before = os.umask(0)
        try:
            with House() as house:
                house.send("alice@acc.test")
                for path in house.dir.rglob("*"):
                    self.assertEqual(stat.S_IMODE(path.lstat().st_mode) & 0o022, 0, path)
                for folder in ("keys", "store", "run"):
                    for path in [house.dir / folder, *(house.dir / folder).rglob("*")]:
                        self.assertEqual(stat.S_IMODE(path.lstat().st_mode) & 0o077, 0, path)
        finally:
            os.umask(before)

    def test_C041_garbage_at_the_command_line_socket(self):
        path = os.path.relpath(self.house.dir / "run" / "control.sock")
        keeper = self.house.pids()["keeper"]
        for size in (1, 4, 5, 17, 3000):
            with socket.socket(socket.AF_UNIX) as guest:
                guest.settimeout(10)
                guest.connect(path)
                try:
                    guest.sendall(random.Random(size).randbytes(size) if size > 4 else b"\xff" * size)
                    guest.shutdown(socket.SHUT_WR)
                    self.assertEqual(guest.recv(100), b"")
                except (ConnectionResetError, BrokenPipeError):
                    pass
        self.assertEqual(self.house.json("status")["accounts"], 2)
        self.assertEqual(self.house.pids()["keeper"], keeper)

    @staticmethod
    def knock(path):
        """0: the door was shut without a word."""
        try:
            with socket.socket(socket.AF_UNIX) as guest:
                guest.settimeout(10)
                guest.connect(os.path.relpath(path))
                return 0 if guest.recv(1) == b"" else 1
        except OSError:
            return 2

    def test_another_user_may_not_command(self):
        self.need_root()
        # Even with the folders open to all, the keeper looks at who is there.
        run = self.house.dir / "run"
        opened = [self.house.top, self.house.dir, run, run / "control.sock"]
        modes = [stat.S_IMODE(path.stat().st_mode) for path in opened]
        for path in opened:
            path.chmod(0o777)
        try:
            child = os.fork()
            if child == 0:
                os.setgroups([])
                os.setresgid(65534, 65534, 65534)
                os.setresuid(65534, 65534, 65534)
                os._exit(self.knock(run / "control.sock"))
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        finally:
            for path, mode in zip(opened, modes):
                path.chmod(mode)
        self.assertEqual(code, 0)
        self.assertIn("keeper.command-refused", self.house.logged())


if __name__ == "__main__":
    unittest.main()
