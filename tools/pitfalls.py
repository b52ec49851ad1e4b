#!/usr/bin/env python3
"""Writes docs/pitfalls.md: for each number of the catalogue of pitfalls, the tests that bear it, or why there is none.
   --check fails where a number has neither a test nor a reason, or both, or where the document names a test that is gone.

A test bears a number in its name: tests/talk/smtp/C018_x.talk, a cmocka test C018_x or test_c018_x, an end-to-end test_C018_x.
"C001_to_C006" names all six."""
import pathlib
import re
import sys

top = pathlib.Path(__file__).resolve().parent.parent
CHAPTERS = [("SMTP: lines and the ends of messages", 1, 17), ("SMTP: states, parameters, commands", 18, 51), ("TLS", 52, 72),
            ("Login", 73, 94), ("POP before SMTP", 95, 112), ("POP3", 149, 156), ("Loops, bounces, queue, storage", 208, 226),
            ("Resources, operation, encryption at rest", 227, 238)]

# What each number is about, in a few words.
TITLES = """
1 LF . LF ends no message
2 LF . CRLF ends no message
3 CRLF . LF ends no message
4 bare CR ends nothing and becomes no CRLF
5 CRLF . CR CRLF ends no message
6 NUL, blanks and control octets beside the dot
7 stray CR and LF never go out
8 dot lines in chunks are stuffed on the way out
9 the hops inside the house have lengths, not end marks
10 fields are added to what is stored, never to a live stream
11 one leading dot is taken, and one is given back
12 bare LF or CR in commands
13 NUL and 8-bit octets in commands
14 lines that are too long
15 talk before its turn
16 HTTP
17 a header that begins with a space, or is empty
18 DATA behind a BDAT that failed
19 a second message without MAIL
20 VRFY touches no transaction
21 a million tiny chunks
22 BDAT and then something bad
23 a chunk that is cut off
24 sizes of chunks
25 too many recipients
26 a long EHLO
27 an empty quoted local part
28 cut UTF-8
29 groups and empty lists of addresses
30 routes, percent and bang
31 the open relay set
32 address literals
33 xtext that decodes to line ends
34 parameters that are unknown or come twice
35 AUTH= of strangers
36 XCLIENT and PROXY
37 odd octets in SNI
38 template language in addresses
39 shell letters in addresses
40 line ends in fields between processes
41 garbage on a local socket
42 percent signs in login names
43 SQL in addresses
44 SQL and LDAP in login names
45 an empty argument is an argument
46 forged text in EHLO names
47 hostile replies of other servers
48 counters of 32 bits
49 sizes are counted while they come
50 harvest of addresses
51 submission without proof
52 commands behind STARTTLS
53 commands behind IMAP STARTTLS
54 commands behind STLS
55 replies behind the 220 of STARTTLS, as a client
56 what was said before STARTTLS is forgotten
57 PREAUTH in clear
58 no login where anyone can read it
59 a password that came in clear is not looked at
60 STARTTLS twice, in a transaction, after a login
61 a handshake that fails
62 ALPN of other protocols
63 names in SNI take no memory
64 odd names in SNI
65 renegotiation
66 tickets of other services
67 certificates of clients
68 the end of the stream is not the end of a message
69 half a command, then TLS
70 new certificates that are broken
71 old versions of TLS
72 a handshake that stalls
73 one reply for all failed logins
74 one time for all failed logins
75 SCRAM for names that do not exist
76 password spraying
77 a flood of bad logins
78 strict base64
79 logins that are broken off
80 another mechanism after a failure
81 mechanisms that are not there
82 what the cache of passwords is keyed by
83 one-time data twice
84 comparing secrets in constant time
85 a challenge is used once
86 the fields of PLAIN
87 login names that are no UTF-8
88 long passwords and many of them
89 JWT keys
90 OAuth errors out of turn
91 a second AUTH, AUTH in a transaction
92 forging another sender
93 a change of password ends what is open
94 helpers that follow links
95 the neighbour behind the same address
96 the neighbour who knows the sender's name
97 an address that changes hands
98 renewal for ever
99 no lease for half a login
100 no lease from log lines
101 a race of renewal and expiry
102 leases over an open protocol
103 leases in files of others
104 IPv4 in IPv6
105 no prefixes
106 proxies and our own addresses
107 restarts and clocks
108 revoked accounts
109 parallel sessions cannot overdraw
110 a weak login gives a weak right
111 a lease is not called a login in the trace
112 SMTP before POP
149 only QUIT removes
150 two sessions on one maildrop
151 exact sizes, dots, TOP
152 a UIDL stays for ever
153 long and many commands
154 log lines cannot be forged
155 previews
156 a message that is read while it is removed
208 a loop between servers
209 a loop inside the house
210 no bounces to those who sent nothing
211 nobody is told of a bounce
212 bounces are few and small
213 forged bounces
214 aliases that fan out
215 automatic replies
216 a crash between accepting and committing
217 a crash between delivering and noting it
218 half-written bodies
219 a sync that fails
220 a full disk
221 links in our folders
222 line ends in queue records
223 probes that poison a cache
224 a filter that dies
225 storms of retries
226 postmaster is always reached
227 floods of connections
228 slow talkers
229 talk without mail
230 no descriptors, no memory
231 core dumps
232 an intruder in a parser
233 wrong settings at a reload
234 a key that is missing or wrong
235 sealed secrets that were moved or cut
236 nonces after a crash
237 compression with secrets
238 backup and restore
"""

