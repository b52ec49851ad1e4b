#include "proto/smtp/smtp.h"

#include "base/must.h"
#include "mail/address.h"
#include "mail/coding.h"

/* ---- parameters of MAIL and RCPT: the table --------------------------------------------------------------------------- */

enum of_command { OF_MAIL = 1, OF_RCPT = 2 };

struct parameter {
    const char *name;
    enum of_command of;
    bool needs_value;
    enum smtp_reply (*take)(struct session *s, struct slice value);
    const char *keyword; /* of the extension, in the EHLO reply; NULL: another row has it, or another table */
    enum status (*details)(struct session *s, struct buf *out);
};

static enum smtp_reply take_size(struct session *s, struct slice value);
static enum smtp_reply take_body(struct session *s, struct slice value);
static enum smtp_reply take_smtputf8(struct session *s, struct slice value);
static enum smtp_reply take_auth(struct session *s, struct slice value);
static enum smtp_reply take_ret(struct session *s, struct slice value);
static enum smtp_reply take_envid(struct session *s, struct slice value);
static enum smtp_reply take_notify(struct session *s, struct slice value);
static enum smtp_reply take_orcpt(struct session *s, struct slice value);
static enum status put_size(struct session *s, struct buf *out);

/* SIZE RFC 1870; BODY RFC 6152 and RFC 3030; SMTPUTF8 RFC 6531; AUTH RFC 4954 5; the others RFC 3461. */
static const struct parameter parameters[] = {
    { "SIZE", OF_MAIL, true, take_size, "SIZE", put_size },
    { "BODY", OF_MAIL, true, take_body, "8BITMIME\nBINARYMIME", NULL },
    { "SMTPUTF8", OF_MAIL, false, take_smtputf8, "SMTPUTF8", NULL },
    { "AUTH", OF_MAIL, true, take_auth, NULL, NULL },
    { "RET", OF_MAIL, true, take_ret, NULL, NULL },
    { "ENVID", OF_MAIL, true, take_envid, NULL, NULL },
    { "NOTIFY", OF_RCPT, true, take_notify, "DSN", NULL },
    { "ORCPT", OF_RCPT, true, take_orcpt, NULL, NULL },
};
#define PARAMETERS (sizeof parameters / sizeof *parameters)

static enum status put_size(struct session *s, struct buf *out)
{
    TRY(buf_put_byte(out, ' '));
    return buf_put_number(out, s->env.settings->message_size_limit);
}

enum status smtp_parameter_keywords(struct session *s, struct buf *out)
{
    for (size_t i = 0; i < PARAMETERS; i++) {
        if (!parameters[i].keyword)
            continue;
        TRY(buf_put_byte(out, '\n'));
        TRY(buf_put(out, slice_of(parameters[i].keyword)));
        if (parameters[i].details)
            TRY(parameters[i].details(s, out));
    }
    return STATUS_OK;
}

static const struct parameter *find_parameter(struct slice name, enum of_command of)
{
    for (size_t i = 0; i < PARAMETERS; i++)
        if (parameters[i].of == of && slice_equal_nocase(name, slice_of(parameters[i].name)))
            return &parameters[i];
    return NULL;
}

/* One "NAME" or "NAME=value".  `seen` is the set of rows that were there already. */
static enum smtp_reply take_parameter(struct session *s, enum of_command of, struct slice word, uint32_t *seen,
    struct slice *out_name)
{
    size_t equals = slice_find(word, '=');
    bool has_value = equals < word.len;
    const struct parameter *parameter = find_parameter(slice_upto(word, equals), of);
    if (!parameter)
        return REPLY_UNKNOWN_PARAMETER; /* C034: 555 */
    *out_name = slice_of(parameter->name);
    uint32_t bit = 1u << (parameter - parameters);
    if (*seen & bit)
        return REPLY_TWICE; /* C034: the second never overrides the first */
    *seen |= bit;
    struct slice value = slice_from(word, equals + 1);
    if (has_value != parameter->needs_value || (has_value && value.len == 0))
        return REPLY_BAD_PARAMETER;
    return parameter->take(s, value);
}

