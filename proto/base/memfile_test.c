/* Files without a name: filled in pieces, also when write(2) fails or takes less (the linker's
 * --wrap stands in front of it), and read back. What seals promise is in memfile_seals_test.c. */
#include "proto/base/memfile.h"

#include "tests/harness/test.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

/* The next calls of write(2): `errors` fail with `error`, and each takes `most` bytes. */
static struct {
        int error, errors;
        size_t most;
        int n_calls;
} faults = {.most = SIZE_MAX};

ssize_t __real_write(int fd, const void *data, size_t len);
ssize_t __wrap_write(int fd, const void *data, size_t len);

ssize_t __wrap_write(int fd, const void *data, size_t len)
{
        faults.n_calls++;
        if (faults.errors) {
                faults.errors--;
                errno = faults.error;
                return -1;
        }
        return __real_write(fd, data, size_min(len, faults.most));
}

static int append_with(int fd, int error, int errors, size_t most, const void *data, size_t len)
{
        faults.error = error;
        faults.errors = errors;
        faults.most = most;
        faults.n_calls = 0;
        int r = memfile_append(fd, data, len);
        faults.errors = 0;
        faults.most = SIZE_MAX;
        return r;
}

static int new_file(void)
{
        int fd = -1;

        CHECK_EQ(memfile_new(&fd), 0);
        CHECK(fd >= 0);
        return fd;
}

static off_t size_of(int fd)
{
        struct stat st;

        CHECK_EQ(fstat(fd, &st), 0);
        return st.st_size;
}

static void check_content(int fd, const char *text)
{
        char got[64] = {0};

        CHECK_EQ(size_of(fd), strlen(text));
        CHECK_EQ(memfile_read(fd, 0, got, strlen(text)), 0);
        CHECK_STR(got, text);
}

TEST(a_new_file_is_empty_and_closed_on_exec)
{
        int fd = new_file();

        CHECK_EQ(size_of(fd), 0);
        CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
        close(fd);
}

TEST(two_files_are_two_files)
{
        int a = new_file(), b = new_file();

        CHECK_EQ(memfile_append(a, "aa", 2), 0);
        CHECK_EQ(memfile_append(b, "b", 1), 0);
        check_content(a, "aa");
        check_content(b, "b");
        close(a);
        close(b);
}

TEST(without_a_descriptor_to_spare_there_is_none)
{
        struct rlimit before, none;
        int fd = -1;

        CHECK_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
        none = (struct rlimit){.rlim_cur = 0, .rlim_max = before.rlim_max};
        CHECK_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
        int r = memfile_new(&fd);
        CHECK_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
        CHECK_EQ(r, -EMFILE);
        CHECK_EQ(fd, -1);
}

TEST(pieces_stand_one_behind_the_other)
{
        int fd = new_file();

        CHECK_EQ(memfile_append(fd, "abc", 3), 0);
        CHECK_EQ(memfile_append(fd, "", 0), 0);
        CHECK_EQ(memfile_append(fd, "defg", 4), 0);
        check_content(fd, "abcdefg");
        close(fd);
}

TEST(reading_does_not_move_the_end)
{
        int fd = new_file();
        char got[2];

        CHECK_EQ(memfile_append(fd, "abc", 3), 0);
        CHECK_EQ(memfile_read(fd, 0, got, 2), 0);
        CHECK_EQ(memfile_append(fd, "d", 1), 0);
        check_content(fd, "abcd");
        close(fd);
}

TEST(a_write_that_takes_less_is_gone_on_with)
{
        int fd = new_file();

        CHECK_EQ(append_with(fd, 0, 0, 3, "0123456789", 10), 0);
        CHECK_EQ(faults.n_calls, 4);
        check_content(fd, "0123456789");
        close(fd);
}

TEST(an_interrupted_write_is_repeated)
{
        int fd = new_file();

        CHECK_EQ(append_with(fd, EINTR, 3, 4, "01234567", 8), 0);
        CHECK_EQ(faults.n_calls, 5);
        check_content(fd, "01234567");
        close(fd);
}

TEST(a_write_that_fails_is_told)
{
        int fd = new_file();

        CHECK_EQ(append_with(fd, ENOSPC, 1, 4, "abc", 3), -ENOSPC);
        CHECK_EQ(append_with(fd, ENOMEM, 1, 4, "abc", 3), -ENOMEM);
        CHECK_EQ(faults.n_calls, 1);
        close(fd);
}

TEST(a_write_that_takes_nothing_is_no_endless_loop)
{
        int fd = new_file();

        CHECK_EQ(append_with(fd, 0, 0, 0, "abc", 3), -EIO);
        CHECK_EQ(faults.n_calls, 1);
        close(fd);
}

