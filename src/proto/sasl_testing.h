/* sasl_testing.h - what the tests of the mechanisms share: a place to log in from, and both sides' base64. */
#pragma once

#include "base/testing.h"
#include "mail/coding.h"
#include "proto/sasl.h"

static struct arena test_arena = ARENA(65536);
static struct sasl sasl;
static struct buf test_text = BUF(65536), test_encoded = BUF(65536);
static struct settings test_settings;
static struct tls_facts test_tls;
static struct random_stream test_random;
static struct sasl_scene scene;

static inline struct slice base64(struct slice plain)
{
    buf_clear(&test_encoded);
    assert_ok(base64_encode(&test_encoded, plain));
    return buf_slice(&test_encoded);
}

/* An initial response. */
static inline enum sasl_outcome start(const char *mechanism, struct slice plain)
{
    const struct sasl_mechanism *row = sasl_find(slice_of(mechanism));
    assert_non_null(row);
    return sasl_start(&sasl, row, &scene, plain.len == 0 ? S("=") : base64(plain), &test_arena);
}

static inline enum sasl_outcome start_empty(const char *mechanism)
{
    const struct sasl_mechanism *row = sasl_find(slice_of(mechanism));
    assert_non_null(row);
    return sasl_start(&sasl, row, &scene, NO_SLICE, &test_arena);
}

static inline enum sasl_outcome step(struct slice plain) { return sasl_step(&sasl, base64(plain)); }

static inline struct slice challenge(void)
{
    buf_clear(&test_text);
    assert_ok(base64_decode(&test_text, sasl.challenge));
    return buf_slice(&test_text);
}

static inline struct ask filled(void)
{
    struct ask ask = { .kind = sasl.asks, .fd = -1 };
    sasl_fill(&sasl, &ask);
    return ask;
}

static inline enum sasl_outcome answer_verdict(enum login_verdict verdict)
{
    struct answer answer = { .kind = sasl.asks, .fd = -1 };
    answer.login = (struct answer_login){ .verdict = (uint8_t)verdict, .account = 7,
        .address = verdict == LOGIN_OK ? S("joe@a.example") : NO_SLICE };
    return sasl_answer(&sasl, &answer);
}

/* SMTP over TLS 1.3 with every fact. */
static inline int fresh(void **state)
{
    (void)state;
    sasl_done(&sasl);
    arena_reset(&test_arena);
    test_settings = (struct settings){ .holders = 1, .auth_mechanisms = MECHANISMS_ALL, .hostname = S("mail.example.test"), .oauth_jwks = S("keys.json"),
        .auth_client_certificates = true };
    test_tls = (struct tls_facts){ .version = S("TLSv1.3"), .exporter = S("0123456789abcdef0123456789abcdef"), .end_point = S("\0end"),
        .peer_key = S("kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk") };
    test_random = (struct random_stream){ 1 };
    scene = (struct sasl_scene){ .settings = &test_settings, .session = S("u0-1a"), .protocol = PROTOCOL_SMTP, .tls = &test_tls,
        .random = &test_random, .now = 1795428245000 };
    assert_ok(ip_parse(S("198.51.100.7"), &scene.peer));
    assert_ok(ip_parse(S("192.0.2.1"), &scene.local));
    return 0;
}

static inline int run_group(const char *name, const struct CMUnitTest *tests, size_t count)
{
    int failed = _cmocka_run_group_tests(name, tests, count, NULL, NULL);
    sasl_done(&sasl);
    buf_done(&test_text);
    buf_done(&test_encoded);
    arena_done(&test_arena);
    return failed;
}
#define TEST(function) cmocka_unit_test_setup(function, fresh)
