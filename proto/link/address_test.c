#include "proto/link/address.h"

#include "proto/base/sys.h"
#include "tests/harness/test.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct address parse(const char *text, enum address_side side)
{
        struct address a;
        struct address_why why;
        int r = address_parse(text, side, &a, &why);

        if (r)
                print_error("%s: %s\n", text, why.text);
        CHECK_EQ(r, 0);
        return a;
}

/* Checks that the text is refused and that the phrase contains `part`. */
static void check_bad(const char *text, enum address_side side, const char *part)
{
        struct address a = {.name_len = 77};
        struct address_why why = {""};

        if (address_parse(text, side, &a, &why) != ADDRESS_E_BAD || !strstr(why.text, part))
                fail_msg("\"%s\": \"%s\", expected \"%s\"", text, why.text, part);
        CHECK_EQ(a.name_len, 77);
}

static void check_format(const char *text, const char *expected)
{
        struct address a = parse(text, ADDRESS_CLIENT);
        char out[ADDRESS_TEXT];

        CHECK_STR(address_format(&a, out), expected);
}

/* "xxx…", `n` bytes behind `prefix`. */
static const char *long_text(char *room, const char *prefix, size_t n)
{
        size_t len = strlen(prefix);

        memcpy(room, prefix, len);
        memset(room + len, 'x', n);
        room[len + n] = '\0';
        return room;
}

TEST(each_form_of_an_address_is_understood)
{
        static const struct {
                const char *text;
                enum transport transport;
                bool is_abstract;
                const char *name;
        } rows[] = {
                {"@baton-0", TRANSPORT_SEQPACKET, true, "baton-0"},
                {"seqpacket:@a", TRANSPORT_SEQPACKET, true, "a"},
                {"@/looks/like/a/path", TRANSPORT_SEQPACKET, true, "/looks/like/a/path"},
                {"/run/baton.sock", TRANSPORT_SEQPACKET, false, "/run/baton.sock"},
                {"/s", TRANSPORT_SEQPACKET, false, "/s"},
                {"seqpacket:/s", TRANSPORT_SEQPACKET, false, "/s"},
                {"stream:/s", TRANSPORT_STREAM, false, "/s"},
                {"dgram:/s", TRANSPORT_DGRAM, false, "/s"},
                {"stream:./s", TRANSPORT_STREAM, false, "./s"},
                {"./s", TRANSPORT_SEQPACKET, false, "./s"},
                {"../a/s", TRANSPORT_SEQPACKET, false, "../a/s"},
                {"/with space/:colon", TRANSPORT_SEQPACKET, false, "/with space/:colon"},
        };

        unsetenv("BUILD_WORKING_DIRECTORY");
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                struct address a = parse(rows[i].text, ADDRESS_BROKER);
                CHECK_EQ(a.transport, rows[i].transport);
                CHECK_EQ(a.is_abstract, rows[i].is_abstract);
                CHECK_STR(a.name, rows[i].name);
                CHECK_EQ(a.name_len, strlen(rows[i].name));
                CHECK(!a.has_mode && !a.has_group && !a.has_uid);
        }
}

TEST(what_is_no_address_is_refused_with_a_reason)
{
        static const struct {
                const char *text, *part;
        } rows[] = {
                {"", "an address is"},
                {"baton", "an address is"},
                {"tcp:/x", "an address is"},
                {".hidden", "an address is"},
                {"..", "an address is"},
                {"stream:seqpacket:/x", "an address is"},
                {"stream:", "an address is"},
                {"?mode=0600", "an address is"},
                {"@", "empty"},
                {"@?mode=0600", "empty"},
                {"stream:@a", "need a path"},
                {"dgram:@a", "need a path"},
                {"/", "directory"},
                {"/run/", "directory"},
                {"./", "directory"},
                {"../", "directory"},
                {"/run/.", "directory"},
                {"/run/..", "directory"},
                {"@a\n", "control character"},
                {"@a\x7f", "control character"},
                {"/a\x1b[31m", "control character"},
                {"@a,@b", "comma"},
        };

        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                check_bad(rows[i].text, ADDRESS_BROKER, rows[i].part);
                check_bad(rows[i].text, ADDRESS_CLIENT, rows[i].part);
        }
}

TEST(a_name_may_have_what_the_kernel_holds_and_no_more)
{
        char text[256];

        unsetenv("BUILD_WORKING_DIRECTORY");
        CHECK_EQ(parse(long_text(text, "@", 107), ADDRESS_BROKER).name_len, 107);
        check_bad(long_text(text, "@", 108), ADDRESS_BROKER, "too long: 108 bytes, 107 at most");
        CHECK_EQ(parse(long_text(text, "/", 106), ADDRESS_CLIENT).name_len, 107);
        check_bad(long_text(text, "/", 107), ADDRESS_CLIENT, "too long: 108 bytes, 107 at most");
        CHECK_EQ(parse(long_text(text, "/", 102), ADDRESS_BROKER).name_len, 103);
        check_bad(long_text(text, "/", 103), ADDRESS_BROKER, "too long: 104 bytes, 103 at most");
}

