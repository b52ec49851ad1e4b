"""The client's side of every mechanism, over SMTP and POP3, octet by octet.  Python's standard library only."""
import base64
import hashlib
import hmac
import os
import socket
import ssl
import subprocess

from house import HOST, Lines

VERSIONS = {"1.0": ssl.TLSVersion.TLSv1, "1.1": ssl.TLSVersion.TLSv1_1, "1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
SCRAM = {"SCRAM-SHA-1": "sha1", "SCRAM-SHA-256": "sha256"}


def b64(octets):
    return base64.b64encode(octets.encode() if isinstance(octets, str) else octets).decode()


class Line(Lines):
    """One connection.  tls: None or a version; implicit: TLS from the first octet; key: (certificate, key) files."""

    def __init__(self, house, protocol, port, source=HOST, tls=None, implicit=False, key=None, hello="client.test"):
        super().__init__(socket.create_connection((HOST, port), timeout=20, source_address=(source, 0)))
        self.house, self.protocol, self.hello = house, protocol, hello
        self.version = tls
        if tls and implicit:
            self.secure(tls, key)
        self.greeting = self.line()
        if protocol == "smtp" and (self.greeting or "").startswith("220"):
            self.extensions = self.ehlo()
        if tls and not implicit:
            reply = self.say("STARTTLS" if protocol == "smtp" else "STLS")
            assert reply[:3] in ("220", "+OK"), reply
            self.secure(tls, key)
            if protocol == "smtp":
                self.extensions = self.ehlo()

    def secure(self, version, key):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if version in ("1.0", "1.1"):
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            context.set_ciphers("ALL:@SECLEVEL=0")
        else:
            context.load_verify_locations(str(self.house.dir / "tls" / "ca.pem"))
        context.minimum_version = context.maximum_version = VERSIONS[version]
        if key:
            context.load_cert_chain(*key)
        self.socket = context.wrap_socket(self.socket, server_hostname="localhost")

    # -- lines

    def say(self, text):
        self.put(text + "\r\n")
        return self.line()

    def ehlo(self):
        self.put(f"EHLO {self.hello}\r\n")
        lines = [self.line()]
        while lines[-1][3] == "-":
            lines.append(self.line())
        return [line[4:] for line in lines]

    def capa(self):
        self.put("CAPA\r\n")
        lines = [self.line()]
        while lines[-1] != ".":
            lines.append(self.line())
        return lines[1:-1]

    def offered(self):
        """The mechanisms that are listed; "PASS" where USER is."""
        lines = self.extensions if self.protocol == "smtp" else self.capa()
        word = "AUTH " if self.protocol == "smtp" else "SASL "
        found = {name for line in lines if line.startswith(word) for name in line.split()[1:]}
        return found | ({"PASS"} if "USER" in lines and self.protocol == "pop3" else set())

    # -- bindings

    def binding(self, kind):
        if kind == "tls-unique":
            return self.socket.get_channel_binding("tls-unique")
        return hashlib.sha256(self.socket.getpeercert(True)).digest()  # tls-server-end-point: our certificates are signed with SHA-256

    def best_binding(self):
        return "tls-unique" if self.version == "1.2" else "tls-server-end-point"

    # -- logins: the last reply

    def challenge(self, reply):
        """The octets of a challenge, or None where the reply is none."""
        if reply is None or not reply.startswith("334 " if self.protocol == "smtp" else "+ "):
            return None
        return base64.b64decode(reply.split(" ", 1)[1])

    def ok(self, reply):
        return reply is not None and reply.startswith("235" if self.protocol == "smtp" else "+OK")

    def auth(self, mechanism, name, secret=None, **words):
        steps = {"PLAIN": self._plain, "LOGIN": self._login, "CRAM-MD5": self._cram, "PASS": self._pass, "APOP": self._apop,
                 "OAUTHBEARER": self._bearer, "XOAUTH2": self._xoauth2, "EXTERNAL": self._external}
        if mechanism.startswith("SCRAM"):
            return self._scram(mechanism, name, secret, **words)
        return steps[mechanism](name, secret, **words)

    def _pass(self, name, secret):
        reply = self.say(f"USER {name}")
        return self.say(f"PASS {secret}") if reply.startswith("+OK") else reply

    def _apop(self, name, secret):
        stamp = "<" + self.greeting.split("<", 1)[1].split(">", 1)[0] + ">"
        return self.say(f"APOP {name} {hashlib.md5((stamp + secret).encode()).hexdigest()}")

    def _plain(self, name, secret, authzid=""):
        return self.say("AUTH PLAIN " + b64(f"{authzid}\0{name}\0{secret}"))

    def _login(self, name, secret):
        reply = self.say("AUTH LOGIN")
        if self.challenge(reply) != b"Username:":
            return reply
        reply = self.say(b64(name))
        return self.say(b64(secret)) if self.challenge(reply) == b"Password:" else reply

    def _cram(self, name, secret):
        reply = self.say("AUTH CRAM-MD5")
        challenge = self.challenge(reply)
        if challenge is None:
            return reply
        return self.say(b64(f"{name} {hmac.new(secret.encode(), challenge, 'md5').hexdigest()}"))

    def _bearer(self, name, token):
        authzid = f"a={name}" if name else ""
        return self._token("AUTH OAUTHBEARER " + b64(f"n,{authzid},\x01host=localhost\x01port=587\x01auth=Bearer {token}\x01\x01"))

    def _xoauth2(self, name, token):
        return self._token("AUTH XOAUTH2 " + b64(f"user={name}\x01auth=Bearer {token}\x01\x01"))

    def _token(self, text):
        reply = self.say(text)
        self.failure = self.challenge(reply)
        return self.say("AQ==") if self.failure is not None else reply  # RFC 7628 3.2.3

    def _external(self, name, secret=None):
        reply = self.say("AUTH EXTERNAL " + (b64(name) if name else "="))
        return reply

    def _scram(self, mechanism, name, secret, kind=None, flag=None, nonce=None):
        plus = mechanism.endswith("-PLUS")
        digest = SCRAM[mechanism.removesuffix("-PLUS")]
        kind = kind or self.best_binding()
        header = flag or (f"p={kind}" if plus else "n")
        nonce = nonce or b64(os.urandom(12))
        first = f"n={name.replace('=', '=3D').replace(',', '=2C')},r={nonce}"
        reply = self.say(f"AUTH {mechanism} " + b64(f"{header},,{first}"))
        server_first = self.challenge(reply)
        if server_first is None:
            return reply
        server_first = server_first.decode()
        fields = dict(field.split("=", 1) for field in server_first.split(","))
        assert fields["r"].startswith(nonce) and len(fields["r"]) >= len(nonce) + 16, server_first
        bound = f"{header},,".encode() + (self.binding(kind) if plus else b"")
        final = f"c={b64(bound)},r={fields['r']}"
        salted = hashlib.pbkdf2_hmac(digest, secret.encode(), base64.b64decode(fields["s"]), int(fields["i"]))
        sign = lambda key, text: hmac.new(key, text if isinstance(text, bytes) else text.encode(), digest).digest()
        client, message = sign(salted, "Client Key"), f"{first},{server_first},{final}"
        signature = sign(hashlib.new(digest, client).digest(), message)
        proof = bytes(a ^ b for a, b in zip(client, signature))
        reply = self.say(b64(f"{final},p={b64(proof)}"))
        last = self.challenge(reply)
        if last is None:
            return reply
        assert last == b"v=" + b64(sign(sign(salted, "Server Key"), message)).encode(), last  # the server knows us, too
        return self.say("")


def make_key(folder, name):
    """A key pair with a certificate that nobody signed: (certificate, key) files."""
    certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}", "-days", "2",
                    "-keyout", key, "-out", certificate], check=True, capture_output=True)
    return str(certificate), str(key)
