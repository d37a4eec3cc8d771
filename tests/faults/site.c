/* Design note. dladdr knows exported functions alone; ours are static. */
#include "tests/faults/site.h"

#include "tests/harness/test.h"

#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static struct {
        const uint8_t *file;
        uintptr_t base;
} self;

/* The program comes first. */
static int note_base(struct dl_phdr_info *info, size_t size, void *arg)
{
        (void)size, (void)arg;
        self.base = info->dlpi_addr;
        return 1;
}

static void map_self(void)
{
        int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
        struct stat st;

        CHECK(fd >= 0 && fstat(fd, &st) == 0);
        self.file = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        CHECK(self.file != MAP_FAILED);
        close(fd);
        dl_iterate_phdr(note_base, NULL);
}

/* Names "file:function". Symbols of a file follow the file's. */
static bool find(const ElfW(Shdr) * table, const char *names, uintptr_t at, char *ret, size_t cap)
{
        const ElfW(Sym) *symbols = (const void *)(self.file + table->sh_offset);
        const char *file = "?";

        for (size_t i = 0; i < table->sh_size / sizeof(*symbols); i++) {
                const ElfW(Sym) *s = &symbols[i];
                if (ELF64_ST_TYPE(s->st_info) == STT_FILE)
                        file = names + s->st_name;
                if (ELF64_ST_TYPE(s->st_info) != STT_FUNC || at < s->st_value ||
                        at >= s->st_value + s->st_size)
                        continue;
                /* Hidden ones come last, behind this one's. */
                bool is_static = strcmp(file, "crtstuff.c") != 0;
                snprintf(ret, cap, "%s%s%s", is_static ? file : "", is_static ? ":" : "",
                        names + s->st_name);
                return true;
        }
        return false;
}

void site_name(uintptr_t at, char *ret_name, size_t cap)
{
        if (!self.file)
                map_self();
        const ElfW(Ehdr) *head = (const void *)self.file;
        const ElfW(Shdr) *sections = (const void *)(self.file + head->e_shoff);
        snprintf(ret_name, cap, "?");
        for (size_t i = 0; i < head->e_shnum; i++) {
                if (sections[i].sh_type != SHT_SYMTAB)
                        continue;
                const char *names =
                        (const char *)self.file + sections[sections[i].sh_link].sh_offset;
                if (find(&sections[i], names, at - self.base - 1, ret_name, cap)) /* in the call */
                        return;
        }
}
