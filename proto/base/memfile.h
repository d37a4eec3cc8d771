/* memfile.h - bytes in a file that has no name: how large payloads are held, and handed over
 * without copying.
 *
 * Where the system has memfd_create(2) and seals (Linux), a sealed memory file can be given to
 * strangers: nobody, its maker included, can change or shrink it any more, so that a reader may map
 * it without fear of SIGBUS. Elsewhere memory files are for the process that made them alone. */
#ifndef BATON_BASE_MEMFILE_H
#define BATON_BASE_MEMFILE_H

#include "proto/base/defs.h"
#include <stdbool.h>
#include <stdint.h>

enum memfile_outcome {
        MEMFILE_E_UNSEALED = 1,    /* no memory file, or one that can still be changed */
        MEMFILE_E_UNSUPPORTED = 2, /* this system has no seals */
};

/* memfile_can_seal: memory files can be handed to others. */
bool memfile_can_seal(void);

/* memfile_new makes an empty one, close-on-exec; the caller owns `*ret_fd`. Its size counts against
 * nobody's disk, its pages against the memory of who writes them (and their cgroup). Where there
 * are no seals it is an unlinked file in $TMPDIR, else /tmp.
 * Returns 0 · -errno (-EMFILE, -ENOMEM ...). */
BT_MUST int memfile_new(int *ret_fd);

/* memfile_append writes `len` bytes behind those appended before. After a failure the file's end is
 * undefined.
 * Returns 0 · -errno (-ENOSPC, -ENOMEM, -EFBIG: the file size limit of the process, RLIMIT_FSIZE;
 *         looked at first, without the signal that goes with it). */
BT_MUST int memfile_append(int fd, const void *data, size_t len);

/* memfile_seal makes content, size and seals final: F_SEAL_WRITE, _SHRINK, _GROW, _SEAL
 * (fcntl(2)).
 * Returns 0 · MEMFILE_E_UNSUPPORTED · -errno (-EBUSY: it is mapped for writing; -EPERM: it is
 *         sealed already). */
BT_MUST int memfile_seal(int fd);

/* memfile_sealed_size tells the size of a descriptor that came from a stranger, if it is a memory
 * file with all four seals that can be read. It never blocks, whatever the descriptor is: file
 * systems are not asked (a hung FUSE server would hang fstat) before the seals have shown that it
 * is memory. The size is what the file claims, its pages may not exist yet: bound it before you
 * read or map them. Files of huge pages are refused: they cannot be unmapped by their size.
 * Returns 0 · MEMFILE_E_UNSEALED · -errno. */
BT_MUST int memfile_sealed_size(int fd, uint64_t *ret_size);

/* memfile_read copies `len` bytes from offset `at`; the file's own offset stays as it is, for
 * everybody who has the file shares that one. Returns 0 · -EIO it is shorter · -errno. */
BT_MUST int memfile_read(int fd, uint64_t at, void *buf, size_t len);

/* memfile_map maps `size` bytes for reading, 1 <= size <= the file's. Only sealed files: another
 * could be shrunk, and reading it would then end the process. Returns 0 · -errno. */
BT_MUST int memfile_map(int fd, size_t size, const void **ret_data);
void memfile_unmap(const void *data, size_t size);

#endif
