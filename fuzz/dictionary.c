/* dictionary.c - prints the dictionary of a fuzz target:   dictionary session|client|mail|token|policy|config|ask
 *
 * Verbs, parameters, mechanisms, settings and attributes come from the tables that the program itself reads, so that a new row is tried at once; below
 * stands only what is in no table. */
#include <stdio.h>
#include <string.h>

#include "ask/ask.h"
#include "config.h"
#include "words.h"

static void put_octets(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        unsigned char octet = (unsigned char)text[i];
        printf(octet >= ' ' && octet <= '~' && octet != '"' && octet != '\\' ? "%c" : "\\x%02x", octet);
    }
}

static void put(const char *before, const char *word, const char *behind)
{
    putchar('"');
    put_octets(before, strlen(before));
    put_octets(word, strlen(word));
    put_octets(behind, strlen(behind));
    puts("\"");
}

/* A move of fuzz_session: its length, then the line. */
static void put_move(const char *before, const char *word, const char *behind)
{
    char length[2] = { (char)(strlen(before) + strlen(word) + strlen(behind)), '\0' };
    putchar('"');
    put_octets(length, 1);
    put_octets(before, strlen(before));
    put_octets(word, strlen(word));
    put_octets(behind, strlen(behind));
    puts("\"");
}

static void put_all(const char *const *words)
{
    for (; *words; words++)
        put("", *words, "");
}

static void session(void)
{
    static const char *const phrases[] = { "\x16MAIL FROM:<a@b.example>", "\x14RCPT TO:<c@d.example>", "\x08" "EHLO x\r\n", "\x0f" "BDAT 5 LAST\r\nab", "<>", "From: a@b.example\r\n",
        "Sender: a@b.example\r\n", "Received: x\r\n", "\r\n\r\n", "\r\n.\r\n", "\n.\n", "\x05\r\n.\r\n", "7BIT", "8BITMIME", "BINARYMIME", "HDRS", "FULL", "NEVER",
        "SUCCESS,FAILURE,DELAY", "rfc822;a+2Bb@c.example", "utf-8;", "AGpvZQBwdw==", "n,,n=user,r=x", "p=tls-exporter,,", ",a=boss,", "c=biws,r=xy,p=",
        "\x01" "auth=Bearer x\x01\x01", "user=joe", "=2C", "*\r\n", "=\r\n", "c4c9334bac560ecc979e58001b3e22fb", "ja\r\n", NULL };
    words_smtp(put_move);
    words_envelope(put);
    words_pop3(put_move);
    for (enum mechanism m = MECHANISM_PASSWORD; m < MECHANISM_COUNT; m++) {
        put_move("AUTH ", mechanism_name(m), "\r\n");
        put_move("AUTH ", mechanism_name(m), " =\r\n");
    }
    put_all(phrases);
}

static void client(void)
{
    static const char *const phrases[] = { "220 x\r\n", "250-", "250 ok\r\n", "354 go\r\n", "421 bye\r\n", "450 4.1.1 later\r\n", "552 many\r\n", "550-5.1.1 no\r\n", "2", "SIZE 5\r\n", NULL };
    words_smtp(put);
    words_envelope(put);
    put_all(phrases);
}

static void mail(void)
{
    static const char *const phrases[] = { "\r\n", "\r\n.\r\n", "\n.\n", "\r", "\n", "From: ", "Sender : ", "Resent-From: ", "Received:", "Date: ", "Message-ID: ", "<a@b.example>", "\"a b\"@c",
        "@one,@two:", "group:;", "(comment\\)", "[192.0.2.1]", "[IPv6:2001:db8::1]", "=?utf-8?q?a=40b?=", "\xe6\x97\xa5\xe6\x9c\xac.jp", "xn--wgv71a", "+2B",
        "2026-11-23T10:04:05Z", "\x28\xb5\x2f\xfd", "5.1.1", "\xef\xbc\xa1", "\xc2\xb7", "\xd7\x90", "\xcc\x81", NULL };
    put_all(phrases);
}

