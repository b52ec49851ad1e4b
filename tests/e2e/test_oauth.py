"""OAUTHBEARER and XOAUTH2: tokens signed by keys from a file or from a server, and tokens that a server is asked about."""
import base64
import contextlib
import hashlib
import hmac
import json
import os
import shutil
import signal
import ssl
import subprocess
import time
import unittest

from house import HOST, House, message, until
from issuer import Issuer, Key, b64url, compact, openssl

ALICE, BOB = "alice@acc.test", "bob@acc.test"
ISSUER = "https://id.test"
CONFIGURATION = "https://id.test/.well-known/openid-configuration"
LATER, OK, WRONG = "later", "ok", "wrong"


def claims(email=ALICE, **changed):
    now = int(time.time())
    whole = {"iss": ISSUER, "aud": "ekirei", "exp": now + 300, "iat": now, "email": email, "scope": "openid mail"} | changed
    return {key: value for key, value in whole.items() if value is not None}


def token(key, alg, payload=None, **header):
    return compact({"alg": alg, "typ": "at+jwt", "kid": key.kid} | header, claims() if payload is None else payload, lambda octets: key.sign(alg, octets))


def b64(text):
    return base64.b64encode(text.encode() if isinstance(text, str) else text).decode()


def words(mechanism, user, bearer):
    if mechanism == "XOAUTH2":
        return b64(f"user={user}\x01auth=Bearer {bearer}\x01\x01")
    return b64(f"n,{'a=' + user if user else ''},\x01host=mail.acc.test\x01auth=Bearer {bearer}\x01\x01")


def try_smtp(house, bearer, user="", mechanism="OAUTHBEARER"):
    """What came of it, and the failure's JSON where there was one."""
    with house.raw("submissions") as client:
        client.say("EHLO client.test")
        reply, failure = client.say(f"AUTH {mechanism} {words(mechanism, user, bearer)}") or "", None
        if reply.startswith("334 "):
            failure = json.loads(base64.b64decode(reply[4:]))
            reply = client.say("AQ==" if mechanism == "OAUTHBEARER" else "")
        return {"235": OK, "535": WRONG, "454": LATER}.get(reply[:3], reply), failure


def try_pop3(house, bearer, user="", mechanism="OAUTHBEARER"):
    with house.raw("pop3s") as client:
        client.put(f"AUTH {mechanism}\r\n")  # RFC 5034 4: nothing so long with the command
        if (line := client.line()) == "+ ":
            client.put(words(mechanism, user, bearer) + "\r\n")
            line = client.line()
        failure = None
        if line.startswith("+ "):
            failure = json.loads(base64.b64decode(line[2:]))
            client.put("AQ==\r\n")
            line = client.line()
        return OK if line.startswith("+OK") else WRONG if "[AUTH]" in line else LATER if "[SYS/TEMP]" in line else line, failure


