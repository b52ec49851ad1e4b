#include "base/testing.h"
#include "mail/jwt.h"
#include "mail/test_token.h"

#include <openssl/bio.h>
#include <openssl/pem.h>

#define NOW ((wall)1800000000000)
#define CLAIMS "{\"iss\":\"https://id.test\",\"aud\":\"ekirei\",\"exp\":1800000300,\"email\":\"alice@our.test\"}"

enum { RSA_KEY, P256, P384, ED, KEYS };
static EVP_PKEY *keys[KEYS];
static const char *const ids[KEYS] = { "r1", "e1", "e3", "d1" };
static struct jwk_set *set;
static const struct token_rules rules = { .issuer = S("https://id.test"), .audience = S("ekirei"), .claim = S("email"), .now = NOW };

static struct jwk_set *read_set(struct slice text)
{
    struct jwk_set *read = NULL;
    assert_ok(jwk_set_open(text, &read));
    return read;
}

static int make_keys(void **state)
{
    (void)state;
    struct buf text = BUF(65536);
    keys[RSA_KEY] = EVP_RSA_gen(2048);
    keys[P256] = EVP_EC_gen("P-256");
    keys[P384] = EVP_EC_gen("P-384");
    keys[ED] = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    assert_ok(buf_put(&text, S("{\"keys\":[")));
    for (int i = 0; i < KEYS; i++) {
        assert_non_null(keys[i]);
        assert_ok(buf_print(&text, "%s{\"kid\":\"%s\",", i ? "," : "", ids[i]));
        token_put_jwk(&text, keys[i]);
        assert_ok(buf_put_byte(&text, '}'));
    }
    assert_ok(buf_put(&text, S("]}")));
    set = read_set(buf_slice(&text));
    assert_int_equal(jwk_set_count(set), KEYS);
    buf_done(&text);
    return 0;
}

static int drop_keys(void **state)
{
    (void)state;
    for (int i = 0; i < KEYS; i++)
        EVP_PKEY_free(keys[i]);
    jwk_set_release(set);
    return 0;
}

static enum token_fault verify_with(const struct jwk_set *which, struct slice token)
{
    struct arena arena = ARENA(65536);
    struct token_owner owner = { 0 };
    char *copy = exactly(token);
    enum token_fault fault = jwt_verify(which, (struct slice){ copy, token.len }, &rules, &arena, &owner);
    if (fault == TOKEN_GOOD)
        assert_text(owner.name, "alice@our.test");
    else
        assert_int_equal(owner.name.len, 0);
    free(copy);
    arena_done(&arena);
    return fault;
}

#define assert_fault(expression, wanted) assert_string_equal(token_fault_name(expression), token_fault_name(wanted))

static enum token_fault try_token(EVP_PKEY *key, const char *alg, const char *header, const char *payload)
{
    struct buf token = BUF(65536);
    token_make(&token, key, alg, header, payload);
    enum token_fault fault = verify_with(set, buf_slice(&token));
    buf_done(&token);
    return fault;
}

/* ---- what is right ------------------------------------------------------------------------------------------------- */

static void each_algorithm(void **state)
{
    (void)state;
    static const struct {
        const char *alg;
        int key;
    } rows[] = { { "RS256", RSA_KEY }, { "RS384", RSA_KEY }, { "RS512", RSA_KEY }, { "PS256", RSA_KEY }, { "PS384", RSA_KEY }, { "PS512", RSA_KEY },
        { "ES256", P256 }, { "ES384", P384 }, { "EdDSA", ED } };
    for (size_t i = 0; i < COUNT(rows); i++) {
        char header[200];
        snprintf(header, sizeof header, "{\"alg\":\"%s\",\"typ\":\"at+jwt\",\"kid\":\"%s\"}", rows[i].alg, ids[rows[i].key]);
        assert_fault(try_token(keys[rows[i].key], rows[i].alg, header, CLAIMS), TOKEN_GOOD);
        /* Without a name each key that fits is tried. */
        snprintf(header, sizeof header, "{\"alg\":\"%s\"}", rows[i].alg);
        assert_fault(try_token(keys[rows[i].key], rows[i].alg, header, CLAIMS), TOKEN_GOOD);
    }
}

