/* Design note. memfd_create and seals where the system has them. Elsewhere, a temporary file that
 * is unlinked at once: the same to its maker, but not to be handed out (docs/PORTING.md). Shared
 * memory objects would do no better: POSIX lets them be mapped, and macOS lets nothing else be
 * done.
 *
 * Filled by write(2), not through a mapping: a page that is written whole need not be zeroed first,
 * and costs no fault (twice as fast, docs/PERFORMANCE.md). Readers map without
 * MAP_POPULATE: a fault maps the sixteen pages around it, and 256 faults cost less than the walk
 * over each of 4,096 pages that to populate is. They map with MAP_PRIVATE: it shows the same pages,
 * and before Linux 6.7 MAP_SHARED was refused, even for reading, once a file that is open for
 * writing is sealed. */
#include "proto/base/memfile.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
        /* Bytes of one write or pread: macOS refuses INT_MAX and more. */
        PIECE_BYTES = 1 << 30,
};

#if defined(__linux__) && !defined(BATON_PORTABLE)

#include <linux/magic.h>
#include <sys/vfs.h>

/* Linux 6.3: the file can never be made executable. Older headers and kernels lack it. */
#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif

enum { SEALS = F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL };

bool memfile_can_seal(void)
{
        return true;
}

int memfile_new(int *ret_fd)
{
        unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
        int fd = memfd_create("baton", flags | MFD_NOEXEC_SEAL);

        if (fd < 0 && errno == EINVAL)
                fd = memfd_create("baton", flags);
        if (fd < 0)
                return -errno;
        *ret_fd = fd;
        return 0;
}

int memfile_seal(int fd)
{
        return fcntl(fd, F_ADD_SEALS, SEALS) < 0 ? -errno : 0;
}

/* A failure too says that it cannot be relied on: EINVAL for what is no memory file, EBADF for what
 * is no descriptor or an O_PATH one, and whatever a security module answers. */
static bool is_sealed(int fd)
{
        int seals = fcntl(fd, F_GET_SEALS);

        return seals >= 0 && (seals & SEALS) == SEALS;
}

/* Somebody may have opened it again, through /proc, to write alone. */
static bool is_readable(int fd)
{
        int flags = fcntl(fd, F_GETFL);

        return flags >= 0 && (flags & O_ACCMODE) != O_WRONLY;
}

int memfile_sealed_size(int fd, uint64_t *ret_size)
{
        struct statfs fs;
        struct stat st;

        if (!is_sealed(fd) || !is_readable(fd))
                return MEMFILE_E_UNSEALED;
        if (fstatfs(fd, &fs) < 0 || fstat(fd, &st) < 0)
                return -errno;
        if (fs.f_type == HUGETLBFS_MAGIC)
                return MEMFILE_E_UNSEALED;
        *ret_size = (uint64_t)st.st_size;
        return 0;
}

#else

#include "proto/base/sys.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool memfile_can_seal(void)
{
        return false;
}

int memfile_new(int *ret_fd)
{
        const char *dir = sys_getenv("TMPDIR");
        char path[256];

        if (!dir || dir[0] != '/' || strlen(dir) > sizeof(path) - 32)
                dir = "/tmp";
        snprintf(path, sizeof(path), "%s/baton-XXXXXX", dir);
        int fd = mkstemp(path);
        if (fd < 0)
                return -errno;
        (void)unlink(path);
        if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0) {
                int r = -errno;
                close(fd);
                return r;
        }
        *ret_fd = fd;
        return 0;
}

int memfile_seal(int fd)
{
        (void)fd;
        return MEMFILE_E_UNSUPPORTED;
}

int memfile_sealed_size(int fd, uint64_t *ret_size)
{
        (void)fd;
        (void)ret_size;
        return MEMFILE_E_UNSEALED;
}

#endif

/* The kernel would not only refuse to go beyond the limit, but end the process (SIGXFSZ). */
static int check_limit(int fd, size_t len)
{
        struct rlimit limit;

        if (getrlimit(RLIMIT_FSIZE, &limit) < 0)
                return -errno;
        if (limit.rlim_cur == RLIM_INFINITY)
                return 0;
        off_t at = lseek(fd, 0, SEEK_CUR);
        if (at < 0)
                return -errno;
        return (rlim_t)at > limit.rlim_cur || len > limit.rlim_cur - (rlim_t)at ? -EFBIG : 0;
}

int memfile_append(int fd, const void *data, size_t len)
{
        int r = check_limit(fd, len);

        if (r < 0)
                return r;
        for (const uint8_t *at = data; len;) {
                ssize_t n = write(fd, at, size_min(len, PIECE_BYTES));
                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0)
                        return n < 0 ? -errno : -EIO;
                at += n;
                len -= (size_t)n;
        }
        return 0;
}

int memfile_read(int fd, uint64_t at, void *buf, size_t len)
{
        if (len > INT64_MAX || at > INT64_MAX - len) /* no file is that long, nor an off_t */
                return -EIO;
        for (uint8_t *to = buf; len;) {
                ssize_t n = pread(fd, to, size_min(len, PIECE_BYTES), (off_t)at);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0)
                        return n < 0 ? -errno : -EIO;
                to += n;
                at += (uint64_t)n;
                len -= (size_t)n;
        }
        return 0;
}

int memfile_map(int fd, size_t size, const void **ret_data)
{
        void *data = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);

        if (data == MAP_FAILED)
                return -errno;
        *ret_data = data;
        return 0;
}

void memfile_unmap(const void *data, size_t size)
{
        munmap((void *)data, size);
}
