"""Private keys: in the keeper, in no gate.  Gates' memory is searched for them, and handshakes go on while keys, keepers and gates come and go."""
import base64
import os
import pathlib
import re
import signal
import socket
import ssl
import subprocess
import threading
import time
import unittest

from house import HOST, House, until

# The roles are not dumpable, so only root reads their memory.  For everybody else there is a program that differs in that alone.
if os.geteuid() != 0 and "EKIREI_DUMPABLE" in os.environ:
    import house as house_module
    house_module.EKIREI = os.environ["EKIREI_DUMPABLE"]

NEW_KEY = {"p256": ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"], "p384": ["ec", "-pkeyopt", "ec_paramgen_curve:P-384"], "rsa": ["rsa:2048"], "ed25519": ["ed25519"]}


def make_pair(folder, name, kind):
    key, certificate = folder / f"{name}.key", folder / f"{name}.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", *NEW_KEY[kind], "-nodes", "-subj", f"/CN={name}.test", "-addext", f"subjectAltName=DNS:{name}.test", "-days", "2",
                    "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True)
    os.chmod(key, 0o600)
    for file in (key, certificate):
        os.chown(file, os.geteuid(), os.getegid())
    return certificate, key


def secrets_of(key):
    """name -> octets, big-endian: whatever with which one could sign."""
    text = subprocess.run(["openssl", "pkey", "-in", str(key), "-text", "-noout"], check=True, capture_output=True, text=True).stdout
    found, name = {}, None
    for line in text.splitlines():
        if match := re.match(r"(\w+):\s*$", line):
            name = match[1]
        elif name and re.match(r"\s+[0-9a-f]{2}(:|$)", line):
            found[name] = found.get(name, "") + line.strip().replace(":", "")
        else:
            name = None
    wanted = {name: bytes.fromhex(digits).lstrip(b"\0") for name, digits in found.items()
              if name in ("priv", "privateExponent", "prime1", "prime2", "exponent1", "exponent2", "coefficient")}
    assert wanted and all(len(octets) >= 28 for octets in wanted.values()), text
    return wanted


def traces_of(key):
    """name -> octets to look for: numbers in either order, and the ends of those lines of the file that stand for them."""
    traces = {}
    lines = key.read_text().splitlines()[1:-1]
    der = base64.b64decode("".join(lines))
    for name, octets in secrets_of(key).items():
        traces[name + " big-endian"], traces[name + " little-endian"] = octets[:24], octets[::-1][:24]
        start = der.index(octets)
        for number in range(len(der) // 48):  # a line of 64 has 48 octets, its last 24 have 18
            if min(48 * number + 48, start + len(octets)) - max(48 * number + 30, start) >= 8:
                traces[f"line {number}"] = lines[number].encode()[-24:]
    assert any(name.startswith("line") for name in traces), lines
    return traces


def memory_of(pid):
    """Everything that process has in memory of its own, in pieces that overlap by nothing: a mapping each."""
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for line in maps:
            place, rights, *_ = line.split()
            if "r" not in rights or "[v" in line:
                continue
            start, end = (int(number, 16) for number in place.split("-"))
            memory.seek(start)
            piece = bytearray()
            try:
                while len(piece) < end - start:
                    piece += memory.read(min(end - start - len(piece), 1 << 24))
            except OSError:
                pass
            yield bytes(piece)


def seen_in(pid, traces):
    octets = b"".join(piece + b"\0" * 32 for piece in memory_of(pid))
    assert len(octets) > 1 << 20
    return {name for name, trace in traces.items() if trace in octets}


class Keys(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.house = House(serve=False, legacy__networks="127.0.0.2", legacy__tls_min_version="1.0", accounts=("alice", "bob"))
        cls.pairs = {kind: make_pair(cls.house.top, kind, kind) for kind in ("p256", "rsa", "ed25519")}
        cls.use(cls.house, list(cls.pairs.values()))
        cls.house.serve()

    @classmethod
    def tearDownClass(cls):
        cls.house.__exit__()

    @staticmethod
    def use(house, pairs):
        conf = house.dir / "ekirei.conf"
        lines = [line for line in conf.read_text().splitlines() if not line.strip().startswith(("tls.certificate", "tls.key"))]
        names = [", ".join(str(pair[half]) for pair in pairs) for half in (0, 1)]
        conf.write_text("\n".join([f"tls.certificate = {names[0]}", f"tls.key = {names[1]}", *lines]) + "\n")

    @staticmethod
    def reload(house):
        before = house.logged().count("supervisor.reloaded")
        os.kill(house.process.pid, signal.SIGHUP)
        until(lambda: house.logged().count("supervisor.reloaded") > before, 10, "the reload")

    @staticmethod
    def shake(house, service="pop3s", name="p256.test", **words):
        """A whole handshake; the certificate that was shown."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        for key, value in words.items():
            if key == "ciphers":
                context.set_ciphers(value)
            else:
                setattr(context, key, value)
        with socket.create_connection((HOST, house.port(service)), timeout=10) as plain, context.wrap_socket(plain, server_hostname=name) as secured:
            return ssl.DER_cert_to_PEM_cert(secured.getpeercert(True)).strip()

    def test_a_gates_memory_holds_no_private_key_and_the_keepers_does(self):
        two = {"minimum_version": ssl.TLSVersion.TLSv1_2, "maximum_version": ssl.TLSVersion.TLSv1_2}
        for turn in range(40):
            for name in self.pairs:
                self.shake(self.house, name=f"{name}.test")
                self.shake(self.house, name=f"{name}.test", **two)
            self.shake(self.house, name="rsa.test", ciphers="AES128-GCM-SHA256", **two)  # the premaster secret, encrypted
            if turn % 20 == 0:
                with self.house.smtp(starttls=False) as client:
                    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
                    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
                    client.starttls(context=context)
        self.reload(self.house)  # certificates are read anew, within the jail
        self.shake(self.house)
        pids = self.house.pids()
        for kind, (_, key) in self.pairs.items():
            traces = traces_of(key)
            self.assertGreaterEqual(len(traces), 3, traces)
            for name in [name for name in pids if name.startswith(("mx", "user"))] + ["courier"]:
                self.assertEqual(seen_in(pids[name], traces), set(), f"{name} has something of the {kind} key")
            there = seen_in(pids["keeper"], traces)
            self.assertTrue([trace for trace in there if "endian" in trace], f"the search finds nothing of the {kind} key in the keeper")
            # Text is wiped once it is read.
            self.assertEqual({trace for trace in there if trace.startswith("line")}, set())

    def test_every_certificate_is_served_by_its_name(self):
        for kind, (certificate, _) in self.pairs.items():
            self.assertEqual(self.shake(self.house, name=f"{kind}.test"), certificate.read_text().strip())
            self.assertEqual(self.shake(self.house, service="submissions", name=f"{kind}.test"), certificate.read_text().strip())

    def test_C070_a_key_that_does_not_belong_is_refused_whole(self):
        good = list(self.pairs.values())
        before, pids = self.house.logged().count("supervisor.reload-refused"), self.house.pids()
        self.use(self.house, [good[0], (good[1][0], good[2][1])])
        self.assertIn("certificate 2: the key does not belong to the certificate", self.house.ctl("config", "check", fails=2))
        os.kill(self.house.process.pid, signal.SIGHUP)
        until(lambda: self.house.logged().count("supervisor.reload-refused") > before, 10, "the refusal")
        self.assertIn("certificate 2: the key does not belong to the certificate", self.house.logged())
        self.assertEqual(self.shake(self.house, name="rsa.test"), good[1][0].read_text().strip())
        self.use(self.house, good)
        self.house.ctl("config", "check")
        self.assertEqual(self.house.pids(), pids)
        with House(serve=False, accounts=()) as other:
            self.use(other, [(good[0][0], good[1][1])])
            other.serve(wait=False)
            self.assertEqual(other.process.wait(20), 2)
            self.assertIn("certificate 1: the key does not belong to the certificate", other.logged())

    def test_keys_change_under_load_and_no_handshake_fails(self):
        with House(serve=False, accounts=()) as house:
            sets = [[make_pair(house.top, f"a{n}", kind) for n, kind in enumerate(("p256", "rsa"))], [make_pair(house.top, f"b{n}", kind) for n, kind in enumerate(("p384", "ed25519"))]]
            self.use(house, sets[0])
            house.serve()
            shown = {pair[0].read_text().strip() for pairs in sets for pair in pairs}
            over, counts, failures = threading.Event(), [0] * 4, []

            def client(at):
                while not over.is_set():
                    try:
                        got = self.shake(house, service=("pop3s", "submissions")[at % 2], name="unknown.test")
                        if got not in shown:
                            failures.append("another certificate")
                        counts[at] += 1
                    except OSError as error:
                        failures.append(repr(error))
            clients = [threading.Thread(target=client, args=(at,)) for at in range(4)]
            for one in clients:
                one.start()
            for turn in range(6):
                self.use(house, sets[(turn + 1) % 2])
                self.reload(house)
                time.sleep(0.1)
            over.set()
            for one in clients:
                one.join()
            self.assertEqual(failures, [])
            self.assertGreater(min(counts), 5)
            self.assertEqual(self.shake(house), sets[0][0][0].read_text().strip())

    def test_a_keeper_that_dies_or_hangs_costs_handshakes_only_while_it_does(self):
        house, pids = self.house, self.house.pids()
        gate, keeper = pids["user-0"], pids["keeper"]
        os.kill(keeper, signal.SIGKILL)
        until(lambda: house.pids().get("keeper") not in (None, keeper), 10, "a new keeper")
        until(lambda: self.shakes(house), 5, "a handshake")
        keeper = house.pids()["keeper"]
        with house.smtp("submission", starttls=False) as talking:
            os.kill(keeper, signal.SIGSTOP)
            try:
                begun = time.monotonic()
                self.assertFalse(self.shakes(house))
                self.assertLess(time.monotonic() - begun, 4)
                begun = time.monotonic()
                for _ in range(5):
                    self.assertFalse(self.shakes(house))
                self.assertEqual(talking.noop()[0], 250)  # the gate itself is there
                self.assertLess(time.monotonic() - begun, 1.5)
            finally:
                os.kill(keeper, signal.SIGCONT)
            until(lambda: self.shakes(house), 5, "a handshake")
            self.assertEqual(talking.noop()[0], 250)
        self.assertIn("tls.signer-silent", house.logged())
        self.assertEqual(house.pids()["user-0"], gate)
        self.assertEqual(house.pids()["keeper"], keeper)

    def shakes(self, house):
        try:
            return bool(self.shake(house))
        except OSError:
            return False

    def test_a_gate_that_dies_gets_a_signer_again(self):
        for name in ("user-0", "mx-0"):
            pid = self.house.pids()[name]
            os.kill(pid, signal.SIGKILL)
            until(lambda: self.house.pids().get(name) not in (None, pid), 5, f"a new {name}")
        until(lambda: self.shakes(self.house), 5, "a handshake")
        for _ in range(20):
            self.assertTrue(self.shakes(self.house))

    def test_signing_waits_for_no_password(self):
        """The pool of password hashes is full, and a handshake is as quick as before."""
        with House(auth__hash_cost="6", auth__throttle="no", limits__connections_per_address="500", accounts=()) as house:
            over = threading.Event()

            def guess():
                while not over.is_set():
                    try:
                        with house.raw("pop3s") as raw:
                            for word in ("USER nobody@acc.test", f"PASS guess-{threading.get_ident()}"):
                                raw.put(word + "\r\n")
                                if raw.line() is None:
                                    break
                    except OSError:
                        pass
            guessers = [threading.Thread(target=guess) for _ in range(8)]
            for one in guessers:
                one.start()
            try:
                time.sleep(1)
                slowest = 0
                for _ in range(20):
                    begun = time.monotonic()
                    self.shake(house, service="submissions")
                    slowest = max(slowest, time.monotonic() - begun)
                self.assertLess(slowest, 1.5)
            finally:
                over.set()
                for one in guessers:
                    one.join()


if __name__ == "__main__":
    unittest.main()
