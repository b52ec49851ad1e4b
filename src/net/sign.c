#include "net/sign.h"

#include <openssl/err.h>
#include <openssl/x509.h>
#include <string.h>

#include "base/must.h"

#define LENGTH 4u

/* clang-format off */
const struct field sign_ask_fields[] = { F_U32(sign_ask, number), F_U8(sign_ask, kind), F_U32(sign_ask, detail), F_BYTES(sign_ask, key, SIGN_KEY_NAME),
    F_BYTES(sign_ask, octets, LIMIT_SIGNED), { .kind = FIELD_END } };
const struct field sign_answer_fields[] = { F_U32(sign_answer, number), F_U8(sign_answer, status), F_BYTES(sign_answer, octets, LIMIT_SIGNED), { .kind = FIELD_END } };

static const struct sign_scheme schemes[] = {
    { 0x0804, true,  "RSA",     SIGN_PADDING_PSS,   "SHA256" },   { 0x0805, true,  "RSA",   SIGN_PADDING_PSS,   "SHA384" },
    { 0x0806, true,  "RSA",     SIGN_PADDING_PSS,   "SHA512" },   { 0x0401, false, "RSA",   SIGN_PADDING_PKCS1, "SHA256" },
    { 0x0501, false, "RSA",     SIGN_PADDING_PKCS1, "SHA384" },   { 0x0601, false, "RSA",   SIGN_PADDING_PKCS1, "SHA512" },
    { 0x0301, false, "RSA",     SIGN_PADDING_PKCS1, "SHA224" },   { 0x0201, false, "RSA",   SIGN_PADDING_PKCS1, "SHA1" },
    { 0xfe01, false, "RSA",     SIGN_PADDING_PKCS1, "MD5-SHA1" }, /* RFC 4346 7.4.3 */
    { 0x0403, true,  "EC",      SIGN_PADDING_NONE,  "SHA256" },   { 0x0503, true,  "EC",    SIGN_PADDING_NONE,  "SHA384" },
    { 0x0603, true,  "EC",      SIGN_PADDING_NONE,  "SHA512" },   { 0x0303, false, "EC",    SIGN_PADDING_NONE,  "SHA224" },
    { 0x0203, false, "EC",      SIGN_PADDING_NONE,  "SHA1" },     { 0x0807, true,  "ED25519", SIGN_PADDING_NONE, NULL },
    { 0x0808, true,  "ED448",   SIGN_PADDING_NONE,  NULL },
};
/* clang-format on */
#define SCHEMES (sizeof schemes / sizeof schemes[0])

/* ---- frames ---- */

enum status sign_put(struct buf *out, const struct field *fields, const void *message)
{
    uint32_t zero = 0;
    buf_clear(out);
    TRY(buf_put(out, (struct slice){ (const char *)&zero, LENGTH }));
    TRY(field_put(out, fields, message));
    uint32_t len = (uint32_t)(out->len - LENGTH);
    memcpy(out->ptr, &len, LENGTH);
    return STATUS_OK;
}

enum status sign_get(struct slice in, const struct field *fields, void *out_message, size_t *out_len)
{
    uint32_t len;
    if (in.len < LENGTH)
        return STATUS_BUSY;
    memcpy(&len, in.ptr, LENGTH);
    if (len > SIGN_FRAME - LENGTH)
        return STATUS_MALFORMED;
    if (in.len < LENGTH + len)
        return STATUS_BUSY;
    struct arena none = ARENA(0); /* there are no rows */
    if (field_get(slice_upto(slice_from(in, LENGTH), len), fields, &none, out_message) != STATUS_OK)
        return STATUS_MALFORMED;
    *out_len = LENGTH + len;
    return STATUS_OK;
}

/* ---- schemes ---- */

const struct sign_scheme *sign_scheme(uint32_t number)
{
    for (size_t i = 0; i < SCHEMES; i++)
        if (schemes[i].number == number)
            return &schemes[i];
    return NULL;
}

/* "SHA256" and "SHA2-256" are one: whoever asks has a name, the library knows them all. */
static bool is_digest(const char *ours, const char *theirs)
{
    bool none = !theirs || theirs[0] == '\0';
    if (!ours || none)
        return !ours && none;
    const EVP_MD *digest = EVP_get_digestbyname(ours);
    return strcmp(ours, theirs) == 0 || (digest && EVP_MD_is_a(digest, theirs));
}

const struct sign_scheme *sign_scheme_of(const char *key, enum sign_padding padding, const char *digest)
{
    for (size_t i = 0; i < SCHEMES; i++)
        if (strcmp(schemes[i].key, key) == 0 && schemes[i].padding == padding && is_digest(schemes[i].digest, digest))
            return &schemes[i];
    return NULL;
}

/* ---- what a server signs ---- */

#define SPACES  64u
#define RANDOMS 64u

/* RFC 8446 4.4.3: so that a signature made for one purpose is good for no other; a client's has other words.  Then the transcript's hash, SHA-256 or SHA-384. */
static bool is_new(struct slice octets)
{
    static const char words[] = "TLS 1.3, server CertificateVerify";
    if (octets.len != SPACES + sizeof words + 32 && octets.len != SPACES + sizeof words + 48)
        return false;
    for (size_t i = 0; i < SPACES; i++)
        if (octets.ptr[i] != ' ')
            return false;
    return memcmp(octets.ptr + SPACES, words, sizeof words) == 0; /* with the zero */
}

/* RFC 8422 5.4: client's and server's random, then ServerECDHParams: a named curve and a point on it as long as they are there.  DHE is not offered (tls.c). */
static bool is_old(struct slice octets)
{
    static const struct {
        uint16_t curve;
        uint8_t point;
        bool uncompressed;
    } curves[] = { { 23, 65, true }, { 24, 97, true }, { 25, 133, true }, { 29, 32, false }, { 30, 56, false } };
    const unsigned char *params = (const unsigned char *)octets.ptr + RANDOMS;
    if (octets.len < RANDOMS + 5 || params[0] != 3)
        return false;
    for (size_t i = 0; i < sizeof curves / sizeof curves[0]; i++)
        if ((params[1] << 8 | params[2]) == curves[i].curve)
            return params[3] == curves[i].point && octets.len == RANDOMS + 4 + curves[i].point && (!curves[i].uncompressed || params[4] == 4);
    return false;
}

bool sign_is_handshake(struct slice octets, const struct sign_scheme *scheme)
{
    return is_old(octets) || (scheme->new_too && is_new(octets));
}

/* ---- keys ---- */

bool sign_knows(const EVP_PKEY *key)
{
    for (size_t i = 0; i < SCHEMES; i++)
        if (EVP_PKEY_is_a(key, schemes[i].key))
            return true;
    return false;
}

enum status sign_name(EVP_PKEY *key, char out_name[SIGN_KEY_NAME])
{
    unsigned char *info = NULL;
    int size = i2d_PUBKEY(key, &info);
    bool named = size > 0 && EVP_Digest(info, (size_t)size, (unsigned char *)out_name, NULL, EVP_sha256(), NULL) == 1;
    OPENSSL_free(info);
    ERR_clear_error();
    return named ? STATUS_OK : STATUS_MALFORMED;
}
