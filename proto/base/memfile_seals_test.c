/* What the seals of a memory file promise, and which descriptors of strangers are refused. */
#include "proto/base/memfile.h"

#include "tests/harness/test.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
        SIZE = 10000, /* of new_sealed's content: three pages, the last in part */
        SEALS = F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL,
};

static int new_filled(void)
{
        static uint8_t bytes[SIZE];
        int fd = -1;

        memset(bytes, 'x', sizeof(bytes));
        CHECK_EQ(memfile_new(&fd), 0);
        CHECK_EQ(memfile_append(fd, bytes, SIZE), 0);
        return fd;
}

static int new_sealed(void)
{
        int fd = new_filled();

        CHECK_EQ(memfile_seal(fd), 0);
        return fd;
}

/* Content and size are what new_filled made them. */
static void check_unchanged(int fd)
{
        static uint8_t got[SIZE];
        uint64_t size = 0;

        CHECK_EQ(memfile_sealed_size(fd, &size), 0);
        CHECK_EQ(size, SIZE);
        CHECK_EQ(memfile_read(fd, 0, got, SIZE), 0);
        for (size_t i = 0; i < SIZE; i++) {
                if (got[i] != 'x')
                        fail_msg("byte %zu", i);
        }
}

/* Closes `fd`, which must be refused, and must leave the output alone. */
static void check_refused(int fd)
{
        uint64_t size = 4711;

        CHECK_EQ(memfile_sealed_size(fd, &size), MEMFILE_E_UNSEALED);
        CHECK_EQ(size, 4711);
        close(fd);
}

#define CHECK_FAILS(call, error)        \
        do {                            \
                errno = 0;              \
                CHECK_EQ((call), -1);   \
                CHECK_EQ(errno, error); \
        } while (0)

TEST(sealed_content_cannot_be_written)
{
        int fd = new_sealed();

        CHECK_FAILS(write(fd, "y", 1), EPERM);
        CHECK_FAILS(pwrite(fd, "y", 1, 0), EPERM);
        CHECK_EQ(memfile_append(fd, "y", 1), -EPERM);
        check_unchanged(fd);
        close(fd);
}

TEST(a_sealed_file_cannot_be_shrunk_or_grown)
{
        int fd = new_sealed();

        CHECK_FAILS(ftruncate(fd, SIZE - 1), EPERM);
        CHECK_FAILS(ftruncate(fd, 0), EPERM);
        CHECK_FAILS(ftruncate(fd, SIZE + 1), EPERM);
        CHECK_FAILS(fallocate(fd, 0, SIZE, 1), EPERM);
        check_unchanged(fd);
        close(fd);
}

TEST(no_hole_can_be_punched_into_a_sealed_file)
{
        int fd = new_sealed();

        CHECK_FAILS(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096), EPERM);
        check_unchanged(fd);
        close(fd);
}

TEST(a_sealed_file_cannot_be_mapped_for_writing_by_others)
{
        int fd = new_sealed();

        errno = 0;
        CHECK(mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED);
        CHECK_EQ(errno, EPERM);
        /* Older kernels refuse this, newer ones do not let it become writable. */
        void *data = mmap(NULL, SIZE, PROT_READ, MAP_SHARED, fd, 0);
        if (data != MAP_FAILED) {
                CHECK_FAILS(mprotect(data, SIZE, PROT_READ | PROT_WRITE), EACCES);
                munmap(data, SIZE);
        }
        check_unchanged(fd);
        close(fd);
}

TEST(what_a_reader_does_to_its_mapping_nobody_else_sees)
{
        int fd = new_sealed();
        const void *data = NULL;

        CHECK_EQ(memfile_map(fd, SIZE, &data), 0);
        if (mprotect((void *)data, SIZE, PROT_READ | PROT_WRITE) == 0)
                memset((void *)data, 'y', SIZE);
        memfile_unmap(data, SIZE);
        check_unchanged(fd);
        close(fd);
}

TEST(seals_cannot_be_taken_off_nor_added)
{
        int fd = new_sealed();

        CHECK_FAILS(fcntl(fd, F_ADD_SEALS, 0), EPERM);
        CHECK_FAILS(fcntl(fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE), EPERM);
        CHECK_EQ(memfile_seal(fd), -EPERM);
        CHECK_EQ(fcntl(fd, F_GET_SEALS) & SEALS, SEALS);
        close(fd);
}

TEST(opening_it_again_does_not_unseal_it)
{
        int fd = new_sealed();
        char path[64];

        snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        int again = open(path, O_RDWR | O_CLOEXEC);
        CHECK(again >= 0);
        CHECK_FAILS(pwrite(again, "y", 1, 0), EPERM);
        CHECK_FAILS(ftruncate(again, 0), EPERM);
        CHECK_FAILS(open(path, O_RDWR | O_TRUNC | O_CLOEXEC), EPERM);
        check_unchanged(again);
        close(again);
        close(fd);
}

/* The seal's presence proves that nobody has such a mapping. */
TEST(what_is_mapped_for_writing_cannot_be_sealed)
{
        int fd = new_filled();
        uint8_t *data = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

        CHECK(data != MAP_FAILED);
        CHECK_EQ(memfile_seal(fd), -EBUSY);
        CHECK_EQ(fcntl(fd, F_GET_SEALS) & SEALS, 0);
        munmap(data, SIZE);
        CHECK_EQ(memfile_seal(fd), 0);
        check_unchanged(fd);
        close(fd);
}