static void verify_vector(const char *key, const char *text, enum token_fault past)
{
    struct jwk_set *own = read_set(slice_of(key));
    struct token_rules joe = { .issuer = S("joe"), .audience = S("ekirei"), .claim = S("email"), .now = 1000 };
    struct arena arena = ARENA(65536);
    struct token_owner owner;
    struct buf token = BUF(4096);
    assert_ok(buf_put(&token, slice_of(text)));
    assert_fault(jwt_verify(own, buf_slice(&token), &joe, &arena, &owner), past);
    token.ptr[token.len - 20] ^= 1; /* stays a digit of the alphabet in all of them */
    assert_fault(jwt_verify(own, buf_slice(&token), &joe, &arena, &owner), TOKEN_SIGNATURE);
    buf_done(&token);
    arena_done(&arena);
    jwk_set_release(own);
}

/* Their contents name no audience, or are no claims at all: that is found behind the signature only. */
static void vectors_of_RFC_7515_and_8037(void **state)
{
    (void)state;
    verify_vector("{\"keys\":[{\"kty\":\"RSA\",\"e\":\"AQAB\",\"n\":\"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddx"
                  "HmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSH"
                  "SXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8"
                  "NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ\"}]}",
        "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
        ".cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4"
        "BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqv"
        "hJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw", TOKEN_AUDIENCE);
    verify_vector("{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
                  "\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"}]}",
        "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
        ".DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q", TOKEN_AUDIENCE);
    /* RFC 8037 A.4 */
    verify_vector("{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}]}",
        "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc"
        ".hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg", TOKEN_MALFORMED);
}

/* ---- tricks -------------------------------------------------------------------------------------------------------- */

