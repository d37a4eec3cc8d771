/* Sockets at a path: what they look like, when they are left alone, what is left behind. */
#include "tests/link/listening.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { RACERS = 8 };

static mode_t mode_of(const char *path)
{
        struct stat st;

        CHECK_EQ(lstat(path, &st), 0);
        return st.st_mode;
}

static const int types[] = {SOCK_SEQPACKET, SOCK_STREAM, SOCK_DGRAM};
static const char *const texts[] = {"./s", "stream:./s", "dgram:./s"};

TEST(a_path_has_its_mode_whatever_the_umask)
{
        static const mode_t masks[] = {0, 022, 077, 0777};
        static const struct {
                const char *text;
                mode_t mode;
        } rows[] = {
                {"./s", 0600},
                {"./s?mode=0666", 0666},
                {"./s?mode=0660", 0660},
                {"./s?mode=0", 0},
                {"./s?mode=777", 0777},
                {"stream:./s", 0600},
                {"stream:./s?mode=0640", 0640},
                {"dgram:./s", 0600},
                {"dgram:./s?mode=0622", 0622},
        };

        room_enter();
        for (size_t i = 0; i < ARRAY_LEN(masks) * ARRAY_LEN(rows); i++) {
                mode_t mask = masks[i % ARRAY_LEN(masks)];
                size_t row = i / ARRAY_LEN(masks);
                if (!can_serve(rows[row].text))
                        continue;
                mode_t before = umask(mask);
                struct listener *l = open_listener(rows[row].text);
                CHECK_EQ(mode_of("s"), S_IFSOCK | rows[row].mode);
                CHECK_EQ(mode_of("s.lock"), S_IFREG | 0600);
                CHECK_EQ(umask(before), mask); /* as it was */
                listener_close(l);
                CHECK_EQ(unlink("s.lock"), 0);
        }
        room_leave();
}

TEST(a_path_is_gone_after_close_and_its_lock_stays)
{
        room_enter();
        struct listener *l = open_listener("./s");
        CHECK(is_there("s"));
        CHECK(!is_there("s.new"));
        CHECK_NULL(listener_close(l));
        CHECK(!is_there("s"));
        CHECK(is_there("s.lock"));
        check_unreachable("./s", LINK_E_ABSENT, "no such socket (is the broker running?)");
        room_leave();
}

TEST(a_stale_socket_of_any_type_is_replaced_without_ever_missing)
{
        struct stat stale, fresh;

        room_enter();
        for (size_t i = 0; i < ARRAY_LEN(types) * ARRAY_LEN(texts); i++) {
                const char *text = texts[i % ARRAY_LEN(texts)];
                if (!can_serve(text))
                        continue;
                close(raw_bind(types[i / ARRAY_LEN(texts)], "s"));
                close(raw_bind(SOCK_STREAM, "s.new")); /* left by one who was killed half way */
                CHECK_EQ(lstat("s", &stale), 0);
                struct listener *l = open_listener(text);
                CHECK_EQ(lstat("s", &fresh), 0);
                CHECK_NE(stale.st_ino, fresh.st_ino);
                CHECK(!is_there("s.new"));
                check_reachable(text);
                listener_close(l);
                CHECK(!is_there("s"));
        }
        room_leave();
}

TEST(a_live_socket_says_who_serves_it)
{
        struct server s;
        char phrase[64];

        room_enter();
        start_server(&s, "./s");
        say_process(phrase, "a live broker serves it: ", s.pid, geteuid());
        check_refused("./s", LISTENER_E_TAKEN, phrase);
        kill_server(&s);
        room_leave();
}

TEST(a_live_socket_is_not_stolen_although_its_lock_is_gone)
{
        struct stat before, after;

        room_enter();
        struct listener *l = open_listener("./s");
        CHECK_EQ(unlink("s.lock"), 0);
        CHECK_EQ(lstat("s", &before), 0);
        check_refused("./s", LISTENER_E_TAKEN, "a live broker serves it");
        CHECK_EQ(lstat("s", &after), 0);
        CHECK_EQ(before.st_ino, after.st_ino);
        struct link *client = connect_to("./s", NULL);
        link_free(client);
        listener_close(l);
        room_leave();
}

TEST(a_live_socket_that_is_swamped_or_of_another_type_is_not_stolen)
{
        struct address a;
        struct listener_why why;
        struct listener *l;

        room_enter();
        a = broker_address("./s");
        CHECK_EQ(listener_open(&a, 0, &l, &why), 0);
        struct link *client = connect_to("./s", NULL);
        check_refused("./s", LISTENER_E_TAKEN, "whose backlog is full");
        link_free(client);
        listener_close(l);
        for (size_t i = 0; i < ARRAY_LEN(types) * ARRAY_LEN(texts); i++) {
                size_t type = i % ARRAY_LEN(types), asked = i / ARRAY_LEN(types);
                if (!can_serve(texts[asked]))
                        continue;
                int fd = raw_bind(types[type], "s");
                check_refused(texts[asked], LISTENER_E_TAKEN,
                        type == asked ? "a live broker serves it" : "another type of socket");
                CHECK(is_there("s"));
                close(fd);
                CHECK_EQ(unlink("s"), 0);
        }
        int temporary = raw_bind(SOCK_SEQPACKET, "t.new");
        check_refused("./t", LISTENER_E_TAKEN, "a live broker serves it");
        CHECK(is_there("t.new"));
        close(temporary);
        room_leave();
}

