/* See text_json.h. */
#include "core/text_json.h"

#include <string.h>

#include "core/memory.h"

static const char replacement[] = "\xEF\xBF\xBD"; /* U+FFFD */

/* Bytes of the character in UTF-8 that begins the text, 0 where none does (Unicode 15, table 3-7).
 */
static size_t character_bytes(const unsigned char *p)
{
    if (p[0] < 0x80) return 1;
    size_t count = p[0] >= 0xF0 ? 4 : p[0] >= 0xE0 ? 3 : 2;
    unsigned char least = p[0] == 0xE0 ? 0xA0 : p[0] == 0xF0 ? 0x90 : 0x80;
    unsigned char most = p[0] == 0xED ? 0x9F : p[0] == 0xF4 ? 0x8F : 0xBF;
    if (p[0] < 0xC2 || p[0] > 0xF4 || p[1] < least || p[1] > most) return 0;
    for (size_t i = 2; i < count; i++)
        if ((p[i] & 0xC0) != 0x80) return 0;
    return count;
}

json_t *text_json(const char *text)
{
    json_t *string = text ? json_string(text) : NULL;
    void *memory = NULL;
    if (string || !text) return string;
    if (memory_alloc(&memory, strlen(text) * 3 + 1, "a text", NULL) != BE_OK) return NULL;
    char *clean = memory, *out = clean;
    while (*text) {
        size_t count = character_bytes((const unsigned char *)text);
        memcpy(out, count ? text : replacement, count ? count : 3);
        out += count ? count : 3;
        text += count ? count : 1;
    }
    *out = 0;
    string = json_string(clean);
    memory_free(clean);
    return string;
}