class Oauth(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.rsa, cls.ec, cls.ed, cls.other = Key("RSA", "r1"), Key("EC", "e1"), Key("ED25519", "d1"), Key("EC", "e2")

    def open(self, keys=None, user=None, **settings):
        """A house that is not running yet; with `keys`, they are in a file."""
        house = House(serve=False, user=user, oauth__issuer=ISSUER, oauth__audience="ekirei", **settings)
        self.addCleanup(house.__exit__)
        if keys:
            self.write_keys(house, keys)
        (house.dir / "secret").write_text("top secret\n")
        return house

    @staticmethod
    def write_keys(house, keys):
        (house.dir / "keys.json").write_text(json.dumps({"keys": [key.jwk() for key in keys]}))

    def with_file(self, *keys, **settings):
        house = self.open(keys or [self.rsa, self.ec, self.ed], oauth__jwks="keys.json", **settings)
        house.serve()
        return house

    def assert_both(self, house, wanted, bearer, user="", mechanism="OAUTHBEARER"):
        self.assertEqual(try_smtp(house, bearer, user, mechanism)[0], wanted, house.logged()[-600:])
        self.assertEqual(try_pop3(house, bearer, user, mechanism)[0], wanted, house.logged()[-600:])

    # ---- keys from a file

    def test_each_algorithm_on_each_protocol(self):
        house = self.with_file()
        for key, alg in ((self.rsa, "RS256"), (self.rsa, "PS256"), (self.ec, "ES256"), (self.ed, "EdDSA")):
            with self.subTest(alg=alg):
                self.assert_both(house, OK, token(key, alg))
                self.assert_both(house, OK, token(key, alg), ALICE, "XOAUTH2")
        self.assertIn("mechanism=OAUTHBEARER account=alice@acc.test", house.logged())
        self.assertIn("mechanism=XOAUTH2 account=alice@acc.test", house.logged())

    def test_a_token_may_send_and_read(self):
        house = self.with_file()
        bearer = token(self.ed, "EdDSA")
        with house.raw("submissions") as client:
            client.say("EHLO client.test")
            self.assertTrue(client.say("AUTH XOAUTH2 " + words("XOAUTH2", ALICE, bearer)).startswith("235"))
            self.assertTrue(client.say(f"MAIL FROM:<{BOB}>").startswith("553"))
            self.assertTrue(client.say(f"MAIL FROM:<{ALICE}>").startswith("250"))

    def test_C089_tricks(self):
        house = self.with_file(oauth__scope="mail")
        rs, es, now = lambda **changed: token(self.rsa, "RS256", **changed), lambda payload: token(self.ec, "ES256", payload), int(time.time())
        secret = self.rsa.public_pem()
        good = rs()
        head, body, signature = good.split(".")
        table = {
            "none": compact({"alg": "none"}, claims(), lambda _: b""),
            "none with a key": compact({"alg": "none", "kid": "r1"}, claims(), lambda octets: self.rsa.sign("RS256", octets)),
            "public key as secret": compact({"alg": "HS256", "kid": "r1"}, claims(), lambda octets: hmac.new(secret, octets, hashlib.sha256).digest()),
            "other key": compact({"alg": "ES256", "kid": "e1"}, claims(), lambda octets: self.other.sign("ES256", octets)),
            "wrong kid": rs(kid="e1"),
            "unknown kid": rs(kid="x"),
            "kid is a path": rs(kid="../keys.json"),
            "kid is a device": rs(kid="/dev/null"),
            "embedded key": compact({"alg": "ES256", "jwk": self.other.jwk()}, claims(), lambda octets: self.other.sign("ES256", octets)),
            "critical": rs(crit=["exp"]),
            "for a logout": rs(typ="logout+jwt"),
            "audience": es(claims(aud="other")),
            "audiences": es(claims(aud=["other", "third"])),
            "no audience": es(claims(aud=None)),
            "issuer": es(claims(iss=ISSUER + "/")),
            "no issuer": es(claims(iss=None)),
            "expired": es(claims(exp=now - 1)),
            "no end": es(claims(exp=None)),
            "not yet": es(claims(nbf=now + 90)),
            "from the future": es(claims(iat=now + 90)),
            "scope": es(claims(scope="openid mailbox")),
            "no scope": es(claims(scope=None)),
            "unverified address": es(claims(email_verified=False)),
            "no address": es(claims(email=None)),
            "nobody": es(claims("nobody@acc.test")),
            "twice": compact({"alg": "ES256", "kid": "e1"}, b'{"email":"bob@acc.test",' + json.dumps(claims()).encode()[1:], lambda octets: self.ec.sign("ES256", octets)),
            "DER": compact({"alg": "ES256", "kid": "e1"}, claims(), lambda octets: self.ec.sign("ES256", octets, der=True)),
            "cut": good[:-2], "without signature": f"{head}.{body}.", "two parts": f"{head}.{body}", "five parts": good + ".x.x",
            "other body": f"{head}.{b64url(json.dumps(claims(BOB)).encode())}.{signature}",
            "huge": es(claims(x="x" * 5000)) + "x" * 1000,
            "opaque": "opaque",
        }
        for name, bearer in table.items():
            with self.subTest(name):
                self.assert_both(house, WRONG, bearer)
        self.assert_both(house, OK, good)
        self.assert_both(house, OK, es(claims(aud=["other", "ekirei"], nbf=now + 30)))

    def test_C086_the_name_is_the_tokens(self):
        house = self.with_file()
        self.assert_both(house, WRONG, token(self.ed, "EdDSA"), BOB)
        self.assert_both(house, WRONG, token(self.ed, "EdDSA"), BOB, "XOAUTH2")
        self.assert_both(house, WRONG, token(self.ed, "EdDSA"), "nobody@acc.test", "XOAUTH2")
        self.assert_both(house, OK, token(self.ed, "EdDSA"), "alice", "XOAUTH2")

    def test_D54_C090_the_failure_says_where_to_go(self):
        house = self.with_file(oauth__configuration=CONFIGURATION, oauth__scope="mail")
        for attempt in (try_smtp, try_pop3):
            result, failure = attempt(house, "opaque")
            self.assertEqual((result, failure), (WRONG, {"status": "invalid_token", "scope": "mail", "openid-configuration": CONFIGURATION}))
            self.assertEqual(attempt(house, "opaque", ALICE, "XOAUTH2"), (WRONG, {"status": "400", "schemes": "bearer", "scope": "mail"}))
        for answer in ("AQ==", "", "*", "bm9uc2Vuc2U="):
            with house.raw("submissions") as client:
                client.say("EHLO client.test")
                self.assertTrue(client.say("AUTH OAUTHBEARER " + words("OAUTHBEARER", "", "opaque")).startswith("334 "))
                self.assertIn(client.say(answer)[:3], ("535", "501"))
                self.assertTrue(client.say(f"MAIL FROM:<{ALICE}>").startswith("530"))
                self.assertTrue(client.say("AUTH OAUTHBEARER " + words("OAUTHBEARER", "", token(self.ed, "EdDSA"))).startswith("235"))

    def test_D68_long_tokens(self):
        house = self.with_file()
        bearer = token(self.ed, "EdDSA", claims(x="x" * 6000))
        self.assertGreater(len(bearer), 8000)
        self.assert_both(house, OK, bearer)
        with house.raw("submissions") as client:
            client.say("EHLO client.test")
            self.assertEqual(client.say("AUTH XOAUTH2"), "334 ")
            self.assertTrue(client.say(words("XOAUTH2", ALICE, bearer)).startswith("235"))

    @unittest.skipUnless(shutil.which("curl"), "curl is not here")
    def test_curl(self):
        house = self.with_file()
        bearer, mail = token(self.ed, "EdDSA"), house.top / "mail"
        mail.write_text(message())
        for mechanism in ("OAUTHBEARER", "XOAUTH2"):
            words = ["curl", "-sS", "--cacert", house.dir / "tls" / "ca.pem", "--user", ALICE, "--oauth2-bearer", bearer, "--login-options", f"AUTH={mechanism}"]
            subprocess.run([*words, "--mail-from", ALICE, "--mail-rcpt", BOB, "-T", mail, f"smtps://localhost:{house.port('submissions')}/client.test"], check=True, timeout=30)
            subprocess.run([*words, f"pop3s://localhost:{house.port('pop3s')}/"], check=True, timeout=30, capture_output=True)
        self.assertEqual(len(house.mail_of(BOB)), 2)

    def test_never_without_TLS(self):
        house = self.with_file(auth__plaintext_networks="127.0.0.0/8")
        with house.raw("submission") as client:
            client.put("EHLO client.test\r\n")
            lines = [client.line()]
            while lines[-1][3:4] == "-":
                lines.append(client.line())
            self.assertNotIn("OAUTH", "".join(lines))
            self.assertIn(client.say("AUTH OAUTHBEARER " + words("OAUTHBEARER", "", token(self.ed, "EdDSA")))[:3], ("504", "538", "530", "535"))

    def test_not_offered_where_nothing_is_set(self):
        with House() as house, house.raw("submissions") as client:
            self.assertTrue(client.say("AUTH OAUTHBEARER " + words("OAUTHBEARER", "", "x")).startswith("50"))

    def test_keys_change_with_SIGHUP(self):
        house = self.with_file(self.ec)
        self.assert_both(house, WRONG, token(self.other, "ES256"))
        self.write_keys(house, [self.other])
        house.process.send_signal(signal.SIGHUP)
        until(lambda: try_smtp(house, token(self.other, "ES256"))[0] == OK, what="the new key")
        self.assert_both(house, WRONG, token(self.ec, "ES256"))
        # C233: what cannot be read changes nothing.
        for broken in ("", "{}", json.dumps({"keys": [{"kty": "oct", "k": "AAAA"}]})):
            (house.dir / "keys.json").write_text(broken)
            house.process.send_signal(signal.SIGHUP)
            until(lambda: "oauth.jwks" in house.logged(), what="the complaint")
            self.assert_both(house, OK, token(self.other, "ES256"))

    def test_no_start_without_keys(self):
        house = self.open(oauth__jwks="keys.json")
        self.assertRegex(house.ctl("config", "check", fails=2), r"oauth\.jwks: \S+keys.json cannot be read")
        (house.dir / "keys.json").write_text('{"keys":[]}')
        self.assertIn("JSON Web Key Set", house.ctl("config", "check", fails=2))
        house.serve(wait=False)
        self.assertEqual(house.process.wait(20), 2)
        self.write_keys(house, [self.ed])
        house.ctl("config", "check")

    # ---- keys from a server

    def with_issuer(self, **settings):
        """The house's own certificate is the issuer's, too."""
        house = self.open(**settings)
        issuer = Issuer(house.dir / "tls" / "cert.pem", house.dir / "tls" / "key.pem")
        self.addCleanup(issuer.close)
        return house, issuer

    def configure(self, house, **settings):
        with open(house.dir / "ekirei.conf", "r+") as file:
            old = file.read()
            file.seek(0)
            file.write("".join(f"{key.replace('__', '.')} = {value}\n" for key, value in settings.items()) + old)

    def with_server(self, host=HOST, **settings):
        house, issuer = self.with_issuer(**settings)
        issuer.keys = [self.rsa, self.ec]
        self.configure(house, oauth__jwks=issuer.url("/jwks", host), oauth__ca_file="tls/ca.pem")
        house.serve()
        until(lambda: "oauth.keys" in house.logged(), what="the key set")
        return house, issuer

    def test_keys_from_a_server(self):
        house, issuer = self.with_server()
        self.assert_both(house, OK, token(self.ec, "ES256"))
        self.assertEqual(issuer.asked, ["/jwks"])
        # A new key is looked for, and the old ones are gone.
        issuer.keys = [self.other]
        self.assert_both(house, OK, token(self.other, "ES256"))
        self.assert_both(house, WRONG, token(self.ec, "ES256"))
        self.assertEqual(issuer.asked, ["/jwks", "/jwks"])
        # For the next minute an unknown key costs the issuer nothing; SIGHUP fetches anew.
        self.assert_both(house, WRONG, token(self.ed, "EdDSA"))
        self.assertEqual(len(issuer.asked), 2)
        issuer.keys = [self.other, self.ed]
        house.process.send_signal(signal.SIGHUP)
        until(lambda: len(issuer.asked) == 3, what="the key set, fetched anew")
        until(lambda: try_smtp(house, token(self.ed, "EdDSA"))[0] == OK, what="the new key")
        # Away: what was fetched stays.
        issuer.close()
        self.assert_both(house, OK, token(self.other, "ES256"))
        self.assert_both(house, WRONG, token(self.ec, "ES256", kid="third"))

    def test_the_server_has_a_name(self):
        house, issuer = self.with_server("localhost")
        self.assert_both(house, OK, token(self.ec, "ES256"))
        self.assertEqual(issuer.asked, ["/jwks"])

    @unittest.skipIf(os.getuid() != 0, "only root can be somebody else")
    def test_as_an_ordinary_user(self):
        house, issuer = self.with_issuer(user=64999)
        issuer.keys = [self.ec]
        self.configure(house, oauth__jwks=issuer.url("/jwks", "localhost"), oauth__ca_file="tls/ca.pem")
        house.serve()
        self.assertEqual(until(lambda: try_smtp(house, token(self.ec, "ES256"))[0] == OK), True)

    def test_no_keys_is_no_refusal(self):
        house, issuer = self.with_issuer()
        issuer.close()
        self.configure(house, oauth__jwks=issuer.url("/jwks"), oauth__ca_file="tls/ca.pem")
        house.serve()
        until(lambda: "errand.failed" in house.logged(), what="the failed errand")
        self.assert_both(house, LATER, token(self.ec, "ES256"))

    def assert_stranger(self, house, issuer, **settings):
        issuer.keys = [self.ec]
        self.configure(house, oauth__jwks=issuer.url("/jwks"), **settings)
        house.serve()
        until(lambda: "errand.failed" in house.logged(), what="the failed errand")
        self.assertEqual(issuer.asked, [])
        self.assert_both(house, LATER, token(self.ec, "ES256"))

    def test_nobody_vouches_for_a_stranger(self):
        """The house's own certificate is not among the system's."""
        self.assert_stranger(*self.with_issuer())

    def test_a_certificate_is_for_its_name(self):
        house = self.open()
        cert, key = house.dir / "other.pem", house.dir / "other.key"
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=other.test",
                "-addext", "subjectAltName=DNS:other.test", "-keyout", str(key), "-out", str(cert))
        issuer = Issuer(cert, key)
        self.addCleanup(issuer.close)
        self.assert_stranger(house, issuer, oauth__ca_file="other.pem")

    def test_old_TLS_is_not_spoken(self):
        house = self.open()
        issuer = Issuer(house.dir / "tls" / "cert.pem", house.dir / "tls" / "key.pem", newest=ssl.TLSVersion.TLSv1_1)
        self.addCleanup(issuer.close)
        self.assert_stranger(house, issuer, oauth__ca_file="tls/ca.pem")

    # ---- tokens that are asked about

    def with_introspection(self, **settings):
        house, issuer = self.with_issuer()
        self.configure(house, oauth__introspection=issuer.url("/introspect"), oauth__client="mail", oauth__secret_file="secret",
                       oauth__ca_file="tls/ca.pem", **settings)
        house.serve()
        return house, issuer

    def test_introspection(self):
        house, issuer = self.with_introspection()
        issuer.tokens = {"good/+=": {"active": True, "email": ALICE}, "old": {"active": True, "email": ALICE, "exp": 1000},
                         "other": {"active": True, "email": ALICE, "aud": "other"}, "off": {"active": False, "email": ALICE},
                         "nobody": {"active": True, "email": "nobody@acc.test"}, "nameless": {"active": True, "username": "alice"}}
        self.assert_both(house, OK, "good/+=")
        self.assert_both(house, WRONG, "good/+=", BOB, "XOAUTH2")
        self.assertEqual(len(issuer.asked), 1)  # it is known for a minute
        path, form, login = issuer.asked[0]
        self.assertEqual((path, form, login), ("/introspect", {"token": ["good/+="], "token_type_hint": ["access_token"]}, issuer.login))
        for bearer in ("old", "other", "off", "nobody", "nameless", "unknown"):
            with self.subTest(bearer):
                self.assert_both(house, WRONG, bearer)
        asked = len(issuer.asked)
        self.assert_both(house, WRONG, "off")
        self.assertEqual(len(issuer.asked), asked + 2)  # what was not good is asked about again

    def test_introspection_fails_closed(self):
        house, issuer = self.with_introspection()
        issuer.tokens = {"good": {"active": True, "email": ALICE}}
        changes = [{"code": 500}, {"code": 401}, {"code": 302, "location": issuer.url("/elsewhere")}, {"code": 204, "body": b""},
                   {"body": b'{"active":true,"email":"alice@acc.test","x":"' + b"x" * 100000 + b'"}'}]
        for change in changes:
            for name, value in change.items():
                setattr(issuer, name, value)
            with self.subTest(change):
                self.assertEqual(try_smtp(house, "good")[0], LATER)
            issuer.code, issuer.body, issuer.location = 200, None, None
        self.assertNotIn("/elsewhere", [asked[0] for asked in issuer.asked])
        issuer.body = b"<html>"
        self.assertEqual(try_smtp(house, "good")[0], WRONG)
        issuer.body = None
        self.assertEqual(try_smtp(house, "good")[0], OK)

    def test_a_slow_server_holds_nobody_for_long(self):
        house, issuer = self.with_introspection()
        issuer.tokens, issuer.delay = {"good": {"active": True, "email": ALICE}}, 12.0
        begin = time.monotonic()
        self.assertEqual(try_smtp(house, "good")[0], LATER)
        self.assertLess(time.monotonic() - begin, 11.8)
        with house.pop3(ALICE):  # others' logins do not wait
            pass

    @staticmethod
    def gets_in(house, bearer):
        """False also where a session ends because its keeper did."""
        with contextlib.suppress(OSError):
            return try_smtp(house, bearer)[0] == OK
        return False

    def test_the_keeper_comes_back(self):
        house, issuer = self.with_introspection()
        issuer.tokens = {"good": {"active": True, "email": ALICE}, "second": {"active": True, "email": BOB}}
        self.assertEqual(try_smtp(house, "good")[0], OK)
        os.kill(house.pids()["keeper"], signal.SIGKILL)
        until(lambda: self.gets_in(house, "good"), what="a login with the new keeper")
        os.kill(house.pids()["courier"], signal.SIGKILL)
        until(lambda: self.gets_in(house, "second"), what="a login with the new courier")


if __name__ == "__main__":
    unittest.main()
