/* scram.c - SCRAM-SHA-256 as a client (RFC 5802).  What it derives from a password is kept for the account, as mail
 * programs keep it. */
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "load.h"

enum { HASH = 32, NONCE = 24, SALT = 128 };

static struct kept {
    char salt[SALT]; /* what it was derived with */
    uint8_t client_key[HASH], stored_key[HASH];
} * kept;

void encode(char *out, const void *octets, size_t len)
{
    EVP_EncodeBlock((unsigned char *)out, octets, (int)len);
}

static int decode(uint8_t *out, const char *base64, size_t len)
{
    int got = len % 4 == 0 ? EVP_DecodeBlock(out, (const unsigned char *)base64, (int)len) : -1;
    if (got < 0)
        fail("base64", "is none");
    for (; len > 0 && base64[len - 1] == '='; len--)
        got--;
    return got;
}

void scram_first(struct client *c, const char *name)
{
    uint8_t random[NONCE / 4 * 3];
    char nonce[NONCE + 1], text[LINE];
    RAND_bytes(random, sizeof random);
    encode(nonce, random, sizeof random);
    int len = snprintf(c->scram, sizeof c->scram, "n,,n=%s,r=%s", name, nonce);
    encode(text, c->scram, (size_t)len);
    client_say(c, "AUTH SCRAM-SHA-256 %s\r\n", text);
}

static void hmac(const uint8_t key[HASH], const char *text, size_t len, uint8_t out[HASH])
{
    if (!HMAC(EVP_sha256(), key, HASH, (const unsigned char *)text, len, out, NULL))
        fail("HMAC", "no memory");
}

/* RFC 5802 section 3 */
static void derive(struct kept *keys, const char *server_first)
{
    const char *salt = strstr(server_first, ",s="), *rounds = strstr(server_first, ",i=");
    uint8_t raw[SALT], salted[HASH];
    if (!salt || !rounds || rounds < salt || rounds - salt - 3 >= SALT)
        fail("SCRAM", server_first);
    size_t len = (size_t)(rounds - salt - 3);
    if (strncmp(keys->salt, salt + 3, len) == 0 && keys->salt[len] == 0)
        return;
    memcpy(keys->salt, salt + 3, len);
    keys->salt[len] = 0;
    int raw_len = decode(raw, keys->salt, len);
    if (PKCS5_PBKDF2_HMAC(
            plan.password, -1, raw, raw_len, (int)strtol(rounds + 3, NULL, 10), EVP_sha256(), HASH, salted) != 1)
        fail("SCRAM", "no key");
    hmac(salted, "Client Key", 10, keys->client_key);
    EVP_Digest(keys->client_key, HASH, keys->stored_key, NULL, EVP_sha256(), NULL);
}

void scram_last(struct client *c, const char *challenge, size_t len)
{
    size_t skip = is_pop3() ? 2 : 4;
    uint8_t proof[HASH];
    char server[LINE + 1], last[LINE * 2], message[LINE * 4], text[LINE * 3];
    if (len < skip || len > LINE)
        fail("SCRAM", "no challenge");
    if (!kept && !(kept = calloc((size_t)plan.accounts, sizeof *kept)))
        fail("memory", "none");
    struct kept *keys = &kept[(c->number + plan.first) % plan.accounts];
    server[decode((uint8_t *)server, challenge + skip, len - skip)] = 0;
    derive(keys, server);
    int last_len = snprintf(last, sizeof last, "c=biws,%.*s", (int)strcspn(server, ","), server);
    int whole = snprintf(message, sizeof message, "%s,%s,%s", c->scram + 3, server, last);
    hmac(keys->stored_key, message, (size_t)whole, proof);
    for (int i = 0; i < HASH; i++)
        proof[i] ^= keys->client_key[i];
    memcpy(last + last_len, ",p=", 3);
    encode(last + last_len + 3, proof, HASH);
    encode(text, last, strlen(last));
    client_say(c, "%s\r\n", text);
}
