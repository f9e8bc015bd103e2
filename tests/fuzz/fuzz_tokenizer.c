/* Fuzzes the reading of tokenizers: a tokenizer.json, or a vocab.json and a merges.txt with a zero
 * byte between, and the encoding of the rest by what was read. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "core/text.h"
#include "data/tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The longest beginning that is good UTF-8. */
static size_t good_text(const char *text, size_t size)
{
    size_t at = 0, bytes;
    while (at < size && (bytes = text_character(text + at, size - at)) > 0) at += bytes;
    return at;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    tokenizer t = {0};
    be_error err = {0};
    const char *text = (const char *)data;
    const char *zero = size ? memchr(text, 0, size) : NULL;
    size_t length = zero ? (size_t)(zero - text) : size;
    size_t rest = zero ? size - length - 1 : 0;
    tokenizer_pair pair = {text, zero ? zero + 1 : NULL, length, rest};
    be_status status = zero ? tokenizer_parse_pair(&t, &pair, "input", &err)
                            : tokenizer_parse_json(&t, text, length, "input", &err);
    if (status == BE_OK) {
        token_row row = {0};
        size_t good = good_text(text, length < 4096 ? length : 4096);
        status = tokenizer_encode(&t, text, good, &row, &err);
        MUST(status == BE_OK && row.count <= good);
        for (size_t i = 0; i < row.count; i++) MUST(row.tokens[i] >= 0 && row.tokens[i] < t.count);
        memory_free_array(row.tokens);
    }
    tokenizer_free(&t);
    return 0;
}
