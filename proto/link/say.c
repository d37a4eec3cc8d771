/* Design note. A phrase that is too long is cut: it is for reading, nothing depends on it. */
#include "proto/link/say.h"

#include <stdarg.h>
#include <stdio.h>

void say(char text[SAY_BYTES], const char *format, ...)
{
        va_list args;

        va_start(args, format);
        vsnprintf(text, SAY_BYTES, format, args);
        va_end(args);
}

void say_who(char text[SAY_BYTES], const char *before, const struct cred *who, const char *after)
{
        if (who->pid)
                say(text, "%spid %d (uid %u)%s", before, (int)who->pid, (unsigned)who->uid, after);
        else /* of a pid namespace that cannot be seen from here */
                say(text, "%suid %u%s", before, (unsigned)who->uid, after);
}
