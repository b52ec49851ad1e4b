#include "proto/smtp/smtp_reply.h"

#include "base/must.h"

/* clang-format off */
const struct smtp_reply_row smtp_replies[REPLY_COUNT] = {
    [REPLY_GREETING]            = { 220, "",      "$ ESMTP ekirei" },
    [REPLY_HELP]                = { 214, "2.0.0", "$" },
    [REPLY_BYE]                 = { 221, "2.0.0", "Bye", .closes = true },
    [REPLY_GO_TLS]              = { 220, "2.0.0", "Ready to start TLS" },
    [REPLY_LOGGED_IN]           = { 235, "2.7.0", "Authentication successful" },
    [REPLY_HELLO]               = { 250, "",      "$" },
    [REPLY_OK]                  = { 250, "2.0.0", "OK" },
    [REPLY_SENDER_OK]           = { 250, "2.1.0", "Sender OK" },
    [REPLY_RECIPIENT_OK]        = { 250, "2.1.5", "Recipient OK" },
    [REPLY_CHUNK_OK]            = { 250, "2.0.0", "$ octets received" },
    [REPLY_ACCEPTED]            = { 250, "2.0.0", "Message accepted as $" },
    [REPLY_NO_VRFY]             = { 252, "2.0.0", "Send some mail, I will do my best" }, /* C050: tells nothing; 2.1.5 would call the address valid */
    [REPLY_CHALLENGE]           = { 334, "",      "$" },
    [REPLY_GO_DATA]             = { 354, "",      "Send the message, end it with <CRLF>.<CRLF>" },

    [REPLY_CROWDED]             = { 421, "4.7.0", "Too many connections, try again later", REFUSAL_CROWDED, .closes = true, .told = true },
    [REPLY_STOPPING]            = { 421, "4.3.2", "The server is shutting down", REFUSAL_STOPPING, .closes = true },
    [REPLY_TOO_SLOW]            = { 421, "4.4.2", "Waited too long for you", REFUSAL_TOO_SLOW, .closes = true },
    [REPLY_TOO_MANY_ERRORS]     = { 421, "4.7.0", "Too many errors", REFUSAL_MANY_ERRORS, .closes = true },
    [REPLY_TOO_MUCH_TALK]       = { 421, "4.7.0", "Too many commands without mail", REFUSAL_MANY_ERRORS, .closes = true },
    [REPLY_TOO_MANY_LOGINS]     = { 421, "4.7.0", "Too many failed logins", REFUSAL_MANY_LOGINS, .closes = true, .told = true },
    [REPLY_TOO_MANY_MESSAGES]   = { 421, "4.7.0", "Enough messages for one connection, please connect again", REFUSAL_MANY_MESSAGES, .closes = true },
    [REPLY_REVOKED]             = { 421, "4.7.0", "The account or its password was changed, please log in again", REFUSAL_REVOKED, .closes = true },
    [REPLY_ENDLESS]             = { 421, "4.3.0", "The message has no end", REFUSAL_ENDLESS, .closes = true },
    [REPLY_NOT_HTTP]            = { 554, "5.5.0", "This is a mail server", REFUSAL_HTTP, .closes = true },
    [REPLY_EARLY_TALK]          = { 554, "5.5.0", "Nothing may be sent before the reply to this", REFUSAL_EARLY_TALK, .closes = true },
    [REPLY_EARLY_BIRD]          = { 554, "5.5.0", "A mail server waits for the greeting", REFUSAL_EARLY_TALK, .closes = true },
    [REPLY_DEVICES_ONLY]        = { 554, "5.7.1", "This port is for the devices of this office only", REFUSAL_DEVICES_ONLY, .closes = true, .told = true },
    [REPLY_BAD_CHUNK]           = { 501, "5.5.4", "BDAT needs a size, and LAST or nothing behind it", REFUSAL_CHUNKS, .closes = true },
    [REPLY_HUGE_CHUNK]          = { 552, "5.3.4", "The chunk is larger than any message may be", REFUSAL_TOO_LARGE, .closes = true },

    [REPLY_UNKNOWN]             = { 500, "5.5.1", "Command not recognized", REFUSAL_COMMAND },
    [REPLY_BAD_LINE]            = { 500, "5.5.2", "A line ends with CRLF and holds no bare CR, bare LF or NUL", REFUSAL_LINE_ENDS },
    [REPLY_LONG_LINE]           = { 500, "5.5.2", "Line too long", REFUSAL_LINE_LENGTH },
    [REPLY_NEEDS_ARGUMENT]      = { 501, "5.5.4", "The command needs an argument", REFUSAL_ARGUMENT },
    [REPLY_NO_ARGUMENT]         = { 501, "5.5.4", "The command takes no argument", REFUSAL_ARGUMENT },
    [REPLY_BAD_HELO]            = { 501, "5.5.4", "The name is too long", REFUSAL_ARGUMENT },
    [REPLY_NOT_HERE]            = { 502, "5.5.1", "Command not offered here", REFUSAL_COMMAND },
    [REPLY_SEQUENCE]            = { 503, "5.5.1", "Bad sequence of commands", REFUSAL_SEQUENCE },
    [REPLY_NEEDS_EHLO]          = { 503, "5.5.1", "Send EHLO first", REFUSAL_SEQUENCE },
    [REPLY_NESTED_MAIL]         = { 503, "5.5.1", "A message is under way already", REFUSAL_SEQUENCE },
    [REPLY_NEEDS_RCPT]          = { 503, "5.5.1", "No valid recipient was given", REFUSAL_NO_RECIPIENT },
    [REPLY_NEEDS_BDAT]          = { 503, "5.5.1", "BODY=BINARYMIME needs BDAT", REFUSAL_SEQUENCE },
    [REPLY_TLS_ALREADY]         = { 503, "5.5.1", "TLS is up already", REFUSAL_SEQUENCE },
    [REPLY_TLS_TOO_LATE]        = { 503, "5.5.1", "Too late for STARTTLS", REFUSAL_SEQUENCE },

    [REPLY_BAD_SENDER]          = { 501, "5.1.7", "Bad sender address", REFUSAL_BAD_ADDRESS },
    [REPLY_BAD_RECIPIENT]       = { 501, "5.1.3", "Bad recipient address", REFUSAL_BAD_ADDRESS },
    [REPLY_SENDER_NEEDS_SMTPUTF8] = { 550, "5.6.7", "An address with non-ASCII letters needs SMTPUTF8", REFUSAL_UTF8_ADDRESS }, /* RFC 6531 3.5 */
    [REPLY_NEEDS_SMTPUTF8]      = { 553, "5.6.7", "An address with non-ASCII letters needs SMTPUTF8", REFUSAL_UTF8_ADDRESS },
    [REPLY_BAD_PARAMETER]       = { 501, "5.5.4", "Bad value of $", REFUSAL_ARGUMENT },
    [REPLY_TWICE]               = { 501, "5.5.4", "$ was given twice", REFUSAL_ARGUMENT },
    [REPLY_UNKNOWN_PARAMETER]   = { 555, "5.5.4", "Parameter not recognized", REFUSAL_ARGUMENT },

    [REPLY_WRONG_LOGIN]         = { 535, "5.7.8", "Authentication credentials invalid", REFUSAL_LOGIN },
    [REPLY_LOGIN_LATER]         = { 454, "4.7.0", "Temporary authentication failure", REFUSAL_LOGIN_BUSY },
    [REPLY_LONG_LOGIN]          = { 500, "5.5.6", "Authentication line too long", REFUSAL_LOGIN_FORM },
    [REPLY_BAD_LOGIN]           = { 501, "5.5.2", "Cannot decode that", REFUSAL_LOGIN_FORM },
    [REPLY_NO_INITIAL]          = { 501, "5.7.0", "The server speaks first in this mechanism", REFUSAL_LOGIN_FORM }, /* RFC 4954 4 */
    [REPLY_CANCELLED]           = { 501, "5.7.0", "Authentication cancelled", REFUSAL_CANCELLED },
    [REPLY_LOGGED_IN_ALREADY]   = { 503, "5.5.1", "Already authenticated", REFUSAL_SEQUENCE },
    [REPLY_LOGIN_IN_MAIL]       = { 503, "5.5.1", "AUTH is not permitted while a message is under way", REFUSAL_SEQUENCE },
    [REPLY_UNKNOWN_MECHANISM]   = { 504, "5.5.4", "Authentication mechanism not known", REFUSAL_MECHANISM, .told = true },
    [REPLY_NEEDS_TLS]           = { 538, "5.7.11", "Encryption required: send STARTTLS first", REFUSAL_NEEDS_TLS, .told = true },

    [REPLY_PROVE_YOURSELF]      = { 530, "5.7.0", "Check your mail first (POP before SMTP), or turn on SMTP AUTH: https://$/help/sending", REFUSAL_PROVE_YOURSELF },
    [REPLY_STARTTLS_FIRST]      = { 530, "5.7.0", "Must issue a STARTTLS command first", REFUSAL_TLS_FIRST, .told = true }, /* RFC 3207 4 */
    [REPLY_FOREIGN_SENDER]      = { 553, "5.7.1", "The envelope sender <$> is not an address of your account", REFUSAL_SENDER },
    [REPLY_FORGED_AUTHOR]       = { 550, "5.7.1", "The header From or Sender <$> is not an address of your account", REFUSAL_AUTHOR },
    [REPLY_NO_SUCH_USER]        = { 550, "5.1.1", "No such user here", REFUSAL_NO_SUCH_USER },
    [REPLY_NOT_LOCAL]           = { 550, "5.7.1", "Relaying denied", REFUSAL_RELAYING, .told = true },
    [REPLY_NOT_QUALIFIED]       = { 554, "5.1.2", "The domain must be fully qualified, as in name.example.org", REFUSAL_NOT_QUALIFIED }, /* RFC 6409 4.2 */
    [REPLY_DISABLED]            = { 550, "5.2.1", "Mailbox disabled", REFUSAL_DISABLED },
    [REPLY_INTERNAL_ONLY]       = { 550, "5.7.1", "You may write to addresses of this server only", REFUSAL_INTERNAL_ONLY },
    [REPLY_LEASE_USED_UP]       = { 452, "4.7.1", "Sent enough for one mail check: check your mail again", REFUSAL_LEASE_USED_UP },
    [REPLY_TOO_MANY_TARGETS]    = { 550, "5.4.6", "The alias has too many targets, or points at itself", REFUSAL_ALIAS_TARGETS },
    [REPLY_DISK_FULL]           = { 452, "4.3.1", "Not enough disk space", REFUSAL_DISK_FULL },
    [REPLY_STORE_FAILED]        = { 452, "4.3.0", "The mail store failed, try again later", REFUSAL_TEMPORARY },
    [REPLY_TEMPORARY]           = { 451, "4.3.0", "Temporary failure, try again later", REFUSAL_TEMPORARY },
    [REPLY_LEASE_OVER]          = { 530, "5.7.0", "Your time after the mail check is over: check your mail again: https://$/help/sending", REFUSAL_LEASE_OVER },
    [REPLY_OTHER_ADDRESS]       = { 530, "5.7.0", "You checked your mail from $: use IPv4 for both, or IPv6 for both, or turn on SMTP AUTH", REFUSAL_OTHER_ADDRESS },
    [REPLY_OTHER_HELO]          = { 530, "5.7.0", "The mail check was made by a device with another EHLO name than <$>", REFUSAL_OTHER_HELO },
    [REPLY_TOO_MANY_RECIPIENTS] = { 452, "4.5.3", "Too many recipients", REFUSAL_MANY_RECIPIENTS },

    [REPLY_TOO_LARGE]           = { 552, "5.3.4", "The message is larger than $ octets", REFUSAL_TOO_LARGE },
    [REPLY_BARE_CR_LF]          = { 550, "5.5.2", "Lines must end with CRLF: the message holds a bare CR or LF", REFUSAL_LINE_ENDS, .closes = true },
    [REPLY_BARE_CR_LF_CHUNK]    = { 550, "5.5.2", "Lines must end with CRLF: the message holds a bare CR or LF", REFUSAL_LINE_ENDS },
    [REPLY_NUL]                 = { 554, "5.6.0", "The message holds a NUL octet", REFUSAL_NUL, .closes = true },
    [REPLY_NUL_CHUNK]           = { 554, "5.6.0", "The message holds a NUL octet", REFUSAL_NUL },
    [REPLY_LONG_BODY_LINE]      = { 554, "5.6.0", "A line of the message is too long", REFUSAL_BODY_LINE },
    [REPLY_TOO_MANY_CHUNKS]     = { 554, "5.6.0", "Too many chunks in one message", REFUSAL_CHUNKS },
    [REPLY_LOOP]                = { 554, "5.4.6", "Too many hops: the message is in a loop", REFUSAL_LOOP },
    [REPLY_BAD_HEADER]          = { 554, "5.6.0", "The header section is malformed", REFUSAL_HEADER },
    [REPLY_TWO_AUTHORS]         = { 550, "5.6.0", "From or Sender stands twice in the header section", REFUSAL_HEADER },
    [REPLY_BAD_AUTHORS]         = { 550, "5.6.0", "From or Sender cannot be read, or names too many addresses", REFUSAL_HEADER },
};