/* All that stands behind the path. */
static enum smtp_reply take_parameters(struct session *s, enum of_command of, struct slice rest, struct slice *out_name)
{
    struct slice word;
    uint32_t seen = 0;
    if (rest.len > 0 && rest.ptr[0] != ' ')
        return of == OF_MAIL ? REPLY_BAD_SENDER : REPLY_BAD_RECIPIENT;
    while (slice_word(&rest, &word)) {
        enum smtp_reply reply = take_parameter(s, of, word, &seen, out_name);
        if (reply != REPLY_NONE)
            return reply;
    }
    return REPLY_NONE;
}

static enum smtp_reply take_size(struct session *s, struct slice value)
{
    enum status status = slice_number(value, s->env.settings->message_size_limit, &smtp_of(s)->mail.announced);
    if (status == STATUS_TOO_BIG)
        return REPLY_TOO_LARGE;
    return status == STATUS_OK ? REPLY_NONE : REPLY_BAD_PARAMETER;
}

static enum smtp_reply take_body(struct session *s, struct slice value)
{
    static const struct {
        struct slice word;
        uint8_t type;
    } rows[] = { { S("7BIT"), BODY_7BIT }, { S("8BITMIME"), BODY_8BIT }, { S("BINARYMIME"), BODY_BINARY } };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (slice_equal_nocase(value, rows[i].word)) {
            smtp_of(s)->mail.body_type = rows[i].type;
            return REPLY_NONE;
        }
    }
    return REPLY_BAD_PARAMETER;
}

static enum smtp_reply take_smtputf8(struct session *s, struct slice value)
{
    (void)value;
    smtp_of(s)->mail.utf8 = 1;
    return REPLY_NONE;
}

/* Decoded text of at most `max` printable octets (C033), in of_transaction. */
static bool take_xtext(struct session *s, struct slice value, size_t max, struct slice *out_text)
{
    struct buf text = BUF(max);
    bool fine = xtext_decode(&text, value) == STATUS_OK && text.len > 0 &&
                arena_copy(&s->of_transaction, buf_slice(&text), out_text) == STATUS_OK;
    buf_done(&text);
    return fine;
}

/* C035: who submitted it elsewhere is checked for its form and then ignored, as from a peer whom nobody trusts (RFC 4954 5). */
static enum smtp_reply take_auth(struct session *s, struct slice value)
{
    struct slice ignored;
    return slice_equal(value, S("<>")) || take_xtext(s, value, LIMIT_PATH, &ignored) ? REPLY_NONE : REPLY_BAD_PARAMETER;
}

static enum smtp_reply take_ret(struct session *s, struct slice value)
{
    struct smtp_transaction *mail = &smtp_of(s)->mail;
    if (slice_equal_nocase(value, S("FULL")))
        mail->ret = RET_FULL;
    else if (slice_equal_nocase(value, S("HDRS")))
        mail->ret = RET_HDRS;
    return mail->ret == RET_NONE ? REPLY_BAD_PARAMETER : REPLY_NONE;
}

static enum smtp_reply take_envid(struct session *s, struct slice value)
{
    return take_xtext(s, value, LIMIT_ENVID, &smtp_of(s)->mail.envid) ? REPLY_NONE : REPLY_BAD_PARAMETER;
}

/* RFC 3461 4.1: NEVER stands alone. */
static enum smtp_reply take_notify(struct session *s, struct slice value)
{
    static const struct {
        struct slice word;
        uint8_t bit;
    } rows[] = { { S("NEVER"), DSN_NEVER }, { S("SUCCESS"), DSN_SUCCESS }, { S("FAILURE"), DSN_FAILURE },
        { S("DELAY"), DSN_DELAY } };
    uint8_t notify = 0;
    struct slice word;
    if (value.ptr[value.len - 1] == ',')
        return REPLY_BAD_PARAMETER;
    while (slice_cut(&value, ',', &word)) {
        uint8_t bit = 0;
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
            bit = slice_equal_nocase(word, rows[i].word) ? rows[i].bit : bit;
        if (bit == 0)
            return REPLY_BAD_PARAMETER;
        notify |= bit;
    }
    if ((notify & DSN_NEVER) && notify != DSN_NEVER)
        return REPLY_BAD_PARAMETER;
    smtp_of(s)->mail.asked.notify = notify;
    return REPLY_NONE;
}

