/* Text of people and for people: characters, cleaning, bounded growth, wrapping.
 *
 * Writes into the caller's memory, and cuts what does not fit; allocates nothing.  Knows UTF-8, and
 * no terminal: who asks says how wide it is. */
#ifndef CORE_TEXT_H
#define CORE_TEXT_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* Bytes of the UTF-8 character that begins the text, which has `length` of them, at least 1; 0
 * where none begins (Unicode 15, table 3-7). */
size_t text_character(const char *text, size_t length);

/* Columns that a text takes on a terminal: its characters. */
size_t text_width(const char *text);

/* Bytes of its first characters, at most that many. */
size_t text_cut(const char *text, size_t characters);

/* Copy a text for a terminal or a record: control characters and bytes that are not UTF-8 become
 * '?', newlines a blank unless `lines`, and what does not fit is cut at a character's edge.
 * Returns `out`, always terminated; size > 0. */
char *text_clean(const char *text, size_t length, bool lines, char *out, size_t size);

/* ---------------------------------------------------------------- bounded growth */

/* A text that grows in the caller's memory.  What does not fit is cut; `used` stays below `room`.
 */
typedef struct text_buffer {
    char *text;
    size_t room, used;
} text_buffer;

/* An empty one in an array of characters. */
#define TEXT_BUFFER(array) text_begin((array), sizeof(array))

text_buffer text_begin(char *memory, size_t room);
void text_add(text_buffer *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
void text_add_list(text_buffer *b, const char *format, va_list arguments);

/* ---------------------------------------------------------------- paragraphs */

/* Write words in lines of at most `columns`: the first begins at column `at`, which the caller has
 * reached, the others are indented.  A word that is longer stands alone. */
void text_wrap(FILE *out, const char *text, int columns, int at, int indent);

#endif
