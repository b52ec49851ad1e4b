#include "mail/codepoint.h"

#include <string.h>

#include <uninorm.h>
#include <unictype.h>

struct range {
    uint32_t first, last;
};

static bool is_in(uint32_t point, const struct range *ranges, size_t count)
{
    for (size_t at = 0; at < count; at++)
        if (point >= ranges[at].first && point <= ranges[at].last)
            return true;
    return false;
}
#define IS_IN(point, ranges) is_in((point), (ranges), sizeof(ranges) / sizeof(ranges)[0])

/* clang-format off */
/* RFC 5892 2.6, to which RFC 8264 9.6 refers */
static const struct range always_valid[] = { { 0xdf, 0xdf }, { 0x3c2, 0x3c2 }, { 0x6fd, 0x6fe }, { 0xf0b, 0xf0b }, { 0x3007, 0x3007 } };
static const struct range in_context[] = { { 0xb7, 0xb7 }, { 0x375, 0x375 }, { 0x5f3, 0x5f4 }, { 0x660, 0x669 }, { 0x6f0, 0x6f9 },
    { 0x200c, 0x200d }, { 0x30fb, 0x30fb } };
static const struct range never_valid[] = { { 0x640, 0x640 }, { 0x7fa, 0x7fa }, { 0x302e, 0x302f }, { 0x3031, 0x3035 }, { 0x303b, 0x303b } };
static const struct range old_jamo[] = { { 0x1100, 0x11ff }, { 0xa960, 0xa97c }, { 0xd7b0, 0xd7fb } }; /* RFC 8264 9.9 */

/* RFC 3454 B.1 */
static const struct range nothing[] = { { 0xad, 0xad }, { 0x34f, 0x34f }, { 0x1806, 0x1806 }, { 0x180b, 0x180d }, { 0x200c, 0x200d },
    { 0x2060, 0x2060 }, { 0xfe00, 0xfe0f }, { 0xfeff, 0xfeff } };
/* RFC 3454 C.1.2; U+200B stands in B.1 as well, and is a space to those who wrote the clients */
static const struct range other_spaces[] = { { 0xa0, 0xa0 }, { 0x1680, 0x1680 }, { 0x2000, 0x200b }, { 0x202f, 0x202f }, { 0x205f, 0x205f },
    { 0x3000, 0x3000 } };
/* RFC 3454 C.2.1 to C.9; the ends of planes (C.4) are not listed here */
static const struct range prohibited[] = { { 0x0, 0x1f }, { 0x7f, 0x9f }, { 0x340, 0x341 }, { 0x6dd, 0x6dd }, { 0x70f, 0x70f }, { 0x180e, 0x180e },
    { 0x200c, 0x200f }, { 0x2028, 0x202e }, { 0x2060, 0x2063 }, { 0x206a, 0x206f }, { 0x2ff0, 0x2ffb }, { 0xd800, 0xf8ff }, { 0xfdd0, 0xfdef },
    { 0xfeff, 0xfeff }, { 0xfff9, 0xffff }, { 0x1d173, 0x1d17a }, { 0xe0001, 0xe0001 }, { 0xe0020, 0xe007f }, { 0xf0000, 0x10ffff } };
/* clang-format on */

static bool is_category(uint32_t point, uint32_t mask)
{
    return uc_is_general_category_withtable(point, mask);
}

/* RFC 8264 9.17: compatibility normalization makes something else of it. */
static bool has_compat(uint32_t point)
{
    uint32_t normal[64];
    size_t len = sizeof normal / sizeof normal[0];
    const uint32_t *got = u32_normalize(UNINORM_NFKC, &point, 1, normal, &len);
    return got != normal || len != 1 || normal[0] != point;
}

/* RFC 8264 8: the first that applies. */
enum codepoint_class codepoint_class(uint32_t point)
{
    if (IS_IN(point, always_valid))
        return CODEPOINT_VALID;
    if (IS_IN(point, in_context))
        return CODEPOINT_CONTEXT;
    if (IS_IN(point, never_valid))
        return CODEPOINT_DISALLOWED;
    if (point > ' ' && point < 0x7f)
        return CODEPOINT_VALID;
    if (is_category(point, UC_CATEGORY_MASK_Cn | UC_CATEGORY_MASK_Cc | UC_CATEGORY_MASK_Cs | UC_CATEGORY_MASK_Co) ||
        IS_IN(point, old_jamo) || uc_is_property_default_ignorable_code_point(point))
        return CODEPOINT_DISALLOWED;
    if (has_compat(point))
        return CODEPOINT_FREE;
    if (is_category(point, UC_CATEGORY_MASK_Ll | UC_CATEGORY_MASK_Lu | UC_CATEGORY_MASK_Lo | UC_CATEGORY_MASK_Nd |
                               UC_CATEGORY_MASK_Lm | UC_CATEGORY_MASK_Mn | UC_CATEGORY_MASK_Mc))
        return CODEPOINT_VALID;
    bool is_free = is_category(point, UC_CATEGORY_MASK_Lt | UC_CATEGORY_MASK_Nl | UC_CATEGORY_MASK_No |
                                          UC_CATEGORY_MASK_Me | UC_CATEGORY_MASK_Zs | UC_CATEGORY_MASK_S |
                                          UC_CATEGORY_MASK_P);
    return is_free ? CODEPOINT_FREE : CODEPOINT_DISALLOWED;
}

bool codepoint_is_space(uint32_t point)
{
    return is_category(point, UC_CATEGORY_MASK_Zs);
}