static const uint8_t verdicts[] = {
    [MAIL_OK]               = REPLY_NONE,
    [MAIL_PROVE_YOURSELF]   = REPLY_PROVE_YOURSELF,
    [MAIL_FOREIGN_SENDER]   = REPLY_FOREIGN_SENDER,
    [MAIL_FORGED_AUTHOR]    = REPLY_FORGED_AUTHOR,
    [MAIL_NO_SUCH_USER]     = REPLY_NO_SUCH_USER,
    [MAIL_NOT_LOCAL]        = REPLY_NOT_LOCAL,
    [MAIL_DISABLED]         = REPLY_DISABLED,
    [MAIL_INTERNAL_ONLY]    = REPLY_INTERNAL_ONLY,
    [MAIL_LEASE_USED_UP]    = REPLY_LEASE_USED_UP,
    [MAIL_TOO_MANY_TARGETS] = REPLY_TOO_MANY_TARGETS,
    [MAIL_DISK_FULL]        = REPLY_DISK_FULL,
    [MAIL_TEMPORARY]        = REPLY_TEMPORARY,
    [MAIL_LEASE_OVER]       = REPLY_LEASE_OVER,
    [MAIL_NOT_QUALIFIED]    = REPLY_NOT_QUALIFIED,
    [MAIL_OTHER_ADDRESS]    = REPLY_OTHER_ADDRESS,
    [MAIL_OTHER_HELO]       = REPLY_OTHER_HELO,
};
/* clang-format on */

