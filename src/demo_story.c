/* demo_story.c - who may send: told, shown on the wire, and checked. */
#include <jansson.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "base/must.h"
#include "base/secret.h"
#include "demo_impl.h"
#include "mail/coding.h"

#define HANAKO "hanako@" DEMO_DOMAIN
#define TARO   "taro@" DEMO_DOMAIN
#define FRIEND "friend@elsewhere.example"

#define TRUE_OR_END(x)                                                                                                 \
    do {                                                                                                               \
        if (!(x))                                                                                                      \
            return false;                                                                                              \
    } while (0)

/* ---- pieces of a dialogue ---- */

static bool hello(struct talk *talk)
{
    return talk_expect(talk, "220", NULL) && talk_send(talk, "EHLO client.example") && talk_expect(talk, "250", NULL);
}

static bool starttls(struct talk *talk)
{
    return talk_send(talk, "STARTTLS") && talk_expect(talk, "220", NULL) && talk_secure(talk) &&
           talk_send(talk, "EHLO client.example") && talk_expect(talk, "250", NULL);
}

static bool quit(struct talk *talk, const char *code)
{
    bool done = talk_send(talk, "QUIT") && talk_expect(talk, code, NULL);
    talk_close(talk);
    return done;
}

static bool envelope(struct talk *talk, const char *from, const char *to)
{
    return talk_send(talk, "MAIL FROM:<%s>", from) && talk_expect(talk, "250", NULL) &&
           talk_send(talk, "RCPT TO:<%s>", to) && talk_expect(talk, "250", NULL);
}

static bool message(struct talk *talk, const char *from, const char *subject, const char *code)
{
    return talk_send(talk, "DATA") && talk_expect(talk, "354", NULL) && talk_send(talk, "From: <%s>", from) &&
           talk_send(talk, "Subject: %s", subject) && talk_send(talk, "%s", "") &&
           talk_send(talk, "Written by the demo.") && talk_send(talk, ".") && talk_expect(talk, code, NULL);
}

static bool pop3_login(struct talk *talk, const char *name, const char *secret)
{
    return talk_expect(talk, "+OK", "<") && talk_send(talk, "USER %s", name) && talk_expect(talk, "+OK", NULL) &&
           talk_send_secret(talk, "PASS", secret) && talk_expect(talk, "+OK", NULL);
}

static bool auth_plain(struct talk *talk, const char *name, const char *secret)
{
    struct buf plain = BUF(1024), coded = BUF(2048);
    bool made = buf_put_byte(&plain, '\0') == STATUS_OK && buf_put(&plain, slice_of(name)) == STATUS_OK &&
                buf_put_byte(&plain, '\0') == STATUS_OK && buf_put(&plain, slice_of(secret)) == STATUS_OK &&
                base64_encode(&coded, buf_slice(&plain)) == STATUS_OK && buf_put_byte(&coded, '\0') == STATUS_OK;
    must(made);
    bool fine = talk_send_secret(talk, "AUTH PLAIN", coded.ptr) && talk_expect(talk, "235", NULL);
    buf_wipe(&plain);
    buf_wipe(&coded);
    buf_done(&plain);
    buf_done(&coded);
    return fine;
}

/* ---- the command line's answers ---- */

static json_t *command_json(const struct demo *demo, const char *const *words, const char *input)
{
    struct buf out = BUF(LIMIT_FRAME);
    json_t *value = demo_command(demo, words, input, &out) ? json_loadb(out.ptr, out.len, 0, NULL) : NULL;
    buf_wipe(&out);
    buf_done(&out);
    return value;
}

/* Is there a row whose `key` is `value`? */
static bool list_has(const struct demo *demo, const char *group, const char *key, const char *value)
{
    const char *const words[] = { group, "list", "--json", NULL };
    json_t *rows = command_json(demo, words, NULL), *row;
    bool found = false;
    size_t at;
    json_array_foreach(rows, at, row)
    {
        const char *text = json_string_value(json_object_get(row, key));
        found = found || (text && strcmp(text, value) == 0);
    }
    json_decref(rows);
    return found;
}