uint32_t codepoint_width(uint32_t point)
{
    uint32_t becomes[UC_DECOMPOSITION_MAX_LENGTH];
    int tag = -1, len = uc_decomposition(point, &tag, becomes);
    return len == 1 && (tag == UC_DECOMP_WIDE || tag == UC_DECOMP_NARROW) ? becomes[0] : point;
}

/* ---- company (RFC 5892 A) ---- */

static bool is_of(uint32_t point, const char *script)
{
    const uc_script_t *found = uc_script(point);
    return found && strcmp(found->name, script) == 0;
}

static bool is_joining(uint32_t point, int one, int other)
{
    int type = uc_joining_type(point);
    return type == one || type == other;
}

/* A.1: between letters that join, marks left out. */
static bool joins(const uint32_t *points, size_t count, size_t at)
{
    size_t before = at, after = at + 1;
    while (before > 0 && uc_joining_type(points[before - 1]) == UC_JOINING_TYPE_T)
        before--;
    while (after < count && uc_joining_type(points[after]) == UC_JOINING_TYPE_T)
        after++;
    return before > 0 && after < count && is_joining(points[before - 1], UC_JOINING_TYPE_L, UC_JOINING_TYPE_D) &&
           is_joining(points[after], UC_JOINING_TYPE_R, UC_JOINING_TYPE_D);
}

static bool has_range(const uint32_t *points, size_t count, uint32_t first, uint32_t last)
{
    for (size_t at = 0; at < count; at++)
        if (points[at] >= first && points[at] <= last)
            return true;
    return false;
}

/* A.7: the middle dot of Japanese words needs something Japanese. */
static bool has_japanese(const uint32_t *points, size_t count)
{
    for (size_t at = 0; at < count; at++)
        if (points[at] != 0x30fb &&
            (is_of(points[at], "Hiragana") || is_of(points[at], "Katakana") || is_of(points[at], "Han")))
            return true;
    return false;
}

bool codepoint_fits(const uint32_t *points, size_t count, size_t at)
{
    bool after_virama = at > 0 && uc_combining_class(points[at - 1]) == UC_CCC_VR;
    switch (points[at]) {
    case 0x200c: /* A.1 */
        return after_virama || joins(points, count, at);
    case 0x200d: /* A.2 */
        return after_virama;
    case 0xb7: /* A.3 */
        return at > 0 && at + 1 < count && points[at - 1] == 'l' && points[at + 1] == 'l';
    case 0x375: /* A.4 */
        return at + 1 < count && is_of(points[at + 1], "Greek");
    case 0x5f3: /* A.5, A.6 */
    case 0x5f4:
        return at > 0 && is_of(points[at - 1], "Hebrew");
    case 0x30fb:
        return has_japanese(points, count);
    default: /* A.8, A.9: digits of one kind */
        return points[at] <= 0x669 ? !has_range(points, count, 0x6f0, 0x6f9) : !has_range(points, count, 0x660, 0x669);
    }
}

/* ---- direction ---- */

static uint32_t bidi_bit(uint32_t point)
{
    return 1u << uc_bidi_class(point);
}
#define BIT(class) (1u << (class))

bool codepoint_bidi(const uint32_t *points, size_t count)
{
    const uint32_t right = BIT(UC_BIDI_R) | BIT(UC_BIDI_AL), numbers = BIT(UC_BIDI_EN) | BIT(UC_BIDI_AN);
    const uint32_t neutral = BIT(UC_BIDI_EN) | BIT(UC_BIDI_ES) | BIT(UC_BIDI_CS) | BIT(UC_BIDI_ET) | BIT(UC_BIDI_ON) |
                             BIT(UC_BIDI_BN) | BIT(UC_BIDI_NSM);
    uint32_t all = 0;
    for (size_t at = 0; at < count; at++)
        all |= bidi_bit(points[at]);
    if (!(all & (right | BIT(UC_BIDI_AN))))
        return true;
    size_t last = count - 1;
    while (last > 0 && bidi_bit(points[last]) == BIT(UC_BIDI_NSM))
        last--;
    uint32_t begin = bidi_bit(points[0]), end = bidi_bit(points[last]);
    if (begin & right) /* 2, 3, 4 */
        return !(all & ~(right | numbers | neutral)) && (end & (right | numbers)) && (all & numbers) != numbers;
    /* 1, 5, 6 */
    return begin == BIT(UC_BIDI_L) && !(all & ~(BIT(UC_BIDI_L) | neutral)) && (end & (BIT(UC_BIDI_L) | BIT(UC_BIDI_EN)));
}

bool codepoint_old_bidi(const uint32_t *points, size_t count)
{
    const uint32_t right = BIT(UC_BIDI_R) | BIT(UC_BIDI_AL);
    uint32_t all = 0;
    for (size_t at = 0; at < count; at++)
        all |= bidi_bit(points[at]);
    if (!(all & right))
        return true;
    return !(all & BIT(UC_BIDI_L)) && (bidi_bit(points[0]) & right) && (bidi_bit(points[count - 1]) & right);
}

/* ---- SASLprep ---- */

bool codepoint_is_nothing(uint32_t point)
{
    return IS_IN(point, nothing);
}

bool codepoint_is_other_space(uint32_t point)
{
    return IS_IN(point, other_spaces);
}

bool codepoint_is_prohibited(uint32_t point)
{
    return IS_IN(point, prohibited) || (point & 0xfffe) == 0xfffe;
}