enum smtp_reply smtp_reply_of_verdict(uint8_t verdict)
{
    if (verdict == 0 || verdict >= sizeof verdicts)
        return REPLY_TEMPORARY; /* not a word that we know: nothing is promised */
    return (enum smtp_reply)verdicts[verdict];
}

enum smtp_reply smtp_reply_of_status(enum status status)
{
    switch (status) {
    case STATUS_OK:
        return REPLY_NONE;
    case STATUS_FULL:
        return REPLY_DISK_FULL;
    case STATUS_IO: /* C219: a failing sync as well */
        return REPLY_STORE_FAILED;
    case STATUS_REVOKED:
        return REPLY_REVOKED;
    case STATUS_TOO_BIG:
    case STATUS_MALFORMED:
    case STATUS_NOT_FOUND:
    case STATUS_EXISTS:
    case STATUS_DENIED:
    case STATUS_CORRUPT:
    case STATUS_BUSY:
    case STATUS_AWAY:
    case STATUS_COUNT:
        break;
    }
    return REPLY_TEMPORARY;
}

static enum status put_clean(struct buf *out, struct slice text)
{
    char *room;
    TRY(buf_reserve(out, text.len, &room));
    for (size_t i = 0; i < text.len; i++)
        room[i] = text.ptr[i] >= ' ' && text.ptr[i] <= '~' ? text.ptr[i] : '?';
    buf_grown(out, text.len);
    return STATUS_OK;
}

