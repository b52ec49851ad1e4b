"""The servers that the bench measures, each in a folder of its own on loopback: ekirei, and Postfix handing over to Dovecot by LMTP.

Their certificates, names and passwords are the same.  Names at bench.test have a password that is cheap for Dovecot ({PLAIN}), those at hash.test the very
Argon2id verifiers of ekirei; the mailboxes are the same."""
import grp
import os
import pathlib
import pwd
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
from house import HOST, House, POSTFIX_DAEMONS, postfix_main, postfix_master, reserve_ports  # noqa: E402
from measure import Tree  # noqa: E402

ACCOUNTS, DOMAIN, HASH_DOMAIN, PASSWORD = 100, "bench.test", "hash.test", "x1234567"
HASH_COST = "5"  # the default of auth.hash_cost


class Ekirei:
    name = "ekirei"
    settings = {"limits__connections_per_address": "100000", "limits__connections": "20000", "store__disk_reserve": "1MB",
                "auth__plaintext_networks": "127.0.0.0/8", "auth__hash_cost": HASH_COST, "auth__throttle": "yes", "limits__command_timeout": "60min"}

    def __init__(self, accounts=ACCOUNTS, **settings):
        self.tree = Tree()
        self.house = House(domain=DOMAIN, serve=False, accounts=(), **self.settings | settings)
        try:
            for i in range(accounts):
                self.house.account(f"u{i}@{DOMAIN}", password=PASSWORD)
            self.serve()
        except BaseException:
            self.__exit__()
            raise
        names = {("smtp", "no"): "submission", ("smtp", "start"): "submission", ("smtp", "yes"): "submissions", ("pop3", "no"): "pop3", ("pop3", "yes"): "pop3s"}
        self.port, self.ports = self.house.port("smtp"), {key: self.house.port(name) for key, name in names.items()}
        self.certificate, self.key = self.house.dir / "tls" / "cert.pem", self.house.dir / "tls" / "key.pem"
        self.hash_domain = DOMAIN

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.house.__exit__()
        self.tree.close()

    def serve(self):
        start = time.monotonic()
        with self.tree:
            self.house.serve()
        self.tree.roots = [self.house.process.pid]
        return time.monotonic() - start

    def again(self):
        """Begins anew: no password is remembered.  Seconds until it is ready."""
        self.house.stop()
        seconds = self.serve()
        time.sleep(0.2)
        return seconds

    def visible(self):
        return self.house.json("status")["messages"]

    @staticmethod
    def last_visible():
        return 0.0  # whatever was answered is visible

    def verifiers(self):
        """(name, Argon2id verifier) of all."""
        with sqlite3.connect(f"file:{self.house.dir}/store/ekirei.db?mode=ro", uri=True) as db:
            return [(address.split("@")[0], password) for address, password in db.execute("select address, password from account")]

    @staticmethod
    def trouble():
        return ""


