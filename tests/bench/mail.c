/* mail.c - deterministic mail: the same octets for the same seed and size.  A quarter each is
 *   UTF-8 text in 8 bits, ISO-2022-JP text, text with an attachment in base64, and text with its HTML beside it
 * (quoted-printable). Attachments are noise, as what is attached (PDF, JPEG) is compressed already; text is of some
 * thirty words. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "load.h"

enum { HEADER_MOST = 2048, COLUMNS = 68, BASE64_LINE = 57, TEXT_BEFORE_ATTACHMENT = 600 };

struct text {
    char *octets;
    size_t len, room;
};

static struct text *bodies;
static int made;
static uint64_t state;

/* clang-format off */
static const char *const utf8[] = {
    "invoice", "meeting", "tomorrow", "the", "of", "attached", "please", "regards", "office", "report", "会議",
    "請求書", "server", "delivery", "monthly", "and", "to", "copier", "scan", "page", "quarter", "budget", "draft",
    "review", "見積書を添付します", "よろしくお願いいたします",
    "お世話になっております", "明日", NULL
};
static const char *const iso2022jp[] = {
    "\33$B2q5D\33(B", "\33$B@A5a=q\33(B", "\33$B$*@$OC$K$J$C$F$*$j$^$9\33(B", "\33$B$h$m$7$/$*4j$$$$$?$7$^$9\33(B",
    "\33$B8+@Q=q$rE:IU$7$^$9\33(B", "\33$BL@F|\33(B", "FAX", "scan", "PDF", "2026/11/24", "No. 4711", NULL
};
static const char *const quoted[] = {
    "invoice", "meeting", "<b>tomorrow</b>", "the", "of", "attached", "please", "=E4=BC=9A=E8=AD=B0",
    "=E8=AB=8B=E6=B1=82=E6=9B=B8", "<td>1,200</td>", "</tr><tr>", "<br>", "regards", "office", "report", "caf=C3=A9",
    NULL
};
/* clang-format on */

static uint32_t draw(uint32_t below)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(state >> 33) % below;
}

static void add(struct text *t, const char *octets)
{
    size_t len = strlen(octets);
    if (t->len + len > t->room)
        fail("mail", "too long");
    memcpy(t->octets + t->len, octets, len);
    t->len += len;
}

/* Lines of words until the text is `end` octets long; no line begins with a dot. */
static void add_words(struct text *t, const char *const *words, size_t end)
{
    uint32_t count = 0;
    while (words[count])
        count++;
    for (size_t column = 0; t->len + 32 < end;) {
        const char *word = words[draw(count)];
        add(t, word);
        column += strlen(word) + 1;
        add(t, column > COLUMNS ? "\r\n" : " ");
        column = column > COLUMNS ? 0 : column;
    }
    add(t, "\r\n");
}

static void add_noise(struct text *t, size_t end)
{
    while (t->len + 80 < end) {
        uint8_t noise[BASE64_LINE];
        char row[BASE64_LINE * 2];
        for (size_t i = 0; i < sizeof noise; i++)
            noise[i] = (uint8_t)draw(256);
        encode(row, noise, sizeof noise);
        add(t, row);
        add(t, "\r\n");
    }
}

static void add_part(struct text *t, const char *fields)
{
    add(t, "--=_ekirei-bench\r\n");
    add(t, fields);
    add(t, "\r\n");
}

static void add_attachment(struct text *t, size_t end)
{
    size_t words = t->len + TEXT_BEFORE_ATTACHMENT;
    add(t, "Content-Type: multipart/mixed; boundary=\"=_ekirei-bench\"\r\n\r\n");
    add_part(t, "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n");
    add_words(t, utf8, words < end ? words : end);
    add_part(t,
        "Content-Type: application/pdf; name=\"scan.pdf\"\r\nContent-Disposition: attachment; filename=\"scan.pdf\"\r\n"
        "Content-Transfer-Encoding: base64\r\n");
    add_noise(t, end);
    add(t, "--=_ekirei-bench--\r\n");
}

static void add_alternative(struct text *t, size_t end)
{
    add(t, "Content-Type: multipart/alternative; boundary=\"=_ekirei-bench\"\r\n\r\n");
    add_part(t, "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n");
    add_words(t, utf8, t->len + (end - t->len) / 2);
    add_part(t, "Content-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n");
    add_words(t, quoted, end);
    add(t, "--=_ekirei-bench--\r\n");
}

static void add_fields(struct text *t, int number, bool by_account)
{
    char fields[HEADER_MOST], sender[LINE / 4];
    if (by_account)
        snprintf(sender, sizeof sender, "u%d@%s", number, plan.domain);
    else
        snprintf(sender, sizeof sender, "sender@elsewhere.test");
    const char *subject = number % 2 ? "=?ISO-2022-JP?B?GyRCQEE1YT1xJE43byRLJEQkJCRGGyhC?="
                                     : "=?UTF-8?B?6KuL5rGC5pu444Gu5Lu244Gr44Gk44GE44Gm?=";
    snprintf(fields, sizeof fields,
        "From: =?UTF-8?B?5L2Q6Jek?= <%s>\r\nTo: somebody@%s\r\nSubject: %s\r\nDate: Tue, 24 Nov 2026 10:00:00 +0900\r\n"
        "Message-ID: <load-%d-%d@elsewhere.test>\r\nMIME-Version: 1.0\r\n",
        sender, plan.domain, subject, plan.seed, number);
    add(t, fields);
}

static void make(int number, bool by_accounts)
{
    size_t end = (size_t)plan.octets;
    struct text t = { .room = end + HEADER_MOST };
    if (!(t.octets = malloc(t.room)))
        fail("memory", "none");
    state = (uint64_t)plan.seed << 32 | (uint64_t)(number * 2654435761 + 1);
    add_fields(&t, number, by_accounts);
    switch (number % 4) {
    case 0:
        add(&t, "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n");
        add_words(&t, utf8, end);
        break;
    case 1:
        add(&t, "Content-Type: text/plain; charset=ISO-2022-JP\r\nContent-Transfer-Encoding: 7bit\r\n\r\n");
        add_words(&t, iso2022jp, end);
        break;
    case 2:
        add_attachment(&t, end);
        break;
    default:
        add_alternative(&t, end);
        break;
    }
    add(&t, ".\r\n");
    bodies[number] = t;
}

void mail_prepare(bool by_accounts)
{
    if (plan.accounts < 1)
        fail("accounts", "none");
    made = by_accounts ? plan.accounts : BODIES;
    if (!(bodies = calloc((size_t)made, sizeof *bodies)))
        fail("memory", "none");
    for (int i = 0; i < made; i++)
        make(i, by_accounts);
}

const char *mail_body(int number, size_t *out_len)
{
    *out_len = bodies[number % made].len;
    return bodies[number % made].octets;
}