/* SIGXFSZ has its default action here: without the look ahead this test would be killed. */
TEST(the_file_size_limit_is_an_error_and_no_signal)
{
        struct rlimit before, small;
        int fd = new_file();

        CHECK_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
        small = (struct rlimit){.rlim_cur = 8192, .rlim_max = before.rlim_max};
        CHECK_EQ(memfile_append(fd, "0123", 4), 0);
        CHECK_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
        static const char bytes[8192];
        int within = memfile_append(fd, bytes, 8188);
        int beyond = memfile_append(fd, bytes, 1);
        int nothing = memfile_append(fd, bytes, 0);
        small.rlim_cur = 4096;
        CHECK_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
        int far_beyond = memfile_append(fd, bytes, 1);
        CHECK_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
        CHECK_EQ(within, 0);
        CHECK_EQ(beyond, -EFBIG);
        CHECK_EQ(nothing, 0);
        CHECK_EQ(far_beyond, -EFBIG);
        CHECK_EQ(size_of(fd), 8192);
        close(fd);
}

TEST(any_part_can_be_read)
{
        int fd = new_file();
        char got[4] = {0};

        CHECK_EQ(memfile_append(fd, "0123456789", 10), 0);
        CHECK_EQ(memfile_read(fd, 4, got, 3), 0);
        CHECK_STR(got, "456");
        CHECK_EQ(memfile_read(fd, 10, got, 0), 0);
        close(fd);
}

TEST(beyond_the_end_there_is_nothing_to_read)
{
        int fd = new_file();
        char got[16];

        CHECK_EQ(memfile_append(fd, "0123456789", 10), 0);
        CHECK_EQ(memfile_read(fd, 0, got, 11), -EIO);
        CHECK_EQ(memfile_read(fd, 10, got, 1), -EIO);
        CHECK_EQ(memfile_read(fd, 1 << 20, got, 1), -EIO);
        CHECK_EQ(memfile_read(fd, UINT64_MAX, got, 1), -EIO);
        CHECK_EQ(memfile_read(fd, INT64_MAX, got, 1), -EIO);
        close(fd);
}

TEST(what_cannot_be_read_says_why)
{
        int ends[2];
        char got;

        CHECK_EQ(pipe(ends), 0);
        CHECK_EQ(memfile_read(ends[0], 0, &got, 1), -ESPIPE);
        close(ends[0]);
        close(ends[1]);
        CHECK_EQ(memfile_read(ends[0], 0, &got, 1), -EBADF);
}

TEST(a_mapping_shows_the_bytes_and_outlives_the_descriptor)
{
        int fd = new_file();
        const void *data = NULL;

        CHECK_EQ(memfile_append(fd, "0123456789", 10), 0);
        int r = memfile_seal(fd);
        CHECK_EQ(r, memfile_can_seal() ? 0 : MEMFILE_E_UNSUPPORTED);
        CHECK_EQ(memfile_map(fd, 10, &data), 0);
        close(fd);
        CHECK_BYTES(data, "0123456789", 10);
        memfile_unmap(data, 10);
}

TEST(many_pages_can_be_mapped)
{
        enum { SIZE = 5 * 4096 + 17 };
        static uint8_t bytes[SIZE];
        int fd = new_file();
        const void *data = NULL;

        for (size_t i = 0; i < SIZE; i++)
                bytes[i] = (uint8_t)(i * 31 >> 3);
        CHECK_EQ(memfile_append(fd, bytes, SIZE), 0);
        CHECK_EQ(memfile_map(fd, SIZE, &data), 0);
        CHECK_BYTES(data, bytes, SIZE);
        memfile_unmap(data, SIZE);
        close(fd);
}

TEST(what_cannot_be_mapped_is_left_alone)
{
        int ends[2];
        const void *data = NULL;

        CHECK_EQ(pipe(ends), 0);
        CHECK_EQ(memfile_map(ends[0], 1, &data), -ENODEV);
        CHECK_NULL(data);
        close(ends[0]);
        close(ends[1]);
}

TEST(a_system_without_seals_says_so_and_trusts_nobody)
{
        int fd = new_file();
        uint64_t size = 4711;

        CHECK_EQ(memfile_append(fd, "abc", 3), 0);
        int r = memfile_seal(fd);
        int sealed = memfile_sealed_size(fd, &size);
        close(fd);
        if (memfile_can_seal()) {
                CHECK_EQ(r, 0);
                CHECK_EQ(sealed, 0);
                CHECK_EQ(size, 3);
        } else {
                CHECK_EQ(r, MEMFILE_E_UNSUPPORTED);
                CHECK_EQ(sealed, MEMFILE_E_UNSEALED);
                CHECK_EQ(size, 4711);
        }
}