class PostfixDovecot:
    name = "Postfix + Dovecot"
    tuned = ("Postfix may run 200 processes, keeps its connections to Dovecot, hands over by LMTP 20 at a time and does not slow its input; Dovecot keeps mail as sdbox in 100 "
             "mailboxes, has processes waiting for LMTP, logins and POP3, and each serves many; both sync as they do by default. Everything else is Debian's default "
             "(tests/bench/peers.py has the files).")

    @staticmethod
    def installed():
        return os.getuid() == 0 and os.path.exists("/usr/sbin/postfix") and os.path.exists("/usr/sbin/dovecot") and os.path.exists("/usr/lib/dovecot/lmtp")

    @staticmethod
    def versions():
        def said(*words):
            return subprocess.run(words, capture_output=True, text=True).stdout.split()
        return f"Postfix {said('postconf', '-d', 'mail_version')[-1]} and Dovecot {said('dovecot', '--version')[0]}"

    def __init__(self, ekirei, fsync="optimized"):
        self.fsync = fsync
        # Postfix's programs run as other users: the folder must be passable, and on a real disk.
        self.top = pathlib.Path(tempfile.mkdtemp(prefix="peers-", dir="/var/tmp"))
        self.tree, self.started = Tree(), []
        try:
            self.top.chmod(0o755)
            self.port, self.kept_ports = reserve_ports(*range(6))
            self.ports = {("smtp", "no"): self.port, ("smtp", "start"): self.port, ("smtp", "yes"): self.port + 2, ("pop3", "no"): self.port + 3,
                          ("pop3", "yes"): self.port + 4}
            self.hash_domain = HASH_DOMAIN
            (self.top / "passwd").write_text("".join(f"{name}@{DOMAIN}:{{PLAIN}}{PASSWORD}\n{name}@{HASH_DOMAIN}:{{ARGON2ID}}{password}\n"
                                                     for name, password in ekirei.verifiers()))
            self.certificate, self.key = self.top / "cert.pem", self.top / "key.pem"
            shutil.copy(ekirei.certificate, self.certificate)
            shutil.copy(ekirei.key, self.key)
            self._dovecot()
            self._postfix()
            for port in {self.port, *self.ports.values()}:
                self.wait(port)
        except BaseException:
            self.__exit__()
            raise

    def _start(self, *words):
        with self.tree:
            self.started.append(subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        self.tree.roots = [process.pid for process in self.started]

    def _dovecot(self):
        for name in ("mail", "run"):
            (self.top / name).mkdir()
        self.uid, self.gid = pwd.getpwnam("nobody").pw_uid, grp.getgrnam("nogroup").gr_gid
        os.chown(self.top / "mail", self.uid, self.gid)
        self.lmtp = self.port + 1
        (self.top / "dovecot.conf").write_text(self.dovecot_conf())
        self._start("dovecot", "-F", "-c", str(self.top / "dovecot.conf"))
        self.wait(self.lmtp)

    def dovecot_conf(self):
        def service(name, settings, **listeners):
            parts = "".join(f"  inet_listener {listener} {{\n    address = {HOST}\n    port = {port}\n{'    ssl = yes' if listener == 'pop3s' else ''}\n  }}\n"
                            for listener, port in listeners.items())
            return f"service {name} {{\n{settings}\n{parts}}}\n"
        return f"""
protocols = lmtp pop3
base_dir = {self.top}/run
state_dir = {self.top}/run
log_path = {self.top}/dovecot.log
ssl = yes
ssl_cert = <{self.top}/cert.pem
ssl_key = <{self.top}/key.pem
disable_plaintext_auth = no
auth_mechanisms = plain
mail_max_userip_connections = 10000
mail_fsync = {self.fsync}
mail_location = sdbox:{self.top}/mail/%n
first_valid_uid = 1
passdb {{
  driver = passwd-file
  args = {self.top}/passwd
}}
userdb {{
  driver = static
  args = uid={self.uid} gid={self.gid} home={self.top}/mail/%n
}}
service anvil {{
  client_limit = 10000
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
""" + service("lmtp", "  process_min_avail = 2", lmtp=self.lmtp) + service("auth", "  client_limit = 10000", auth=self.port + 5) + service(
            "pop3-login", "  service_count = 0\n  process_min_avail = 2\n  client_limit = 5000", pop3=self.port + 3, pop3s=self.port + 4) + service(
            "pop3", "  service_count = 1000\n  process_min_avail = 10\n  process_limit = 5000")

    def _postfix(self):
        conf, spool, data = self.top / "postfix", self.top / "spool", self.top / "data"
        for folder in (conf, spool, data):
            folder.mkdir()
        (conf / "master.cf").write_text(postfix_master(self.port) + f"{HOST}:{self.port + 2} inet n - n - - smtpd -o smtpd_tls_wrappermode=yes\n")
        (conf / "main.cf").write_text(self.main_cf())
        shutil.chown(data, "postfix")
        subprocess.run(["postfix", "-c", str(conf), "check"], capture_output=True)
        self._start(f"{POSTFIX_DAEMONS}/master", "-c", str(conf), "-d")

    def main_cf(self):
        return f"""{postfix_main(self.top)}myhostname = mail.{DOMAIN}
mynetworks = 127.0.0.0/8
virtual_mailbox_domains = {DOMAIN} {HASH_DOMAIN}
virtual_mailbox_maps = static:present
virtual_transport = lmtp:inet:{HOST}:{self.lmtp}
lmtp_destination_concurrency_limit = 20
minimal_backoff_time = 2s
maximal_backoff_time = 2s
queue_run_delay = 2s
smtpd_recipient_restrictions = permit_mynetworks, reject_unauth_destination
smtpd_client_connection_count_limit = 0
default_process_limit = 200
in_flow_delay = 0
message_size_limit = 50000000
mailbox_size_limit = 0
virtual_mailbox_limit = 0
smtpd_tls_security_level = may
smtpd_tls_cert_file = {self.top}/cert.pem
smtpd_tls_key_file = {self.top}/key.pem
smtpd_sasl_auth_enable = yes
smtpd_sasl_type = dovecot
smtpd_sasl_path = inet:{HOST}:{self.port + 5}
smtpd_sasl_security_options = noanonymous
"""

    @staticmethod
    def wait(port):
        for _ in range(100):
            try:
                with socket.create_connection((HOST, port), timeout=1):
                    return
            except OSError:
                time.sleep(0.1)
        raise RuntimeError(f"nothing listens on port {port}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in reversed(self.started):
            process.terminate()
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                process.wait()
        time.sleep(0.3)
        self.tree.close()
        shutil.rmtree(self.top, ignore_errors=True)

    def visible(self):
        return sum(1 for _ in self._mails())

    def _mails(self):
        return self.top.glob("mail/*/mailboxes/INBOX/dbox-Mails/u.*")

    def last_visible(self):
        """When the last message got its name, by the system's clock."""
        return max((file.stat().st_ctime for file in self._mails()), default=0.0)

    def deferred(self):
        """How often Postfix had to try again, and the first reason."""
        found = re.findall(r"status=deferred \((.*?)\)", (self.top / "log").read_text(errors="replace"))
        return len(found), found[0][:200] if found else ""

    def trouble(self):
        """Why messages may be missing: what waits in Postfix's queue, what was deferred, what the logs complain of."""
        waiting = sum(1 for name in ("incoming", "active", "deferred", "corrupt") for file in (self.top / "spool" / name).rglob("*") if file.is_file())
        complaints = [line for log in ("log", "dovecot.log") for line in (self.top / log).read_text(errors="replace").splitlines()
                      if re.search(r"warning:|[Ee]rror|fatal:|panic:|Fatal:|Panic:|status=(deferred|bounced)", line)]
        return f"; {waiting} in Postfix's queue, {self.deferred()[0]} times deferred; the logs complain of: " + (" / ".join(complaints[-3:]) or "nothing")


def peer_or_none(ekirei, **options):
    """Postfix and Dovecot, or one line that says why not."""
    if not PostfixDovecot.installed():
        print("bench: Postfix and Dovecot with LMTP are not installed, or this is not root: ekirei alone", flush=True)
        return None
    try:
        return PostfixDovecot(ekirei, **options)
    except (RuntimeError, OSError) as error:
        print(f"bench: Postfix and Dovecot do not start ({error}): ekirei alone", flush=True)
        return None