static bool show_command(const struct demo *demo, const char *group)
{
    const char *const words[] = { group, "list", NULL };
    struct buf out = BUF(LIMIT_FRAME);
    bool done = demo_command(demo, words, NULL, &out);
    struct slice rest = buf_slice(&out), line;
    printf("    $ ekirei %s list\n", group);
    while (slice_cut(&rest, '\n', &line))
        printf("    %.*s\n", (int)line.len, line.ptr);
    buf_done(&out);
    return done;
}

/* ---- the steps ---- */

static bool step_accounts(struct demo *demo)
{
    const char *const hanako[] = { "account", "add", HANAKO, "--password-stdin", "--pop-before-smtp", "--json", NULL }; /* NOLINT(bugprone-suspicious-missing-comma): HANAKO is two literals */
    const char *const taro[] = { "account", "add", TARO, "--password-stdin", "--json", NULL }; /* NOLINT(bugprone-suspicious-missing-comma): TARO is two literals */
    json_t *one = command_json(demo, hanako, demo->hanako), *two = command_json(demo, taro, demo->taro);
    bool made = one && two;
    json_decref(one);
    json_decref(two);
    printf("    $ ekirei account add %s --pop-before-smtp\n    $ ekirei account add %s\n", HANAKO, TARO);
    return made;
}

static bool step_stranger(struct demo *demo)
{
    struct talk talk;
    demo_say(demo, "    Port 25 takes mail for our own people from everyone, and carries nothing to others:",
        "    25 番ポートは、自分のドメイン宛ての手紙だけを誰からでも受け取り、よそへは運びません。");
    TRUE_OR_END(talk_open(&talk, demo, DEMO_MX, false));
    talk.whole = true;
    TRUE_OR_END(hello(&talk) && talk_send(&talk, "MAIL FROM:<stranger@other.example>") &&
                talk_expect(&talk, "250", NULL) && talk_send(&talk, "RCPT TO:<%s>", FRIEND) &&
                talk_expect(&talk, "550", NULL) && talk_send(&talk, "RCPT TO:<%s>", HANAKO) &&
                talk_expect(&talk, "250", NULL) && quit(&talk, "221"));
    demo_say(demo, "    Port 587 is for our own people.  Whoever has proved nothing is told what to do:",
        "    587 番ポートは利用者用です。何も証明していない人には、どうすればよいかを答えます。");
    TRUE_OR_END(talk_open(&talk, demo, DEMO_SUBMISSION, false) && hello(&talk) && starttls(&talk) &&
                talk_send(&talk, "MAIL FROM:<%s>", HANAKO) && talk_expect(&talk, "530", "[EK-17]"));
    demo_say(demo, "    The code tells the administrator more: `ekirei why EK-17`, or `ekirei why` with an address.",
        "    末尾の番号で管理者は詳しく調べられます: `ekirei why EK-17`、またはアドレスを付けて `ekirei why`。");
    return quit(&talk, "221");
}

static bool step_door(struct demo *demo)
{
    struct talk talk;
    demo_say(demo,
        "    Hanako reads her mail over POP3 with TLS.  That alone lets her send from this address for ten minutes:",
        "    花子さんが TLS 付きの POP3 でメールを読みます。それだけで、このアドレスから十分間送信できます。");
    TRUE_OR_END(talk_open(&talk, demo, DEMO_POP3S, true) && pop3_login(&talk, HANAKO, demo->hanako) &&
                talk_send(&talk, "STAT") && talk_expect(&talk, "+OK", NULL) && quit(&talk, "+OK"));
    TRUE_OR_END(show_command(demo, "lease"));
    return list_has(demo, "lease", "address", HANAKO) || demo_wrong(demo, "the login opened no lease");
}

