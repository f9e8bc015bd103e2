/* Characters by kind, as the regular expressions of tokenizers ask for them. */
#ifndef DATA_UNICODE_H
#define DATA_UNICODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* \p{L}, \p{N}, \s and the rest */
typedef enum unicode_kind {
    UNICODE_LETTER,
    UNICODE_NUMBER,
    UNICODE_BLANK,
    UNICODE_OTHER,
} unicode_kind;

unicode_kind unicode_kind_of(uint32_t character);

/* The character that these bytes are, which text_character (core/text.h) has checked. */
uint32_t unicode_decode(const char *text, size_t bytes);

#endif
