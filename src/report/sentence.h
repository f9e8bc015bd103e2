/* A paragraph that grows piece by piece, and is then wrapped.
 *
 * Owns its text; what does not fit is cut. */
#ifndef REPORT_SENTENCE_H
#define REPORT_SENTENCE_H

#include <stddef.h>
#include <stdio.h>

#define SENTENCE_BYTES 1200

typedef struct sentence {
    char text[SENTENCE_BYTES];
    size_t used;
} sentence;

void sentence_add(sentence *s, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Write it, if there is anything, and begin anew. */
void sentence_end(sentence *s, FILE *out);

#endif
