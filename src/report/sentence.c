/* Growing paragraphs. */
#include "report/sentence.h"

#include <stdarg.h>

#include "core/text.h"
#include "report/sheet.h"

void sentence_add(sentence *s, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    text_buffer b = {.text = s->text, .room = SENTENCE_BYTES, .used = s->used};
    text_add_list(&b, format, arguments);
    va_end(arguments);
    s->used = b.used;
}

void sentence_end(sentence *s, FILE *out)
{
    if (s->used) report_paragraph(out, s->text, 2);
    *s = (sentence){0};
}
