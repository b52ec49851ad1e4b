"""The cases: what is said, by how many, and how much memory that may take.  A bound is made of rows of base/limits.h and of the settings that the server is shipped with."""
import dataclasses
import typing

CONNECTIONS, ADDRESS = 5000, 50  # limits.connections, limits.connections_per_address
KIB, MIB = 1 << 10, 1 << 20
IDLE = 4 * KIB                   # a plain connection that does nothing (docs/bench.md measures it)
HANDSHAKE = 48 * KIB             # OpenSSL's part of a handshake that is under way
READ = 64 * KIB                  # octets of one read (net/conn_impl.h)
ENVELOPE = 8 * KIB               # a message with one recipient: the chunks of its arenas, scanners of header and dots
HELLO = b"EHLO c.test\r\n"
LETTER = b"\0".join([HELLO, b"MAIL FROM:<x@elsewhere.test>\r\n", b"RCPT TO:<honest@acc.test>\r\n", b"DATA\r\n"])
MANY = 200                       # messages in the mailbox that is asked for


@dataclasses.dataclass
class Case:
    name: str
    what: str
    service: str
    words: dict
    seconds: float
    bound: int
    why: str
    waits: bool = False
    until: typing.Optional[typing.Callable] = None
    check: typing.Optional[typing.Callable] = None