static void C089_headers_choose_nothing(void **state)
{
    (void)state;
    static const struct {
        const char *header;
        enum token_fault fault;
    } rows[] = {
        { "{\"alg\":\"none\",\"kid\":\"r1\"}", TOKEN_ALGORITHM },
        { "{\"alg\":\"None\"}", TOKEN_ALGORITHM },
        { "{\"alg\":\"rs256\"}", TOKEN_ALGORITHM },
        { "{\"alg\":\"HS256\",\"kid\":\"r1\"}", TOKEN_ALGORITHM },
        { "{\"alg\":\"ES256K\"}", TOKEN_ALGORITHM },
        { "{\"alg\":[\"RS256\"]}", TOKEN_ALGORITHM },
        { "{\"kid\":\"r1\"}", TOKEN_ALGORITHM },
        { "{\"alg\":\"RS256\",\"kid\":\"r2\"}", TOKEN_UNKNOWN_KEY },
        { "{\"alg\":\"RS256\",\"kid\":\"../../keys/r1\"}", TOKEN_UNKNOWN_KEY },
        { "{\"alg\":\"RS256\",\"kid\":\"/dev/null\"}", TOKEN_UNKNOWN_KEY },
        { "{\"alg\":\"RS256\",\"kid\":\"https://evil.test/jwks\"}", TOKEN_UNKNOWN_KEY },
        { "{\"alg\":\"RS256\",\"kid\":\"\"}", TOKEN_MALFORMED },
        { "{\"alg\":\"RS256\",\"kid\":1}", TOKEN_MALFORMED },
        { "{\"alg\":\"RS256\",\"kid\":\"e1\"}", TOKEN_ALGORITHM }, /* that key is of another kind */
        { "{\"alg\":\"ES256\",\"kid\":\"r1\"}", TOKEN_ALGORITHM },
        { "{\"alg\":\"ES256\",\"kid\":\"e3\"}", TOKEN_ALGORITHM },
        { "{\"alg\":\"RS512\",\"kid\":\"r1\"}", TOKEN_SIGNATURE }, /* signed as RS256 */
        { "{\"alg\":\"PS256\",\"kid\":\"r1\"}", TOKEN_SIGNATURE },
        { "{\"alg\":\"RS256\",\"crit\":[\"exp\"],\"kid\":\"r1\"}", TOKEN_CRITICAL },
        { "{\"alg\":\"RS256\",\"crit\":[],\"kid\":\"r1\"}", TOKEN_CRITICAL },
        { "{\"alg\":\"RS256\",\"typ\":\"logout+jwt\",\"kid\":\"r1\"}", TOKEN_TYPE },
        { "{\"alg\":\"RS256\",\"typ\":\"dpop+jwt\",\"kid\":\"r1\"}", TOKEN_TYPE },
        { "{\"alg\":\"none\",\"alg\":\"RS256\"}", TOKEN_MALFORMED },
        { "{\"alg\":\"RS256\",\"kid\":\"r2\",\"kid\":\"r1\"}", TOKEN_MALFORMED },
        { "{\"alg\":\"RS256\"} ,", TOKEN_MALFORMED },
        { "[\"RS256\"]", TOKEN_MALFORMED },
        { "", TOKEN_MALFORMED },
        { "{\"alg\":\"RS256\",\"x\":[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]}", TOKEN_MALFORMED },
        { "{\"alg\":\"RS256\",\"jku\":\"https://evil.test/jwks\",\"x5u\":\"https://evil.test/c\",\"kid\":\"r1\"}", TOKEN_GOOD },
        { "{\"alg\":\"RS256\",\"typ\":\"JWT\",\"kid\":\"r1\"}", TOKEN_GOOD },
        { "{\"alg\":\"RS256\",\"typ\":\"application/AT+jwt\",\"kid\":\"r1\"}", TOKEN_GOOD },
    };
    for (size_t i = 0; i < COUNT(rows); i++)
        assert_fault(try_token(keys[RSA_KEY], "RS256", rows[i].header, CLAIMS), rows[i].fault);
}

/* RFC 8725 2.1: the public key taken for a shared secret. */
static void C089_a_public_key_is_no_secret(void **state)
{
    (void)state;
    struct buf token = BUF(65536);
    unsigned char mac[EVP_MAX_MD_SIZE];
    unsigned int len = sizeof mac;
    char *pem;
    BIO *memory = BIO_new(BIO_s_mem());
    assert_int_equal(PEM_write_bio_PUBKEY(memory, keys[RSA_KEY]), 1);
    long pem_len = BIO_get_mem_data(memory, &pem);
    static const char *const headers[] = { "{\"alg\":\"HS256\",\"kid\":\"r1\"}", "{\"alg\":\"RS256\",\"kid\":\"r1\"}" };
    static const enum token_fault faults[] = { TOKEN_ALGORITHM, TOKEN_SIGNATURE };
    for (size_t i = 0; i < COUNT(headers); i++) {
        buf_clear(&token);
        token_put64(&token, headers[i], strlen(headers[i]));
        assert_ok(buf_put_byte(&token, '.'));
        token_put64(&token, CLAIMS, strlen(CLAIMS));
        HMAC(EVP_sha256(), pem, (int)pem_len, (const unsigned char *)token.ptr, token.len, mac, &len);
        assert_ok(buf_put_byte(&token, '.'));
        token_put64(&token, mac, len);
        assert_fault(verify_with(set, buf_slice(&token)), faults[i]);
    }
    BIO_free(memory);
    buf_done(&token);
}