# Numbers without a test of their own.
NOT_YET, NOT_HERE = "not yet: needs ", "does not apply: "
REASONS = {
    45: NOT_HERE + "no process runs another program; the jail forbids execve to all roles (C232)",
    53: NOT_YET + "IMAP; POP3 and SMTP are tested (C052, C054), and the reader is emptied by the driver for every protocol",
    57: NOT_YET + "IMAP",
    83: NOT_HERE + "there are no one-time passwords; the challenge of APOP is used once (C085)",
    94: NOT_HERE + "nothing converts attachments, and no process runs another program",
    155: NOT_YET + "previews (IMAP)",
    213: NOT_YET + "signed return paths",
    215: NOT_YET + "automatic replies (Sieve)",
    223: NOT_HERE + "there are no probes of addresses and no cache of their results",
    224: NOT_YET + "content scanners",
    237: NOT_HERE + "each body is compressed alone; secrets are sealed and never compressed; TLS has no compression",
}

found = {}


def note(numbers, where):
    for number in numbers:
        if where not in found.setdefault(number, []):
            found[number].append(where)


def numbers_in(name):
    spans = [(int(a), int(b)) for a, b in re.findall(r"[Cc](\d{3})_to_[Cc](\d{3})", name)]
    single = [int(n) for n in re.findall(r"(?<![A-Za-z0-9])[Cc](\d{3})(?!\d)", name.replace("_", " "))]
    return sorted({n for a, b in spans for n in range(a, b + 1)} | set(single))


for talk in sorted((top / "tests/talk").rglob("*.talk")):
    note(numbers_in(talk.stem), talk.relative_to(top).as_posix())
for source in sorted((top / "src").rglob("*.c")):
    if source.name.endswith("_test.c") or "contract" in source.name:
        for name in re.findall(r"^static void (\w+)\(void \*\*state\)", source.read_text(), re.M):
            note(numbers_in(name), f"{source.relative_to(top).as_posix()} {name}")
for source in sorted((top / "tests/e2e").glob("test_*.py")):
    for name in re.findall(r"^    def (test_\w+)", source.read_text(), re.M):
        note(numbers_in(name), f"{source.relative_to(top).as_posix()} {name}")

titles = {int(line.split(" ", 1)[0]): line.split(" ", 1)[1] for line in TITLES.strip().splitlines()}
wrong = []
lines = ["# Pitfalls: what has gone wrong in mail servers before, and which test tries it here", "",
         "Made by `tools/pitfalls.py` from the names of the tests; do not edit. A number stands in the names of the tests that try it."]
for chapter, first, last in CHAPTERS:
    lines += ["", f"## {chapter}", "", "| | what | where |", "|---|---|---|"]
    for number in range(first, last + 1):
        tests, reason = found.get(number, []), REASONS.get(number)
        if not tests and not reason:
            wrong.append(f"C{number:03} {titles[number]}: neither a test nor a reason")
        if tests and reason:
            wrong.append(f"C{number:03} {titles[number]}: has both a test and a reason: {tests[0]}")
        where = "<br>".join(f"`{test}`" for test in tests) or reason
        lines.append(f"| C{number:03} | {titles[number]} | {where} |")
text = "\n".join(lines) + "\n"
target = top / "docs" / "pitfalls.md"
if "--check" not in sys.argv:
    target.write_text(text)
else:
    # A new test for a number that has one already does not make the document wrong; a test that is gone does.
    known = {test for tests in found.values() for test in tests}
    rows = dict(re.findall(r"^\| C(\d{3}) \|.*\| (.*) \|$", target.read_text() if target.exists() else "", re.M))
    for number in titles:
        row = rows.get(f"{number:03}", "")
        named = set(re.findall(r"`([^`]+)`", row))
        if not (named and named <= known if found.get(number) else row == REASONS.get(number)):
            wrong.append(f"C{number:03}: docs/pitfalls.md is out of date: run tools/pitfalls.py")
for line in wrong:
    print(line)
if wrong:
    sys.exit(1)
print(f"pitfalls: {sum(1 for n in titles if found.get(n))} tested, {len(REASONS)} with a reason")