TEST(a_broker_gives_its_path_a_mode_and_a_group)
{
        struct address a = parse("/s?mode=0660&group=root", ADDRESS_BROKER);

        CHECK_STR(a.name, "/s");
        CHECK(a.has_mode && a.has_group);
        CHECK_EQ(a.mode, 0660);
        CHECK_EQ(a.gid, 0);
        CHECK_EQ(parse("/s?group=4242&mode=666", ADDRESS_BROKER).gid, 4242);
        CHECK_EQ(parse("/s?mode=0", ADDRESS_BROKER).mode, 0);
        CHECK_EQ(parse("stream:/s?mode=0777", ADDRESS_BROKER).mode, 0777);
}

TEST(a_client_names_the_user_it_expects)
{
        struct address a = parse("@a?uid=root", ADDRESS_CLIENT);

        CHECK_STR(a.name, "a");
        CHECK(a.has_uid);
        CHECK_EQ(a.uid, 0);
        CHECK_EQ(parse("/s?uid=1234", ADDRESS_CLIENT).uid, 1234);
        CHECK_EQ(parse("/s?uid=4294967294", ADDRESS_CLIENT).uid, 4294967294u);
}

TEST(an_option_that_means_nothing_is_refused)
{
        static const struct {
                const char *text;
                enum address_side side;
                const char *part;
        } rows[] = {
                {"/s?", ADDRESS_BROKER, "NAME=VALUE"},
                {"/s?mode", ADDRESS_BROKER, "NAME=VALUE"},
                {"/s?mode=0600&", ADDRESS_BROKER, "NAME=VALUE"},
                {"/s?colour=red", ADDRESS_BROKER, "unknown option colour"},
                {"/s?uid=0", ADDRESS_BROKER, "unknown option uid"},
                {"/s?mode=0600", ADDRESS_CLIENT, "unknown option mode"},
                {"/s?group=root", ADDRESS_CLIENT, "unknown option group"},
                {"/s?mode=", ADDRESS_BROKER, "not an octal number"},
                {"/s?mode=0680", ADDRESS_BROKER, "not an octal number"},
                {"/s?mode=1777", ADDRESS_BROKER, "not an octal number"},
                {"/s?mode=00660", ADDRESS_BROKER, "not an octal number"},
                {"/s?mode=-1", ADDRESS_BROKER, "not an octal number"},
                {"/s?mode=0600&mode=0600", ADDRESS_BROKER, "twice"},
                {"/s?group=root&group=root", ADDRESS_BROKER, "twice"},
                {"/s?uid=0&uid=0", ADDRESS_CLIENT, "twice"},
                {"/s?group=nosuch", ADDRESS_BROKER, "group nosuch does not exist"},
                {"/s?uid=nosuch", ADDRESS_CLIENT, "user nosuch does not exist"},
                {"/s?group=", ADDRESS_BROKER, "needs a value"},
                {"/s?uid=", ADDRESS_CLIENT, "needs a value"},
                {"/s?uid=-1", ADDRESS_CLIENT, "does not exist"},
                {"/s?uid=4294967295", ADDRESS_CLIENT, "does not exist"},
                {"/s?uid=99999999999999999999", ADDRESS_CLIENT, "does not exist"},
                {"/s?uid=+5", ADDRESS_CLIENT, "does not exist"},
                {"/s?uid= 5", ADDRESS_CLIENT, "does not exist"},
                {"/s?uid=12x", ADDRESS_CLIENT, "does not exist"},
                {"@a?mode=0600", ADDRESS_BROKER, "no mode and no group"},
        };

        for (size_t i = 0; i < ARRAY_LEN(rows); i++)
                check_bad(rows[i].text, rows[i].side, rows[i].part);
}

TEST(a_relative_path_counts_from_where_bazel_run_was_called)
{
        char out[ADDRESS_TEXT];

        setenv("BUILD_WORKING_DIRECTORY", "/home/me", 1);
        CHECK_STR(parse("./s", ADDRESS_CLIENT).name, "/home/me/s");
        CHECK_STR(parse("../s", ADDRESS_CLIENT).name, "/home/me/../s");
        CHECK_STR(parse("/s", ADDRESS_CLIENT).name, "/s");
        CHECK_STR(parse("@s", ADDRESS_CLIENT).name, "s");
        CHECK_STR(parse("stream:./a/s?mode=0600", ADDRESS_BROKER).name, "/home/me/a/s");
        check_bad("./", ADDRESS_CLIENT, "directory");

        long_text(out, "/", 103);
        setenv("BUILD_WORKING_DIRECTORY", out, 1);
        CHECK_EQ(parse("./xx", ADDRESS_CLIENT).name_len, 107);
        check_bad("./xxx", ADDRESS_CLIENT, "too long: 108 bytes");
        check_bad("./xx", ADDRESS_BROKER, "too long: 107 bytes");

        setenv("BUILD_WORKING_DIRECTORY", "", 1);
        CHECK_STR(parse("./s", ADDRESS_CLIENT).name, "./s");
        unsetenv("BUILD_WORKING_DIRECTORY");
        CHECK_STR(parse("./s", ADDRESS_CLIENT).name, "./s");
}

