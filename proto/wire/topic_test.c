/* Design note. Tables of what is and what is not, then filter_contains against its definition: over
 * a small alphabet all filters and all topics can be tried. */
#include "proto/wire/topic.h"

#include "proto/base/defs.h"
#include "tests/harness/test.h"

#include <stdio.h>
#include <string.h>

#define A16  "a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a"
#define X50  "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
#define X255 X50 X50 X50 X50 X50 "xxxxx"

static bool topic(const char *s)
{
        return topic_is_valid(s, strlen(s));
}

static bool filter(const char *s)
{
        return filter_is_valid(s, strlen(s));
}

TEST(topics_that_are)
{
        static const char *const good[] = {"a", "a.b", "sensors.cabin.temp", "$sys.status", "_x.y",
                "a-b/c:d", A16, X255, "\xc3\xa4.\xe6\xbc\xa2.\xf0\x9f\x98\x80", "!", "~",
                "\xc2\xa0", "$", "_"};

        for (size_t i = 0; i < ARRAY_LEN(good); i++) {
                if (!topic(good[i]) || !filter(good[i]))
                        fail_msg("refused: %s", good[i]);
                CHECK(filter_is_literal(good[i], strlen(good[i])));
        }
}

TEST(topics_and_filters_that_are_not)
{
        static const char *const bad[] = {"", ".", "a.", ".a", "a..b", "a b", " ", "a\tb", "a\n",
                "\x1f", "\x7f", "\xc2\x80", "\xc2\x9f", "a*", "*a", "a>", ">a", "**", ">>", "a.b*c",
                A16 ".a", X255 "x", "\x80", "\xff", "a.\xc3"};

        for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
                if (topic(bad[i]) || filter(bad[i]))
                        fail_msg("taken: %s", bad[i]);
        }
        CHECK(!topic_is_valid("a\0b", 3));
        CHECK(!filter_is_valid("a\0b", 3));
        CHECK(!topic_is_valid(NULL, 0));
}

TEST(wildcards_are_whole_tokens_of_filters)
{
        static const char *const filters[] = {"*", ">", "a.*", "*.a", "*.*", "a.>", "*.>",
                "a.*.b.>", "$sys.>", "_.*", "a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.>"};
        static const char *const bad[] = {
                ">.a", "a.>.b", ">.>", "a.*b", "a.>b", A16 ".*", A16 ".>", "a.*.", ".*"};

        for (size_t i = 0; i < ARRAY_LEN(filters); i++) {
                if (!filter(filters[i]) || topic(filters[i]))
                        fail_msg("%s", filters[i]);
                CHECK(!filter_is_literal(filters[i], strlen(filters[i])));
        }
        for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
                if (filter(bad[i]))
                        fail_msg("taken: %s", bad[i]);
        }
}

struct utf8_case {
        const char *text;
        bool valid;
};

/* The edges of RFC 3629: the first and last of each length, and what lies beside them. */
static const struct utf8_case utf8_cases[] = {
        {"\x7f", true},
        {"\x80", false},
        {"\xbf", false},
        {"\xc0\x80", false},
        {"\xc1\xbf", false},
        {"\xc2\x80", true},
        {"\xdf\xbf", true},
        {"\xc2\x7f", false},
        {"\xc2\xc0", false},
        {"\xc2", false},
        {"\xe0\x9f\xbf", false},
        {"\xe0\xa0\x80", true},
        {"\xed\x9f\xbf", true},
        {"\xed\xa0\x80", false},
        {"\xed\xbf\xbf", false},
        {"\xee\x80\x80", true},
        {"\xef\xbf\xbf", true},
        {"\xe1\x80", false},
        {"\xe1", false},
        {"\xe1\x80\x7f", false},
        {"\xe1\x7f\x80", false},
        {"\xf0\x8f\xbf\xbf", false},
        {"\xf0\x90\x80\x80", true},
        {"\xf4\x8f\xbf\xbf", true},
        {"\xf4\x90\x80\x80", false},
        {"\xf5\x80\x80\x80", false},
        {"\xf7\xbf\xbf\xbf", false},
        {"\xf1\x80\x80", false},
        {"\xf1\x80\x80\x7f", false},
        {"\xf8\x88\x80\x80\x80", false},
        {"\xfc\x84\x80\x80\x80\x80", false},
        {"\xfe", false},
        {"\xff", false},
        {"a\xe6\xbc\xa2z", true},
};

