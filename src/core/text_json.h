/* Text of unknown encoding in JSON: names of files, texts of the system, errors that hold them.
 * A name of a file is bytes; JSON has UTF-8 alone. */
#ifndef CORE_TEXT_JSON_H
#define CORE_TEXT_JSON_H

#include <jansson.h>

/* A string: what is no UTF-8 in it becomes U+FFFD, byte by byte.  NULL if there is no memory, or no
 * text. */
json_t *text_json(const char *text);

#endif
