/* Prints the tokens of a text, for tests: `encode_text TOKENIZER TEXT`, or, to learn a vocabulary
 * of N tokens from the text first and write it, `encode_text N TOKENIZER TEXT`. */
#include <stdio.h>
#include <stdlib.h>

#include "core/file.h"
#include "data/tokenizer.h"

static be_status run(int count, char **words, be_error *err)
{
    const void *text = NULL;
    size_t length = 0;
    token_row row = {0};
    tokenizer t = {0};
    const char *path = words[count - 2];
    TRY(file_map(&text, &length, words[count - 1], err));
    be_status status = count == 4 ? tokenizer_learn(&t, text, length, atoi(words[1]), err)
                                  : tokenizer_open(&t, path, err);
    if (status == BE_OK && count == 4) status = tokenizer_save(&t, path, err);
    if (status == BE_OK) status = tokenizer_encode(&t, text, length, &row, err);
    for (size_t i = 0; status == BE_OK && i < row.count; i++) printf("%d\n", row.tokens[i]);
    memory_free_array(row.tokens);
    tokenizer_free(&t);
    file_unmap(text, length);
    return status;
}

int main(int count, char **words)
{
    be_error err = {0};
    if (count < 3 || count > 4) return 2;
    be_status status = run(count, words, &err);
    if (status != BE_OK) fprintf(stderr, "%s\n", err.text);
    return status == BE_OK ? 0 : 1;
}
