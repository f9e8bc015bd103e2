/* HTML piece by piece: every text that is put into it is escaped. */
#ifndef SERVE_MARKUP_H
#define SERVE_MARKUP_H

#include <stdio.h>

/* `format` as it stands, which is ours, with %s (escaped), %d (int), %l (int64_t), %g (double) and
 * %% in it. */
void markup_put(FILE *out, const char *format, ...);

#endif
