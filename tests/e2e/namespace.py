"""A mount namespace with an empty /run: where a broker of root has its default address."""

import ctypes
import os

CLONE_NEWNS, MS_REC_PRIVATE = 0x20000, 0x44000


def new_run_directory():
    """An empty /run that only this process and its children see."""
    libc = ctypes.CDLL(None, use_errno=True)
    if (libc.unshare(CLONE_NEWNS) or libc.mount(b"none", b"/", None, MS_REC_PRIVATE, None)
            or libc.mount(b"none", b"/run", b"tmpfs", 0, None)):
        raise OSError(ctypes.get_errno(), "cannot mount")


def can_have_a_run_directory():
    """Not in a chroot, nor where mounting is forbidden."""
    pid = os.fork()
    if not pid:
        try:
            new_run_directory()
        except OSError:
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
