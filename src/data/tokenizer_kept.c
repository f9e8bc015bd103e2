/* Vocabularies that were learnt before: the pairs of their merges, in the order of these. */
#include <stdio.h>
#include <string.h>

#include "core/kept.h"
#include "data/sha256.h"
#include "data/tokenizer.h"

static be_status recall(const kept_key *key, tokenizer *t, be_error *err)
{
    void *pairs = NULL;
    size_t bytes = 0;
    TRY(kept_read(key, &pairs, &bytes, err));
    be_status status = tokenizer_of_pairs(t, pairs, bytes / sizeof(int32_t[2]), err);
    memory_free(pairs);
    return status;
}

static be_status keep(const kept_key *key, const tokenizer *t, be_error *err)
{
    void *memory = NULL;
    size_t bytes = (size_t)t->merge_count * sizeof(int32_t[2]);
    TRY(memory_alloc(&memory, bytes, "the merges of a vocabulary", err));
    int32_t(*pairs)[2] = memory;
    for (int32_t i = 0; i < t->merge_count; i++) {
        pairs[i][0] = t->merges[i].left;
        pairs[i][1] = t->merges[i].right;
    }
    be_status status = kept_write(key, pairs, bytes, err);
    memory_free(memory);
    return status;
}

be_status tokenizer_learn_once(tokenizer *t, const char *text, size_t length, int vocabulary,
                               be_error *err)
{
    char hash[SHA256_TEXT_BYTES], name[SHA256_TEXT_BYTES + 64];
    sha256_bytes(text, length, hash);
    int bytes = snprintf(name, sizeof name, "pairs, at most %d tokens, text %s", vocabulary, hash);
    kept_key key = {"vocabularies", "pairs", name, (size_t)bytes};
    be_status status = recall(&key, t, err);
    if (status == BE_OK || status == BE_NO_MEMORY) return status;
    TRY(tokenizer_learn(t, text, length, vocabulary, err));
    if (t->merge_count == 0) return BE_OK;
    status = keep(&key, t, err);
    if (status != BE_NO_MEMORY) return BE_OK; /* what cannot be kept is learnt again */
    tokenizer_free(t);
    return status;
}
