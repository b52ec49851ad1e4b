#include "base/ip.h"

#include "base/testing.h"

static struct ip ip_of(const char *text)
{
    struct ip ip;
    assert_ok(ip_parse(slice_of(text), &ip));
    return ip;
}

static void C104_mapped_and_plain_are_one_address(void **state)
{
    (void)state;
    assert_true(ip_equal(ip_of("192.0.2.1"), ip_of("::ffff:192.0.2.1")));
    assert_true(ip_equal(ip_of("192.0.2.1"), ip_of("::FFFF:c000:201")));
    assert_true(ip_is_v4(ip_of("::ffff:192.0.2.1")));
    assert_false(ip_is_v4(ip_of("::192.0.2.1")));
    assert_false(ip_is_v4(ip_of("2001:db8::1")));
}

static void printing_follows_rfc_5952(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        { "192.0.2.1", "192.0.2.1" },
        { "::ffff:0:1", "0.0.0.1" },
        { "0.0.0.0", "0.0.0.0" },
        { "255.255.255.255", "255.255.255.255" },
        { "::", "::" },
        { "::1", "::1" },
        { "1::", "1::" },
        { "2001:DB8::1", "2001:db8::1" },
        { "2001:0db8:0000:0000:0000:0000:0000:0001", "2001:db8::1" },
        { "2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1" }, /* 4.2.2: one group is not shortened */
        { "2001:0:0:1:0:0:0:1", "2001:0:0:1::1" },           /* 4.2.3: the longest run */
        { "2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1" },     /* 4.2.3: the first of equals */
        { "1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8" },
        { "0:0:3:4:5:6:7:8", "::3:4:5:6:7:8" },
        { "1:2:3:4:5:6:0:0", "1:2:3:4:5:6::" },
        { "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff" },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct buf b = BUF(45);
        assert_ok(ip_print(&b, ip_of(rows[i][0])));
        assert_octets(buf_slice(&b), slice_of(rows[i][1]));
        assert_true(ip_equal(ip_of(rows[i][0]), ip_of(rows[i][1])));
        buf_done(&b);
    }
    struct buf small = BUF(8);
    assert_status(ip_print(&small, ip_of("192.0.2.1")), STATUS_TOO_BIG);
    assert_int_equal(small.len, 0);
    buf_done(&small);
}

static void C032_only_exact_forms_are_read(void **state)
{
    (void)state;
    static const char *const wrong[] = { "", "1", "1.2.3", "1.2.3.4.5", "1.2.3.256", "01.2.3.4", "0x7f.1", "0x7f.0.0.1",
        "127.1", " 1.2.3.4", "1.2.3.4 ", "1.2.3.4/8", "[::1]", "::1%lo", ":", ":::", "1::2::3", "1:2:3:4:5:6:7",
        "1:2:3:4:5:6:7:8:9", "12345::", "g::", "::1.2.3", "::ffff:1.2.3.400", "2130706433",
        "0000:0000:0000:0000:0000:0000:255.255.255.255:0" };
    for (size_t i = 0; i < COUNT(wrong); i++) {
        struct ip ip;
        assert_status(ip_parse(slice_of(wrong[i]), &ip), STATUS_MALFORMED);
    }
    struct ip ip;
    assert_status(ip_parse(S("1.2.3.4\0"), &ip), STATUS_MALFORMED);
}

static void prefixes_at_every_length(void **state)
{
    (void)state;
    struct ip ones = ip_of("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
    for (unsigned bits = 0; bits <= 128; bits++) {
        struct ip cut = ip_prefix(ones, (uint8_t)bits);
        for (unsigned i = 0; i < 128; i++)
            assert_int_equal(cut.octets[i / 8] >> (7 - i % 8) & 1, i < bits);
    }
}

static void places_and_what_is_around_them(void **state)
{
    (void)state;
    static const char *const rows[][3] = {
        { "192.0.2.7", "192.0.2.7", "192.0.2.0" },
        { "::ffff:192.0.2.7", "192.0.2.7", "192.0.2.0" },
        { "2001:db8:1:2:3:4:5:6", "2001:db8:1:2::", "2001:db8:1:2::" },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        assert_true(ip_equal(ip_place(ip_of(rows[i][0])), ip_of(rows[i][1])));
        assert_true(ip_equal(ip_vicinity(ip_of(rows[i][0])), ip_of(rows[i][2])));
    }
}

static void networks_match_in_one_form(void **state)
{
    (void)state;
    static const struct row {
        const char *network, *ip;
        bool inside;
    } rows[] = {
        { "192.0.2.0/24", "192.0.2.255", true },
        { "192.0.2.0/24", "::ffff:192.0.2.7", true },
        { "192.0.2.0/24", "192.0.3.0", false },
        { "192.0.2.7", "192.0.2.7", true },
        { "192.0.2.7", "192.0.2.6", false },
        { "0.0.0.0/0", "203.0.113.9", true },
        { "0.0.0.0/0", "2001:db8::1", false }, /* all of IPv4 is not all */
        { "::/0", "203.0.113.9", true },
        { "2001:db8::/32", "2001:db8:ffff::", true },
        { "2001:db8::/32", "2001:db9::", false },
        { "::ffff:192.0.2.0/120", "192.0.2.9", true },
        { "192.0.2.4/30", "192.0.2.8", false },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct network network;
        assert_ok(network_parse(slice_of(rows[i].network), &network));
        assert_int_equal(network_has(network, ip_of(rows[i].ip)), rows[i].inside);
        assert_int_equal(networks_have((struct networks){ &network, 1 }, ip_of(rows[i].ip)), rows[i].inside);
    }
    assert_false(networks_have((struct networks){ NULL, 0 }, ip_of("::1")));
}

static void networks_are_read_strictly_and_printed_back(void **state)
{
    (void)state;
    static const char *const wrong[] = { "192.0.2.1/24", "192.0.2.0/33", "192.0.2.0/", "192.0.2.0/-1", "192.0.2.0/24/1",
        "/24", "2001:db8::/129", "2001:db8::1/64", "192.0.2.0/ 24", "::ffff:192.0.2.1/120" };
    struct network network;
    for (size_t i = 0; i < COUNT(wrong); i++)
        assert_status(network_parse(slice_of(wrong[i]), &network), STATUS_MALFORMED);
    static const char *const right[][2] = { { "192.0.2.0/24", "192.0.2.0/24" }, { "192.0.2.7", "192.0.2.7/32" },
        { "::1", "::1/128" }, { "0.0.0.0/0", "0.0.0.0/0" }, { "::/0", "::/0" }, { "2001:db8::/32", "2001:db8::/32" } };
    for (size_t i = 0; i < COUNT(right); i++) {
        struct buf b = BUF(49);
        assert_ok(network_parse(slice_of(right[i][0]), &network));
        assert_ok(network_print(&b, network));
        assert_octets(buf_slice(&b), slice_of(right[i][1]));
        buf_done(&b);
    }
    struct buf small = BUF(10);
    assert_ok(network_parse(S("192.0.2.0/24"), &network));
    assert_status(network_print(&small, network), STATUS_TOO_BIG);
    assert_int_equal(small.len, 0);
    buf_done(&small);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(C104_mapped_and_plain_are_one_address),
        cmocka_unit_test(printing_follows_rfc_5952),
        cmocka_unit_test(C032_only_exact_forms_are_read),
        cmocka_unit_test(prefixes_at_every_length),
        cmocka_unit_test(places_and_what_is_around_them),
        cmocka_unit_test(networks_match_in_one_form),
        cmocka_unit_test(networks_are_read_strictly_and_printed_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
