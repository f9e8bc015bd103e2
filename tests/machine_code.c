/* See machine_code.h. */
#include "machine_code.h"

#include <elf.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* An instruction has 16 bytes and begins with its number; its upper three bits are the form of the
 * operands. */
#define INSTRUCTION_BYTES 16
#define NUMBER_BITS 0xfff
#define WITHOUT_FORM 0x1ff
#define WAIT 0x82e /* griddepcontrol.wait, ACQBULK */

/* Loads, stores and atomics that reach global memory, copies from it, and jumps. */
static const unsigned late[] = {0x180, 0x181, 0x185, 0x186, 0x18a, 0x18b, 0x18e, 0x1a2,
                                0x1a3, 0x1a6, 0x1a8, 0x1a9, 0x1ae, 0x1ba, 0x147};

static bool is_late(unsigned number)
{
    for (size_t i = 0; i < sizeof late / sizeof *late; i++)
        if ((number & WITHOUT_FORM) == late[i]) return true;
    return false;
}

static const char *look(const unsigned char *code, size_t bytes)
{
    for (size_t at = 0; at + INSTRUCTION_BYTES <= bytes; at += INSTRUCTION_BYTES) {
        uint16_t word;
        memcpy(&word, code + at, sizeof word);
        unsigned number = word & NUMBER_BITS;
        if (number == WAIT) return NULL;
        if (is_late(number)) return "touches memory or jumps before it waits";
    }
    return "does not wait";
}

bool machine_code_waits(const void *code, size_t bytes, char *why, size_t size)
{
    /* The compiler's own functions, a division say, work in registers alone. */
    static const char kernel[] = ".text.", called[] = ".text.__cuda_sm";
    const unsigned char *all = code;
    Elf64_Ehdr head;
    int found = 0;
    if (bytes < sizeof head) return false;
    memcpy(&head, all, sizeof head);
    const Elf64_Shdr *sections = (const Elf64_Shdr *)(const void *)(all + head.e_shoff);
    const char *names = (const char *)all + sections[head.e_shstrndx].sh_offset;
    for (int i = 0; i < head.e_shnum; i++) {
        const char *name = names + sections[i].sh_name;
        if (strncmp(name, kernel, sizeof kernel - 1) != 0 ||
            strncmp(name, called, sizeof called - 1) == 0)
            continue;
        const char *fault = look(all + sections[i].sh_offset, sections[i].sh_size);
        found++;
        if (!fault) continue;
        snprintf(why, size, "%s %s", name + sizeof kernel - 1, fault);
        return false;
    }
    if (!found) snprintf(why, size, "there is no kernel");
    return found > 0;
}
