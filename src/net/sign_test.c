/* The gate's end and the signer's, with nothing between them but the stream. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "net/test_talk.h"

static const char ticket_key[80] = "a key for tickets that is eighty octets long, or nearly so, and zero behind that";

static struct tls_plan plan_of(const struct tls_pair *pair)
{
    return (struct tls_plan){ .pairs = pair, .pair_count = 1, .min_version = TLS1_2_VERSION, .ticket_key = { ticket_key, sizeof ticket_key }, .ticket_scope = S("pop3") };
}

static void a_handshake_goes_through_the_signer(void **state)
{
    (void)state;
    struct test_pair made = test_pair_make("server", "DNS:mail.example", false);
    const struct test_pair *all[] = { &made };
    struct signer *signer = test_signer(all, 1);
    struct tls_pair pair = test_pair_view(&made);
    struct tls_plan plan = plan_of(&pair);
    struct tls_context *context = open_context(&plan);
    struct talk talk = open_talk(context, TLS1_3_VERSION, NULL);
    pump(&talk, 65536);
    if (!tls_is_ready(talk.server))
        print_message("%s\n", tls_problem(talk.server));
    assert_true(tls_is_ready(talk.server));
    close_talk(&talk);
    tls_context_release(context);
    test_signer_done(signer);
    test_pair_done(&made);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_handshake_goes_through_the_signer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
