"""The command line: answers, errors, exit codes, with the server running and without."""
import hashlib
import json
import os
import signal
import subprocess
import tempfile
import time
import unittest

from house import EKIREI, House


class CommandLine(unittest.TestCase):
    def test_errors_and_exit_codes(self):
        with House(serve=False, accounts=()) as house:
            self.assertIn("usage", subprocess.run([EKIREI, "account", "add"], capture_output=True, text=True).stderr.lower() + "")
            for words, code in ((["account", "add"], 2), (["nonsense"], 2), (["account", "nonsense"], 2), (["account", "show", "x@acc.test"], 1)):
                error = house.ctl(*words, fails=code)
                self.assertTrue(error.startswith("ekirei: "), error)
            house.account("alice@acc.test")
            self.assertIn("there already", house.ctl("account", "add", "alice@acc.test", "--password-stdin", text="x", fails=1).lower())
            self.assertIn("elsewhere.test", house.ctl("account", "add", "c@elsewhere.test", "--password-stdin", text="x", fails=1))
            house.ctl("account", "add", "empty@acc.test", "--password-stdin", text="", fails=1)
            weak = subprocess.run([EKIREI, "account", "add", "weak@acc.test", "--password-stdin", "--dir", str(house.dir)], input="abc", capture_output=True, text=True)
            self.assertEqual(weak.returncode, 0)
            self.assertIn("weak", weak.stderr)

    def test_settings_errors_name_file_and_line(self):
        with House(serve=False, accounts=()) as house:
            conf = house.dir / "ekirei.conf"
            good = conf.read_text()
            for line, word in (("no.such = 1", "no.such"), ("message.size_limit = huge", "huge"), ("pop_before_smtp.window = 2h", "60min"), ("nonsense", "nonsense"),
                               ("auth.throttle = perhaps", "perhaps"), ("auth.plaintext_networks = 10.0.0.0/99", "10.0.0.0/99")):
                conf.write_text("# one\n" + line + "\n" + good)
                for command in (["config", "check"], ["serve"]):
                    error = house.ctl(*command, fails=2)
                    self.assertRegex(error, r"ekirei\.conf:2: ", (line, error))
                    self.assertIn(word, error)
            conf.write_text(good)
            house.ctl("config", "check")
            rows = {row["name"]: row for row in house.json("config", "show")}
            self.assertRegex(house.ctl("config", "show"), r"\nmx\.workers = 1\n    processes that .*\n    processes: 1-64; default: 1\n")
            for name in ("listen.address", "tls.min_version", "auth.plaintext_networks", "auth.apop_without_tls", "legacy.networks", "auth.throttle", "auth.hash_cost",
                         "limits.connections_per_address", "message.size_limit", "smarthost", "smarthost.tls", "queue.first_retry", "dns.servers", "dns.trust_anchor",
                         "pop_before_smtp.accounts", "pop_before_smtp.window", "pop_before_smtp.cap", "pop_before_smtp.messages", "pop_before_smtp.recipients",
                         "pop_before_smtp.shared_accounts", "pop_before_smtp.imap", "pop_before_smtp.never_networks"):
                self.assertIn(name, rows)

    def test_the_same_with_and_without_the_server(self):
        for running in (False, True):
            with House(serve=running, accounts=()) as house:
                house.account("alice@acc.test", "--login", "al")
                house.ctl("domain", "add", "second.test")
                house.account("bob@second.test")
                house.ctl("alias", "add", "info@second.test", "alice@acc.test")
                self.assertEqual(sorted(row["domain"] for row in house.json("domain", "list")), ["acc.test", "second.test"])
                self.assertEqual([row["address"] for row in house.json("account", "list")], ["alice@acc.test", "bob@second.test"])
                self.assertEqual(house.json("account", "show", "alice@acc.test")["login"], "al")
                secret = house.device("alice@acc.test", "phone", "--allow", "pop3,smtp", "--expires", "2090-01-01")
                self.assertRegex(secret, r"^(?=.*[A-Za-z])[A-Za-z0-9-]{20,}$")
                self.assertEqual(house.json("device", "list", "alice@acc.test")[0]["name"], "phone")
                house.ctl("device", "revoke", "alice@acc.test", "phone")
                self.assertEqual(house.json("device", "list", "alice@acc.test"), [])
                house.ctl("domain", "remove", "second.test", fails=1)
                house.ctl("account", "remove", "bob@second.test")
                house.ctl("alias", "remove", "info@second.test")
                self.assertEqual(house.json("alias", "list"), [])
                house.ctl("domain", "remove", "second.test")
                self.assertIsInstance(house.json("status"), dict)

    def test_what_a_device_may(self):
        with House(serve=False) as house:
            add = lambda name, *words, **more: house.ctl("device", "add", "alice@acc.test", "--name", name, *words, **more)
            for words, read in (("send-only", ["smtp"]), ("read-only", ["imap", "pop3"]), ("lease-only", ["lease"]), ("Read-Only,lease", ["imap", "pop3", "lease"]),
                                ("all", ["all"]), ("internal-only", ["all", "internal-only"]), ("pass,PLAIN,login", ["all", "pass", "plain", "login"]),
                                ("smtp,apop,cram-md5,scram-sha-1,scram-sha-256,scram-sha-1-plus,scram-sha-256-plus",
                                 ["smtp", "apop", "cram-md5", "scram-sha-1", "scram-sha-256", "scram-sha-1-plus", "scram-sha-256-plus"])):
                add(words[:60], "--allow", words)
                rows = {row["name"]: row for row in house.json("device", "list", "alice@acc.test")}
                self.assertEqual(rows[words[:60]]["allow"], read)
                self.assertIsNone(rows[words[:60]]["key_digest"])
            for words in ("oauthbearer", "xoauth2", "everything", ""):
                self.assertIn("--allow", add("none", "--allow", words, fails=2))
            self.assertNotIn("KEY DIGEST", house.ctl("device", "list"))
            # What is announced to everybody can break the programs of others.
            self.assertIn("cram-md5 is announced to everybody", add("warned", "--allow", "smtp,cram-md5", fails=0))
            self.assertEqual(add("quiet", "--allow", "smtp,plain,scram-sha-256", fails=0), "")
            self.assertIn("device: quiet, last used -", house.ctl("account", "show", "alice@acc.test"))

    def test_devices_with_keys(self):
        with House(serve=False) as house, tempfile.TemporaryDirectory() as folder:
            add = lambda name, *words, **more: house.ctl("device", "add", "alice@acc.test", "--name", name, *words, **more)
            private, certificate, public = (f"{folder}/{name}.pem" for name in ("private", "certificate", "public"))
            subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", private, "-out", certificate,
                            "-subj", "/CN=laptop"], check=True, capture_output=True)
            subprocess.run(["openssl", "pkey", "-in", private, "-pubout", "-out", public], check=True)
            info = subprocess.run(["openssl", "pkey", "-in", private, "-pubout", "-outform", "DER"], check=True, capture_output=True).stdout
            digest = hashlib.sha256(info).hexdigest()
            made = json.loads(add("laptop", "--certificate", certificate, "--json"))
            self.assertEqual(made["key_digest"], digest)
            self.assertNotIn("password", made)
            self.assertIn(digest, house.ctl("device", "list"))
            self.assertIn("already", add("again", "--key-digest", digest, fails=1))  # one key is one device's
            house.ctl("device", "revoke", "alice@acc.test", "laptop")
            colons = ":".join(digest.upper()[at:at + 2] for at in range(0, 64, 2))
            for words in (["--certificate", public], ["--key-digest", colons], ["--key-digest", digest, "--allow", "smtp,external"]):
                self.assertEqual(json.loads(add("laptop", *words, "--json"))["key_digest"], digest)
                house.ctl("device", "revoke", "alice@acc.test", "laptop")
            self.assertIn("private key", add("x", "--certificate", private, fails=2))
            self.assertIn("PEM", add("x", "--certificate", house.dir / "ekirei.conf", fails=2))
            self.assertIn("cannot be read", add("x", "--certificate", f"{folder}/none.pem", fails=1))
            for bad in (digest[:-1], digest + "0", digest[:-1] + "g", "", ":" + digest):
                self.assertIn("64", add("x", "--key-digest", bad, fails=2))
            self.assertIn("external", add("x", "--allow", "external", fails=2))
            self.assertIn("external", add("x", "--allow", "plain", "--key-digest", digest, fails=2))
            self.assertIn("exclude", add("x", "--certificate", certificate, "--key-digest", digest, fails=2))

    def test_imported_hashes(self):
        secret = "Pass-word-from-elsewhere"
        hashed = subprocess.run(["openssl", "passwd", "-6", "-salt", "saltsalt", secret], check=True, capture_output=True, text=True).stdout.strip()
        with House(accounts=("alice",)) as house:
            house.ctl("account", "add", "bob@acc.test", "--hash-stdin", text=hashed + "\n")
            house.ctl("account", "password", "alice@acc.test", "--hash-stdin", text="{SHA512-CRYPT}" + hashed)
            for name in ("alice@acc.test", "bob@acc.test"):
                for _ in range(2):  # as it came, and as it is kept from then on
                    with house.pop3() as client:
                        client.user(name)
                        self.assertTrue(client.pass_(secret).startswith(b"+OK"))
            for bad in ("password", "", "$6$ x", "$9$what"):
                house.ctl("account", "password", "alice@acc.test", "--hash-stdin", text=bad, fails=1 if bad in ("", "$9$what") else 2)
            self.assertIn("no hash that can be checked here", house.ctl("account", "add", "dora@acc.test", "--hash-stdin", text="{SSHA}abcd", fails=1))
            self.assertIn("exclude", house.ctl("account", "password", "alice@acc.test", "--hash-stdin", "--password-stdin", text=hashed, fails=2))

    def test_changes_are_in_force_when_the_command_returns(self):
        with House(accounts=()) as house:
            house.account("alice@acc.test")
            for i in range(5):
                house.ctl("account", "password", "alice@acc.test", "--password-stdin", text=f"new-{i}\n")
                with house.pop3("alice@acc.test", f"new-{i}"):
                    pass
                with self.assertRaises(Exception):
                    with house.pop3("alice@acc.test", f"new-{i - 1}"):
                        pass
            house.ctl("account", "remove", "alice@acc.test")
            with house.smtp() as client:
                client.ehlo()
                client.mail("x@elsewhere.test")
                self.assertEqual(client.rcpt("alice@acc.test")[0], 550)

    def test_help_and_man_pages_name_every_command(self):
        text = subprocess.run([EKIREI, "--help"], capture_output=True, text=True)
        self.assertEqual(text.returncode, 0)
        for word in ("demo", "init", "serve", "account", "device", "alias", "domain", "lease", "queue", "status", "config"):
            self.assertIn(word, text.stdout)

    def test_init_leaves_nothing_half(self):
        with House(serve=False, accounts=()) as house:
            bad = subprocess.run([EKIREI, "init", "--dir", str(house.dir) + ".x", "--domain", "x.test", "--set", "no.such=1"], capture_output=True, text=True)
            self.assertEqual(bad.returncode, 2)
            self.assertFalse(os.path.exists(str(house.dir) + ".x"))
            again = subprocess.run([EKIREI, "init", "--dir", str(house.dir), "--domain", "x.test"], capture_output=True, text=True)
            self.assertEqual(again.returncode, 1)
            self.assertEqual((house.dir.stat().st_mode & 0o077), 0)
            self.assertEqual(((house.dir / "keys" / "keeper.key").stat().st_mode & 0o077), 0)

    def test_C222_line_ends_in_arguments(self):
        def state(house):
            return [house.json(*words) for words in (("account", "list"), ("alias", "list"), ("domain", "list"), ("device", "list"))]
        with House() as house:
            before = state(house)
            for end in ("\n", "\r", "\r\nBcc: x"):
                for words in (("account", "add", f"eve{end}@acc.test", "--password-stdin"), ("alias", "add", f"a{end}@acc.test", "bob@acc.test"),
                              ("alias", "add", "a@acc.test", f"b{end}@elsewhere.test"), ("domain", "add", f"x{end}.test"),
                              ("device", "add", "bob@acc.test", "--name", f"scan{end}ner"), ("account", "add", "eve@acc.test", "--login", f"e{end}", "--password-stdin")):
                    done = subprocess.run([EKIREI, *words, "--dir", str(house.dir)], input="Pass-word-eve", capture_output=True, text=True, timeout=20)
                    self.assertIn(done.returncode, (1, 2), words)
                    self.assertEqual(state(house), before, words)

    def test_what_was_probably_meant(self):
        for words, meant in ((["acount", "list"], "account"), (["account", "lst"], "account list"), (["user", "add"], "account"), (["queue", "lits"], None),
                             (["status", "--jsno"], "--json"), (["account", "add", "--passwd-stdin"], "--password-stdin"), (["zzz"], None), (["status", "--zzz"], None)):
            done = subprocess.run([EKIREI, *words], capture_output=True, text=True)
            self.assertEqual(done.returncode, 2, words)
            self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
            if meant:
                self.assertIn(f"did you mean '{meant}'?", done.stderr)
            elif words[0] != "queue":
                self.assertNotIn("mean", done.stderr)
        for words in (["--version"], ["-V"], ["account", "help"], ["help", "account"], ["device", "add", "--help"]):
            done = subprocess.run([EKIREI, *words], capture_output=True, text=True)
            self.assertEqual((done.returncode, done.stderr), (0, ""), words)
        self.assertIn("device add ADDRESS --name NAME", done.stdout)
        done = subprocess.run([EKIREI, "lease", "revoke", "192.0.2"], capture_output=True, text=True)
        self.assertIn("IP address", done.stderr)
        done = subprocess.run([EKIREI, "demo", "--dir", "/nonexistent"], capture_output=True, text=True, timeout=20)
        self.assertEqual(done.returncode, 2)
        self.assertIn("--dir", done.stderr)

    def test_init_that_is_interrupted_leaves_nothing(self):
        for delay in (0.0, 0.005, 0.01, 0.02, 0.04):
            with tempfile.TemporaryDirectory() as top:
                folder = os.path.join(top, "e")
                init = subprocess.Popen([EKIREI, "init", "--dir", folder, "--domain", "x.test"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                if delay:
                    deadline = time.monotonic() + 5
                    while not os.path.exists(folder) and init.poll() is None and time.monotonic() < deadline:
                        pass
                    time.sleep(delay)
                init.send_signal(signal.SIGINT)
                init.wait(10)
                if os.path.exists(folder):  # the signal came too late: then all of it is there
                    self.assertEqual(subprocess.run([EKIREI, "status", "--dir", folder], stdout=subprocess.DEVNULL).returncode, 0)

    def test_C041_garbage_on_the_control_socket(self):
        import socket
        with House() as house:
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(str(house.dir / "run" / "control.sock"))
                client.sendall(os.urandom(100000)[:60000])
            self.assertEqual(len(house.json("account", "list")), 2)
            house.send("bob@acc.test")


if __name__ == "__main__":
    unittest.main()