static bool is_address_type(struct slice type)
{
    for (size_t i = 0; i < type.len; i++) {
        char octet = type.ptr[i];
        if (!((octet >= 'a' && octet <= 'z') || (octet >= 'A' && octet <= 'Z') || (octet >= '0' && octet <= '9') || octet == '-'))
            return false;
    }
    return type.len > 0;
}

/* RFC 6533 3: an address of type utf-8 travels in its own quoting, which is kept as it is. */
static bool take_original(struct session *s, struct slice type, struct slice address, struct slice *out_address)
{
    if (!slice_equal_nocase(type, S("utf-8")))
        return take_xtext(s, address, LIMIT_ORCPT, out_address);
    *out_address = address;
    return address.len > 0 && address.len <= LIMIT_ORCPT && slice_is_utf8(address) && !slice_has_control(address);
}

/* type;address, decoded (RFC 3461 4.2). */
static enum smtp_reply take_orcpt(struct session *s, struct slice value)
{
    size_t semicolon = slice_find(value, ';');
    struct slice type = slice_upto(value, semicolon), address = NO_SLICE;
    struct buf whole = BUF(LIMIT_ORCPT);
    bool fine = semicolon < value.len && is_address_type(type) &&
                take_original(s, type, slice_from(value, semicolon + 1), &address) &&
                buf_put(&whole, type) == STATUS_OK && buf_put_byte(&whole, ';') == STATUS_OK &&
                buf_put(&whole, address) == STATUS_OK &&
                arena_copy(&s->of_transaction, buf_slice(&whole), &smtp_of(s)->mail.asked.orcpt) == STATUS_OK;
    buf_done(&whole);
    return fine ? REPLY_NONE : REPLY_BAD_PARAMETER;
}

/* ---- paths ------------------------------------------------------------------------------------------------------------ */

/* <path>, or without its brackets where a device says it so (D56). */
static enum status read_any_path(struct session *s, struct slice *rest, struct address *out_address)
{
    struct slice word = NO_SLICE, behind = *rest;
    if (!smtp_of(s)->is_device || !slice_word(&behind, &word) || word.ptr[0] == '<')
        return address_path(rest, true, &s->of_transaction, out_address);
    struct buf path = BUF(LIMIT_PATH);
    enum status status = buf_print(&path, "<%.*s>", (int)slice_upto(word, LIMIT_PATH).len, word.ptr);
    struct slice whole = NO_SLICE;
    if (status == STATUS_OK)
        status = arena_copy(&s->of_command, buf_slice(&path), &whole); /* the address borrows from it */
    if (status == STATUS_OK)
        status = address_path(&whole, true, &s->of_transaction, out_address);
    if (status == STATUS_OK && whole.len > 0) /* a bracket inside: not this either */
        status = STATUS_MALFORMED;
    buf_done(&path);
    if (status == STATUS_OK)
        *rest = slice_from(*rest, (size_t)(word.ptr - rest->ptr) + word.len);
    return status;
}

/* "FROM:" or "TO:", then the path; white space between is an old habit of clients (D56). */
static bool read_path(struct session *s, struct slice *rest, struct slice prefix, struct address *out_address,
    struct slice *out_text)
{
    struct buf text = BUF(LIMIT_PATH);
    if (!slice_starts_nocase(*rest, prefix))
        return false;
    *rest = slice_from(*rest, prefix.len);
    bool fine = read_any_path(s, rest, out_address) == STATUS_OK &&
                address_print(&text, out_address) == STATUS_OK &&
                arena_copy(&s->of_transaction, buf_slice(&text), out_text) == STATUS_OK;
    buf_done(&text);
    return fine;
}

static struct slice reply_argument(struct session *s, enum smtp_reply reply, struct slice name)
{
    struct buf number = BUF(20);
    struct slice text = name;
    if (reply == REPLY_TOO_LARGE && (buf_put_number(&number, s->env.settings->message_size_limit) != STATUS_OK ||
                                        arena_copy(&s->of_command, buf_slice(&number), &text) != STATUS_OK))
        text = NO_SLICE;
    buf_done(&number);
    return text;
}

/* ---- MAIL ------------------------------------------------------------------------------------------------------------- */