static enum status put_text(struct buf *out, enum smtp_reply reply, struct slice argument)
{
    const struct smtp_reply_row *row = &smtp_replies[reply];
    struct slice text = slice_of(row->text);
    size_t at = slice_find(text, '$');
    if (row->enhanced[0]) {
        TRY(buf_put(out, slice_of(row->enhanced)));
        TRY(buf_put_byte(out, ' '));
    }
    TRY(buf_put(out, slice_upto(text, at)));
    if (at == text.len)
        return STATUS_OK;
    TRY(put_clean(out, argument));
    return buf_put(out, slice_from(text, at + 1));
}

/* Behind the last line of a refusal: "[EK-17]", for `ekirei why`. */
static enum status put_refusal(struct buf *out, enum smtp_reply reply)
{
    const struct smtp_reply_row *row = &smtp_replies[reply];
    return row->refusal == REFUSAL_NONE ? STATUS_OK : buf_print(out, " [EK-%u]", (unsigned)row->refusal);
}

static enum status put_line(struct buf *out, enum smtp_reply reply, char divider, struct slice argument)
{
    must(reply > REPLY_NONE && reply < REPLY_COUNT && smtp_replies[reply].code > 0);
    TRY(buf_put_number(out, smtp_replies[reply].code));
    TRY(buf_put_byte(out, divider));
    TRY(put_text(out, reply, argument));
    TRY(put_refusal(out, reply));
    return buf_put(out, S("\r\n"));
}

void smtp_say(struct session *s, enum smtp_reply reply, struct slice argument)
{
    enum status status = put_line(session_out(s), reply, ' ', argument);
    must(status == STATUS_OK);
}

void smtp_say_lines(struct session *s, enum smtp_reply reply, struct slice lines)
{
    struct slice line = NO_SLICE;
    enum status status = STATUS_OK;
    while (status == STATUS_OK && slice_cut(&lines, '\n', &line))
        status = put_line(session_out(s), reply, lines.len > 0 ? '-' : ' ', line);
    must(status == STATUS_OK);
}

struct slice smtp_reply_text(struct session *s, enum smtp_reply reply, struct slice argument)
{
    struct buf text = BUF(LIMIT_REPLY_LINE);
    struct slice copy = NO_SLICE;
    if (put_text(&text, reply, argument) != STATUS_OK || arena_copy(&s->of_command, buf_slice(&text), &copy) != STATUS_OK)
        copy = NO_SLICE;
    buf_done(&text);
    return copy;
}