/* A key that travels in the token is not looked at (RFC 7515 4.1.3). */
static void C089_an_embedded_key_is_ignored(void **state)
{
    (void)state;
    struct buf header = BUF(8192);
    EVP_PKEY *own = EVP_EC_gen("P-256");
    assert_ok(buf_put(&header, S("{\"alg\":\"ES256\",\"jwk\":{")));
    token_put_jwk(&header, own);
    assert_ok(buf_put(&header, S("}}\0")));
    assert_fault(try_token(own, "ES256", header.ptr, CLAIMS), TOKEN_SIGNATURE);
    EVP_PKEY_free(own);
    buf_done(&header);
}

static void C089_signatures_have_one_form(void **state)
{
    (void)state;
    struct buf token = BUF(65536), other = BUF(65536);
    token_make(&token, keys[P256], "ES256", "{\"alg\":\"ES256\",\"kid\":\"e1\"}", CLAIMS);
    struct slice whole = buf_slice(&token);
    assert_fault(verify_with(set, whole), TOKEN_GOOD);
    size_t dot = slice_find_last(whole, '.');
    /* cut, empty, longer, none, padded */
    assert_fault(verify_with(set, slice_upto(whole, whole.len - 2)), TOKEN_SIGNATURE);
    assert_fault(verify_with(set, slice_upto(whole, dot + 1)), TOKEN_SIGNATURE);
    assert_fault(verify_with(set, slice_upto(whole, dot)), TOKEN_MALFORMED);
    static const char *const tails[] = { "=", "==", " ", "\n", ".", ".AAAA", "AAA" };
    for (size_t i = 0; i < COUNT(tails); i++) {
        buf_clear(&other);
        assert_ok(buf_print(&other, "%.*s%s", (int)whole.len, whole.ptr, tails[i]));
        assert_fault(verify_with(set, buf_slice(&other)), TOKEN_MALFORMED);
    }
    /* 64 octets are 86 digits, of which the last has four bits that must be zero. */
    token.ptr[token.len - 1]++;
    assert_fault(verify_with(set, whole), TOKEN_MALFORMED);
    /* r = s = 0 (CVE-2022-21449) */
    char zeros[64] = { 0 };
    token.len = dot + 1;
    token_put64(&token, zeros, sizeof zeros);
    assert_fault(verify_with(set, buf_slice(&token)), TOKEN_SIGNATURE);
    buf_done(&token);
    buf_done(&other);
}

static void C089_a_DER_signature_is_none(void **state)
{
    (void)state;
    struct buf token = BUF(65536);
    unsigned char der[200];
    size_t len = sizeof der;
    token_make(&token, keys[P256], "ES256", "{\"alg\":\"ES256\",\"kid\":\"e1\"}", CLAIMS);
    token.len = slice_find_last(buf_slice(&token), '.');
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    assert_int_equal(EVP_DigestSignInit_ex(context, NULL, "SHA256", NULL, NULL, keys[P256], NULL), 1);
    assert_int_equal(EVP_DigestSign(context, der, &len, (const unsigned char *)token.ptr, token.len), 1);
    EVP_MD_CTX_free(context);
    assert_ok(buf_put_byte(&token, '.'));
    token_put64(&token, der, len);
    assert_fault(verify_with(set, buf_slice(&token)), TOKEN_SIGNATURE);
    buf_done(&token);
}

/* Every single bit counts. */
static void changed_tokens(void **state)
{
    (void)state;
    struct buf token = BUF(65536);
    token_make(&token, keys[ED], "EdDSA", "{\"alg\":\"EdDSA\",\"kid\":\"d1\"}", CLAIMS);
    for (size_t i = 0; i < token.len; i++)
        for (int bit = 0; bit < 8; bit++) {
            token.ptr[i] = (char)(token.ptr[i] ^ 1 << bit);
            assert_true(verify_with(set, buf_slice(&token)) != TOKEN_GOOD);
            token.ptr[i] = (char)(token.ptr[i] ^ 1 << bit);
        }
    for (size_t len = 0; len < token.len; len++)
        assert_true(verify_with(set, slice_upto(buf_slice(&token), len)) != TOKEN_GOOD);
    buf_done(&token);
}

