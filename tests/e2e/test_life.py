"""Processes: start, stop, crash, reload, jail; as root and as an ordinary user."""
import contextlib
import os
import pathlib
import poplib
import re
import signal
import smtplib
import socket
import subprocess
import time
import unittest
import unittest.mock

from house import EKIREI, HOST, House, message, until


def alive(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def status_of(pid):
    return dict(line.split(":\t", 1) for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line)


def time_of(pid):
    """Seconds of processor that it has used."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Life(unittest.TestCase):
    def jailed(self, user):
        if user and os.getuid() != 0:
            self.skipTest("only root can become somebody else")
        with House(user=user) as house:
            pids = house.pids()
            roles = {name: pid for name, pid in pids.items() if not name.startswith("supervisor")}
            self.assertGreaterEqual({re.sub(r"\W?\d+$", "", name) for name in roles}, {"mx", "user", "keeper", "courier"})
            for name, pid in roles.items():
                status = status_of(pid)
                self.assertEqual(status["Seccomp"].strip(), "2", name)
                self.assertEqual(status["NoNewPrivs"].strip(), "1", name)
                limits = pathlib.Path(f"/proc/{pid}/limits").read_text()
                self.assertRegex(limits, r"Max core file size +0 +0 ", name)
                if os.getuid() == 0:  # what may be dumped or traced belongs to its own user
                    self.assertEqual(pathlib.Path(f"/proc/{pid}/mem").stat().st_uid, 0, name)
                if os.getuid() == 0:
                    self.assertNotEqual(status["Uid"].split()[0], "0", name)
                    self.assertEqual(int(status["CapEff"], 16), 0, name)
            entered = re.findall(r"jail\.entered role=(\w+).*?landlock=(\d+)", house.logged())
            kernel = subprocess.run(["python3", "-c", "import ctypes; print(ctypes.CDLL(None).syscall(444, 0, 0, 1))"], capture_output=True, text=True).stdout
            for role, level in entered:
                self.assertEqual(int(level) > 0, int(kernel) > 0, role)
            self.assertGreaterEqual({role for role, _ in entered}, {"mx", "user", "keeper", "courier"})
            if not user and os.getuid() == 0:
                self.assertEqual(len({status_of(pid)["Uid"].split()[0] for pid in roles.values()}), 4)  # each role its own
            house.send("bob@acc.test")
            self.assertEqual(len(house.mail_of("bob@acc.test")), 1)
            self.assertEqual(house.stop(), 0)

    def test_C231_C232_jail_as_started(self):
        self.jailed(None)

    def test_C231_C232_jail_as_an_ordinary_user(self):
        self.jailed(64999)

    def test_C230_no_descriptor_left(self):
        files = 160
        with House(serve=False, user=64999 if os.getuid() == 0 else None) as house:
            few = house.top / "few"
            few.write_text(f"#!/bin/sh\nulimit -n {files}\nexec {EKIREI} \"$@\"\n")
            few.chmod(0o755)
            with unittest.mock.patch("house.EKIREI", str(few)):
                house.serve()
            pid = next(pid for name, pid in house.pids().items() if name.startswith("mx"))
            with house.smtp() as open_before:
                crowd = [socket.create_connection((HOST, house.port("smtp")), timeout=10) for _ in range(files + 40)]
                time.sleep(0.3)
                spent, logged = time_of(pid), len(house.logged())
                time.sleep(1)
                self.assertLess(time_of(pid) - spent, 0.3)  # it does not run in circles
                self.assertLess(len(house.logged()) - logged, 20000)
                self.assertEqual(open_before.noop()[0], 250)
                open_before.sendmail("x@elsewhere.test", "bob@acc.test", message().encode())
                for connection in crowd:
                    connection.close()
            house.send("bob@acc.test")
            self.assertEqual(len(house.mail_of("bob@acc.test")), 2)
            self.assertEqual(next(pid for name, pid in house.pids().items() if name.startswith("mx")), pid)

    def test_C234_key_missing_or_wrong(self):
        with House(accounts=("alice",)) as house:
            secret = house.device("alice@acc.test")
            house.stop()
            file = house.dir / "keys" / "keeper.key"
            key = file.read_bytes()
            for wrong in (None, b"", key[:31], key + b"x"):
                file.unlink()
                if wrong is not None:
                    file.write_bytes(wrong)
                    file.chmod(0o600)
                done = subprocess.run([EKIREI, "serve", "--dir", str(house.dir)], capture_output=True, text=True, timeout=20)
                self.assertNotEqual(done.returncode, 0)
                self.assertIn("keeper.key", done.stderr)
                file.write_bytes(key)
            file.write_bytes(bytes(32))  # another house's key: what was sealed stays sealed
            house.serve()
            with self.assertRaises(poplib.error_proto):
                with house.pop3("alice@acc.test", secret):
                    pass
            with house.pop3("alice@acc.test") as client:  # a person's password is a hash, not sealed
                self.assertEqual(client.stat()[0], 0)
            house.stop()
            file.write_bytes(key)
            house.serve()
            with house.pop3("alice@acc.test", secret) as client:
                self.assertEqual(client.stat()[0], 0)

    def test_crash_of_each_role(self):
        with House() as house:
            for role in ("mx", "user", "keeper", "courier"):
                name, pid = next((n, p) for n, p in house.pids().items() if n.startswith(role))
                start = time.monotonic()
                os.kill(pid, signal.SIGKILL)
                until(lambda: house.pids().get(name) not in (None, pid), 5, f"a new {role}")

                def works():
                    try:
                        house.send("bob@acc.test", subject=role)
                        return True
                    except (OSError, smtplib.SMTPException):
                        return False
                until(works, 5, f"mail after the end of {role}")
                self.assertLess(time.monotonic() - start, 2.0, role)  # service is back within 2 s
            self.assertEqual(len(house.mail_of("bob@acc.test")), 4)

    def test_role_that_is_killed_again_before_it_is_ready(self):
        """Whoever kills a role often, and once while it starts, does not shut out everybody for twelve seconds."""
        def kill(pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

        def works():
            with contextlib.suppress(OSError, smtplib.SMTPException):
                house.send("bob@acc.test")
                return True
        with House() as house:
            for _ in range(6):
                old = house.pids()["keeper"]
                kill(old)
                until(works, 5, "mail after the end of the keeper")
            kill(pid := house.pids()["keeper"])
            while not (new := house.pids().get("keeper")) or new == pid:
                time.sleep(0.0005)
            kill(new)
            start = time.monotonic()
            until(works, 20, "mail after two ends of the keeper")
            self.assertLess(time.monotonic() - start, 2.0)

    def test_C216_nothing_answered_250_is_lost_by_kill_9(self):
        with House() as house:
            accepted = []
            for round_ in range(6):
                with house.smtp() as client:
                    client.ehlo()
                    for i in range(20):
                        try:
                            client.sendmail("x@elsewhere.test", "bob@acc.test", message(subject=f"n{round_}-{i}").encode())
                            accepted.append(f"n{round_}-{i}")
                        except (OSError, smtplib.SMTPException):
                            break
                        if i == 12:
                            os.kill(next(p for n, p in house.pids().items() if n.startswith("keeper")), signal.SIGKILL)

                def back():
                    try:
                        with house.pop3("bob@acc.test"):
                            return True
                    except Exception:  # any refusal: not back yet
                        return False
                until(back, 5, "service")
            subjects = [m.split(b"Subject: ")[1].split(b"\r\n")[0].decode() for m in house.mail_of("bob@acc.test")]
            self.assertEqual([s for s in accepted if subjects.count(s) < 1], [])
            self.assertGreater(len(accepted), 60)

    def test_roles_end_with_their_supervisor(self):
        with House() as house:
            pids = house.pids()
            os.kill(house.process.pid, signal.SIGKILL)
            until(lambda: not any(alive(pid) for pid in pids.values() if pid != house.process.pid), 2, "the end of all roles")
            house.stop()
            house.serve()
            house.send("bob@acc.test")

    def test_sigterm_to_all_at_once_is_clean(self):
        with House() as house:
            house.send("bob@acc.test")
            start = time.monotonic()
            for pid in house.pids().values():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGTERM)
            self.assertEqual(house.process.wait(5), 0)
            self.assertLess(time.monotonic() - start, 2.0)
            self.assertEqual(list((house.dir / "run").glob("*.pid")), [])

    def test_stop_with_open_sessions(self):
        with House() as house, house.smtp() as smtp, house.pop3("bob@acc.test"):
            smtp.ehlo()
            start = time.monotonic()
            self.assertEqual(house.stop(), 0)
            self.assertLess(time.monotonic() - start, 2.5)

    def test_second_serve_and_taken_port(self):
        with House() as house:
            start = time.monotonic()
            second = subprocess.run([EKIREI, "serve", "--dir", str(house.dir)], capture_output=True, text=True, timeout=20)
            self.assertNotEqual(second.returncode, 0)
            self.assertEqual(second.stderr.count("\n"), 1, second.stderr)
            self.assertTrue(second.stderr.startswith("ekirei: "), second.stderr)
            self.assertIn(round(time.monotonic() - start), (5, 6))
        with House(serve=False) as house, socket.socket() as other:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # beside the one that keeps it for the house
            other.bind((HOST, house.port("pop3")))
            other.listen()
            taken = subprocess.run([EKIREI, "serve", "--dir", str(house.dir)], capture_output=True, text=True, timeout=20)
            self.assertEqual(taken.returncode, 1)
            lines = [line for line in taken.stderr.splitlines() if line.startswith("ekirei: ")]
            self.assertEqual(len(lines), 1, taken.stderr)
            self.assertIn(str(house.port("pop3")), lines[0])

    def test_predecessor_is_waited_for(self):
        with House() as house:
            first = house.process
            killer = subprocess.Popen(["sh", "-c", f"sleep 1.5; kill {first.pid}"])
            second = subprocess.Popen([EKIREI, "serve", "--dir", str(house.dir)], stdout=subprocess.PIPE, stderr=house.log, text=True)
            self.assertTrue(second.stdout.readline().startswith("ready"))
            first.wait(5)
            killer.wait(5)
            first.stdout.close()
            house.process = second
            house.send("bob@acc.test")

    def test_C233_reload_keeps_sessions_and_takes_settings(self):
        with House() as house, house.smtp() as old, house.pop3("bob@acc.test") as pop:
            old.ehlo()
            conf = house.dir / "ekirei.conf"
            conf.write_text("message.size_limit = 123456\n" + conf.read_text())
            os.kill(house.process.pid, signal.SIGHUP)
            until(lambda: "supervisor.reloaded" in house.logged(), what="reload in the log")

            def announced():
                with house.smtp() as fresh:
                    fresh.ehlo()
                    return fresh.esmtp_features.get("size") == "123456"
            until(announced, what="the new size limit")
            self.assertEqual(old.noop()[0], 250)
            self.assertIn(b"+OK", pop.noop())
            # A wrong file changes nothing.
            conf.write_text("no.such = 1\n")
            os.kill(house.process.pid, signal.SIGHUP)
            until(lambda: "ekirei.conf:1" in house.logged(), what="the refusal with its line")
            self.assertTrue(announced())

    def test_reload_that_would_move_ports_says_so(self):
        with House() as house:
            conf = house.dir / "ekirei.conf"
            before = conf.read_text()
            os.kill(house.process.pid, signal.SIGHUP)
            until(lambda: "supervisor.reloaded" in house.logged(), what="reload in the log")
            self.assertNotIn("supervisor.ports-unchanged", house.logged())
            for at, after in enumerate((re.sub(r"port_offset = \d+", "port_offset = 1", before), before.replace(HOST, "127.0.0.2"), before), 1):
                conf.write_text(after)
                os.kill(house.process.pid, signal.SIGHUP)
                until(lambda: house.logged().count("supervisor.reloaded") == at + 1, what="reload in the log")
                warnings = re.findall(r"supervisor\.ports-unchanged.*restart", house.logged())
                self.assertEqual(len(warnings), min(at, 2), after)
                house.send("bob@acc.test")  # at the old place

    def test_risks_are_said_at_the_start(self):
        with House(relay__networks="192.0.2.0/24", accounts=()) as house:
            self.assertIn("settings.risk what=\"relay.networks: whoever is in there may send in anybody's name", house.logged())

    def test_new_certificate_without_dropping_sessions(self):
        with House() as house, House(domain="acc.test", serve=False) as other:
            with house.smtp("submission", login="alice@acc.test") as old:
                for name in ("cert.pem", "key.pem"):
                    (house.dir / "tls" / name).write_bytes((other.dir / "tls" / name).read_bytes())
                os.kill(house.process.pid, signal.SIGHUP)
                until(lambda: "supervisor.reloaded" in house.logged(), what="reload in the log")
                with self.assertRaises(Exception):
                    with house.smtp("submission"):  # the old CA does not know it
                        pass
                house_tls, house.tls = house.tls, other.tls
                with house.smtp("submission", login="alice@acc.test"):
                    pass
                house.tls = house_tls
                self.assertEqual(old.noop()[0], 250)


if __name__ == "__main__":
    unittest.main()