TEST(a_list_has_its_addresses_in_order)
{
        struct address list[3];
        struct address_why why;
        size_t n = 0;

        CHECK_EQ(address_parse_list("@a?uid=5,/b,stream:/c", ADDRESS_CLIENT, list, 3, &n, &why), 0);
        CHECK_EQ(n, 3);
        CHECK_STR(list[0].name, "a");
        CHECK_EQ(list[0].uid, 5);
        CHECK_STR(list[1].name, "/b");
        CHECK(!list[1].has_uid);
        CHECK_EQ(list[2].transport, TRANSPORT_STREAM);
        CHECK_EQ(address_parse_list("@a", ADDRESS_CLIENT, list, 3, &n, &why), 0);
        CHECK_EQ(n, 1);
}

TEST(a_list_with_a_wrong_address_says_which)
{
        static const struct {
                const char *text, *part;
        } rows[] = {
                {"", "address 1 is empty"},
                {"@a,", "address 2 is empty"},
                {"@a,,@b", "address 2 is empty"},
                {"@a,b", "address 2: an address is"},
                {"@a,@b,@c,@d", "more than 3 addresses"},
                {"@a, @b", "address 2: an address is"},
        };
        struct address list[3];
        struct address_why why;
        size_t n = 99;
        char text[1024];

        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                CHECK_EQ(address_parse_list(rows[i].text, ADDRESS_CLIENT, list, 3, &n, &why),
                        ADDRESS_E_BAD);
                CHECK_PTR(strstr(why.text, rows[i].part));
        }
        long_text(text, "@a,@", 600);
        CHECK_EQ(address_parse_list(text, ADDRESS_CLIENT, list, 3, &n, &why), ADDRESS_E_BAD);
        CHECK_STR(why.text, "address 2 is too long");
        CHECK_EQ(n, 99);
}

TEST(options_may_be_long_but_not_endless)
{
        char text[1024];

        check_bad(long_text(text, "/s?group=", 600), ADDRESS_BROKER, "too long");
        check_bad(long_text(text, "/s?group=", 300), ADDRESS_BROKER, "does not exist");
        check_bad(long_text(text, "/s?", 300), ADDRESS_BROKER, "NAME=VALUE");
        check_bad(long_text(text, "./", 900), ADDRESS_CLIENT, "too long: 902 bytes");
}

TEST(the_environment_names_the_default)
{
        struct address list[4];
        struct address_why why;
        size_t n = 0;

        setenv("BATON_ADDRESS", "@mine,/run/mine.sock?uid=7", 1);
        CHECK_EQ(address_defaults(ADDRESS_CLIENT, list, 4, &n, &why), 0);
        CHECK_EQ(n, 2);
        CHECK_STR(list[0].name, "mine");
        CHECK_EQ(list[1].uid, 7);
        setenv("BATON_ADDRESS", "mine", 1);
        CHECK_EQ(address_defaults(ADDRESS_CLIENT, list, 4, &n, &why), ADDRESS_E_BAD);
        CHECK_PTR(strstr(why.text, "BATON_ADDRESS: address 1: an address is"));
        unsetenv("BATON_ADDRESS");
}

TEST(without_it_the_abstract_name_comes_first_and_the_path_behind)
{
        struct address list[4];
        struct address_why why;
        size_t n = 0;
        char name[32];
        bool is_root = geteuid() == 0;
        size_t n_names = sys_has_abstract() ? 1 : 0;

        snprintf(name, sizeof(name), "baton-%u", (unsigned)geteuid());
        setenv("BATON_ADDRESS", "", 1); /* as good as unset */
        setenv("XDG_RUNTIME_DIR", "/run/user/7", 1);
        CHECK_EQ(address_defaults(ADDRESS_BROKER, list, 4, &n, &why), 0);
        CHECK_EQ(n, n_names + 1);
        if (n_names) {
                CHECK(list[0].is_abstract);
                CHECK_STR(list[0].name, name);
                CHECK_EQ(list[0].name_len, strlen(name));
        }
        CHECK(!list[n_names].is_abstract && !list[n_names].has_mode);
        CHECK_STR(list[n_names].name, is_root ? "/run/baton/baton.sock" : "/run/user/7/baton.sock");

        unsetenv("BATON_ADDRESS");
        unsetenv("XDG_RUNTIME_DIR");
        int r = address_defaults(ADDRESS_CLIENT, list, 4, &n, &why);
        CHECK_EQ(r, n_names || is_root ? 0 : ADDRESS_E_BAD);
        if (r)
                CHECK_PTR(strstr(why.text, "XDG_RUNTIME_DIR"));
        else
                CHECK_EQ(n, n_names + is_root);
}

TEST(the_text_of_an_address_reads_back_as_the_same)
{
        unsetenv("BUILD_WORKING_DIRECTORY");
        check_format("@baton-0", "@baton-0");
        check_format("seqpacket:@baton-0?uid=0", "@baton-0");
        check_format("/run/x.sock?uid=0", "/run/x.sock");
        check_format("stream:/p", "stream:/p");
        check_format("dgram:./p", "dgram:./p");
}