def waiting(limits, hello, quick):
    """Those who say nothing, or an octet now and then."""
    n, some, seconds = (6000, 600, 3) if quick else (10000, 3000, 12)
    full = lambda c: "" if c["open"] >= min(n, CONNECTIONS) - ADDRESS else "they should be inside, as many as may"
    stays = lambda c: "" if c["open"] == some else "they should be inside, all of them"
    line = limits["SMTP_LINE"]
    yield Case("idle-smtp", f"{n} connections from {n // 20} addresses say nothing", "smtp", {"count": n, "sources": n // 20}, seconds, CONNECTIONS * IDLE,
               f"{CONNECTIONS} connections of 4 KiB", True, check=full)
    yield Case("idle-pop3", f"{n} connections from {n // 20} addresses say nothing", "pop3", {"count": n, "sources": n // 20}, seconds, CONNECTIONS * IDLE,
               f"{CONNECTIONS} connections of 4 KiB", True, check=full)
    yield Case("idle-one-address", f"{n} connections from one address", "smtp", {"count": n}, seconds, ADDRESS * IDLE, f"{ADDRESS} connections of 4 KiB", True,
               check=lambda c: "" if c["open"] == ADDRESS else "not as many as one address may have")
    yield Case("slow-command", f"{some} send a command, an octet every 2 s", "smtp", {"count": some, "sources": some // 20, "drip": 2000, "then": b"EHLO " + b"x" * 200}, seconds,
               some * (IDLE + line), f"{some} of 4 KiB and LIMIT_SMTP_LINE", True, check=stays)
    yield Case("slow-data", f"{some} send a message, an octet every 2 s", "smtp",
               {"count": some, "sources": some // 20, "drip": 2000, "hello": LETTER, "then": b"Subject: " + b"x" * 200}, seconds,
               some * (IDLE + ENVELOPE), f"{some} of 4 KiB and an envelope of 8 KiB", True, check=stays)
    yield Case("slow-handshake", f"{some} send a TLS handshake, an octet every 2 s", "pop3s",
               {"count": some, "sources": some // 20, "drip": 2000, "early": 1, "then": hello}, seconds, some * (IDLE + HANDSHAKE),
               f"{some} of 4 KiB and 48 KiB of OpenSSL's", True, check=stays)
    yield Case("slow-auth", f"{some} send a password, an octet every 2 s", "submission",
               {"count": some, "sources": some // 20, "drip": 2000, "hello": HELLO, "first": b"AUTH PLAIN\r\n", "then": b"A" * 200}, seconds,
               some * (IDLE + limits["AUTH_LINE"]), f"{some} of 4 KiB and LIMIT_AUTH_LINE", True, check=stays)


def floods(limits, hello, quick):
    """Connections without end."""
    seconds = 2 if quick else 10
    for service in ("smtp", "pop3"):
        yield Case(f"connections-{service}", "connections as fast as it goes, 200 at once, from 1000 addresses; they hang up after 20 ms", service,
                   {"count": 200, "sources": 1000, "again": 1, "life": 20}, seconds, 4 * 200 * IDLE, "800 connections of 4 KiB: some that are over and not yet seen so")
    if not quick:
        yield Case("connections-talking", "9000 at once say nonsense before the greeting, and go on when they are told to go", "smtp",
                   {"count": 9000, "sources": 9000, "again": 1, "early": 1, "first": b"GET / HTTP/1.1\r\n\r\n" * 20000, "then": b"x" * 1000, "times": 0, "drip": 200, "deaf": 1, "stays": 1}, seconds, CONNECTIONS * 2 * IDLE,
                   f"{CONNECTIONS} connections, and as many that linger, of 4 KiB")
    yield Case("handshakes", "TLS handshakes that nobody ends, 50 at once, from 1000 addresses", "pop3s",
               {"count": 50, "sources": 1000, "again": 1, "early": 1, "first": hello, "life": 30}, seconds, 4 * 50 * (IDLE + HANDSHAKE), "200 of 4 KiB and 48 KiB of OpenSSL's")


def talk(limits, quick):
    """Those who never stop, and those who never listen."""
    seconds, piece = (2, 10000) if quick else (10, 100000)
    frame, out = limits["FRAME"], 4 * limits["SEND_BUFFER"]
    one = READ + 96 * KIB + out  # what was read and not yet eaten, as it came and in plain; replies that wait
    login = b"USER many@acc.test\r\nPASS Pass-word-many\r\n"
    channel = 2 * limits["CHANNEL_OUT"]
    for service in ("smtp", "pop3"):
        yield Case(f"endless-line-{service}", "20 connections send a line without an end", service, {"count": 20, "sources": 20, "again": 1, "times": 0, "then": b"x" * (1 << 20)},
                   seconds, 20 * one, "20 of what one connection may hold: reads and replies")
    yield Case("endless-data", "20 connections send a message's line without an end", "smtp",
               {"count": 20, "sources": 20, "again": 1, "times": 0, "hello": LETTER, "then": b"x" * (1 << 20)},
               seconds, 20 * (one + limits["INLINE_BODY"]) + channel, "20 of what one connection may hold, LIMIT_INLINE_BODY, and 2 LIMIT_CHANNEL_OUT")
    noops = 100000 if quick else 1000000
    yield Case("noop-smtp", f"{noops} NOOP: 20 connections, again and again, since a hundred is the end of each", "smtp",
               {"count": 20, "sources": 200, "again": 1, "then": b"NOOP\r\n" * 120}, 60, 20 * one, "20 of what one connection may hold", until=lambda c: c["ended"] >= noops // 100,
               check=lambda c: "" if c["ended"] >= noops // 100 else "too few")
    yield Case("noop-pop3", f"{noops} NOOP in one session that has logged in", "pop3", {"first": login, "then": b"NOOP\r\n" * 10000, "times": noops // 10000}, 60, one + channel,
               "what one connection may hold, and 2 LIMIT_CHANNEL_OUT", until=lambda c: c["received"] >= noops * 5, check=lambda c: "" if c["received"] >= noops * 5 else "too few answers")
    yield Case("capa-pop3", "CAPA without end, 20 connections", "pop3", {"count": 20, "sources": 20, "again": 1, "first": login, "times": 0, "then": b"CAPA\r\n" * 10000}, seconds,
               20 * one + channel, "20 of what one connection may hold, and 2 LIMIT_CHANNEL_OUT")
    letter = b"MAIL FROM:<x@elsewhere.test>\r\n"
    for name, words in (("rset", b"RSET\r\n"), ("noop", b"NOOP\r\n"), ("rcpt", b"RCPT TO:<honest@acc.test>\r\n")):
        yield Case(f"burst-{name}", f"{piece} {name.upper()} at once, 10 connections, and nobody reads the replies", "smtp",
                   {"count": 10, "sources": 10, "again": 0, "deaf": 1, "hello": HELLO, "first": letter, "then": words * piece}, seconds / 2, 10 * (one + limits["TRANSACTION_ARENA"]) + channel,
                   "10 of what one connection may hold, LIMIT_TRANSACTION_ARENA, and 2 LIMIT_CHANNEL_OUT")
    if not quick:
        yield Case("burst-full-house", f"3000 RCPT at once, {CONNECTIONS} connections from 250 addresses, and nobody reads the replies", "smtp",
                   {"count": CONNECTIONS, "sources": 250, "deaf": 1, "hello": HELLO, "first": letter, "then": b"RCPT TO:<honest@acc.test>\r\n" * 3000}, 20,
                   CONNECTIONS * (READ + 2 * limits["TURN"] + 96 * KIB) + channel,
                   f"{CONNECTIONS} connections of 64 KiB that were read, 2 LIMIT_TURN of replies and 96 KiB of 1000 recipients; and 2 LIMIT_CHANNEL_OUT")
    for name, words in (("retr", b"".join(b"RETR %d\r\n" % i for i in range(1, MANY + 1))), ("uidl", b"UIDL\r\nLIST\r\nCAPA\r\n")):
        yield Case(f"deaf-{name}", f"50 sessions ask for {name.upper()} without end and read nothing", "pop3",
                   {"count": 50, "sources": 10, "deaf": 1, "first": login, "then": words * 20, "times": 0}, seconds, 50 * (one + frame + limits["BODY_FRAME"]) + channel,
                   "50 of what one connection may hold, LIMIT_FRAME, LIMIT_BODY_FRAME, and 2 LIMIT_CHANNEL_OUT")


SAMPLE = ("idle-smtp", "slow-data", "connections-pop3", "handshakes", "noop-pop3", "burst-rcpt", "deaf-retr")


def all(limits, hello, quick):
    return [*waiting(limits, hello, quick), *floods(limits, hello, quick), *talk(limits, quick)]
