/* test.h - the runner: TEST(name) { ... } registers a test, CHECK_... compare and print both sides.
 *
 *      TEST(a_packet_sent_before_exit_is_still_delivered)
 *      {
 *              CHECK_EQ(link_recv(...), 0);
 *      }
 *
 * cmocka runs them. Before and after every test the open descriptors of the process are counted: a
 * test that leaks one fails. `--test_filter=NAME` (a cmocka pattern) runs one by name. */
#ifndef BATON_TESTS_TEST_H
#define BATON_TESTS_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#ifdef NDEBUG
#error "Tests must not be built with NDEBUG: the code under test relies on assert()."
#endif

struct test_case {
        const char *name;
        void (*run)(void **state);
};

/* test_register adds a case; TEST calls it before main. */
void test_register(const char *name, void (*run)(void **state));

/* test_skip ends the test as skipped and says why. */
#define TEST_SKIP(why)                               \
        do {                                         \
                print_message("skipped: %s\n", why); \
                skip();                              \
        } while (0)

/* test_open_fds counts this process's descriptors. */
size_t test_open_fds(void);

#define TEST(test_name)                                                     \
        static void test_name(void **state);                                \
        __attribute__((constructor)) static void register_##test_name(void) \
        {                                                                   \
                test_register(#test_name, test_name);                       \
        }                                                                   \
        static void test_name(void **state __attribute__((unused)))

/* LINUX_TEST is TEST for what a portable build does not have, and says why it has not. */
#ifdef BATON_PORTABLE
#define LINUX_TEST(test_name, why) \
        static void __attribute__((unused)) test_name(void **state __attribute__((unused)))
#else
#define LINUX_TEST(test_name, why) TEST(test_name)
#endif

#define CHECK(condition)     assert_true(condition)
#define CHECK_EQ(a, b)       assert_int_equal((a), (b))
#define CHECK_NE(a, b)       assert_int_not_equal((a), (b))
#define CHECK_STR(a, b)      assert_string_equal((a), (b))
#define CHECK_BYTES(a, b, n) assert_memory_equal((a), (b), (n))
#define CHECK_NULL(p)        assert_null(p)
#define CHECK_PTR(p)         assert_non_null(p)

#endif
