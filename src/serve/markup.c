/* See markup.h. */
#include "serve/markup.h"

#include <inttypes.h>
#include <stdarg.h>

#include "core/status.h"
#include "report/html.h"

void markup_put(FILE *out, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    for (; *format; format++) {
        if (*format != '%') {
            fputc(*format, out);
            continue;
        }
        switch (*++format) {
        case 's':
            html_text(out, va_arg(arguments, const char *));
            break;
        case 'd':
            fprintf(out, "%d", va_arg(arguments, int));
            break;
        case 'l':
            fprintf(out, "%" PRId64, va_arg(arguments, int64_t));
            break;
        case 'g':
            fprintf(out, "%.15g", va_arg(arguments, double));
            break;
        default:
            MUST(*format == '%');
            fputc('%', out);
        }
    }
    va_end(arguments);
}
