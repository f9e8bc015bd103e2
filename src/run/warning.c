/* See warning.h. */
#include "run/warning.h"

const char *warning_word(warning_kind kind)
{
    static const char *const words[] = {
#define X(id, word, text) word,
        WARNING_LIST(X)
#undef X
    };
    return words[kind];
}