static void sender_accepted(struct session *s)
{
    smtp_of(s)->state = SMTP_MAIL;
    smtp_say(s, REPLY_SENDER_OK, NO_SLICE);
}

static void sender_refused(struct session *s, enum smtp_reply reply, struct slice argument)
{
    smtp_refuse(s, reply, argument);
    if (!session_wants_close(s))
        smtp_reset(s);
}

/* RFC 6409 4.3, C051: on submission the keeper says whether this session may send at all, and as whom. */
static void ask_mail(struct session *s)
{
    struct smtp *smtp = smtp_of(s);
    struct ask *ask = session_ask(s, ASK_MAIL);
    ask->mail = (struct ask_mail){ .sender = smtp->mail.sender, .helo = smtp_helo(smtp), .session = session_name(s),
        .peer = s->env.peer, .encrypted = s->is_secured && !s->tls.outdated, .submission = 1 };
    smtp->mail.has_asked = true;
}

static enum smtp_reply read_mail(struct session *s, struct slice rest, struct slice *out_name)
{
    struct smtp_transaction *mail = &smtp_of(s)->mail;
    struct address address;
    if (!read_path(s, &rest, S("FROM:"), &address, &mail->sender) || (!address.is_null && address.domain.len == 0)) {
        mail->sender = NO_SLICE;
        return REPLY_BAD_SENDER;
    }
    enum smtp_reply reply = take_parameters(s, OF_MAIL, rest, out_name);
    if (reply == REPLY_NONE && address.needs_utf8 && !mail->utf8) /* RFC 6531 3.5, C028 */
        reply = REPLY_SENDER_NEEDS_SMTPUTF8;
    return reply;
}

void smtp_cmd_mail(struct session *s, struct slice argument)
{
    struct smtp *smtp = smtp_of(s);
    struct slice name = NO_SLICE;
    if (smtp->transactions >= LIMIT_TRANSACTIONS) {
        smtp_refuse(s, REPLY_TOO_MANY_MESSAGES, NO_SLICE);
        return;
    }
    enum smtp_reply reply = read_mail(s, argument, &name);
    if (reply != REPLY_NONE) {
        sender_refused(s, reply, reply_argument(s, reply, name));
        return;
    }
    if (smtp->submission)
        ask_mail(s);
    else
        sender_accepted(s);
}

/* Port 587 in clear and outside every listed network: no mail check would help before TLS is up (DESIGN: a lease is usable there only then). */
static bool needs_tls_first(const struct session *s)
{
    return s->env.service == SERVICE_SUBMISSION && smtp_lane(s) == LANE_CLOSED &&
           !networks_have(s->env.settings->relay_networks, s->env.peer);
}

/* C104: both addresses, for the text of OTHER_ADDRESS. */
static struct slice both_addresses(struct session *s, struct ip other)
{
    struct buf words = BUF(2 * IP_TEXT + 16);
    struct slice copy = NO_SLICE;
    enum status status = ip_print(&words, other);
    if (status == STATUS_OK)
        status = buf_put(&words, S(" but send from "));
    if (status == STATUS_OK)
        status = ip_print(&words, s->env.peer);
    if (status == STATUS_OK)
        status = arena_copy(&s->of_command, buf_slice(&words), &copy);
    buf_done(&words);
    return status == STATUS_OK ? copy : NO_SLICE;
}

static struct slice mail_argument(struct session *s, enum smtp_reply reply, const struct answer *answer)
{
    if (reply == REPLY_FOREIGN_SENDER)
        return smtp_of(s)->mail.sender;
    if (reply == REPLY_OTHER_ADDRESS)
        return both_addresses(s, answer->mail.other);
    return reply == REPLY_OTHER_HELO ? smtp_helo(smtp_of(s)) : s->env.settings->hostname;
}