static bool step_lease(struct demo *demo)
{
    struct talk talk;
    demo_say(demo, "    The same words as before, from the same address, and the door is open, also to the outside:",
        "    先ほどと同じやりとりが、今度は通ります。よそのドメイン宛てでも送れます。");
    TRUE_OR_END(talk_open(&talk, demo, DEMO_SUBMISSION, false) && hello(&talk) && starttls(&talk) &&
                envelope(&talk, HANAKO, TARO) && talk_send(&talk, "RCPT TO:<%s>", FRIEND) &&
                talk_expect(&talk, "250", NULL) && message(&talk, HANAKO, "Sent by lease", "250"));
    demo_say(demo, "    The lease is Hanako's.  It does not let her write as Taro:",
        "    この鈴は花子さんのものです。太郎さんの名では送れません。");
    TRUE_OR_END(talk_send(&talk, "MAIL FROM:<%s>", TARO) && talk_expect(&talk, "5", NULL) && quit(&talk, "221"));
    TRUE_OR_END(show_command(demo, "queue"));
    return list_has(demo, "queue", "recipient", FRIEND) ||
           demo_wrong(demo, "the message to the outside is not in the queue");
}

static bool apop(struct talk *talk, const char *name, const char *secret)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned int len = 0;
    const char *stamp = strchr(talk->reply, '<'), *end = stamp ? strchr(stamp, '>') : NULL;
    struct buf text = BUF(4096), hex = BUF(128);
    if (!end)
        return demo_wrong(talk->demo, "the greeting bears no stamp");
    /* RFC 1939 7: MD5 of the stamp, angle brackets included, and the shared secret. */
    bool made = buf_put(&text, (struct slice){ stamp, (size_t)(end - stamp) + 1 }) == STATUS_OK &&
                buf_put(&text, slice_of(secret)) == STATUS_OK &&
                EVP_Digest(text.ptr, text.len, digest, &len, EVP_md5(), NULL) == 1 &&
                hex_encode(&hex, (struct slice){ (const char *)digest, len }) == STATUS_OK &&
                buf_put_byte(&hex, '\0') == STATUS_OK;
    must(made);
    bool fine = talk_send(talk, "APOP %s %s", name, hex.ptr) && talk_expect(talk, "+OK", NULL);
    buf_wipe(&text);
    buf_done(&text);
    buf_done(&hex);
    return fine;
}

static bool step_apop(struct demo *demo)
{
    const char *const words[] = { "device", "add", TARO, "--name", "scanner", "--allow", "all", "--json", NULL }; /* NOLINT(bugprone-suspicious-missing-comma): TARO is two literals */
    struct talk talk;
    demo_say(demo,
        "    Taro's scanner knows nothing newer than APOP.  It gets a password of its own, made by the server:",
        "    太郎さんのスキャナーは APOP しか知りません。サーバーが作る専用のパスワードを渡します。");
    json_t *made = command_json(demo, words, NULL);
    const char *secret = json_string_value(json_object_get(made, "password"));
    if (secret)
        snprintf(demo->scanner, sizeof demo->scanner, "%s", secret);
    json_decref(made);
    if (strlen(demo->scanner) < 20)
        return demo_wrong(demo, "no device password was made");
    printf("    $ ekirei device add %s --name scanner\n    password (shown once): %s\n", TARO, demo->scanner);
    demo_say(demo, "    The password itself never travels: only a digest over the stamp in the greeting does.",
        "    パスワードそのものは流れません。挨拶にある刻印から作った要約だけが流れます。");
    TRUE_OR_END(talk_open(&talk, demo, DEMO_POP3S, true) && talk_expect(&talk, "+OK", "<") &&
                apop(&talk, TARO, demo->scanner) && quit(&talk, "+OK"));
    demo_say(demo, "    That opened a lease for the scanner; its scan goes out without any SMTP login:",
        "    これでスキャナーにも鈴が渡り、SMTP のログインなしで送信できます。");
    TRUE_OR_END(list_has(demo, "lease", "device", "scanner") || demo_wrong(demo, "the scanner got no lease"));
    TRUE_OR_END(talk_open(&talk, demo, DEMO_SUBMISSIONS, true) && hello(&talk) && envelope(&talk, TARO, HANAKO) &&
                message(&talk, TARO, "Scan by lease", "250"));
    return quit(&talk, "221");
}

