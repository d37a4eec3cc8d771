/* Design note. There is nothing that all systems have. OpenBSD's pledge and unveil and FreeBSD's
 * capsicum would do the same (docs/PORTING.md). */
#include "broker/confine.h"

#include "broker/log.h"

void confine_prepare(void)
{
}

unsigned confine_process(const struct confinement *needs)
{
        (void)needs;
        log_line("not confined: this build has neither seccomp nor Landlock");
        return 0;
}
