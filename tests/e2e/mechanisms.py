"""What is meant to be: which mechanism is listed, accepted or refused on which connection, and which credential can do it.

test_mechanisms.py tries every combination on a real server; tools/mechanisms.py makes docs/mechanisms.md of it."""

LISTED, ACCEPTED, REFUSED = "listed", "accepted", "-"

MECHANISMS = ["PASS", "APOP", "PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-1", "SCRAM-SHA-256", "SCRAM-SHA-1-PLUS", "SCRAM-SHA-256-PLUS",
              "OAUTHBEARER", "XOAUTH2", "EXTERNAL"]
ONLY_POP3 = {"PASS", "APOP"}  # commands of their own there

# Networks: the client's address.
ELSEWHERE, PLAINTEXT, LEGACY = "127.0.0.1", "127.0.0.2", "127.0.0.3"

# name, client's address, TLS version (None: in clear), legacy port?, client key?, what it is in words
CONNECTIONS = [
    ("clear", ELSEWHERE, None, False, False, "in clear"),
    ("clear, plaintext", PLAINTEXT, None, False, False, "in clear, from auth.plaintext_networks"),
    ("clear, legacy", LEGACY, None, False, False, "in clear, from legacy.networks"),
    ("TLS 1.2", ELSEWHERE, "1.2", False, False, "TLS 1.2"),
    ("TLS 1.3", ELSEWHERE, "1.3", False, False, "TLS 1.3"),
    ("TLS, legacy", LEGACY, "1.3", False, False, "TLS 1.3, from legacy.networks"),
    ("TLS, key", ELSEWHERE, "1.3", False, True, "TLS 1.3, and the client proved a key"),
    ("legacy port, clear", LEGACY, None, True, False, "legacy port in clear"),
    ("legacy port, 1.0", LEGACY, "1.0", True, False, "legacy port, TLS 1.0"),
    ("legacy port, 1.2", LEGACY, "1.2", True, False, "legacy port, TLS 1.2"),
]
DEVICES_ONLY = {"clear, legacy", "legacy port, clear", "legacy port, 1.0", "legacy port, 1.2"}

L, A, R = LISTED, ACCEPTED, REFUSED
#                        clear  plain  legacy TLS1.2 TLS1.3 TLSleg TLSkey  legacy port: clear 1.0 1.2
STANDING = {
    "PASS":               [R,     L,     L,     L,     L,     L,     L,                  L,    L,  L],
    "APOP":               [R,     A,     A,     A,     A,     A,     A,                  A,    A,  A],
    "PLAIN":              [R,     L,     L,     L,     L,     L,     L,                  L,    L,  L],
    "LOGIN":              [R,     L,     L,     L,     L,     L,     L,                  L,    L,  L],
    "CRAM-MD5":           [R,     A,     L,     A,     A,     A,     A,                  L,    L,  L],
    "SCRAM-SHA-1":        [R,     A,     L,     A,     A,     A,     A,                  L,    L,  L],
    "SCRAM-SHA-256":      [R,     L,     L,     L,     L,     L,     L,                  L,    L,  L],
    "SCRAM-SHA-1-PLUS":   [R,     R,     R,     A,     A,     A,     A,                  R,    R,  L],
    "SCRAM-SHA-256-PLUS": [R,     R,     R,     L,     L,     L,     L,                  R,    R,  L],
    "OAUTHBEARER":        [R,     R,     R,     L,     L,     L,     L,                  R,    R,  R],
    "XOAUTH2":            [R,     R,     R,     L,     L,     L,     L,                  R,    R,  R],
    "EXTERNAL":           [R,     R,     R,     R,     R,     R,     L,                  R,    R,  R],
}
# What a device made with that word in --allow, or the setting, adds to the list under TLS.
NAMED = {"CRAM-MD5", "SCRAM-SHA-1", "SCRAM-SHA-1-PLUS"}

# name, mechanisms, good in the lane of devices?, in words
CREDENTIALS = [
    ("person", {"PASS", "PLAIN", "LOGIN", "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS"}, False, "a person's password"),
    ("imported", {"PASS", "PLAIN", "LOGIN"}, False, "a person's password, imported as crypt(3) hash, before its first login"),
    ("device", {"PASS", "APOP", "PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-1", "SCRAM-SHA-256", "SCRAM-SHA-1-PLUS", "SCRAM-SHA-256-PLUS"}, True,
     "a device password (`--allow all`)"),
    ("limited", {"CRAM-MD5"}, True, "a device password with `--allow smtp,pop3,cram-md5`"),
    ("token", {"OAUTHBEARER", "XOAUTH2"}, False, "an OAuth access token"),
    ("key", {"EXTERNAL"}, False, "a key (`device add --certificate`)"),
]


def standing(mechanism, connection, named=False):
    state = STANDING[mechanism][[row[0] for row in CONNECTIONS].index(connection)]
    return LISTED if named and state == ACCEPTED and mechanism in NAMED else state


def works(mechanism, connection, credential):
    can, lane = next((row[1], row[2]) for row in CREDENTIALS if row[0] == credential)
    return standing(mechanism, connection) != REFUSED and mechanism in can and (lane or connection not in DEVICES_ONLY)
