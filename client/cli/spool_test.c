/* Design note. The same bytes come back whether they fit the heap or not; the harness sees that no
 * descriptor stays open. */
#include "client/cli/spool.h"
#include "tests/harness/test.h"

#include <string.h>

enum { MEBIBYTE = 1 << 20 };

static uint8_t pattern[3 * MEBIBYTE];

static void check_content(struct spool *s, size_t len)
{
        const void *data = NULL;

        CHECK_EQ(s->len, len);
        CHECK_EQ(spool_data(s, &data), 0);
        CHECK_PTR(data);
        CHECK(!memcmp(data, pattern, len));
}

static void fill_pattern(void)
{
        for (size_t i = 0; i < sizeof(pattern); i++)
                pattern[i] = (uint8_t)(i * 31 + (i >> 8));
}

/* Appends pieces of `step` bytes up to `len`. */
static void check_spool(size_t len, size_t step, bool has_file)
{
        struct spool s = {0};

        for (size_t at = 0; at < len; at += step)
                CHECK_EQ(spool_append(&s, pattern + at, size_min(step, len - at)), 0);
        CHECK_EQ(s.has_file, has_file);
        check_content(&s, len);
        check_content(&s, len);
        spool_deinit(&s);
        CHECK_EQ(s.len, 0);
}

TEST(an_empty_one_has_data_too)
{
        check_spool(0, 1, false);
}

TEST(up_to_a_mebibyte_stays_in_the_heap_and_more_goes_to_a_file)
{
        fill_pattern();
        check_spool(1, 1, false);
        check_spool(MEBIBYTE, 65536, false);
        check_spool(MEBIBYTE + 1, 65536, true);
        check_spool(sizeof(pattern), 100000, true);
}

TEST(one_large_piece_goes_to_a_file_at_once)
{
        fill_pattern();
        check_spool(sizeof(pattern), sizeof(pattern), true);
}

TEST(it_can_be_used_again_after_deinit)
{
        struct spool s = {0};

        fill_pattern();
        CHECK_EQ(spool_append(&s, pattern, sizeof(pattern)), 0);
        spool_deinit(&s);
        CHECK_EQ(spool_append(&s, pattern, 10), 0);
        check_content(&s, 10);
        spool_deinit(&s);
}
