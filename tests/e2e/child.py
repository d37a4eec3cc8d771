"""Processes that a test forks off: they run a function of the test, and can be stopped and killed.

    child = Child(subscribe_and_count, broker.address)      # subscribe_and_count(child, address)
    child.hear()                                            # the first line that it `say`s
    child.end()
"""

import os
import signal
import socket
import sys
import time
import traceback

DEADLINE_S = 30                 # for whatever must happen: it matters only when something is broken
PAUSE_S = 0.002                 # between looks at a state that no descriptor announces


def eventually(look, what, deadline=DEADLINE_S):
    """Return the first true value of look()."""
    until = time.monotonic() + deadline
    while not (found := look()):
        if time.monotonic() > until:
            raise AssertionError(f"this did not happen: {what}")
        time.sleep(PAUSE_S)
    return found


class Child:
    """A fork of the test; it exits with 0 if its function returns, and with 1 if that raises.

    Both sides have `say` and `hear`, for lines.
    """

    def __init__(self, function, *args):
        ours, theirs = socket.socketpair()
        sys.stdout.flush()
        sys.stderr.flush()
        self.status = None
        self.pid = os.fork()
        mine, other = (ours, theirs) if self.pid else (theirs, ours)
        other.close()
        mine.settimeout(DEADLINE_S)
        self._sock, self._file = mine, mine.makefile("r")
        if not self.pid:
            self._run(function, args)

    def _run(self, function, args):
        status = 1
        try:
            function(self, *args)
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(status)    # the test's own cleanups are none of its business

    def say(self, line):
        """Send a line to the other side."""
        self._sock.sendall(f"{line}\n".encode())

    def hear(self):
        """The next line of the other side; its end is an error."""
        line = self._file.readline()
        if not line:
            raise AssertionError(f"process {self.pid or os.getppid()} has ended")
        return line[:-1]

    def fileno(self):
        """For select: readable when the other side has said something."""
        return self._sock.fileno()

    def signal(self, number):
        """Send it a signal."""
        os.kill(self.pid, number)

    def wait_stopped(self):
        """Wait until SIGSTOP has stopped it."""
        _, status = os.waitpid(self.pid, os.WUNTRACED)
        if not os.WIFSTOPPED(status):
            self._ended(status)
            raise AssertionError(f"the child ended with {self.status}")

    def end(self, status=0):
        """Wait for its end, which must have this status (-N: by signal N)."""
        if self.status is None:
            self._file.read()       # until it ends, with a deadline
            self._ended(os.waitpid(self.pid, 0)[1])
        if self.status != status:
            raise AssertionError(f"a child ended with {self.status}, not {status}")

    def kill(self):
        """End it by SIGKILL, if it still runs, and wait until it is gone."""
        if self.status is None:
            self.signal(signal.SIGKILL)
            self._ended(os.waitpid(self.pid, 0)[1])

    def _ended(self, status):
        self.status = os.waitstatus_to_exitcode(status)
        self._file.close()
        self._sock.close()
