"""Real mail programs log in by every mechanism that they know: swaks, msmtp, mpop, curl, fetchmail, mutt, GNU SASL's own client."""
import os
import subprocess
import unittest

from house import House, message
from issuer import Signer
from sasl_client import make_key

ALICE, BOB = "alice@acc.test", "bob@acc.test"


def run(*words, text=None, env=None):
    done = subprocess.run(words, input=text, capture_output=True, text=True, timeout=60, env=os.environ | (env or {}))
    return done.returncode, done.stdout + done.stderr


class Clients(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.house = house = House(serve=False, auth__client_certificates="yes", oauth__issuer="https://id.acc.test/", oauth__audience="mail")
        cls.ca = str(house.dir / "tls" / "ca.pem")
        cls.issuer = Signer()
        (house.dir / "jwks.json").write_text(cls.issuer.jwks)
        with open(house.dir / "ekirei.conf", "a") as conf:
            conf.write("\n[oauth]\njwks = jwks.json\n")
        # A device made for these by name: so they are listed.
        cls.device = house.device(ALICE, "all-rounder", "--allow", "smtp,pop3,plain,login,apop,pass,cram-md5,scram-sha-1,scram-sha-256")
        cls.key = make_key(house.top, "laptop")
        house.ctl("device", "add", ALICE, "--name", "laptop", "--certificate", cls.key[0])
        house.serve()

    @classmethod
    def tearDownClass(cls):
        cls.house.__exit__()

    def secret(self, mechanism):
        if mechanism in ("oauthbearer", "xoauth2"):
            return self.issuer.token(ALICE)
        return self.device if mechanism in ("apop", "cram-md5", "scram-sha-1") else self.house.password(ALICE)

    def check(self, mechanism, wanted, code, said):
        self.assertEqual(code == 0, wanted, f"{mechanism}: {said}")

    def logged(self, mechanism, protocol):
        """The server saw that very mechanism succeed."""
        return any(
            " login.ok " in line and f"protocol={protocol}" in line and f"mechanism={mechanism.upper()} " in line for line in self.house.logged().splitlines())

    def test_swaks(self):
        for mechanism in ("plain", "login", "cram-md5"):
            for secret, good in ((self.secret(mechanism), True), ("wrong", False)):
                with self.subTest(mechanism=mechanism, good=good):
                    code, said = run("swaks", "--server", "127.0.0.1", "--port", str(self.house.port("submission")), "--tls", "--auth", mechanism.upper(), "--auth-user", ALICE,
                                     "--auth-password", secret, "--from", ALICE, "--to", BOB, "--timeout", "20", "--helo", "client.test")
                    self.check(mechanism, good, code, said)
            self.assertTrue(self.logged(mechanism, "smtp"), mechanism)
        code, said = run("swaks", "--server", "127.0.0.1", "--port", str(self.house.port("submissions")), "--tlsc", "--auth", "--auth-user", ALICE, "--auth-password",
                         self.house.password(ALICE), "--from", ALICE, "--to", BOB, "--timeout", "20", "--helo", "client.test")
        self.check("whatever is there", True, code, said)

    def msmtp(self, mechanism, secret, *words):
        return run("msmtp", "--host=localhost", f"--port={self.house.port('submission')}", "--tls=on", "--tls-starttls=on", f"--tls-trust-file={self.ca}", f"--auth={mechanism}",
                   f"--user={ALICE}", f"--passwordeval=echo {secret}", f"--from={ALICE}", *words, BOB, text=message(subject=mechanism).replace("\r\n", "\n"))

    def test_msmtp(self):
        for mechanism in ("plain", "login", "cram-md5", "scram-sha-1", "scram-sha-256", "oauthbearer", "xoauth2"):
            for secret, good in ((self.secret(mechanism), True), ("wrong", False)):
                with self.subTest(mechanism=mechanism, good=good):
                    self.check(mechanism, good, *self.msmtp(mechanism, secret))
            self.assertTrue(self.logged(mechanism, "smtp"), mechanism)
        self.check("on", True, *self.msmtp("on", self.house.password(ALICE)))
        self.check("external", True, *self.msmtp("external", "", f"--tls-cert-file={self.key[0]}", f"--tls-key-file={self.key[1]}"))
        self.assertTrue(self.logged("external", "smtp"))

    def mpop(self, mechanism, secret, *words):
        config = self.house.top / "mpoprc"
        box = self.house.top / "mbox"
        (self.house.top / "secret").write_text(secret + "\n")  # a token is longer than a line of this file may be
        config.write_text("\n".join(["account a", "host localhost", f"port {self.house.port('pop3s')}", "tls on", "tls_starttls off", f"tls_trust_file {self.ca}",
                                     f"auth {mechanism}", f"user {ALICE}", f"passwordeval \"cat {self.house.top}/secret\"", f"delivery mbox {box}", "keep on",
                                     f"uidls_file {self.house.top}/uidls", *words, "account default: a", ""]))
        config.chmod(0o600)
        return run("mpop", "-C", str(config), "--auth-only", env={"HOME": str(self.house.top)})

    def test_mpop(self):
        for mechanism in ("user", "apop", "plain", "login", "cram-md5", "scram-sha-1", "scram-sha-256", "oauthbearer", "xoauth2"):
            for secret, good in ((self.secret(mechanism), True), ("wrong", False)):
                with self.subTest(mechanism=mechanism, good=good):
                    self.check(mechanism, good, *self.mpop(mechanism, secret))
            self.assertTrue(self.logged("pass" if mechanism == "user" else mechanism, "pop3"), mechanism)
        self.check("external", True, *self.mpop("external", "", f"tls_cert_file {self.key[0]}", f"tls_key_file {self.key[1]}"))

    def curl(self, url, mechanism, secret, *words):
        if mechanism in ("oauthbearer", "xoauth2"):
            login = ("--user", f"{ALICE}:", "--oauth2-bearer", secret)
        else:
            login = ("--user", f"{ALICE}:{secret}")
        option = "AUTH=+APOP" if mechanism == "apop" else f"AUTH={mechanism.upper()}"
        return run("curl", "-sS", "--max-time", "20", "--cacert", self.ca, "--login-options", option, *login, "--url", url, *words)

    def test_curl(self):
        smtp, pop3 = f"smtps://localhost:{self.house.port('submissions')}", f"pop3s://localhost:{self.house.port('pop3s')}/"
        for mechanism in ("plain", "login", "cram-md5", "oauthbearer", "xoauth2", "apop"):
            for secret, good in ((self.secret(mechanism), True), ("wrong", False)):
                with self.subTest(mechanism=mechanism, good=good):
                    self.check(mechanism, good, *self.curl(pop3, mechanism, secret))
                    if mechanism != "apop":
                        self.check(mechanism, good, *self.curl(smtp, mechanism, secret, "--mail-from", ALICE, "--mail-rcpt", BOB, "-T", "/dev/null"))
        self.check("external", True, *self.curl(pop3, "external", "", "--cert", self.key[0], "--key", self.key[1]))

    def test_fetchmail(self):
        for protocol, auth, mechanism, service, words in (("POP3", "password", "pass", "pop3s", "ssl"), ("APOP", "any", "apop", "pop3s", "ssl"),
                                                          ("POP3", "any", None, "pop3s", "ssl"), ("POP3", "password", None, "pop3", "sslproto TLS1.2+")):
            for secret, good in ((self.device, True), ("wrong", False)):
                with self.subTest(protocol=protocol, auth=auth, service=service, good=good):
                    rc = self.house.top / "fetchmailrc"
                    rc.write_text(f'poll localhost protocol {protocol} service {self.house.port(service)} auth {auth}\n  user "{ALICE}" password "{secret}" '
                                  f'{words} sslcertck sslcertfile "{self.ca}" mda "cat >/dev/null" keep\n')
                    rc.chmod(0o600)
                    code, said = run("fetchmail", "-f", str(rc), "--pidfile", str(self.house.top / "fetchmail.pid"), "--check",
                                     env={"HOME": str(self.house.top), "FETCHMAILUSER": "root"})
                    self.assertEqual(code in (0, 1), good, said)  # 1: there is no mail
            if mechanism:
                self.assertTrue(self.logged(mechanism, "pop3"), mechanism)

    def test_mutt(self):
        """Debian's mutt would choose a -PLUS that it cannot do under TLS 1.3 (EK-7): so it is told."""
        rc = self.house.top / "muttrc"
        for mechanism in ("scram-sha-256", "plain", "login"):
            for secret, good in ((self.house.password(ALICE), True), ("wrong", False)):
                with self.subTest(mechanism=mechanism, good=good):
                    rc.write_text("\n".join([f'set smtp_url="smtps://alice%40acc.test@localhost:{self.house.port("submissions")}/"', f'set smtp_pass="{secret}"',
                                             f'set ssl_ca_certificates_file="{self.ca}"', f'set certificate_file="{self.ca}"', f'set from="{ALICE}"', 'set record=""',
                                             f'set smtp_authenticators="{mechanism}"', ""]))
                    code, said = run("mutt", "-F", str(rc), "-s", "by mutt", BOB, text="hello\n", env={"HOME": str(self.house.top), "TERM": "dumb"})
                    self.check(mechanism, good, code, said)
            self.assertTrue(self.logged(mechanism, "smtp"), mechanism)

    def test_gsasl(self):
        """GNU SASL's client over STARTTLS: the -PLUS mechanisms bind to the TLS connection with tls-exporter."""
        for mechanism in ("PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-1", "SCRAM-SHA-256", "SCRAM-SHA-1-PLUS", "SCRAM-SHA-256-PLUS"):
            for secret, good in ((self.secret(mechanism.lower().removesuffix("-plus")), True), ("wrong", False)):
                for version in ("", ":-VERS-TLS1.3"):
                    plus = mechanism.endswith("-PLUS")
                    with self.subTest(mechanism=mechanism, good=good, version=version):
                        code, said = run("gsasl", "--smtp", "--starttls", f"--x509-ca-file={self.ca}", f"--priority=NORMAL{version}", "--connect", f"localhost:{self.house.port('submission')}",
                                         "-m", mechanism, "-a", ALICE, "-p", secret, "--quiet", *(() if plus else ("--no-cb",)), text="")
                        self.check(mechanism, good, code, said)
            self.assertTrue(self.logged(mechanism, "smtp"), mechanism)


if __name__ == "__main__":
    unittest.main()
