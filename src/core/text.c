/* See text.h. */
#include "core/text.h"

#include <string.h>

#include "core/status.h"

size_t text_character(const char *text, size_t length)
{
    const unsigned char *p = (const unsigned char *)text;
    if (p[0] < 0x80) return 1;
    if (p[0] < 0xC2 || p[0] > 0xF4) return 0;
    size_t count = p[0] >= 0xF0 ? 4 : p[0] >= 0xE0 ? 3 : 2;
    unsigned char least = p[0] == 0xE0 ? 0xA0 : p[0] == 0xF0 ? 0x90 : 0x80;
    unsigned char highest = p[0] == 0xED ? 0x9F : p[0] == 0xF4 ? 0x8F : 0xBF;
    if (count > length || p[1] < least || p[1] > highest) return 0;
    for (size_t i = 2; i < count; i++)
        if ((p[i] & 0xC0) != 0x80) return 0;
    return count;
}

/* Every byte but those that go on with a character begins one. */
static bool begins(char byte)
{
    return ((unsigned char)byte & 0xC0) != 0x80;
}

size_t text_width(const char *text)
{
    size_t width = 0;
    for (; *text; text++) width += begins(*text);
    return width;
}

size_t text_cut(const char *text, size_t characters)
{
    size_t bytes = 0;
    for (size_t place = 0; text[bytes]; bytes++)
        if (begins(text[bytes]) && place++ == characters) break;
    return bytes;
}

char *text_clean(const char *text, size_t length, bool lines, char *out, size_t size)
{
    size_t bytes_out = 0, wide = 0;
    for (size_t at = 0; at < length; at += wide ? wide : 1) {
        const unsigned char *p = (const unsigned char *)text + at;
        wide = text_character(text + at, length - at);
        size_t bytes = wide ? wide : 1;
        if (bytes_out + bytes >= size) break;
        bool newline = *p == '\n', blank = *p == '\t' || *p == '\r' || newline;
        bool control = *p < 0x20 || *p == 0x7F || (*p == 0xC2 && wide && p[1] < 0xA0);
        if (newline && lines)
            out[bytes_out++] = '\n';
        else if (blank)
            out[bytes_out++] = ' ';
        else if (control || !wide)
            out[bytes_out++] = '?';
        else
            for (size_t i = 0; i < bytes; i++) out[bytes_out++] = (char)p[i];
    }
    out[bytes_out] = 0;
    return out;
}

text_buffer text_begin(char *memory, size_t room)
{
    MUST(room > 0);
    memory[0] = 0;
    return (text_buffer){.text = memory, .room = room};
}

void text_add_list(text_buffer *b, const char *format, va_list arguments)
{
    int wrote = vsnprintf(b->text + b->used, b->room - b->used, format, arguments);
    if (wrote > 0) b->used += (size_t)wrote;
    if (b->used < b->room) return;
    /* Cut before a character that is not whole. */
    size_t last = b->room - 1;
    while (last > 0 && !begins(b->text[last - 1])) last--;
    if (last > 0 && !text_character(b->text + last - 1, b->room - last)) b->text[last - 1] = 0;
    b->used = strlen(b->text);
}

void text_add(text_buffer *b, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    text_add_list(b, format, arguments);
    va_end(arguments);
}

void text_wrap(FILE *out, const char *text, int columns, int at, int indent)
{
    bool fresh = true;
    for (text += strspn(text, " "); *text; text += strspn(text, " ")) {
        size_t length = strcspn(text, " ");
        int width = 0;
        for (size_t i = 0; i < length; i++) width += begins(text[i]);
        if (!fresh && at + 1 + width > columns) {
            fprintf(out, "\n%*s", indent, "");
            at = indent;
            fresh = true;
        }
        at += (fresh ? 0 : 1) + width;
        fprintf(out, "%s%.*s", fresh ? "" : " ", (int)length, text);
        fresh = false;
        text += length;
    }
    fputc('\n', out);
}
