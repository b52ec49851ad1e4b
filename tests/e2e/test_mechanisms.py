"""Every mechanism x protocol x connection x credential on a real server, against the table in mechanisms.py."""
import json
import subprocess
import unittest

import mechanisms as table
from house import LEGACY, House, until
from issuer import Signer
from sasl_client import Line, make_key

PERSON, IMPORTED = "alice@acc.test", "ingrid@acc.test"


class Mechanisms(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.house = House(serve=False, accounts=("alice", "bob", "carol"), listen__address="127.0.0.1", auth__plaintext_networks=table.PLAINTEXT,
                          legacy__networks=table.LEGACY, legacy__tls_min_version="1.0", auth__client_certificates="yes",
                          legacy__submission_port=str(LEGACY["submission"]), legacy__pop3_port=str(LEGACY["pop3"]),
                          oauth__issuer="https://id.acc.test/", oauth__audience="mail", oauth__configuration="https://id.acc.test/.well-known/openid-configuration")
        house = cls.house
        cls.issuer = Signer()
        (house.dir / "jwks.json").write_text(cls.issuer.jwks)
        with open(house.dir / "ekirei.conf", "a") as conf:
            conf.write("\n[oauth]\njwks = jwks.json\n")
        cls.key = make_key(house.top, "laptop")
        cls.device = house.device("bob@acc.test", "copier", "--allow", "all")
        house.ctl("device", "add", PERSON, "--name", "laptop", "--certificate", cls.key[0])
        house.serve()

    @classmethod
    def tearDownClass(cls):
        cls.house.__exit__()

    def connect(self, connection, protocol, house=None):
        name, source, tls, legacy, key, _ = next(row for row in table.CONNECTIONS if row[0] == connection)
        house, service = house or self.house, "submission" if protocol == "smtp" else "pop3"
        port = LEGACY[service] + house.offset if legacy else house.port(service)
        return Line(house, protocol, port, source=source, tls=tls, key=self.key if key else None)

    limited = None

    def credential(self, kind):
        """(login name, secret)"""
        if kind == "imported":
            return IMPORTED, "Old-word"
        return {"person": (PERSON, self.house.password(PERSON)), "device": ("bob@acc.test", self.device),
                "limited": ("carol@acc.test", self.limited), "token": (PERSON, self.issuer.token(PERSON)), "key": (PERSON, None)}[kind]

    def import_anew(self):
        hashed = subprocess.run(["openssl", "passwd", "-6", "-stdin"], input="Old-word", capture_output=True, text=True, check=True).stdout.strip()
        if getattr(self, "imported", False):
            self.house.ctl("account", "password", IMPORTED, "--hash-stdin", text=hashed)
        else:
            self.house.ctl("account", "add", IMPORTED, "--hash-stdin", text=hashed)
        type(self).imported = True

    def test_what_is_listed(self):
        for connection, *_ in table.CONNECTIONS:
            for protocol in ("smtp", "pop3"):
                with self.subTest(connection=connection, protocol=protocol), self.connect(connection, protocol) as line:
                    wanted = {m for m in table.MECHANISMS if table.standing(m, connection) == table.LISTED and not (protocol == "smtp" and m in table.ONLY_POP3)}
                    self.assertEqual(line.offered(), wanted)

    def each(self, kinds):
        for connection, *_ in table.CONNECTIONS:
            for protocol in ("smtp", "pop3"):
                for mechanism in table.MECHANISMS:
                    if protocol == "smtp" and mechanism in table.ONLY_POP3:
                        continue
                    for kind in kinds:
                        yield connection, protocol, mechanism, kind

    def judge(self, connection, protocol, mechanism, kind):
        name, secret = self.credential(kind)
        if kind == "token" and mechanism not in ("OAUTHBEARER", "XOAUTH2"):
            secret = secret[:200]  # as a password it would be longer than a line of POP3
        with self.connect(connection, protocol) as line:
            reply = line.auth(mechanism, name, secret)
            state = table.standing(mechanism, connection)
            if state == table.REFUSED:
                self.assertFalse(line.ok(reply), reply)
                self.assertIn(reply[:4], ("504 ", "538 ", "502 ", "-ERR"), reply)  # not one word of a secret was asked for
                return
            self.assertEqual(line.ok(reply), table.works(mechanism, connection, kind), reply)
            if not line.ok(reply):
                self.assertTrue(reply.startswith("535 5.7.8 " if protocol == "smtp" else "-ERR [AUTH] "), reply)

    def test_who_gets_in(self):
        for case in self.each(("person", "device", "token", "key")):
            if case[3] == "key" and case[2] != "EXTERNAL":
                continue  # there is no secret to try
            if case[2] == "EXTERNAL" and case[3] not in ("key",):
                continue  # what counts is the key alone; that a key is somebody else's is tried below
            with self.subTest(case=case):
                self.judge(*case)

    def test_imported_hashes(self):
        for mechanism in table.MECHANISMS:
            if mechanism == "EXTERNAL":
                continue
            for protocol in ("smtp", "pop3"):
                if protocol == "smtp" and mechanism in table.ONLY_POP3:
                    continue
                with self.subTest(mechanism=mechanism, protocol=protocol):
                    self.import_anew()
                    self.judge("TLS 1.3", protocol, mechanism, "imported")
        # The first login with the password itself makes what SCRAM needs.
        self.import_anew()
        with self.connect("TLS 1.3", "smtp") as line:
            self.assertTrue(line.ok(line.auth("PLAIN", IMPORTED, "Old-word")))

        def scram():
            with self.connect("TLS 1.3", "smtp") as again:
                return again.ok(again.auth("SCRAM-SHA-256-PLUS", IMPORTED, "Old-word"))
        until(scram, 5, "the upgrade")

    def test_a_device_made_for_a_mechanism_puts_it_on_the_list(self):
        self.assertNotIn("CRAM-MD5", self.connect("TLS 1.3", "smtp").offered())
        type(self).limited = self.house.device("carol@acc.test", "old", "--allow", "smtp,pop3,cram-md5")
        try:
            until(lambda: "CRAM-MD5" in self.connect("TLS 1.3", "smtp").offered(), 5, "the list")
            for connection, protocol, mechanism, kind in self.each(("limited",)):
                if mechanism != "EXTERNAL" and connection in ("TLS 1.3", "clear, legacy", "clear"):
                    with self.subTest(case=(connection, protocol, mechanism)):
                        self.judge(connection, protocol, mechanism, kind)
        finally:
            self.house.ctl("device", "revoke", "carol@acc.test", "old")
        until(lambda: "CRAM-MD5" not in self.connect("TLS 1.3", "smtp").offered(), 5, "the list")

    def test_C075_scram_tells_nothing_about_names(self):
        """The same shape for everybody, the same salt every time."""
        def first(name):
            with self.connect("TLS 1.3", "smtp") as line:
                from sasl_client import b64
                reply = line.challenge(line.say("AUTH SCRAM-SHA-256 " + b64(f"n,,n={name},r=abcdefgh")))
                return dict(field.split("=", 1) for field in reply.decode().split(","))
        known, unknown = first(PERSON), first("nobody@acc.test")
        for one, name in ((known, PERSON), (unknown, "nobody@acc.test")):
            self.assertEqual(first(name)["s"], one["s"])
            self.assertNotEqual(first(name)["r"], one["r"])
        self.assertEqual(known["i"], unknown["i"])
        self.assertEqual({k: len(v) for k, v in known.items()}, {k: len(v) for k, v in unknown.items()})
        self.assertNotEqual(known["s"], unknown["s"])
        self.assertEqual(first("nobody")["s"], unknown["s"])  # the default domain, as for a known one
        self.assertEqual(first("alice")["s"], known["s"])

    def test_scram_downgrade_and_wrong_bindings(self):
        secret = self.house.password(PERSON)
        for words in ({"flag": "y"}, {"flag": "p=tls-server-end-point"}):
            with self.connect("TLS 1.3", "smtp") as line:
                self.assertFalse(line.ok(line.auth("SCRAM-SHA-256", PERSON, secret, **words)), words)
        for words in ({"flag": "n"}, {"flag": "y"}, {"flag": "p=tls-unique", "kind": "tls-server-end-point"}, {"flag": "p=no-such", "kind": "tls-server-end-point"}):
            with self.connect("TLS 1.3", "smtp") as line:
                self.assertFalse(line.ok(line.auth("SCRAM-SHA-256-PLUS", PERSON, secret, **words)), words)
        for kind in ("tls-unique", "tls-server-end-point"):
            with self.connect("TLS 1.2", "smtp") as line:
                self.assertTrue(line.ok(line.auth("SCRAM-SHA-256-PLUS", PERSON, secret, kind=kind)), kind)
        with self.connect("clear, legacy", "smtp") as line:  # no PLUS there: "y" is true
            self.assertTrue(line.ok(line.auth("SCRAM-SHA-256", "bob@acc.test", self.device, flag="y")))

    def test_C067_external_takes_the_key_and_nothing_else(self):
        for name, good in ((PERSON, True), ("", True), ("alice", True), ("bob@acc.test", False), ("nobody@acc.test", False)):
            with self.connect("TLS, key", "smtp") as line:
                self.assertEqual(line.ok(line.auth("EXTERNAL", name)), good, name)
        other = make_key(self.house.top, "other")
        with Line(self.house, "smtp", self.house.port("submission"), tls="1.3", key=other) as line:
            self.assertFalse(line.ok(line.auth("EXTERNAL", PERSON)))
            self.assertTrue(line.ok(line.auth("PLAIN", PERSON, self.house.password(PERSON))))

    def test_C090_token_failures_point_to_the_configuration(self):
        for mechanism in ("OAUTHBEARER", "XOAUTH2"):
            with self.connect("TLS 1.3", "smtp") as line:
                reply = line.auth(mechanism, PERSON, self.issuer.token(PERSON, exp=1))
                self.assertTrue(reply.startswith("535 "), reply)
                self.assertIn("status", json.loads(line.failure))
                if mechanism == "OAUTHBEARER":
                    self.assertEqual(json.loads(line.failure)["openid-configuration"], "https://id.acc.test/.well-known/openid-configuration")

    def test_strangers_port_has_no_logins(self):
        with Line(self.house, "smtp", self.house.port("smtp"), tls="1.3") as line:
            self.assertEqual(line.offered(), set())
            self.assertTrue(line.auth("PLAIN", PERSON, self.house.password(PERSON)).startswith("502 "))


if __name__ == "__main__":
    unittest.main()