TEST(utf8_is_judged_at_every_edge)
{
        for (size_t i = 0; i < ARRAY_LEN(utf8_cases); i++) {
                const char *text = utf8_cases[i].text;
                if (utf8_is_valid(text, strlen(text)) != utf8_cases[i].valid)
                        fail_msg("case %zu", i);
        }
        CHECK(utf8_is_valid("a\0b\n", 4));
        CHECK(utf8_is_valid(NULL, 0));
        /* A character must not borrow its end from behind the text. */
        CHECK(!utf8_is_valid("\xc3\xa4", 1));
}

/* Characters by the rule itself: all of Unicode, and the numbers that are not in it. */
static size_t utf8_encode(char *to, uint32_t c)
{
        if (c < 0x80)
                return (size_t)sprintf(to, "%c", (int)c);
        if (c < 0x800)
                return (size_t)sprintf(to, "%c%c", (int)(0xc0 | c >> 6), (int)(0x80 | (c & 63)));
        if (c < 0x10000)
                return (size_t)sprintf(to, "%c%c%c", (int)(0xe0 | c >> 12),
                        (int)(0x80 | (c >> 6 & 63)), (int)(0x80 | (c & 63)));
        return (size_t)sprintf(to, "%c%c%c%c", (int)(0xf0 | c >> 18), (int)(0x80 | (c >> 12 & 63)),
                (int)(0x80 | (c >> 6 & 63)), (int)(0x80 | (c & 63)));
}

TEST(every_code_point_is_judged_right)
{
        char text[8];

        for (uint32_t c = 0; c < 0x110800; c++) {
                size_t n = utf8_encode(text, c);
                bool valid = c <= 0x10ffff && (c < 0xd800 || c > 0xdfff);
                bool plain = valid && c >= 0x20 && (c < 0x7f || c > 0x9f);
                bool token = plain && c != ' ' && c != '.' && c != '*' && c != '>';
                if (utf8_is_valid(text, n) != valid || text_is_plain(text, n) != plain ||
                        topic_is_valid(text, n) != token)
                        fail_msg("U+%04X", c);
        }
}

TEST(the_first_character_tells_whose_topic_it_is)
{
        CHECK(topic_is_reserved("$sys.status", 11));
        CHECK(topic_is_reserved("$", 1));
        CHECK(!topic_is_reserved("_x", 2));
        CHECK(!topic_is_reserved("a.$b", 4));
        CHECK(!topic_is_reserved("", 0));
        CHECK(topic_hides_from_wildcards("$x", 2));
        CHECK(topic_hides_from_wildcards("_x.a", 4));
        CHECK(!topic_hides_from_wildcards("a._x", 4));
        CHECK(!topic_hides_from_wildcards("", 0));
}

TEST(tokens_are_walked_in_order)
{
        static const char *const want[] = {"ab", "*", "c"};
        size_t n = 0;

        for (struct token t = token_first("ab.*.c", 6); t.data; t = token_next(&t)) {
                CHECK_EQ(t.len, strlen(want[n]));
                CHECK_BYTES(t.data, want[n], t.len);
                n++;
        }
        CHECK_EQ(n, 3);
        CHECK_NULL(token_first("", 0).data);
}

static bool matches(const char *f, const char *t)
{
        return filter_matches(f, strlen(f), t, strlen(t));
}

struct match_case {
        const char *filter, *topic;
        bool matches;
};

static const struct match_case match_cases[] = {
        {"a", "a", true},
        {"a", "b", false},
        {"a", "aa", false},
        {"aa", "a", false},
        {"a", "a.b", false},
        {"a.b", "a", false},
        {"*", "a", true},
        {"*", "a.b", false},
        {"*.b", "a.b", true},
        {"*.b", "b", false},
        {"a.*", "a.b", true},
        {"a.*", "a", false},
        {"a.*", "a.b.c", false},
        {"a.*.c", "a.b.c", true},
        {"a.*.c", "a.b.d", false},
        {"*.*", "a.b", true},
        {">", "a", true},
        {">", "a.b.c", true},
        {"a.>", "a", false},
        {"a.>", "a.b", true},
        {"a.>", "a.b.c.d", true},
        {"a.>", "b.b", false},
        {"*.>", "a", false},
        {"*.>", "a.b.c", true},
        /* What begins with $ or _ must be named, or at least its first token. */
        {"*", "$a", false},
        {">", "$a", false},
        {">", "$a.b", false},
        {"*.b", "$a.b", false},
        {"*", "_a", false},
        {">", "_a.b", false},
        {"*.>", "_a.b", false},
        {"$a.>", "$a.b", true},
        {"$a.*", "$a.b", true},
        {"_a.>", "_a.b", true},
        {"$a", "$a", true},
        {"a.*", "a.$b", true},
        {"a.>", "a._b", true},
        {"*.*", "a.$b", true},
};

