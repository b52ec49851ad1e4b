"""Sockets that systemd opened (sd_listen_fds(3)): a launcher of our own passes them in the same way."""
import os
import signal
import smtplib
import socket
import subprocess
import sys
import unittest

from house import EKIREI, HOST, STANDARD, House, until

# systemd's part: descriptors from 3 on without close-on-exec, and an environment that names the process.
LAUNCHER = """
import os, sys
count, names, program = int(sys.argv[1]), sys.argv[2], sys.argv[3:]
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(count))
if names:
    os.environ["LISTEN_FDNAMES"] = names
os.execv(program[0], program)
"""


def listening(port, family=socket.AF_INET, address=HOST, both=False):
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if both else 1)
    listener.bind((address, port))
    listener.listen(16)
    return listener


def inodes(pid):
    return {os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")}


def serve(house, listeners, names=""):
    """Starts the server with these sockets as its descriptors 3, 4, ..."""
    def place():
        high = [os.dup2(listener.fileno(), 100 + at) for at, listener in enumerate(listeners)]
        for at, fd in enumerate(high):
            os.dup2(fd, 3 + at)
            os.set_inheritable(3 + at, True)
        os.closerange(3 + len(listeners), 200)

    house.log = open(house.top / "log", "ab")
    house.process = subprocess.Popen(
        [sys.executable, "-c", LAUNCHER, str(len(listeners)), names, EKIREI, "serve", "--dir", str(house.dir)],
        stdout=subprocess.PIPE, stderr=house.log, text=True, close_fds=False, preexec_fn=place, **house._as_user())
    line = house.process.stdout.readline()
    assert line.startswith("ready"), f"serve said {line!r}: {house.logged()[-2000:]}"


class Activation(unittest.TestCase):
    def all_ports(self, names):
        with House(serve=False, mx__workers="2") as house:
            listeners = [listening(house.port(service)) for service in STANDARD]
            wanted = {f"socket:[{os.fstat(listener.fileno()).st_ino}]" for listener in listeners}
            serve(house, listeners, names)
            if os.getuid() == 0:  # the supervisor shows nobody else what it holds
                self.assertLessEqual(wanted, inodes(house.process.pid))  # these very sockets, and no others beside them
            self.assertNotIn("supervisor.socket-unused", house.logged())
            for listener in listeners:
                self.assertFalse(os.get_blocking(listener.fileno()))  # the flag is the socket's, which all share
                listener.close()
            house.send("bob@acc.test")
            for service in ("pop3", "pop3s"):
                with house.pop3("bob@acc.test", service=service) as client:
                    self.assertEqual(client.stat()[0], 1)
            for service in ("submission", "submissions"):
                with house.smtp(service, login="alice@acc.test") as client:
                    client.sendmail("alice@acc.test", "bob@acc.test", "Subject: x\r\n\r\nx\r\n")
            self.assertEqual(len(house.mail_of("bob@acc.test")), 3)
            os.kill(house.pids()["user-0"], signal.SIGKILL)  # the next one gets the same sockets
            until(lambda: house.pids().get("user-0") and "role.ended role=user-0" in house.logged(), what="a new worker")
            self.assertEqual(len(house.mail_of("bob@acc.test")), 3)
            self.assertEqual(house.stop(), 0)

    def test_all_ports(self):
        self.all_ports("")

    def test_names_do_no_harm(self):
        self.all_ports("smtp:submission:submissions:pop3:pop3s")

    def test_what_is_missing_is_opened_and_what_is_too_much_is_closed(self):
        with House(serve=False) as house:
            stranger = listening(0)
            port = stranger.getsockname()[1]
            pop3 = listening(house.port("pop3"))
            serve(house, [stranger, pop3])
            stranger.close()
            pop3.close()
            self.assertIn("supervisor.socket-unused", house.logged())
            self.assertIn(f"port={port}", house.logged())
            with self.assertRaises(ConnectionRefusedError):
                socket.create_connection((HOST, port), timeout=5)
            house.send("bob@acc.test")
            self.assertEqual(len(house.mail_of("bob@acc.test")), 1)

    @unittest.skipUnless(socket.has_ipv6 and os.path.exists("/proc/net/if_inet6"), "no IPv6")
    def test_one_socket_for_both_families(self):
        with House(serve=False, listen__address="0.0.0.0, ::") as house:
            listeners = [listening(house.port(service), socket.AF_INET6, "::", both=True) for service in STANDARD]
            serve(house, listeners)
            for listener in listeners:
                listener.close()
            self.assertNotIn("supervisor.socket-unused", house.logged())
            for address in ("127.0.0.1", "::1"):
                with smtplib.SMTP(address, house.port("smtp"), timeout=20, local_hostname="client.test") as client:
                    client.sendmail("x@elsewhere.test", "bob@acc.test", "Subject: x\r\n\r\nx\r\n")
            mails = b"".join(house.mail_of("bob@acc.test"))
            self.assertIn(b"[127.0.0.1]", mails)  # and not as ::ffff:127.0.0.1
            self.assertIn(b"[IPv6:::1]", mails)

    def test_another_process_is_not_meant(self):
        """LISTEN_PID of somebody else: the variables were inherited, the descriptors were not."""
        os.environ.update(LISTEN_PID="1", LISTEN_FDS="5")
        try:
            with House() as house:
                house.send("bob@acc.test")
                self.assertNotIn("supervisor.socket-unused", house.logged())
        finally:
            del os.environ["LISTEN_PID"], os.environ["LISTEN_FDS"]


if __name__ == "__main__":
    unittest.main()