static bool step_auth(struct demo *demo)
{
    struct talk talk;
    demo_say(demo, "    Everyone else logs in.  Without TLS there is no AUTH to be had:",
        "    ほかの人はログインします。TLS がなければ AUTH は使えません。");
    TRUE_OR_END(talk_open(&talk, demo, DEMO_SUBMISSION, false) && hello(&talk) && talk_send(&talk, "AUTH PLAIN") &&
                talk_expect(&talk, "5", NULL) && quit(&talk, "221"));
    demo_say(demo, "    With TLS there is:", "    TLS があれば使えます。");
    TRUE_OR_END(talk_open(&talk, demo, DEMO_SUBMISSIONS, true) && talk_expect(&talk, "220", NULL) &&
                talk_send(&talk, "EHLO client.example") && talk_expect(&talk, "250", "AUTH ") &&
                auth_plain(&talk, TARO, demo->taro) && envelope(&talk, TARO, HANAKO) &&
                message(&talk, TARO, "Sent by SMTP AUTH", "250"));
    demo_say(demo,
        "    Who he is is known now, and so nobody else's name is taken from him, on the envelope or in the letter:",
        "    本人とわかっているので、他人の名は封筒でも手紙の中でも使えません。");
    TRUE_OR_END(talk_send(&talk, "MAIL FROM:<%s>", HANAKO) && talk_expect(&talk, "553", NULL) &&
                envelope(&talk, TARO, HANAKO) && message(&talk, HANAKO, "Forged", "550"));
    return quit(&talk, "221");
}

/* The Received field that our server wrote: the first of the message. */
static struct slice first_received(struct slice text)
{
    size_t at = 0;
    while (at < text.len && !slice_starts(slice_from(text, at), S("Received:")))
        at++;
    struct slice field = slice_from(text, at);
    size_t len = 0;
    while (len < field.len && (field.ptr[len] != '\n' ||
                                  (len + 1 < field.len && (field.ptr[len + 1] == '\t' || field.ptr[len + 1] == ' '))))
        len++;
    return slice_upto(field, len);
}

/* What stands between `before` and one of `ends`, printed; "-" if it is not there. */
static void print_between(struct slice text, const char *before, const char *ends)
{
    char piece[128] = "-";
    size_t at = 0;
    while (at < text.len && !slice_starts(slice_from(text, at), slice_of(before)))
        at++;
    struct slice rest = slice_from(text, at + strlen(before));
    if (at < text.len && rest.len > 0)
        snprintf(piece, sizeof piece, "%.*s", (int)rest.len, rest.ptr);
    piece[strcspn(piece, ends)] = '\0';
    printf("%s ", piece);
}

static void print_lines(struct slice text)
{
    struct slice line;
    while (slice_cut(&text, '\n', &line)) {
        bool folded = line.len > 0 && line.ptr[0] == '\t';
        printf("       %s%.*s\n", folded ? "    " : "", (int)line.len - folded, line.ptr + folded);
    }
}

/* One message of the mailbox; what its Received says must hold `with`, and a lease or none. */
static bool check_leg(struct talk *talk, uint32_t number, const char *subject, const char *with, bool lease)
{
    struct buf text = BUF(65536);
    bool fine =
        talk_send(talk, "RETR %u", number) && talk_expect(talk, "+OK", NULL) && talk_listing(talk, &text, false);
    struct slice received = first_received(buf_slice(&text));
    if (fine && (!slice_has(buf_slice(&text), slice_of(subject)) || !slice_has(received, slice_of(with)) ||
                    !slice_has(received, S("version=TLS")) || slice_has(received, S("(lease ")) != lease))
        fine = demo_wrong(talk->demo, "the message does not tell how it came");
    if (fine) {
        print_lines(received);
        printf("    => \"%s\", %s\n       in:  ", subject, lease ? "paid by a lease" : "proved by a login");
        print_between(received, " with ", " ");
        print_between(received, "version=", " ");
        print_between(received, "cipher=", ")");
        printf("\n       out: POP3S %s\n", talk_protection(talk));
    }
    buf_done(&text);
    return fine;
}

