/* Byte-pair tokens (Sennrich, Haddow, Birch: "Neural machine translation of rare words with subword
 * units", 2016; over bytes as GPT-2 has it, Radford et al. 2019): text is cut into pieces by
 * GPT-2's rule, and in each piece the pair of neighbours that stands first in the list of merges
 * becomes one token, until no pair of it is in the list.
 *
 * A tokenizer owns its tokens and merges.  May not know models. */
#ifndef DATA_TOKENIZER_H
#define DATA_TOKENIZER_H

#include <stddef.h>
#include <stdint.h>

#include "core/memory.h"
#include "core/status.h"

#define TOKENIZER_BYTES 256      /* tokens of one byte each, which every tokenizer has */
#define TOKENIZER_MOST (1 << 20) /* tokens */

typedef struct tokenizer_token {
    const char *bytes; /* in the arena; NULL: no token has this number */
    int32_t length;
} tokenizer_token;

typedef struct tokenizer_merge {
    int32_t left, right, made;
} tokenizer_merge;

/* Places of a hash table of merges, by left and right; see tokenizer_index. */
typedef struct tokenizer {
    arena *arena;
    tokenizer_token *tokens;
    int32_t count;
    tokenizer_merge *merges; /* the first one is made first */
    int32_t merge_count;
    int32_t byte_tokens[TOKENIZER_BYTES];
    int32_t *places; /* numbers of merges plus 1, 0: empty */
    uint32_t place_mask;
} tokenizer;

/* Bytes of the next piece of a text in good UTF-8, of which `length` bytes, at least 1, are left:
 * GPT-2's regular expression
 * 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+ */
size_t tokenizer_piece(const char *text, size_t length);

/* A tokenizer of a vocabulary: `tokens` and `merges` are set, in its arena; finds the tokens of
 * single bytes and makes the table.  BE_BAD_DATA, naming `name`, where a byte has no token. */
BE_CHECKED be_status tokenizer_index(tokenizer *t, const char *name, be_error *err);

/* Read "tokenizer.json" (byte-level BPE as Hugging Face's library writes it), a "vocab.json" with
 * the "merges.txt" beside it, or a folder with either.  BE_BAD_DATA for other kinds of tokenizers.
 */
BE_CHECKED be_status tokenizer_open(tokenizer *t, const char *path, be_error *err);

/* A vocab.json and a merges.txt in memory. */
typedef struct tokenizer_pair {
    const char *vocabulary, *merges;
    size_t vocabulary_length, merges_length;
} tokenizer_pair;

/* The same from memory; `name` is for error texts. */
BE_CHECKED be_status tokenizer_parse_json(tokenizer *t, const char *text, size_t length,
                                          const char *name, be_error *err);
BE_CHECKED be_status tokenizer_parse_pair(tokenizer *t, const tokenizer_pair *files,
                                          const char *name, be_error *err);

/* Write it as tokenizer.json. */
BE_CHECKED be_status tokenizer_save(const tokenizer *t, const char *path, be_error *err);

/* Learn a vocabulary of at most `vocabulary` tokens from a text in good UTF-8: the bytes, then one
 * token for the most frequent pair of neighbours at a time (of equals that of the lower numbers),
 * while one is there at least twice.  BE_USAGE below 256. */
BE_CHECKED be_status tokenizer_learn(tokenizer *t, const char *text, size_t length, int vocabulary,
                                     be_error *err);

/* The vocabulary of these merges, pairs of tokens in the order in which they are made: the tokens
 * of the bytes, then one for each pair.  BE_BAD_DATA where a pair has a token that is not there
 * yet. */
BE_CHECKED be_status tokenizer_of_pairs(tokenizer *t, const int32_t (*pairs)[2], size_t count,
                                        be_error *err);

/* As tokenizer_learn.  What was learnt is kept in the user's cache folder, and found there the next
 * time by the hash of the text and `vocabulary`; what is damaged there is learnt again. */
BE_CHECKED be_status tokenizer_learn_once(tokenizer *t, const char *text, size_t length,
                                          int vocabulary, be_error *err);

/* A row of tokens, to be freed with memory_free_array; begins zeroed. */
typedef struct token_row {
    int32_t *tokens;
    size_t capacity, count;
} token_row;

/* Append the tokens of a text in good UTF-8. */
BE_CHECKED be_status tokenizer_encode(const tokenizer *t, const char *text, size_t length,
                                      token_row *row, be_error *err);

void tokenizer_free(tokenizer *t); /* twice is fine */

#endif
