"""TLS on every port: versions, names, ALPN, tickets, and nothing that was said before it."""
import pathlib
import socket
import ssl
import subprocess
import unittest

from house import HOST, House


class Tls(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.house = House()

    @classmethod
    def tearDownClass(cls):
        cls.house.__exit__()

    def connect(self, service="pop3s", name="localhost", house=None, **words):
        context = (house or self.house).tls()
        for key, value in words.items():
            if key == "alpn":
                context.set_alpn_protocols(value)
            else:
                setattr(context, key, value)
        return context, context.wrap_socket(socket.create_connection((HOST, (house or self.house).port(service)), timeout=10), server_hostname=name)

    def test_C071_old_versions_are_refused(self):
        for version in (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1):
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            context.set_ciphers("ALL:@SECLEVEL=0")
            context.minimum_version = context.maximum_version = version
            with self.assertRaises((ssl.SSLError, ConnectionResetError)):
                context.wrap_socket(socket.create_connection((HOST, self.house.port("pop3s")), timeout=10))
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            self.connect(minimum_version=version, maximum_version=version)[1].close()

    def test_C062_alpn(self):
        _, secured = self.connect(alpn=["pop3"])
        self.assertEqual(secured.selected_alpn_protocol(), "pop3")
        secured.close()
        with self.assertRaises((ssl.SSLError, ConnectionResetError)):
            self.connect(alpn=["http/1.1"])

    def test_C066_tickets_resume_but_not_on_another_service(self):
        def resumed(first, second):
            context, one = self.connect(first, maximum_version=ssl.TLSVersion.TLSv1_2)
            session = one.session
            one.close()
            two = context.wrap_socket(socket.create_connection((HOST, self.house.port(second)), timeout=10), server_hostname="localhost", session=session)
            reused = two.session_reused
            two.close()
            return reused
        self.assertTrue(resumed("pop3s", "pop3s"))
        self.assertFalse(resumed("pop3s", "submissions"))

    def hello(self, name, service="pop3s"):
        """A handshake with any octets as the server's name; True if it was carried through."""
        done = subprocess.run(["openssl", "s_client", "-connect", f"{HOST}:{self.house.port(service)}", "-servername", name, "-brief"],
                              input=b"QUIT\r\n", capture_output=True, timeout=10)
        return b"Protocol version: TLSv1" in done.stderr

    def test_C037_odd_names_in_sni(self):
        pids = self.house.pids()
        for name in ("mail.acc.test\\", "\\", "${run{id}}", "../../keys/keeper.key", "%s%n%9999999u", "a" * 250, "mail.acc.test.", "x\x01y\xff"):
            self.hello(name)  # refused or served with the default: it is never more than a name that is not found
            with self.house.pop3("bob@acc.test") as client:
                self.assertIn(b"+OK", client.noop(), name)
        self.assertTrue(self.hello("mail.acc.test."))
        self.assertEqual(self.house.pids(), pids)

    def test_C061_junk_instead_of_a_handshake(self):
        for service, word, go in (("submission", "STARTTLS", "220"), ("smtp", "STARTTLS", "220"), ("pop3", "STLS", "+OK")):
            for junk in (b"EHLO x\r\nMAIL FROM:<alice@acc.test>\r\n", b"USER bob@acc.test\r\nPASS x\r\n", b"\0" * 100, b"\x16\x03\x01\xff\xff" + b"A" * 70000):
                with self.house.raw(service) as raw:
                    self.assertTrue(raw.say(word).startswith(go))
                    try:
                        raw.put(junk)
                        rest = raw.rest()
                    except OSError:
                        rest = []
                    self.assertFalse([line for line in rest if line[:3] in ("250", "530", "+OK", "-ER")], (service, junk[:20]))
        with self.house.pop3("bob@acc.test") as client:
            self.assertIn(b"+OK", client.noop())

    def asked_for_key(self, house, service, source_version):
        """Does the server send a CertificateRequest?  OpenSSL's client prints every handshake message by name."""
        start = {"smtp": ["-starttls", "smtp"], "submission": ["-starttls", "smtp"], "pop3": ["-starttls", "pop3"]}.get(service, [])
        done = subprocess.run(["openssl", "s_client", "-connect", f"{HOST}:{house.port(service)}", *start, source_version, "-msg"], input=b"QUIT\r\n", capture_output=True, timeout=10)
        self.assertIn(b"Finished", done.stdout)
        return b"CertificateRequest" in done.stdout

    def test_C067_clients_are_asked_for_a_key_by_the_setting_and_never_on_port_25(self):
        with House(auth__client_certificates="yes") as asking:
            for version in ("-tls1_2", "-tls1_3"):
                for service in ("submission", "submissions", "pop3", "pop3s"):
                    self.assertTrue(self.asked_for_key(asking, service, version), service)
                    self.assertFalse(self.asked_for_key(self.house, service, version), service)
                self.assertFalse(self.asked_for_key(asking, "smtp", version))
            # Any certificate is taken, and none: it is only a key.
            key, pem = asking.top / "key.pem", asking.top / "cert.pem"
            subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=anyone", "-days", "1",
                            "-keyout", str(key), "-out", str(pem)], check=True, capture_output=True)
            for shown in (True, False):
                context = asking.tls()
                if shown:
                    context.load_cert_chain(str(pem), str(key))
                with context.wrap_socket(socket.create_connection((HOST, asking.port("pop3s")), timeout=10), server_hostname="localhost") as secured:
                    self.assertTrue(secured.recv(100).startswith(b"+OK"))

    def test_C063_random_names_take_no_memory(self):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        pid = next(pid for name, pid in self.house.pids().items() if name.startswith("user"))

        def resident():
            return next(int(line.split()[1]) for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS"))

        def many(first, count):
            for i in range(first, first + count):
                name = f"{i:x}." + ".".join("abcdefghij" * 6 for _ in range(3)) + ".test"
                with context.wrap_socket(socket.create_connection((HOST, self.house.port("pop3s")), timeout=10), server_hostname=name) as secured:
                    secured.recv(100)
        many(0, 150)
        before = resident()
        many(1000, 600)
        self.assertLess(resident() - before, 600)  # KiB: not one for each name

    def test_C064_sni_with_several_certificates(self):
        with House(domain="two.test", serve=False) as other, House(serve=False) as house:
            conf = house.dir / "ekirei.conf"
            pairs = [(house.dir / "tls" / "cert.pem", house.dir / "tls" / "key.pem"), (house.dir / "tls" / "two.pem", house.dir / "tls" / "two.key")]
            pairs[1][0].write_bytes((other.dir / "tls" / "cert.pem").read_bytes())
            pairs[1][1].write_bytes((other.dir / "tls" / "key.pem").read_bytes())
            lines = [line for line in conf.read_text().splitlines() if not line.strip().startswith(("tls.certificate", "tls.key"))]
            conf.write_text("\n".join([f"tls.certificate = {pairs[0][0]}, {pairs[1][0]}", f"tls.key = {pairs[0][1]}, {pairs[1][1]}", *lines]) + "\n")
            house.serve()

            def owner(name):
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
                context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
                with context.wrap_socket(socket.create_connection((HOST, house.port("pop3s")), timeout=10), server_hostname=name) as secured:
                    return ssl.DER_cert_to_PEM_cert(secured.getpeercert(True)).strip()
            first, second = (pair[0].read_text().split("-----END")[0].strip() for pair in pairs)
            for name, expected in (("mail.acc.test", first), ("mail.two.test", second), ("MAIL.Two.TEST", second), ("unknown.test", first), ("localhost", first)):
                self.assertTrue(owner(name).startswith(expected), name)

    def test_C052_C054_nothing_said_before_tls_counts(self):
        for service, hello, start, inject, probe in (("smtp", "EHLO x", "STARTTLS", "MAIL FROM:<a@b.test>", "RCPT TO:<bob@acc.test>"),
                                                     ("submission", "EHLO x", "STARTTLS", "EHLO injected", None),
                                                     ("pop3", "CAPA", "STLS", "USER alice@acc.test\r\nPASS Pass-word-alice", "STAT")):
            with self.house.raw(service) as raw:
                raw.put(hello + "\r\n")
                while not (line := raw.line()).startswith("250 ") and line != ".":
                    pass
                raw.put(f"{start}\r\n{inject}\r\n")
                first = raw.line()
                if first is None or not first.startswith(("220", "+OK")):
                    continue  # refused and closed: as good
                try:
                    raw.secure()
                except (ssl.SSLError, ConnectionError, OSError):
                    continue
                if probe:
                    answer = raw.say(probe) if service != "pop3" else (raw.put(probe + "\r\n"), raw.line())[1]
                    self.assertFalse((answer or "500").startswith(("250", "+OK")), (service, answer))

    def test_C056_state_is_gone_after_starttls(self):
        with self.house.smtp(starttls=False) as client:
            client.ehlo()
            client.mail("x@elsewhere.test")
            self.assertEqual(client.docmd("STARTTLS")[0], 503)  # C060: not inside a transaction
            client.rset()
            client.starttls(context=self.house.tls())
            self.assertEqual(client.docmd("RCPT TO:<bob@acc.test>")[0], 503)
            self.assertNotIn("starttls", client.ehlo()[1].decode().lower())
            self.assertEqual(client.docmd("STARTTLS")[0], 503)

    def test_C058_no_password_in_clear(self):
        with self.house.smtp("submission", starttls=False) as client:
            client.ehlo()
            self.assertNotIn("auth", client.esmtp_features)
            self.assertIn(client.docmd("AUTH PLAIN AGFsaWNlAHNlY3JldA==")[0], (530, 538))
        with self.house.raw("pop3") as pop:
            self.assertTrue(pop.say("USER alice@acc.test").startswith("-ERR"))
            pop.put("CAPA\r\n")
            words = []
            while (line := pop.line()) != ".":
                words.append(line)
            self.assertNotIn("USER", words)
            self.assertIn("STLS", words)

    def test_openssl_client_speaks_starttls(self):
        for service, protocol in (("smtp", "smtp"), ("pop3", "pop3")):
            done = subprocess.run(["openssl", "s_client", "-connect", f"{HOST}:{self.house.port(service)}", "-starttls", protocol, "-CAfile",
                                   str(self.house.dir / "tls" / "ca.pem"), "-verify_return_error", "-brief", "-servername", "mail.acc.test"],
                                  input="QUIT\r\n", capture_output=True, text=True, timeout=20)
            self.assertIn("Verification: OK", done.stderr + done.stdout)


if __name__ == "__main__":
    unittest.main()
