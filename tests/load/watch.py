"""What is measured while the load is on: memory, CPU time and descriptors of the whole process tree, and how honest clients fare."""
import os
import pathlib
import re
import socket
import ssl
import threading
import time

from house import HOST, message

TICKS = os.sysconf("SC_CLK_TCK")
MIB = 1 << 20


def limits():
    """base/limits.h, as numbers."""
    text, found = (pathlib.Path(__file__).resolve().parents[2] / "src" / "base" / "limits.h").read_text(), {}
    for name, value in re.findall(r"(?m)^#define LIMIT_(\w+) +(\(.*?\)|\d+u?) ", text):
        value = re.sub(r"\bLIMIT_(\w+)", lambda m: str(found[m[1]]), re.sub(r"(\d)u\b", r"\1", value)).replace("/", "//")
        found[name] = eval(value, {"__builtins__": {}})
    return found


class Tree:
    """The supervisor and its roles."""

    def __init__(self, house):
        self.house = house

    def pids(self):
        top = self.house.process.pid
        try:
            return [top, *map(int, pathlib.Path(f"/proc/{top}/task/{top}/children").read_text().split())]
        except OSError:
            return []

    @staticmethod
    def _memory(pid):
        """PSS; an ordinary user may not see that of a jailed process, and its resident set is more."""
        try:
            return int(re.search(r"(?m)^Pss: +(\d+)", pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text())[1]) * 1024
        except (OSError, TypeError):
            pass
        try:
            return int(re.search(r"VmRSS:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text())[1]) * 1024
        except (OSError, TypeError):
            return 0

    def memory(self):
        return sum(self._memory(pid) for pid in self.pids())

    def cpu(self):
        """Seconds."""
        total = 0
        for pid in self.pids():
            try:
                fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
                total += int(fields[11]) + int(fields[12])
            except OSError:
                pass
        return total / TICKS

    def files(self):
        count = 0
        for pid in self.pids():
            try:
                count += len(os.listdir(f"/proc/{pid}/fd"))
            except OSError:
                pass
        return count


class Honest:
    """Somebody who comes every 100 ms, whether the one before is done or not: delivers a message, and looks into a mailbox."""
    EVERY, PATIENCE = 0.1, 10.0

    def __init__(self, house):
        self.house, self.times, self.misses, self.lock = house, [], [], threading.Lock()
        self.tls, self.stopped, self.threads = house.tls(), threading.Event(), []
        self.text = message(sender="x@elsewhere.test", to="honest@acc.test", body="hello\r\n")
        self.thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stopped.set()
        self.thread.join()
        for thread in self.threads:
            thread.join(2 * self.PATIENCE)

    def _run(self):
        at = time.monotonic()
        while not self.stopped.is_set():
            self.threads = [thread for thread in self.threads if thread.is_alive()]
            if len(self.threads) < 200:
                self.threads.append(threading.Thread(target=self._once, daemon=True))
                self.threads[-1].start()
            at += self.EVERY
            time.sleep(max(0, at - time.monotonic()))

    def _talk(self, connection, lines, good):
        stream = connection.makefile("rwb")
        for line in lines:
            if line:
                stream.write(line.encode() + b"\r\n")
                stream.flush()
            while (reply := stream.readline())[3:4] == b"-" and good != b"+":
                pass
            if not reply.startswith((good, b"3")):
                raise OSError(f"{line}: {reply}")

    def _once(self):
        for what, run in (("smtp", self._deliver), ("pop3", self._look)):
            start = time.monotonic()
            try:
                run()
            except (OSError, ValueError) as error:
                with self.lock:
                    self.misses.append(f"{what} after {time.monotonic() - start:.2f} s: {error!r}")
            with self.lock:
                self.times.append(time.monotonic() - start)

    def _deliver(self):
        with socket.create_connection((HOST, self.house.port("smtp")), timeout=self.PATIENCE) as connection:
            self._talk(connection, ["", "EHLO honest.test", "MAIL FROM:<x@elsewhere.test>", "RCPT TO:<honest@acc.test>", "DATA", self.text + ".", "QUIT"], b"2")

    def _look(self):
        with socket.create_connection((HOST, self.house.port("pop3s")), timeout=self.PATIENCE) as plain:
            with self.tls.wrap_socket(plain, server_hostname="localhost") as connection:
                self._talk(connection, ["", "USER honest@acc.test", "PASS " + self.house.password("honest@acc.test"), "STAT", "QUIT"], b"+")


def client_hello():
    """The first words of a TLS client, as OpenSSL says them."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    handshake = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
    try:
        handshake.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return outgoing.read()