static void token(void)
{
    static const char *const phrases[] = { "{\"keys\":[", "\"kty\":\"RSA\"", "\"kty\":\"EC\"", "\"crv\":\"P-256\"", "\"crv\":\"P-384\"", "\"kty\":\"OKP\",\"crv\":\"Ed25519\"", "\"use\":\"sig\"",
        "\"key_ops\":[\"verify\"]", "\"kid\":\"", "\"alg\":\"", "\"n\":\"", "\"e\":\"AQAB\"", "\"x\":\"", "\"y\":\"", "\"iss\":\"i\"", "\"aud\":\"a\"", "\"aud\":[\"a\"]", "\"exp\":2000",
        "\"nbf\":1000", "\"iat\":1000", "\"scope\":\"s\"", "\"email\":\"alice@our.test\"", "\"email_verified\":true", "\"active\":true", "eyJhbGciOiJFZERTQSJ9.",
        "eyJhbGciOiJFUzI1NiJ9.", "eyJhbGciOiJub25lIn0.", NULL };
    put_all(phrases);
}

static void policy(void)
{
    static const char *const phrases[] = { "smtpd_access_policy\n", "RCPT\n", "DATA\n", "END-OF-MESSAGE\n", "192.0.2.7\n", "2001:db8::7\n", "1\n", "a@b.c\n", "a+x@b.c\n", "submission\n",
        "\n\n", "LOGIN 1 pop3 192.0.2.7 - ", "FAIL 1 pop3 192.0.2.7 - ", "%C3%BC", NULL };
    words_policy(put);
    put_all(phrases);
}

/* Names, sections, presets, and the words and bounds of ranges. */
static void config(void)
{
    static const char *const phrases[] = { " = ", "[", "]\n", "#", ", ", "min", "s", "h", "d", "KB", "GB", "192.0.2.0/24", "2001:db8::/32", "[::1]:53", "mx.example:25", "unix:/x", "head office=10.0.0.0/8",
        "https://x/", NULL };
    for (size_t at = 0; config_each(at); at++) {
        const struct config_row *row = config_each(at);
        struct slice words = slice_of(row->range), word;
        put("", row->name, " = ");
        put("", row->name, "=\n");
        if (row->preset[0] != '\0')
            put("", row->preset, "\n");
        while (strlen(row->range) < 60 && slice_cut(&words, strchr(row->range, '|') ? '|' : '-', &word)) {
            putchar('"');
            put_octets(word.ptr, word.len);
            puts("\"");
        }
    }
    put_all(phrases);
}

/* First octets of asks and answers, and counts as frames have them. */
static void ask(void)
{
    for (enum ask_kind kind = ASK_NONE + 1; kind < ASK_KINDS; kind++) {
        printf("\"\\x%02x\\x01\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x07\\x00\\x00\\x00\"\n", kind);
        if (!ask_defs[kind].silent)
            printf("\"\\x%02x\\x01\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x07\\x00\\x00\\x00\\x00\"\n", kind | 0x80);
    }
    puts("\"\\x01\\x00\\x00\\x00\"\n\"\\x04\\x00\\x00\\x00\"\n\"\\xff\\xff\\xff\\xff\"\n\"\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\"");
}

int main(int count, char **words)
{
    static const struct {
        const char *name;
        void (*print)(void);
    } dictionaries[] = { { "session", session }, { "client", client }, { "mail", mail }, { "token", token }, { "policy", policy }, { "config", config }, { "ask", ask } };
    for (size_t i = 0; count == 2 && i < sizeof dictionaries / sizeof *dictionaries; i++) {
        if (strcmp(words[1], dictionaries[i].name) == 0) {
            dictionaries[i].print();
            return 0;
        }
    }
    fprintf(stderr, "dictionary: no such target\n");
    return 2;
}