static void huge_tokens(void **state)
{
    (void)state;
    struct buf token = BUF(65536), payload = BUF(65536), header = BUF(65536);
    assert_ok(buf_put(&payload, S("{\"iss\":\"https://id.test\",\"aud\":\"ekirei\",\"exp\":1800000300,\"email\":\"alice@our.test\",\"x\":\"")));
    for (int i = 0; i < 10000; i++)
        assert_ok(buf_put_byte(&payload, 'x'));
    assert_ok(buf_put(&payload, S("\"}\0")));
    token_make(&token, keys[ED], "EdDSA", "{\"alg\":\"EdDSA\"}", payload.ptr);
    assert_fault(verify_with(set, buf_slice(&token)), TOKEN_MALFORMED);
    assert_ok(buf_print(&header, "{\"alg\":\"EdDSA\",\"x\":\"%*s\"}", 3000, ""));
    assert_ok(buf_put_byte(&header, 0));
    token_make(&token, keys[ED], "EdDSA", header.ptr, CLAIMS);
    assert_fault(verify_with(set, buf_slice(&token)), TOKEN_MALFORMED);
    buf_done(&token);
    buf_done(&payload);
    buf_done(&header);
}

static void what_is_a_jwt(void **state)
{
    (void)state;
    assert_true(jwt_is(S("eyJhbGciOiJSUzI1NiJ9.e30.AAAA")));
    assert_true(jwt_is(S("eyJhbGciOiJub25lIn0.e30.")));
    static const char *const none[] = { "", ".", "..", "opaque", "a.b.c", "ya29.a0Af_x.y", "eyJhbGciOiJSUzI1NiJ9.e30", "e30.e30.AAAA",
        "eyJhbGciOiJSUzI1NiJ9.e30.A.A.A", "eyJhbGciOjF9.e30.AAAA" };
    for (size_t i = 0; i < COUNT(none); i++)
        assert_false(jwt_is(slice_of(none[i])));
}

/* ---- key sets ------------------------------------------------------------------------------------------------------ */

static void assert_set(const char *text, enum status wanted, size_t count)
{
    struct jwk_set *read = NULL;
    char *copy = exactly(slice_of(text));
    enum status status = jwk_set_open((struct slice){ copy, strlen(text) }, &read);
    free(copy);
    assert_string_equal(status_name(status), status_name(wanted));
    if (read)
        assert_int_equal(jwk_set_count(read), count);
    jwk_set_release(read);
}

#define EC_KEY "\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\",\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\""
#define ED_KEY "\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\""

static void key_sets(void **state)
{
    (void)state;
    static const char *const malformed[] = { "", "[]", "{}", "{\"keys\":{}}", "null", "{\"keys\":[],\"keys\":[]}", "{\"keys\":[]", "\xff" };
    for (size_t i = 0; i < COUNT(malformed); i++)
        assert_set(malformed[i], STATUS_MALFORMED, 0);
    static const char *const useless[] = {
        "{\"keys\":[]}",
        "{\"keys\":[1,\"x\",null,[],{}]}",
        "{\"keys\":[{\"kty\":\"oct\",\"k\":\"AAAA\"}]}",
        "{\"keys\":[{" EC_KEY ",\"use\":\"enc\"}]}",
        "{\"keys\":[{" EC_KEY ",\"key_ops\":[\"encrypt\"]}]}",
        "{\"keys\":[{" EC_KEY ",\"key_ops\":[]}]}",
        "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-521\",\"x\":\"AA\",\"y\":\"AA\"}]}",
        "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"X25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}]}",
        "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHUQ\"}]}",
        /* a point beside the curve, and one without its leading octet */
        "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\",\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a4\"}]}",
        "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"zc4ncPbEXUGDy-5v20t7WAczNXvp7xO6z248e9FURQ\",\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"}]}",
        "{\"keys\":[{\"kty\":\"RSA\",\"n\":\"AQAB\",\"e\":\"AQAB\"}]}",
    };
    for (size_t i = 0; i < COUNT(useless); i++)
        assert_set(useless[i], STATUS_NOT_FOUND, 0);
    assert_set("{\"keys\":[{\"kty\":\"oct\",\"k\":\"AAAA\"},{" EC_KEY ",\"use\":\"sig\",\"kid\":\"a\"},{\"kty\":\"x\"},{" ED_KEY ",\"key_ops\":[\"verify\"]}]}", STATUS_OK, 2);
}