static bool step_fetch(struct demo *demo)
{
    struct talk talk;
    demo_say(demo,
        "    Each letter tells how it came: ESMTPS with the lease's number, or ESMTPSA for a login, and the TLS of "
        "that leg.\n"
        "    Behind the arrow: the legs from its writer to the server, and from the server to its reader.",
        "    手紙には届いた経路が書かれています。鈴なら番号付きの ESMTPS、ログインなら ESMTPSA、そしてその区間の "
        "TLS。\n"
        "    矢印の行は、書き手からサーバーまでの区間 (in) と、サーバーから読み手までの区間 (out) です。");
    TRUE_OR_END(talk_open(&talk, demo, DEMO_POP3S, true) && pop3_login(&talk, TARO, demo->taro) &&
                check_leg(&talk, 1, "Sent by lease", "with ESMTPS ", true) && quit(&talk, "+OK"));
    return talk_open(&talk, demo, DEMO_POP3S, true) && pop3_login(&talk, HANAKO, demo->hanako) &&
           check_leg(&talk, 1, "Scan by lease", "with ESMTPS ", true) &&
           check_leg(&talk, 2, "Sent by SMTP AUTH", "with ESMTPSA ", false) &&
           check_leg(&talk, 3, "Sent by SCRAM", "with ESMTPSA ", false) && talk_send(&talk, "RETR 4") &&
           talk_expect(&talk, "-ERR", NULL) && quit(&talk, "+OK");
}

static bool step_scram(struct demo *demo)
{
    struct talk talk;
    demo_say(demo,
        "    Taro's mail program knows SCRAM-SHA-256-PLUS: his password does not travel at all, the server proves that it\n"
        "    knows him, and both proofs are good on this TLS connection only.  Nobody in the middle can pass them on.",
        "    太郎さんのメールソフトは SCRAM-SHA-256-PLUS が使えます。パスワードは一切流れず、サーバーも本物であることを\n"
        "    証明し、どちらの証明もこの TLS 接続でしか通用しません。途中の誰かが中継することはできません。");
    TRUE_OR_END(talk_open(&talk, demo, DEMO_SUBMISSIONS, true) && talk_expect(&talk, "220", NULL) &&
                talk_send(&talk, "EHLO client.example") && talk_expect(&talk, "250", "SCRAM-SHA-256-PLUS") &&
                demo_scram_login(&talk, TARO, demo->taro) && envelope(&talk, TARO, HANAKO) &&
                message(&talk, TARO, "Sent by SCRAM", "250"));
    return quit(&talk, "221");
}

static const struct {
    const char *english, *japanese;
    bool (*run)(struct demo *demo);
} steps[] = {
    { "Two people get accounts", "二人の利用者を登録します", step_accounts },
    { "A stranger is refused", "見知らぬ人は断られます", step_stranger },
    { "Reading mail opens the door", "メールを読むと扉が開きます", step_door },
    { "Mail goes by lease", "鈴で手紙が出ます", step_lease },
    { "A device with a password of its own (APOP)", "専用パスワードを持つ機器(APOP)", step_apop },
    { "SMTP AUTH, and a spoofed sender", "SMTP AUTH と、なりすましの拒否", step_auth },
    { "SCRAM-PLUS: a login that nobody can pass on", "SCRAM-PLUS: 中継できないログイン", step_scram },
    { "The mail is fetched, and tells how it came", "手紙を受け取り、経路を確かめます", step_fetch },
};

bool demo_story(struct demo *demo)
{
    for (size_t at = 0; at < sizeof steps / sizeof steps[0]; at++) {
        printf("\n%zu. %s\n", at + 1, demo->japanese ? steps[at].japanese : steps[at].english);
        if (demo_is_over() || !steps[at].run(demo))
            return false;
    }
    demo_say(demo, "\nEverything happened as it should.", "\nすべて予定どおりに動きました。");
    return true;
}
