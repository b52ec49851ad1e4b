/* demo_scram.c - the client's side of SCRAM-SHA-256-PLUS (RFC 5802, RFC 7677, RFC 9266), for the story. */
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/must.h"
#include "base/secret.h"
#include "demo_impl.h"
#include "mail/coding.h"

#define DIGEST 32u /* octets of SHA-256 */
#define TEXT   1024u

struct scram {
    char first_bare[TEXT], server_first[TEXT], final_bare[TEXT]; /* the three parts of the AuthMessage */
    unsigned char salted[DIGEST];
};

static struct slice base64(struct buf *out, struct slice octets)
{
    buf_clear(out);
    bool fine = base64_encode(out, octets) == STATUS_OK && buf_put_byte(out, '\0') == STATUS_OK;
    must(fine);
    return slice_upto(buf_slice(out), out->len - 1);
}

static void hmac(const unsigned char *key, const char *text, unsigned char out[DIGEST])
{
    unsigned int len = DIGEST;
    must(HMAC(EVP_sha256(), key, (int)DIGEST, (const unsigned char *)text, strlen(text), out, &len) != NULL);
}

/* The challenge behind "334 ", decoded. */
static bool challenge(const struct talk *talk, char *out, size_t size)
{
    struct buf plain = BUF(TEXT - 1);
    bool fine = strncmp(talk->reply, "334 ", 4) == 0 && base64_decode(&plain, slice_of(talk->reply + 4)) == STATUS_OK;
    if (fine)
        snprintf(out, size, "%.*s", (int)plain.len, plain.len > 0 ? plain.ptr : "");
    buf_done(&plain);
    return fine;
}

/* c=: the GS2 header and 32 octets that both ends derive from this very TLS connection, and nobody between them can. */
static bool put_final(struct scram *scram, const struct talk *talk, const char *nonce)
{
    static const char header[] = "p=tls-exporter,,";
    unsigned char bound[sizeof header - 1 + DIGEST];
    struct buf coded = BUF(256);
    memcpy(bound, header, sizeof header - 1);
    bool fine = SSL_export_keying_material(talk->tls, bound + sizeof header - 1, DIGEST, "EXPORTER-Channel-Binding",
                    strlen("EXPORTER-Channel-Binding"), (const unsigned char *)"", 0, 1) == 1;
    if (fine)
        snprintf(scram->final_bare, sizeof scram->final_bare, "c=%s,r=%s",
            base64(&coded, (struct slice){ (const char *)bound, sizeof bound }).ptr, nonce);
    buf_done(&coded);
    return fine;
}

/* r=NONCE,s=SALT,i=ROUNDS: the salted password comes of it. */
static bool read_first(struct scram *scram, const char *secret, char *nonce, size_t size)
{
    char *salt = strstr(scram->server_first, ",s="), *rounds = strstr(scram->server_first, ",i=");
    struct buf octets = BUF(64);
    uint64_t count = 0;
    bool fine = strncmp(scram->server_first, "r=", 2) == 0 && salt && rounds > salt &&
                slice_number(slice_of(rounds + 3), 10000000, &count) == STATUS_OK &&
                base64_decode(&octets, (struct slice){ salt + 3, (size_t)(rounds - salt) - 3 }) == STATUS_OK &&
                PKCS5_PBKDF2_HMAC(secret, (int)strlen(secret), (const unsigned char *)octets.ptr, (int)octets.len,
                    (int)count, EVP_sha256(), (int)DIGEST, scram->salted) == 1;
    if (fine)
        snprintf(nonce, size, "%.*s", (int)(salt - scram->server_first) - 2, scram->server_first + 2);
    buf_done(&octets);
    return fine;
}

/* The client's proof, and the signature by which the server proves that it knows the verifier. */
static void prove(const struct scram *scram, unsigned char proof[DIGEST], unsigned char signature[DIGEST])
{
    unsigned char client[DIGEST], stored[DIGEST], server[DIGEST];
    char message[3 * TEXT + 3];
    snprintf(message, sizeof message, "%s,%s,%s", scram->first_bare, scram->server_first, scram->final_bare);
    hmac(scram->salted, "Client Key", client);
    must(EVP_Digest(client, DIGEST, stored, NULL, EVP_sha256(), NULL) == 1);
    hmac(stored, message, proof);
    for (size_t i = 0; i < DIGEST; i++)
        proof[i] ^= client[i];
    hmac(scram->salted, "Server Key", server);
    hmac(server, message, signature);
}

static bool first_step(struct scram *scram, struct talk *talk, const char *name)
{
    char own[32 + 1];
    unsigned char random[16];
    struct buf hex = BUF(64), coded = BUF(TEXT);
    char text[TEXT + 32];
    must(RAND_bytes(random, sizeof random) == 1);
    must(hex_encode(&hex, (struct slice){ (const char *)random, sizeof random }) == STATUS_OK);
    snprintf(own, sizeof own, "%.*s", (int)hex.len, hex.ptr);
    snprintf(scram->first_bare, sizeof scram->first_bare, "n=%s,r=%s", name, own);
    snprintf(text, sizeof text, "p=tls-exporter,,%s", scram->first_bare);
    bool fine = talk_send(talk, "AUTH SCRAM-SHA-256-PLUS %s", base64(&coded, slice_of(text)).ptr) &&
                talk_expect(talk, "334", NULL) && challenge(talk, scram->server_first, sizeof scram->server_first);
    buf_done(&hex);
    buf_done(&coded);
    return fine;
}

/* v=: only who holds the verifier could say it, and only on this connection. */
static bool server_is_right(const struct demo *demo, const struct talk *talk, const unsigned char signature[DIGEST])
{
    char said[TEXT];
    struct buf coded = BUF(TEXT);
    base64(&coded, (struct slice){ (const char *)signature, DIGEST });
    bool right = challenge(talk, said, sizeof said) && strncmp(said, "v=", 2) == 0 && strcmp(said + 2, coded.ptr) == 0;
    buf_done(&coded);
    return right || demo_wrong(demo, "the server could not prove that it knows the password's verifier");
}

bool demo_scram_login(struct talk *talk, const char *name, const char *secret)
{
    struct scram scram = { 0 };
    char nonce[TEXT / 2], text[2 * TEXT];
    unsigned char proof[DIGEST], signature[DIGEST];
    struct buf coded = BUF(2 * TEXT), proof_coded = BUF(128);
    bool fine = first_step(&scram, talk, name) && read_first(&scram, secret, nonce, sizeof nonce) &&
                put_final(&scram, talk, nonce);
    if (fine) {
        prove(&scram, proof, signature);
        base64(&proof_coded, (struct slice){ (const char *)proof, DIGEST });
        snprintf(text, sizeof text, "%s,p=%s", scram.final_bare, proof_coded.ptr);
        fine = talk_send(talk, "%s", base64(&coded, slice_of(text)).ptr) && talk_expect(talk, "334", NULL) &&
               server_is_right(talk->demo, talk, signature) && talk_send(talk, "%s", "") &&
               talk_expect(talk, "235", NULL);
    }
    wipe(scram.salted, sizeof scram.salted);
    buf_done(&coded);
    buf_done(&proof_coded);
    return fine;
}