TEST(filters_match_by_the_table)
{
        for (size_t i = 0; i < ARRAY_LEN(match_cases); i++) {
                const struct match_case *c = &match_cases[i];
                if (matches(c->filter, c->topic) != c->matches)
                        fail_msg("%s, %s", c->filter, c->topic);
        }
}

/* Builds the `i`-th string of `n_tokens` tokens out of `alphabet`. */
static void nth(char *to, const char *alphabet, unsigned i, unsigned n_tokens)
{
        unsigned base = (unsigned)strlen(alphabet);

        for (unsigned k = 0; k < n_tokens; k++, i /= base) {
                *to++ = alphabet[i % base];
                *to++ = '.';
        }
        to[-1] = 0;
}

enum { STRING_BYTES = 10, MANY = 512 };

/* All valid filters of up to `most` tokens of `alphabet`. Topics are those without wildcards. */
static size_t enumerate(char (*to)[STRING_BYTES], const char *alphabet, unsigned most)
{
        size_t n = 0;
        unsigned base = (unsigned)strlen(alphabet), count = 1;

        for (unsigned n_tokens = 1; n_tokens <= most; n_tokens++) {
                count *= base;
                for (unsigned i = 0; i < count; i++) {
                        nth(to[n], alphabet, i, n_tokens);
                        n += filter(to[n]);
                        CHECK(n < MANY);
                }
        }
        return n;
}

TEST(filter_contains_is_what_its_definition_says)
{
        static char filters[MANY][STRING_BYTES], topics[MANY][STRING_BYTES];
        /* A literal more than filters use, and a token more: as good as all there are. */
        size_t n_filters = enumerate(filters, "a$_*>", 3), n_topics = enumerate(topics, "ab$_", 4);
        size_t n_contained = 0;

        for (size_t o = 0; o < n_filters; o++) {
                for (size_t i = 0; i < n_filters; i++) {
                        bool all = true;
                        for (size_t t = 0; t < n_topics && all; t++)
                                all = !matches(filters[i], topics[t]) ||
                                      matches(filters[o], topics[t]);
                        n_contained += all;
                        if (filter_contains(filters[o], strlen(filters[o]), filters[i],
                                    strlen(filters[i])) != all)
                                fail_msg("%s contains %s: %d", filters[o], filters[i], all);
                }
        }
        CHECK_EQ(n_filters, 5 + 20 + 80);
        CHECK(n_contained > n_filters);
}

TEST(plain_text_has_no_controls)
{
        CHECK(text_is_plain("thermo 2 \xc3\xa4", 11));
        CHECK(text_is_plain("", 0));
        CHECK(!text_is_plain("a\nb", 3));
        CHECK(!text_is_plain("a\0b", 3));
        CHECK(!text_is_plain("\x1b[2J", 4));
        CHECK(!text_is_plain("\xc2\x9b", 2));
        CHECK(!text_is_plain("\xff", 1));
}

TEST(what_is_wrong_with_a_topic_or_a_filter_has_a_name)
{
        static const struct {
                const char *text, *topic, *filter;
        } cases[] = {
                {"a.b", NULL, NULL},
                {"", "it is empty", "it is empty"},
                {"a..b", "an empty token", "an empty token"},
                {".a", "an empty token", "an empty token"},
                {"a.", "an empty token", "an empty token"},
                {"a.*", "* and > are for filters", NULL},
                {"a.b*", "* and > are for filters",
                        "* stands for a whole token, > for all at the end"},
                {"a.>.b", "* and > are for filters",
                        "* stands for a whole token, > for all at the end"},
                {"a b", "a space", "a space"},
                {"a\tb", "a control character", "a control character"},
                {"a\xff", "not UTF-8", "not UTF-8"},
                {"1.2.3.4.5.6.7.8.9.10.11.12.13.14.15.16.17", "more than 16 tokens",
                        "more than 16 tokens"},
        };

        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                size_t len = strlen(cases[i].text);
                const char *topic = topic_fault(cases[i].text, len);
                const char *filter = filter_fault(cases[i].text, len);
                CHECK_STR(topic ? topic : "-", cases[i].topic ? cases[i].topic : "-");
                CHECK_STR(filter ? filter : "-", cases[i].filter ? cases[i].filter : "-");
        }
        CHECK_STR(topic_fault(X255 "x", 256), "longer than 255 bytes");
}