void smtp_mail_answer(struct session *s, const struct answer *answer)
{
    struct smtp_transaction *mail = &smtp_of(s)->mail;
    enum smtp_reply reply = smtp_reply_of_status(answer->status);
    if (reply == REPLY_NONE)
        reply = smtp_reply_of_verdict(answer->mail.verdict);
    if (reply == REPLY_PROVE_YOURSELF && needs_tls_first(s))
        reply = REPLY_STARTTLS_FIRST;
    if (reply == REPLY_NONE) {
        mail->proof = answer->mail.proof;
        /* Port 25 of a device network: without a proof it is mail from outside, and handled as such. */
        mail->submitted = s->env.service != SERVICE_MX || mail->proof != PROOF_NONE;
        mail->lease = answer->mail.lease;
        sender_accepted(s);
        return;
    }
    sender_refused(s, reply, mail_argument(s, reply, answer));
}

/* ---- RCPT ------------------------------------------------------------------------------------------------------------- */

static enum smtp_reply read_rcpt(struct session *s, struct slice rest, struct slice *out_name)
{
    struct smtp_transaction *mail = &smtp_of(s)->mail;
    struct address address;
    mail->asked = (struct deliver_recipient){ 0 };
    if (!read_path(s, &rest, S("TO:"), &address, &mail->asked.address) || address.is_null) {
        mail->asked.address = NO_SLICE;
        return REPLY_BAD_RECIPIENT;
    }
    enum smtp_reply reply = take_parameters(s, OF_RCPT, rest, out_name);
    if (reply == REPLY_NONE && address.needs_utf8 && !mail->utf8)
        reply = REPLY_NEEDS_SMTPUTF8;
    return reply;
}

/* Octets of one recipient in a DELIVER: two counted texts and an octet. */
static size_t octets_of(const struct deliver_recipient *recipient)
{
    return recipient->address.len + recipient->orcpt.len + 9;
}

/* C025; RFC 5321 4.5.3.1.10 */
static bool has_room(const struct session *s, const struct smtp_transaction *mail)
{
    uint32_t most = s->env.settings->message_recipients;
    return mail->recipient_count < (most < LIMIT_RECIPIENTS ? most : LIMIT_RECIPIENTS) &&
           mail->recipients_octets + octets_of(&mail->asked) <= LIMIT_RECIPIENTS_OCTETS &&
           s->of_transaction.cap - s->of_transaction.used > LIMIT_TRANSACTION_ARENA / 2;
}

void smtp_cmd_rcpt(struct session *s, struct slice argument)
{
    struct smtp_transaction *mail = &smtp_of(s)->mail;
    struct slice name = NO_SLICE;
    enum smtp_reply reply = read_rcpt(s, argument, &name);
    if (reply == REPLY_NONE && !has_room(s, mail))
        reply = REPLY_TOO_MANY_RECIPIENTS;
    if (reply != REPLY_NONE) {
        smtp_refuse(s, reply, reply_argument(s, reply, name));
        return;
    }
    session_ask(s, ASK_RCPT)->rcpt.recipient = mail->asked.address;
    mail->has_asked = true;
}

static bool keep_recipient(struct session *s, struct smtp_transaction *mail)
{
    if (mail->recipient_count == mail->recipient_cap) {
        uint32_t cap = mail->recipient_cap ? mail->recipient_cap * 4 : 4;
        struct deliver_recipient *rows = arena_take_rows(&s->of_transaction, cap, sizeof *rows);
        if (!rows)
            return false;
        for (uint32_t i = 0; i < mail->recipient_count; i++)
            rows[i] = mail->recipients[i];
        mail->recipients = rows;
        mail->recipient_cap = cap;
    }
    mail->recipients[mail->recipient_count++] = mail->asked;
    mail->recipients_octets += octets_of(&mail->asked);
    return true;
}

void smtp_rcpt_answer(struct session *s, const struct answer *answer)
{
    struct smtp *smtp = smtp_of(s);
    enum smtp_reply reply = smtp_reply_of_status(answer->status);
    if (reply == REPLY_NONE)
        reply = smtp_reply_of_verdict(answer->rcpt.verdict);
    if (reply == REPLY_NONE && !keep_recipient(s, &smtp->mail))
        reply = REPLY_TOO_MANY_RECIPIENTS;
    if (reply != REPLY_NONE) {
        smtp_refuse(s, reply, s->env.settings->hostname);
    } else {
        smtp->state = SMTP_RCPT;
        smtp_say(s, REPLY_RECIPIENT_OK, NO_SLICE);
    }
    smtp->mail.asked = (struct deliver_recipient){ 0 };
}
