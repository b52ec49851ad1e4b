#include "base/testing.h"
#include "proto/pop3/pop3_reply.h"
#include "proto/refusal.h"
#include "proto/smtp/smtp_reply.h"

static bool is_sentence(const char *text)
{
    struct slice s = slice_of(text);
    return s.len > 10 && slice_is_utf8(s) && !slice_has_control(s) &&
           (slice_ends_nocase(s, S(".")) || slice_ends_nocase(s, S("。")));
}

static bool is_word(const char *word)
{
    bool fine = *word != '\0';
    for (; *word; word++)
        fine = fine && ((*word >= 'a' && *word <= 'z') || (*word >= '0' && *word <= '9') || *word == '-');
    return fine;
}

static void every_number_is_explained_in_both_languages(void **state)
{
    (void)state;
    uint32_t before = 0;
    const struct refusal_row *row, *other;
    for (size_t i = 0; (row = refusal_each(i)); i++) {
        assert_true(row->number > before && row->number < REFUSAL_END); /* ascending, so never twice */
        before = row->number;
        assert_ptr_equal(refusal_find(row->number), row);
        assert_true(is_word(row->word));
        for (size_t j = 0; j < i; j++) {
            other = refusal_each(j);
            assert_string_not_equal(other->word, row->word);
        }
        for (unsigned language = 0; language < LANGUAGES; language++)
            assert_true(is_sentence(row->text[language].happened) && is_sentence(row->text[language].remedy));
        assert_string_not_equal(row->text[LANGUAGE_EN].happened, row->text[LANGUAGE_JA].happened);
    }
    assert_null(refusal_find(REFUSAL_NONE));
    assert_null(refusal_find(REFUSAL_END));
    assert_null(refusal_find(UINT32_MAX));
}

/* Manuals and users name them: a change of any is a mistake. */
static void numbers_are_for_ever(void **state)
{
    (void)state;
    static const struct { uint32_t number; const char *word; } known[] = { { 1, "login" }, { 2, "needs-tls" }, { 17, "prove-yourself" },
        { 19, "lease-used-up" }, { 25, "relaying" }, { 30, "no-such-user" }, { 50, "crowded" }, { 70, "no-such-message" } };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        assert_string_equal(refusal_find(known[i].number)->word, known[i].word);
}

static void every_refusing_reply_has_a_number_and_every_number_a_reply(void **state)
{
    (void)state;
    bool used[REFUSAL_END] = { false };
    for (unsigned i = REPLY_NONE + 1; i < REPLY_COUNT; i++) {
        const struct smtp_reply_row *row = &smtp_replies[i];
        assert_true(row->code > 0);
        assert_int_equal(row->code >= 400, row->refusal != REFUSAL_NONE);
        assert_true(row->code < 400 || refusal_find(row->refusal));
        assert_true(!row->told || row->refusal != REFUSAL_NONE);
        used[row->refusal] = true;
    }
    for (unsigned i = 0; i < POP3_REPLIES; i++) {
        const struct pop3_reply_row *row = &pop3_replies[i];
        assert_int_equal(row->status[0] == '-', row->refusal != REFUSAL_NONE);
        assert_true(row->status[0] == '+' || refusal_find(row->refusal));
        assert_true(!row->told || row->refusal != REFUSAL_NONE);
        used[row->refusal] = true;
    }
    const struct refusal_row *row;
    for (size_t i = 0; (row = refusal_each(i)); i++)
        assert_true(used[row->number]);
}

static void digits(void **state)
{
    (void)state;
    char room[REFUSAL_DIGITS];
    assert_true(slice_equal(refusal_digits(REFUSAL_LOGIN, room), S("1")));
    assert_true(slice_equal(refusal_digits(REFUSAL_PROVE_YOURSELF, room), S("17")));
    assert_true(slice_equal(refusal_digits(99, room), S("99")));
}

/* C073: an unknown name, a wrong password, a disabled account, a device out of its place: one reply in each protocol. */
static void test_C073_one_number_for_every_failed_login(void **state)
{
    (void)state;
    assert_int_equal(smtp_replies[REPLY_WRONG_LOGIN].refusal, REFUSAL_LOGIN);
    assert_int_equal(pop3_replies[POP3_LOGIN_WRONG].refusal, REFUSAL_LOGIN);
    for (unsigned i = REPLY_NONE + 1; i < REPLY_COUNT; i++)
        assert_true(smtp_replies[i].refusal != REFUSAL_LOGIN || i == REPLY_WRONG_LOGIN);
    for (unsigned i = 0; i < POP3_REPLIES; i++)
        assert_true(pop3_replies[i].refusal != REFUSAL_LOGIN || i == POP3_LOGIN_WRONG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_number_is_explained_in_both_languages),
        cmocka_unit_test(numbers_are_for_ever),
        cmocka_unit_test(digits),
        cmocka_unit_test(every_refusing_reply_has_a_number_and_every_number_a_reply),
        cmocka_unit_test(test_C073_one_number_for_every_failed_login),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
