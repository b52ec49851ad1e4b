"""The servers that the bench measures, each in a folder of its own on loopback: ekirei, and Postfix handing over to Dovecot by LMTP."""
import grp
import os
import pathlib
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
from house import HOST, House, POSTFIX_DAEMONS, postfix_main, postfix_master, reserve_ports  # noqa: E402

ACCOUNTS, DOMAIN, PASSWORD = 100, "bench.test", "x1234567"


def tree_cpu(root):
    """CPU seconds of a process and all its descendants, those that ended and were waited for included."""
    ticks, children = {}, {}
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rsplit(")", 1)[1].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        pid = int(stat.parent.name)
        ticks[pid] = sum(map(int, fields[11:15]))
        children.setdefault(int(fields[1]), []).append(pid)
    total, waiting = 0, [root]
    while waiting:
        pid = waiting.pop()
        total += ticks.get(pid, 0)
        waiting += children.get(pid, [])
    return total / os.sysconf("SC_CLK_TCK")


class Ekirei:
    name = "ekirei"
    settings = {"limits__connections_per_address": "10000", "log__level": "warning", "store__disk_reserve": "1MB"}

    def __init__(self):
        self.house = House(domain=DOMAIN, serve=False, accounts=(), **self.settings)
        for i in range(ACCOUNTS):
            self.house.account(f"u{i}@{DOMAIN}", password=PASSWORD)
        self.house.serve()
        self.port = self.house.port("smtp")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.house.__exit__()

    def cpu(self):
        return tree_cpu(self.house.process.pid)

    def visible(self):
        return self.house.json("status")["messages"]

    def clear(self):
        pass


class PostfixDovecot:
    name = "Postfix + Dovecot LMTP"

    @staticmethod
    def installed():
        return os.getuid() == 0 and os.path.exists("/usr/sbin/postfix") and os.path.exists("/usr/sbin/dovecot") and os.path.exists("/usr/lib/dovecot/lmtp")

    def __init__(self):
        # Postfix's programs run as other users: the folder must be passable, and on a real disk.
        self.top = pathlib.Path(tempfile.mkdtemp(prefix="peers-", dir="/var/tmp"))
        self.top.chmod(0o755)
        self.port, self.kept_ports = reserve_ports(*range(6))
        self._dovecot()
        self._postfix()
        self.wait(self.port)

    def _dovecot(self):
        for name in ("mail", "run"):
            (self.top / name).mkdir()
        self.uid, self.gid = pwd.getpwnam("nobody").pw_uid, grp.getgrnam("nogroup").gr_gid
        os.chown(self.top / "mail", self.uid, self.gid)
        self.lmtp = self.port + 1
        (self.top / "dovecot.conf").write_text(self.dovecot_conf())
        self.dovecot = subprocess.Popen(["dovecot", "-F", "-c", str(self.top / "dovecot.conf")], stderr=subprocess.DEVNULL)
        self.wait(self.lmtp)

    def dovecot_conf(self):
        return f"""
protocols = lmtp
base_dir = {self.top}/run
state_dir = {self.top}/run
log_path = {self.top}/dovecot.log
ssl = no
mail_location = sdbox:{self.top}/mail/%n
first_valid_uid = 1
auth_username_format = %n
passdb {{
  driver = static
  args = nopassword=y
}}
userdb {{
  driver = static
  args = uid={self.uid} gid={self.gid} home={self.top}/mail/%n allow_all_users=yes
}}
service lmtp {{
  process_min_avail = 2
  inet_listener lmtp {{
    address = {HOST}
    port = {self.lmtp}
  }}
}}
service anvil {{
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
"""

    def _postfix(self):
        conf, spool, data = self.top / "postfix", self.top / "spool", self.top / "data"
        for folder in (conf, spool, data):
            folder.mkdir()
        (conf / "master.cf").write_text(self.master_cf())
        (conf / "main.cf").write_text(self.main_cf())
        shutil.chown(data, "postfix")
        subprocess.run(["postfix", "-c", str(conf), "check"], capture_output=True)
        self.conf = conf
        self.postfix = subprocess.Popen([f"{POSTFIX_DAEMONS}/master", "-c", str(conf), "-d"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def master_cf(self):
        return postfix_master(self.port)

    def main_cf(self):
        return f"""{postfix_main(self.top)}myhostname = mail.{DOMAIN}
mynetworks = 127.0.0.0/8
virtual_mailbox_domains = {DOMAIN}
virtual_mailbox_maps = static:present
virtual_transport = lmtp:inet:{HOST}:{self.lmtp}
lmtp_destination_concurrency_limit = 20
smtpd_recipient_restrictions = permit_mynetworks, reject_unauth_destination
smtpd_client_connection_count_limit = 0
default_process_limit = 200
in_flow_delay = 0
message_size_limit = 50000000
mailbox_size_limit = 0
virtual_mailbox_limit = 0
"""

    @staticmethod
    def wait(port):
        for _ in range(100):
            try:
                with socket.create_connection((HOST, port), timeout=1):
                    return
            except OSError:
                time.sleep(0.1)
        raise SystemExit(f"bench: nothing listens on port {port}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in (self.postfix, self.dovecot):
            process.terminate()
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        time.sleep(0.5)
        shutil.rmtree(self.top, ignore_errors=True)

    def cpu(self):
        return tree_cpu(self.postfix.pid) + tree_cpu(self.dovecot.pid)

    def visible(self):
        return sum(1 for _ in self.top.glob("mail/*/mailboxes/INBOX/dbox-Mails/u.*"))

    def clear(self):
        shutil.rmtree(self.top / "mail", ignore_errors=False)
        (self.top / "mail").mkdir()
        shutil.chown(self.top / "mail", "nobody", "nogroup")
