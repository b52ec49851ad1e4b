"""The servers whose logins are counted: ekirei, and Postfix asking Dovecot, with the very same Argon2id verifiers.

Dovecot is given processes that wait for the next login.  Its hashes it counts in its one auth process, as it does for any passwd-file; its auth cache keeps
verifiers, not what was verified, so it would change nothing."""
import sqlite3
import time

import peers
from peers import HOST

HASH_COST = "5"  # the default of auth.hash_cost


class Ekirei(peers.Ekirei):
    settings = peers.Ekirei.settings | {"auth__hash_cost": HASH_COST, "auth__throttle": "yes", "auth__plaintext_networks": "127.0.0.0/8", "log__level": "info"}

    def __init__(self):
        super().__init__()
        self.ports = {("smtp", "clear"): self.house.port("submission"), ("smtp", "tls"): self.house.port("submissions"),
                      ("pop3", "clear"): self.house.port("pop3"), ("pop3", "tls"): self.house.port("pop3s")}

    def forget(self):
        """Begins anew: no password is remembered."""
        self.house.stop()
        self.house.serve()
        time.sleep(0.2)

    def verifiers(self):
        """As `address:{ARGON2ID}hash`, for a passwd-file."""
        with sqlite3.connect(f"file:{self.house.dir}/store/ekirei.db?mode=ro", uri=True) as db:
            return "".join(f"{address}:{{ARGON2ID}}{password}\n" for address, password in db.execute("select address, password from account"))

    def certificate(self):
        return self.house.dir / "tls"


class PostfixDovecot(peers.PostfixDovecot):
    name = "Postfix + Dovecot"

    def __init__(self, ekirei):
        self.verifiers, self.tls = ekirei.verifiers(), ekirei.certificate()
        super().__init__()
        self.ports = {("smtp", "clear"): self.port, ("smtp", "tls"): self.port + 2, ("pop3", "clear"): self.port + 3, ("pop3", "tls"): self.port + 4}
        for port in self.ports.values():
            self.wait(port)

    def dovecot_conf(self):
        (self.top / "passwd").write_text(self.verifiers)
        for name in ("cert.pem", "key.pem"):
            (self.top / name).write_bytes((self.tls / name).read_bytes())
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
mail_max_userip_connections = 1000
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
service lmtp {{
  inet_listener lmtp {{
    address = {HOST}
    port = {self.lmtp}
  }}
}}
service auth {{
  client_limit = 3000
  inet_listener {{
    address = {HOST}
    port = {self.port + 5}
  }}
}}
service pop3-login {{
  service_count = 0
  process_min_avail = 2
  inet_listener pop3 {{
    address = {HOST}
    port = {self.port + 3}
  }}
  inet_listener pop3s {{
    address = {HOST}
    port = {self.port + 4}
    ssl = yes
  }}
}}
service pop3 {{
  service_count = 1000
  process_min_avail = 10
}}
service anvil {{
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
"""

    def master_cf(self):
        return super().master_cf() + f"{HOST}:{self.port + 2} inet n - n - - smtpd -o smtpd_tls_wrappermode=yes\n"

    def main_cf(self):
        return super().main_cf() + f"""
smtpd_tls_security_level = may
smtpd_tls_cert_file = {self.top}/cert.pem
smtpd_tls_key_file = {self.top}/key.pem
smtpd_sasl_auth_enable = yes
smtpd_sasl_type = dovecot
smtpd_sasl_path = inet:{HOST}:{self.port + 5}
smtpd_sasl_security_options = noanonymous
"""