static void a_key_keeps_to_its_algorithm(void **state)
{
    (void)state;
    struct buf text = BUF(65536), token = BUF(65536);
    assert_ok(buf_put(&text, S("{\"keys\":[{\"kid\":\"r1\",\"alg\":\"PS256\",")));
    token_put_jwk(&text, keys[RSA_KEY]);
    assert_ok(buf_put(&text, S("}]}")));
    struct jwk_set *own = read_set(buf_slice(&text));
    token_make(&token, keys[RSA_KEY], "RS256", "{\"alg\":\"RS256\",\"kid\":\"r1\"}", CLAIMS);
    assert_fault(verify_with(own, buf_slice(&token)), TOKEN_ALGORITHM);
    token_make(&token, keys[RSA_KEY], "PS256", "{\"alg\":\"PS256\",\"kid\":\"r1\"}", CLAIMS);
    assert_fault(verify_with(own, buf_slice(&token)), TOKEN_GOOD);
    jwk_set_release(own);
    buf_done(&text);
    buf_done(&token);
}

static void short_RSA_keys_are_left_out(void **state)
{
    (void)state;
    static const unsigned bits[] = { 1024, 2040, 2048 };
    for (size_t i = 0; i < COUNT(bits); i++) {
        struct buf text = BUF(65536);
        EVP_PKEY *key = EVP_RSA_gen(bits[i]);
        assert_ok(buf_put(&text, S("{\"keys\":[{")));
        token_put_jwk(&text, key);
        assert_ok(buf_put(&text, S("}]}\0")));
        assert_set(text.ptr, bits[i] < 2048 ? STATUS_NOT_FOUND : STATUS_OK, 1);
        EVP_PKEY_free(key);
        buf_done(&text);
    }
}

static void a_set_has_a_bound(void **state)
{
    (void)state;
    struct buf text = BUF(65536);
    assert_ok(buf_put(&text, S("{\"keys\":[{" ED_KEY "}")));
    for (int i = 0; i < 2 * LIMIT_TOKEN_KEYS; i++)
        assert_ok(buf_put(&text, S(",{" ED_KEY "}")));
    assert_ok(buf_put(&text, S("]}\0")));
    assert_set(text.ptr, STATUS_OK, LIMIT_TOKEN_KEYS);
    buf_done(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_algorithm),
        cmocka_unit_test(vectors_of_RFC_7515_and_8037),
        cmocka_unit_test(C089_headers_choose_nothing),
        cmocka_unit_test(C089_a_public_key_is_no_secret),
        cmocka_unit_test(C089_an_embedded_key_is_ignored),
        cmocka_unit_test(C089_signatures_have_one_form),
        cmocka_unit_test(C089_a_DER_signature_is_none),
        cmocka_unit_test(changed_tokens),
        cmocka_unit_test(huge_tokens),
        cmocka_unit_test(what_is_a_jwt),
        cmocka_unit_test(key_sets),
        cmocka_unit_test(a_key_keeps_to_its_algorithm),
        cmocka_unit_test(short_RSA_keys_are_left_out),
        cmocka_unit_test(a_set_has_a_bound),
    };
    return cmocka_run_group_tests(tests, make_keys, drop_keys);
}
