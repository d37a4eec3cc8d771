/* Design note. One write(2) a line, so that lines of several processes on one terminal stay whole.
 * What cannot be written at once is lost: a broker does not stop because nobody reads its log. The
 * descriptor is not made nonblocking, since it is shared with whoever started us; poll says that
 * there is room, which for a pipe means PIPE_BUF bytes, more than a line. */
#include "broker/log.h"

#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

enum { LOG_LINE_BYTES = 1024 };

static void write_line(const char *line, size_t len)
{
        struct pollfd room = {.fd = STDERR_FILENO, .events = POLLOUT};

        if (poll(&room, 1, 0) == 1 && (room.revents & POLLOUT))
                (void)!write(STDERR_FILENO, line, len);
}

/* What somebody else chose, an address for one, must not make lines or command a terminal. */
static void hide_control(char *text)
{
        for (; *text; text++) {
                if ((unsigned char)*text < 0x20 || *text == 0x7f)
                        *text = '?';
        }
}

void log_line(const char *format, ...)
{
        char line[LOG_LINE_BYTES];
        va_list args;
        size_t n = (size_t)snprintf(line, sizeof(line), "broker: ");

        va_start(args, format);
        int more = vsnprintf(line + n, sizeof(line) - n, format, args);
        va_end(args);
        if (more < 0)
                return;
        hide_control(line);
        n = size_min(n + (size_t)more, sizeof(line) - 1);
        line[n] = '\n'; /* over the NUL */
        write_line(line, n + 1);
}

void log_ready(void)
{
        static const char READY[] = "ready\n";

        write_line(READY, sizeof(READY) - 1);
}
