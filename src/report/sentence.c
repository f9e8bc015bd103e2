/* Growing paragraphs. */
#include "report/sentence.h"

#include <stdarg.h>

#include "report/sheet.h"

void sentence_add(sentence *s, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int wrote = vsnprintf(s->text + s->used, SENTENCE_BYTES - s->used, format, arguments);
    va_end(arguments);
    if (wrote > 0) s->used += (size_t)wrote;
    if (s->used >= SENTENCE_BYTES) s->used = SENTENCE_BYTES - 1;
}

void sentence_end(sentence *s, FILE *out)
{
    if (s->used) report_paragraph(out, s->text, 2);
    *s = (sentence){0};
}
