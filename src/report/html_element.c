/* See html_element.h. */
#include "report/html_element.h"

#include <stdarg.h>
#include <string.h>

#include "core/text.h"

void html_text(FILE *out, const char *text)
{
    size_t rest = strlen(text);
    while (rest) {
        size_t bytes = text_character(text, rest);
        unsigned char c = (unsigned char)*text;
        const char *instead = c == '<'   ? "&lt;"
                              : c == '>' ? "&gt;"
                              : c == '&' ? "&amp;"
                              : c == '"' ? "&quot;"
                                         : NULL;
        if (!bytes || (c < 32 && c != '\n' && c != '\t') || c == 127) {
            instead = "\xef\xbf\xbd";
            bytes = 1;
        }
        if (instead)
            fputs(instead, out);
        else
            fwrite(text, 1, bytes, out);
        text += bytes;
        rest -= bytes;
    }
}

static void begin(FILE *out, const char *tag, const char *class)
{
    fprintf(out, *class ? "<%s class=\"%s\">" : "<%s>", tag, class);
}

void html_element(FILE *out, const char *tag, const char *class, const char *format, ...)
{
    char text[4000];
    va_list arguments;
    text_buffer b = TEXT_BUFFER(text);
    va_start(arguments, format);
    text_add_list(&b, format, arguments);
    va_end(arguments);
    begin(out, tag, class);
    html_text(out, text);
    fprintf(out, "</%s>\n", tag);
}

void html_cell(FILE *out, const char *tag, bool number, const char *text)
{
    fprintf(out, number ? "<%s class=n>" : "<%s>", tag);
    html_text(out, text);
}

/* A table that is too wide scrolls by itself, and takes the focus so that keys can do that. */
void html_table_begin(FILE *out, const char *caption)
{
    fprintf(out, "<div class=scroll tabindex=0 role=group aria-label=\"");
    html_text(out, caption ? caption : "table");
    fprintf(out, "\"><table>\n");
    if (caption) html_element(out, "caption", "", "%s", caption);
}

void html_row(FILE *out, const char *tag, const char *const cells[], int count)
{
    bool head = strcmp(tag, "th") == 0;
    fprintf(out, head ? "<thead><tr>" : "<tr>");
    for (int c = 0; c < count; c++) html_cell(out, tag, c > 0, cells[c]);
    fprintf(out, head ? "<tbody>\n" : "\n");
}

void html_table_end(FILE *out)
{
    fprintf(out, "</table></div>\n");
}