TEST(a_lock_that_somebody_holds_keeps_others_out)
{
        room_enter();
        int lock = open("s.lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        CHECK_EQ(flock(lock, LOCK_EX), 0);
        check_refused("./s", LISTENER_E_UNSAFE, "its lock is held");
        CHECK(!is_there("s"));
        close(lock);
        listener_close(open_listener("./s"));
        room_leave();
}

TEST(close_removes_only_its_own_socket)
{
        room_enter();
        struct listener *l = open_listener("./s");
        CHECK_EQ(unlink("s"), 0);
        int other = raw_bind(SOCK_SEQPACKET, "s");
        listener_close(l);
        CHECK(is_there("s"));
        close(other);

        l = open_listener("./s");
        CHECK_EQ(unlink("s"), 0);
        make_file("s");
        listener_close(l);
        CHECK(is_there("s"));
        CHECK_EQ(unlink("s"), 0);

        l = open_listener("./s");
        CHECK_EQ(rename("s", "moved"), 0);
        listener_close(l);
        CHECK(is_there("moved"));
        room_leave();
}

TEST(what_is_no_socket_is_left_alone)
{
        room_enter();
        make_file("file");
        check_refused("./file", LISTENER_E_UNSAFE, "no socket");
        CHECK(S_ISREG(mode_of("file")));

        CHECK_EQ(symlink("file", "link"), 0);
        check_refused("./link", LISTENER_E_UNSAFE, "a symbolic link is there");
        CHECK_EQ(symlink("nowhere", "dangling"), 0);
        check_refused("./dangling", LISTENER_E_UNSAFE, "a symbolic link is there");
        CHECK(!is_there("nowhere"));

        CHECK_EQ(mkdir("dir", 0700), 0);
        check_refused("./dir", LISTENER_E_UNSAFE, "no socket");

        make_file("s.new");
        check_refused("./s", LISTENER_E_UNSAFE, "no socket (s.new)");
        CHECK(S_ISREG(mode_of("s.new")));
        CHECK(!is_there("s"));
        room_leave();
}

TEST(a_lock_file_that_is_none_is_refused)
{
        room_enter();
        make_file("elsewhere");
        CHECK_EQ(symlink("elsewhere", "s.lock"), 0);
        check_refused("./s", LISTENER_E_UNSAFE, "its lock file is a symbolic link");
        CHECK_EQ(mkfifo("t.lock", 0600), 0);
        check_refused("./t", LISTENER_E_UNSAFE, "its lock file is no regular file");
        CHECK(!is_there("s") && !is_there("t"));
        room_leave();
}

TEST(a_directory_where_anybody_may_rename_is_refused)
{
        room_enter();
        CHECK_EQ(mkdir("open", 0700), 0);
        CHECK_EQ(chmod("open", 0777), 0);
        check_refused("./open/s", LISTENER_E_UNSAFE, "world-writable and not sticky");
        CHECK(!is_there("open/s.lock"));
        CHECK_EQ(chmod("open", 01777), 0);
        listener_close(open_listener("./open/s"));
        CHECK_EQ(chmod("open", 0700), 0);
        listener_close(open_listener("./open/s"));
        room_leave();
}

TEST(a_directory_may_be_behind_a_symbolic_link)
{
        room_enter();
        CHECK_EQ(mkdir("dir", 0700), 0);
        CHECK_EQ(symlink("dir", "by"), 0);
        struct listener *l = open_listener("./by/s");
        struct link *client = connect_to("./dir/s", NULL);
        link_free(client);
        listener_close(l);
        CHECK(!is_there("dir/s"));
        room_leave();
}

TEST(a_missing_directory_is_an_error_with_a_phrase)
{
        room_enter();
        check_refused("./none/s", -ENOENT, "No such file or directory");
        make_file("file");
        check_refused("./file/s", -ENOTDIR, "Not a directory");
        room_leave();
}

struct race {
        const char *text;
        int results[2], release[2];
};

/* Tries to listen, tells the outcome, and holds on until all have tried. */
static int run_race(void *context)
{
        struct race *race = context;
        struct address a;
        struct address_why why;
        struct listener_why listener_why;
        struct listener *l = NULL;
        char byte;

        close(race->release[1]);
        if (address_parse(race->text, ADDRESS_BROKER, &a, &why))
                return 1;
        byte = (char)listener_open(&a, 2 * RACERS, &l, &listener_why); /* losers knock once */
        if (write(race->results[1], &byte, 1) != 1 || read(race->release[0], &byte, 1) != 0)
                return 1;
        listener_close(l);
        return 0;
}

static void check_race(const char *text)
{
        struct race race = {.text = text};
        pid_t pids[RACERS];
        int winners = 0;

        CHECK_EQ(pipe2(race.results, O_CLOEXEC), 0);
        CHECK_EQ(pipe2(race.release, O_CLOEXEC), 0);
        for (int i = 0; i < RACERS; i++)
                pids[i] = spawn(run_race, &race);
        for (int i = 0; i < RACERS; i++) {
                char byte = -1;
                CHECK_EQ(read(race.results[0], &byte, 1), 1);
                winners += byte == 0;
                CHECK(byte == 0 || byte == LISTENER_E_TAKEN || byte == LISTENER_E_UNSAFE);
        }
        CHECK_EQ(winners, 1);
        check_reachable(text);
        close(race.release[0]);
        close(race.release[1]);
        for (int i = 0; i < RACERS; i++)
                CHECK_EQ(reap(pids[i]), 0);
        CHECK(!is_there("s"));
        close(race.results[0]);
        close(race.results[1]);
}

TEST(of_many_that_start_at_once_one_listens)
{
        room_enter();
        close(raw_bind(SOCK_SEQPACKET, "s"));
        for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
                if (can_serve(texts[i]))
                        check_race(texts[i]);
        }
        room_leave();
}
