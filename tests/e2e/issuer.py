"""An issuer of tokens for tests: keys, signatures by the openssl program, and a small HTTPS server with a key set and an introspection endpoint."""
import base64
import contextlib
import http.server
import json
import ssl
import subprocess
import tempfile
import threading
import time
import urllib.parse

from house import HOST


def b64url(octets):
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


def openssl(*words, octets=None):
    return subprocess.run(["openssl", *words], input=octets, capture_output=True, check=True, timeout=60).stdout


def raw_ecdsa(der, width):
    """r and s side by side, out of the DER that openssl writes."""
    at, numbers = 2 if der[1] < 0x80 else 3, b""
    for _ in range(2):
        length = der[at + 1]
        numbers += der[at + 2:at + 2 + length].lstrip(b"\0").rjust(width, b"\0")
        at += 2 + length
    return numbers


class Key:
    """kind: RSA, EC or ED25519."""

    def __init__(self, kind, kid, bits=2048):
        self.kind, self.kid = kind, kid
        self.file = tempfile.NamedTemporaryFile(suffix=".pem")
        options = {"RSA": ["-algorithm", "RSA", "-pkeyopt", f"rsa_keygen_bits:{bits}"], "EC": ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
                   "ED25519": ["-algorithm", "ED25519"]}[kind]
        openssl("genpkey", *options, "-out", self.file.name)

    def jwk(self):
        der = openssl("pkey", "-in", self.file.name, "-pubout", "-outform", "DER")
        if self.kind == "RSA":
            modulus = openssl("rsa", "-in", self.file.name, "-noout", "-modulus").decode().strip().split("=")[1]
            what = {"kty": "RSA", "n": b64url(bytes.fromhex(modulus)), "e": "AQAB"}
        elif self.kind == "EC":
            what = {"kty": "EC", "crv": "P-256", "x": b64url(der[-64:-32]), "y": b64url(der[-32:])}
        else:
            what = {"kty": "OKP", "crv": "Ed25519", "x": b64url(der[-32:])}
        return what | {"kid": self.kid, "use": "sig"}

    def public_pem(self):
        return openssl("pkey", "-in", self.file.name, "-pubout")

    def sign(self, alg, octets, der=False):
        if alg == "EdDSA":
            with tempfile.NamedTemporaryFile() as file:
                file.write(octets)
                file.flush()
                return openssl("pkeyutl", "-sign", "-rawin", "-inkey", self.file.name, "-in", file.name)
        pss = ["-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:digest"] if alg.startswith("PS") else []
        signature = openssl("dgst", "-sha256", "-sign", self.file.name, *pss, octets=octets)
        return raw_ecdsa(signature, 32) if self.kind == "EC" and not der else signature


def compact(header, payload, signer):
    text = ".".join(b64url(part if isinstance(part, bytes) else json.dumps(part).encode()) for part in (header, payload))
    return text + "." + b64url(signer(text.encode()))


class Signer:
    """An issuer whose key set is in a file: `jwks` is its text."""

    def __init__(self, issuer="https://id.acc.test/", audience="mail"):
        self.issuer, self.audience, self.key = issuer, audience, Key("RSA", "one")
        self.jwks = json.dumps({"keys": [self.key.jwk()]})

    def token(self, email, **claims):
        body = {"iss": self.issuer, "aud": self.audience, "exp": int(time.time()) + 300, "email": email, **claims}
        return compact({"alg": "RS256", "typ": "JWT", "kid": self.key.kid}, body, lambda octets: self.key.sign("RS256", octets))


class Issuer:
    """The server: `keys` is what it serves, `tokens` what introspection knows, `asked` what was asked."""

    def __init__(self, cert, key, newest=None):
        self.keys, self.tokens, self.asked = [], {}, []
        self.code, self.delay, self.body, self.location = 200, 0.0, None, None
        self.login = "Basic " + base64.b64encode(b"mail:top%20secret").decode()
        issuer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def reply(self, document):
                time.sleep(issuer.delay)
                body = issuer.body if issuer.body is not None else json.dumps(document).encode()
                self.send_response(issuer.code)
                if issuer.location:
                    self.send_header("Location", issuer.location)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                with contextlib.suppress(OSError):
                    self.wfile.write(body)

            def do_GET(self):
                issuer.asked.append(self.path)
                self.reply({"keys": [key.jwk() for key in issuer.keys]})

            def do_POST(self):
                form = urllib.parse.parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
                issuer.asked.append((self.path, form, self.headers.get("Authorization")))
                known = self.headers.get("Authorization") == issuer.login and issuer.tokens.get(form["token"][0])
                self.reply(known or {"active": False})

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer((HOST, 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cert, key)
        if newest:
            context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, newest
            context.set_ciphers("DEFAULT:@SECLEVEL=0")
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        self.server.handle_error = lambda *_: None
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def url(self, path, host=HOST):
        return f"https://{host}:{self.port}{path}"