TEST(the_size_of_a_sealed_file_is_told)
{
        static const size_t sizes[] = {0, 1, 4095, 4096, 4097, 1 << 20};
        static uint8_t bytes[1 << 20];

        for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
                uint64_t size = 4711;
                int fd = -1;
                CHECK_EQ(memfile_new(&fd), 0);
                CHECK_EQ(memfile_append(fd, bytes, sizes[i]), 0);
                CHECK_EQ(memfile_seal(fd), 0);
                CHECK_EQ(memfile_sealed_size(fd, &size), 0);
                CHECK_EQ(size, sizes[i]);
                close(fd);
        }
}

TEST(a_sealed_file_may_claim_more_than_it_holds)
{
        uint64_t size = 0;
        int fd = -1;

        CHECK_EQ(memfile_new(&fd), 0);
        CHECK_EQ(ftruncate(fd, (off_t)1 << 40), 0);
        CHECK_EQ(memfile_seal(fd), 0);
        CHECK_EQ(memfile_sealed_size(fd, &size), 0);
        CHECK_EQ(size, UINT64_C(1) << 40);
        close(fd);
}

TEST(an_unsealed_file_is_refused)
{
        check_refused(new_filled());
}

TEST(a_file_that_cannot_be_sealed_is_refused)
{
        int fd = memfd_create("plain", MFD_CLOEXEC);

        CHECK_EQ(memfile_seal(fd), -EPERM);
        check_refused(fd);
}

TEST(each_of_the_four_seals_is_needed)
{
        static const int all[] = {F_SEAL_WRITE, F_SEAL_SHRINK, F_SEAL_GROW, F_SEAL_SEAL};

        for (size_t i = 0; i < ARRAY_LEN(all); i++) {
                int fd = new_filled();
                CHECK_EQ(fcntl(fd, F_ADD_SEALS, SEALS & ~all[i]), 0);
                check_refused(fd);
        }
}

/* That seal leaves the mappings alone that exist: their owner still writes. */
TEST(sealed_against_future_writing_is_not_sealed)
{
        int fd = new_filled();
        int seals = F_SEAL_FUTURE_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
        uint8_t *data = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        uint8_t got = 0;

        CHECK(data != MAP_FAILED);
        CHECK_EQ(fcntl(fd, F_ADD_SEALS, seals), 0);
        data[0] = 'y';
        CHECK_EQ(memfile_read(fd, 0, &got, 1), 0);
        CHECK_EQ(got, 'y');
        munmap(data, SIZE);
        check_refused(fd);
}

TEST(what_was_opened_for_writing_alone_is_refused)
{
        int fd = new_sealed();
        char path[64];

        snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        int again = open(path, O_WRONLY | O_CLOEXEC);
        CHECK(again >= 0);
        check_refused(again);
        check_unchanged(fd);
        close(fd);
}

TEST(what_was_opened_for_reading_alone_can_be_read_and_mapped)
{
        int fd = new_sealed();
        const void *data = NULL;
        char path[64];

        snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        int again = open(path, O_RDONLY | O_CLOEXEC);
        CHECK(again >= 0);
        close(fd);
        check_unchanged(again);
        CHECK_EQ(memfile_map(again, SIZE, &data), 0);
        memfile_unmap(data, SIZE);
        close(again);
}

TEST(what_is_only_looked_at_is_refused)
{
        int fd = new_sealed();
        char path[64];

        snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        int again = open(path, O_PATH | O_CLOEXEC);
        CHECK(again >= 0);
        check_refused(again);
        close(fd);
}

TEST(huge_pages_are_refused)
{
        int fd = memfd_create("huge", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_HUGETLB);

        if (fd < 0) {
                CHECK(errno == EINVAL || errno == ENOSYS || errno == ENODEV);
                return; /* a kernel without them */
        }
        CHECK_EQ(memfile_seal(fd), 0);
        CHECK_EQ(fcntl(fd, F_GET_SEALS) & SEALS, SEALS);
        check_refused(fd);
}

TEST(pipes_and_sockets_are_refused)
{
        int ends[2];

        CHECK_EQ(pipe2(ends, O_CLOEXEC), 0);
        check_refused(ends[0]);
        check_refused(ends[1]);
        CHECK_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
        check_refused(ends[0]);
        check_refused(ends[1]);
}

TEST(files_with_a_name_and_devices_are_refused)
{
        char path[] = "memfile-test-XXXXXX";
        int fd = mkostemp(path, O_CLOEXEC);

        CHECK(fd >= 0);
        unlink(path);
        check_refused(fd);
        check_refused(open("/dev/null", O_RDONLY | O_CLOEXEC));
        check_refused(open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        check_refused(open("/proc/self/stat", O_RDONLY | O_CLOEXEC));
        check_refused(open("/dev/shm", O_RDWR | O_TMPFILE | O_CLOEXEC, 0600));
}

TEST(what_is_no_descriptor_is_refused)
{
        int fd = new_sealed();

        close(fd);
        check_refused(fd);
        check_refused(-1);
        check_refused(1 << 30);
}
