/* fuzz_token.c - tokens and what belongs to them: key sets, signed tokens, claims, answers of introspection.  The first octet chooses. */
#include <string.h>

#include "base/must.h"
#include "mail/coding.h"
#include "mail/json.h"
#include "mail/jwt.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Of RFC 8037 A.1 and RFC 7515 A.3: nobody has signed claims with them. */
static const char fixed[] = "{\"keys\":[{\"kid\":\"d\",\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"},"
    "{\"kid\":\"e\",\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\",\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"}]}";

static const struct token_rules rules = { .issuer = S("i"), .audience = S("a"), .scope = S("s"), .claim = S("email"), .now = 1000000 };

static void try_set(struct slice in)
{
    struct jwk_set *set;
    if (jwk_set_open(in, &set) != STATUS_OK)
        return;
    must(jwk_set_count(set) > 0 && jwk_set_count(set) <= LIMIT_TOKEN_KEYS);
    for (size_t i = 0; i < jwk_set_count(set); i++)
        must(jwk_set_at(set, i)->key && jwk_set_at(set, i)->kind >= JWK_RSA && jwk_set_at(set, i)->kind <= JWK_ED25519);
    jwk_set_release(set);
}

static void try_token(struct slice in, struct arena *a)
{
    static struct jwk_set *set;
    struct token_owner owner;
    if (!set)
        must(jwk_set_open(slice_of(fixed), &set) == STATUS_OK);
    must(jwt_verify(set, in, &rules, a, &owner) != TOKEN_GOOD);
    (void)jwt_is(in);
}

static void try_claims(struct slice in, bool whole, struct arena *a)
{
    struct token_owner owner = { 0 };
    enum token_fault fault = whole ? token_claims(in, &rules, a, &owner) : token_introspected(in, &rules, a, &owner);
    must((fault == TOKEN_GOOD) == (owner.name.len > 0));
    must(fault != TOKEN_GOOD || (owner.name.len <= LIMIT_LOGIN_NAME && slice_is_utf8(owner.name) && !slice_has_control(owner.name)));
    must(fault != TOKEN_GOOD || (owner.until ? owner.until > rules.now : !whole));
    must(strcmp(token_fault_name(fault), "unknown") != 0);
}

/* What can be decoded has one form only. */
static void try_digits(struct slice in)
{
    struct buf octets = BUF(LIMIT_AUTH_LINE), again = BUF(2 * LIMIT_AUTH_LINE);
    if (base64url_decode(&octets, in) == STATUS_OK) {
        must(base64_encode(&again, buf_slice(&octets)) == STATUS_OK);
        for (size_t i = 0; i < in.len; i++)
            must(in.ptr[i] == (again.ptr[i] == '+' ? '-' : again.ptr[i] == '/' ? '_' : again.ptr[i]));
    }
    buf_done(&octets);
    buf_done(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool started;
    if (!started)
        json_start(1);
    started = true;
    if (size == 0)
        return 0;
    struct arena arena = ARENA(1u << 20);
    struct slice in = { (const char *)data + 1, size - 1 };
    switch (data[0] % 5) {
    case 0: try_set(in); break;
    case 1: try_token(in, &arena); break;
    case 2: try_claims(in, true, &arena); break;
    case 3: try_claims(in, false, &arena); break;
    default: try_digits(in);
    }
    arena_done(&arena);
    return 0;
}
