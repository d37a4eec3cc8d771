/* The system has no memory file, no room in one, or no address space for it. */
#include "client/fake_payload.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <unistd.h>

int __real_memfd_create(const char *name, unsigned flags);
ssize_t __real_write(int fd, const void *data, size_t n);
void *__real_mmap(void *addr, size_t n, int prot, int flags, int fd, off_t at);
int __wrap_memfd_create(const char *name, unsigned flags);
ssize_t __wrap_write(int fd, const void *data, size_t n);
void *__wrap_mmap(void *addr, size_t n, int prot, int flags, int fd, off_t at);

/* What fails next, with which errno; 0: nothing. */
static int no_memfd, no_write, no_mmap;
static int n_memfds;

static bool fails(int *error)
{
        if (!*error)
                return false;
        errno = *error;
        *error = 0;
        return true;
}

int __wrap_memfd_create(const char *name, unsigned flags)
{
        n_memfds++;
        return fails(&no_memfd) ? -1 : __real_memfd_create(name, flags);
}

ssize_t __wrap_write(int fd, const void *data, size_t n)
{
        return fails(&no_write) ? -1 : __real_write(fd, data, n);
}

void *__wrap_mmap(void *addr, size_t n, int prot, int flags, int fd, off_t at)
{
        return fd >= 0 && fails(&no_mmap) ? MAP_FAILED : __real_mmap(addr, n, prot, flags, fd, at);
}

enum { N = 100000 };

static const struct baton_publication plain = {.topic = "t"};

static void check_untouched(struct fake *f, size_t fds)
{
        struct message m;

        CHECK(!fake_next(f, &m));
        CHECK_EQ(f->b->out.window, f->window);
        CHECK_EQ(f->b->ops.n, 0);
        CHECK_EQ(test_open_fds(), fds);
}

TEST(a_payload_for_which_there_is_no_file_is_not_published)
{
        void *bytes = payload_make(N);
        struct baton_publication p = {.topic = "t", .payload = bytes, .payload_len = N};
        struct notes notes = {.len = 0};
        struct fake f;

        NEEDS_MEMFD();
        fake_open_large(&f, WIRE_FEATURE_MEMFD, 0);
        size_t fds = test_open_fds();
        no_memfd = EMFILE;
        CHECK_EQ(baton_publish(f.b, "t", bytes, N), -EMFILE);
        CHECK_STR(baton_error(f.b), "a memory file of 100000 bytes: Too many open files");
        check_untouched(&f, fds);
        no_write = ENOSPC;
        CHECK_EQ(baton_publish_confirm(f.b, &p, note_done, &notes), -ENOSPC);
        check_untouched(&f, fds);
        no_write = EINTR;
        CHECK_EQ(baton_publish(f.b, "t", bytes, N), 0);
        struct got got = fake_collect(&f, NULL);
        CHECK(got.placed);
        CHECK_EQ(got.bytes, N);
        CHECK_STR(notes.text, "");
        free(bytes);
        fake_close(&f);
}

TEST(no_file_is_made_while_the_socket_is_full)
{
        void *bytes = payload_make(N);
        struct fake f;
        int r;

        NEEDS_MEMFD();
        /* The window is not what stops it. */
        fake_open_over(&f, SOCK_SEQPACKET, fake_welcome_large(1 << 30, WIRE_FEATURE_MEMFD), 0);
        baton_set_nonblocking(f.b, true);
        while ((r = baton_publish(f.b, "t", bytes, N)) == 0)
                continue;
        CHECK_EQ(r, -EAGAIN);
        int before = n_memfds;
        for (int i = 0; i < 10; i++)
                CHECK_EQ(baton_publish(f.b, "t", bytes, N), -EAGAIN);
        CHECK_EQ(n_memfds, before);
        free(bytes);
        fake_close(&f);
}

TEST(a_payload_that_cannot_be_written_is_abandoned)
{
        void *bytes = payload_make(N);
        struct notes notes = {.len = 0};
        struct fake f;

        NEEDS_MEMFD();
        fake_open_large(&f, WIRE_FEATURE_MEMFD, 0);
        size_t fds = test_open_fds();
        for (int i = 0; i < 3; i++) {
                CHECK_EQ(baton_begin(f.b, &plain, 0, note_done, &notes), 0);
                if (i == 0) {
                        no_memfd = ENFILE;
                        CHECK_EQ(baton_write(f.b, bytes, N), -ENFILE);
                } else if (i == 1) {
                        no_write = ENOMEM;
                        CHECK_EQ(baton_write(f.b, bytes, N), -ENOMEM);
                } else {
                        CHECK_EQ(baton_write(f.b, bytes, N), 0);
                        CHECK_EQ(baton_write(f.b, bytes, 5), 0);
                        no_write = ENOSPC;
                }
                CHECK_EQ(baton_end(f.b), i == 2 ? -ENOSPC : -EINVAL);
                check_untouched(&f, fds);
        }
        CHECK_STR(notes.text, "");
        CHECK_EQ(baton_publish(f.b, "t", "", 0), 0);
        free(bytes);
        fake_close(&f);
}

TEST(a_payload_that_cannot_be_mapped_is_a_gap_and_a_reply_ends_its_request)
{
        struct baton_publication p = {.topic = "svc"};
        struct notes notes = {.len = 0};
        struct fake f;

        NEEDS_MEMFD();
        fake_open_large(&f, WIRE_FEATURE_MEMFD, 0);
        baton_set_gap(f.b, note_gap, &notes);
        uint32_t sub = fake_subscribe(&f, "a", note_large, &notes);
        size_t fds = test_open_fds();
        fake_place(&f, sub, "a", N);
        no_mmap = ENOMEM;
        CHECK_EQ(run(&f), 0);
        fake_place(&f, sub, "a", N);
        CHECK_EQ(run(&f), 0);
        CHECK_STR(notes.text, "a lost 1 (not readable);a:100000;");
        fake_place_file(&f, fake_reply(2, 0), "", payload_file(N, true), N, 0);
        no_mmap = ENFILE;
        CHECK_EQ(baton_request(f.b, &p, 1000, note_large, &notes), -ENFILE);
        CHECK(strstr(baton_error(f.b), "could not be had: Too many open files in system"));
        CHECK_EQ(payload_maps(), 0);
        CHECK_EQ(test_open_fds(), fds);
        fake_close(&f);
}
