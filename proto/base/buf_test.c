/* Growable bytes, also without memory (the linker's --wrap stands in front of realloc). */
#include "proto/base/buf.h"

#include "tests/harness/test.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

void *__real_realloc(void *p, size_t n);
void *__wrap_realloc(void *p, size_t n);
static bool realloc_fails;

void *__wrap_realloc(void *p, size_t n)
{
        return realloc_fails ? NULL : __real_realloc(p, n);
}

static int push_without_memory(struct buf *b, const void *bytes, size_t n)
{
        realloc_fails = true;
        int r = buf_push(b, bytes, n);
        realloc_fails = false;
        return r;
}

TEST(an_empty_buf_owns_nothing)
{
        struct buf b = BUF_INIT;

        CHECK_NULL(b.data);
        buf_clear(&b);
        buf_deinit(&b);
        CHECK_EQ(buf_push(&b, "", 0), 0);
        buf_deinit(&b);
        buf_deinit(&b); /* twice is fine */
}

TEST(what_is_pushed_stands_in_order_however_it_grew)
{
        struct buf b cleanup_(buf_deinit) = BUF_INIT;

        for (unsigned i = 0; i < 100000; i++) {
                uint8_t byte = (uint8_t)(i * 7);
                CHECK_EQ(buf_push(&b, &byte, 1), 0);
        }
        CHECK_EQ(b.len, 100000);
        for (unsigned i = 0; i < 100000; i++) {
                if (b.data[i] != (uint8_t)(i * 7))
                        fail_msg("byte %u", i);
        }
}

TEST(growth_is_by_doubling)
{
        struct buf b cleanup_(buf_deinit) = BUF_INIT;
        size_t n_grown = 0, cap = 0;

        for (int i = 0; i < 1 << 20; i++) {
                CHECK_EQ(buf_push(&b, "x", 1), 0);
                n_grown += b.cap != cap;
                cap = b.cap;
        }
        CHECK(n_grown < 16);
}

TEST(reserve_gives_room_and_no_length)
{
        struct buf b cleanup_(buf_deinit) = BUF_INIT;
        uint8_t *tail;

        CHECK_EQ(buf_push(&b, "ab", 2), 0);
        CHECK_EQ(buf_reserve(&b, 1000, &tail), 0);
        CHECK_EQ(b.len, 2);
        CHECK(tail == b.data + 2 && b.cap >= 1002);
        memset(tail, 0, 1000);
}

TEST(clear_keeps_the_memory)
{
        struct buf b cleanup_(buf_deinit) = BUF_INIT;

        CHECK_EQ(buf_push(&b, "abc", 3), 0);
        const uint8_t *data = b.data;
        buf_clear(&b);
        CHECK_EQ(b.len, 0);
        CHECK_EQ(buf_push(&b, "d", 1), 0);
        CHECK(b.data == data);
        CHECK_EQ(b.data[0], 'd');
}

TEST(drop_removes_from_the_front)
{
        struct buf b cleanup_(buf_deinit) = BUF_INIT;

        CHECK_EQ(buf_push(&b, "abcdef", 6), 0);
        buf_drop(&b, 0);
        buf_drop(&b, 2);
        CHECK_EQ(b.len, 4);
        CHECK_BYTES(b.data, "cdef", 4);
        buf_drop(&b, 4);
        CHECK_EQ(b.len, 0);
}

TEST(printf_appends_text_without_its_nul)
{
        struct buf b cleanup_(buf_deinit) = BUF_INIT;
        char text[600];

        memset(text, 'x', sizeof(text) - 1);
        text[sizeof(text) - 1] = 0;
        CHECK_EQ(buf_printf(&b, "%d:", 42), 0);
        CHECK_EQ(buf_printf(&b, "%s", text), 0);
        CHECK_EQ(buf_printf(&b, "%s", ""), 0);
        CHECK_EQ(b.len, 3 + 599);
        CHECK_BYTES(b.data, "42:xxx", 6);
}

TEST(without_memory_nothing_changes)
{
        struct buf b cleanup_(buf_deinit) = BUF_INIT;
        char text[1000] = {0};

        CHECK_EQ(push_without_memory(&b, "a", 1), -ENOMEM);
        CHECK_NULL(b.data);
        CHECK_EQ(buf_push(&b, "abc", 3), 0);
        struct buf before = b;
        CHECK_EQ(push_without_memory(&b, text, sizeof(text)), -ENOMEM);
        CHECK_BYTES(&b, &before, sizeof(b));
        CHECK_BYTES(b.data, "abc", 3);
        CHECK_EQ(push_without_memory(&b, "d", 1), 0); /* there was room */
}

TEST(a_size_that_cannot_be_is_no_memory)
{
        struct buf b cleanup_(buf_deinit) = BUF_INIT;
        uint8_t *tail = NULL;

        CHECK_EQ(buf_push(&b, "a", 1), 0);
        CHECK_EQ(buf_reserve(&b, SIZE_MAX, &tail), -ENOMEM);
        CHECK_EQ(buf_reserve(&b, SIZE_MAX / 2, &tail), -ENOMEM);
        CHECK_NULL(tail);
        CHECK_EQ(b.len, 1);
}
