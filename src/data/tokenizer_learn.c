/* Learning a byte-pair vocabulary: words with their counts, pairs with theirs, and a heap of pairs
 * in which the entries that are out of date are passed over. */
#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

#include "data/tokenizer.h"

/* A piece of the text that differs from all others, as tokens. */
typedef struct word {
    const char *text;
    int32_t length; /* bytes */
    int32_t tokens; /* that are left */
    int64_t first;  /* of its tokens, in learner.tokens */
    int64_t count;  /* in the text */
} word;

typedef struct pair {
    int32_t left, right;
    int64_t count;
    int32_t *words; /* in which it was, some of them more than once */
    size_t capacity, used;
} pair;

typedef struct entry { /* of the heap: a pair as it was */
    int64_t count;
    int32_t pair;
} entry;

typedef struct learner {
    tokenizer *made;
    word *words;
    int32_t *tokens, *word_places, *pair_places;
    pair *pairs;
    entry *heap;
    size_t word_capacity, word_count, word_place_count, pair_capacity, pair_count, pair_place_count,
        heap_capacity, heap_count;
    int64_t token_count;
} learner;

/* ---------------------------------------------------------------- words */

static uint64_t hash_of(const char *text, size_t length)
{
    uint64_t h = 14695981039346656037u; /* FNV-1a */
    for (size_t i = 0; i < length; i++) h = (h ^ (unsigned char)text[i]) * 1099511628211u;
    return h ^ h >> 29;
}

/* A table of twice as many places, each of which holds a number plus 1; `hash` of what has it. */
static be_status double_places(int32_t **places, size_t *count, size_t entries,
                               uint64_t (*hash)(const learner *l, size_t number), learner *l,
                               be_error *err)
{
    void *memory = NULL;
    size_t room = *count ? *count : 1024;
    while (room < 2 * (entries + 1)) room *= 2;
    if (room == *count) return BE_OK;
    TRY(memory_alloc(&memory, room * sizeof **places, "a table of words", err));
    memory_free(*places);
    *places = memory;
    *count = room;
    for (size_t n = 0; n < entries; n++) {
        size_t p = (size_t)hash(l, n) & (room - 1);
        while ((*places)[p]) p = (p + 1) & (room - 1);
        (*places)[p] = (int32_t)n + 1;
    }
    return BE_OK;
}

static uint64_t word_hash(const learner *l, size_t number)
{
    return hash_of(l->words[number].text, (size_t)l->words[number].length);
}

static be_status count_word(learner *l, const char *text, size_t length, be_error *err)
{
    void *memory = l->words;
    TRY(double_places(&l->word_places, &l->word_place_count, l->word_count, word_hash, l, err));
    size_t p = (size_t)hash_of(text, length) & (l->word_place_count - 1);
    for (; l->word_places[p]; p = (p + 1) & (l->word_place_count - 1)) {
        word *w = &l->words[l->word_places[p] - 1];
        if ((size_t)w->length != length || memcmp(w->text, text, length) != 0) continue;
        w->count++;
        return BE_OK;
    }
    be_status status =
        memory_grow(&memory, &l->word_capacity, l->word_count + 1, sizeof *l->words, err);
    l->words = memory;
    TRY(status);
    l->words[l->word_count] = (word){.text = text, .length = (int32_t)length, .count = 1};
    l->word_places[p] = (int32_t)++l->word_count;
    l->token_count += (int64_t)length;
    return BE_OK;
}

static be_status take_words(learner *l, const char *text, size_t length, be_error *err)
{
    void *memory = NULL;
    int64_t at = 0;
    for (size_t i = 0, bytes; i < length; i += bytes) {
        bytes = tokenizer_piece(text + i, length - i);
        TRY(count_word(l, text + i, bytes, err));
    }
    TRY(memory_alloc(&memory, (size_t)l->token_count * sizeof *l->tokens + 1, "words", err));
    l->tokens = memory;
    for (size_t w = 0; w < l->word_count; w++) {
        l->words[w].first = at;
        l->words[w].tokens = l->words[w].length;
        for (int32_t k = 0; k < l->words[w].length; k++)
            l->tokens[at++] = l->made->byte_tokens[(unsigned char)l->words[w].text[k]];
    }
    return BE_OK;
}

/* ---------------------------------------------------------------- pairs */

static uint64_t mix(int32_t left, int32_t right)
{
    uint64_t h = ((uint64_t)(uint32_t)left << 32 | (uint32_t)right) * 0x9e3779b97f4a7c15u;
    return h ^ h >> 31;
}

static uint64_t pair_hash(const learner *l, size_t number)
{
    return mix(l->pairs[number].left, l->pairs[number].right);
}

static be_status find_pair(learner *l, int32_t left, int32_t right, pair **out, be_error *err)
{
    void *memory = l->pairs;
    TRY(double_places(&l->pair_places, &l->pair_place_count, l->pair_count, pair_hash, l, err));
    size_t p = (size_t)mix(left, right) & (l->pair_place_count - 1);
    for (; l->pair_places[p]; p = (p + 1) & (l->pair_place_count - 1)) {
        *out = &l->pairs[l->pair_places[p] - 1];
        if ((*out)->left == left && (*out)->right == right) return BE_OK;
    }
    be_status status =
        memory_grow(&memory, &l->pair_capacity, l->pair_count + 1, sizeof *l->pairs, err);
    l->pairs = memory;
    TRY(status);
    *out = &l->pairs[l->pair_count];
    **out = (pair){.left = left, .right = right};
    l->pair_places[p] = (int32_t)++l->pair_count;
    return BE_OK;
}

/* The more frequent one, of equals that of the lower numbers. */
static bool comes_first(const learner *l, const entry *a, const entry *b)
{
    const pair *x = &l->pairs[a->pair], *y = &l->pairs[b->pair];
    if (a->count != b->count) return a->count > b->count;
    return x->left != y->left ? x->left < y->left : x->right < y->right;
}

static be_status push(learner *l, entry e, be_error *err)
{
    void *memory = l->heap;
    be_status status =
        memory_grow(&memory, &l->heap_capacity, l->heap_count + 1, sizeof *l->heap, err);
    l->heap = memory;
    TRY(status);
    size_t i = l->heap_count++;
    for (; i > 0 && comes_first(l, &e, &l->heap[(i - 1) / 2]); i = (i - 1) / 2)
        l->heap[i] = l->heap[(i - 1) / 2];
    l->heap[i] = e;
    return BE_OK;
}

static entry pop(learner *l)
{
    entry top = l->heap[0], last = l->heap[--l->heap_count];
    size_t i = 0;
    for (size_t next; (next = 2 * i + 1) < l->heap_count; i = next) {
        if (next + 1 < l->heap_count && comes_first(l, &l->heap[next + 1], &l->heap[next])) next++;
        if (!comes_first(l, &l->heap[next], &last)) break;
        l->heap[i] = l->heap[next];
    }
    if (l->heap_count) l->heap[i] = last;
    return top;
}

/* The pair is `by` times more in the text, in this word. */
static be_status change(learner *l, int32_t left, int32_t right, int64_t by, int32_t in,
                        be_error *err)
{
    pair *p = NULL;
    TRY(find_pair(l, left, right, &p, err));
    p->count += by;
    if (by > 0 && (p->used == 0 || p->words[p->used - 1] != in)) {
        void *memory = p->words;
        be_status status = memory_grow(&memory, &p->capacity, p->used + 1, sizeof *p->words, err);
        p->words = memory;
        TRY(status);
        p->words[p->used++] = in;
    }
    return p->count > 1 ? push(l, (entry){p->count, (int32_t)(p - l->pairs)}, err) : BE_OK;
}

static be_status count_pairs(learner *l, be_error *err)
{
    for (size_t w = 0; w < l->word_count; w++) {
        const int32_t *tokens = l->tokens + l->words[w].first;
        for (int32_t k = 0; k + 1 < l->words[w].tokens; k++)
            TRY(change(l, tokens[k], tokens[k + 1], l->words[w].count, (int32_t)w, err));
    }
    return BE_OK;
}

/* ---------------------------------------------------------------- merging */

/* Make one token of each such pair of the word, from the left. */
static be_status merge_word(learner *l, int32_t number, const tokenizer_merge *m, be_error *err)
{
    word *w = &l->words[number];
    int32_t *tokens = l->tokens + w->first, to = 0, count = w->tokens;
    for (int32_t k = 0; k < count; k++) {
        if (k + 1 == count || tokens[k] != m->left || tokens[k + 1] != m->right) {
            tokens[to++] = tokens[k];
            continue;
        }
        TRY(change(l, m->left, m->right, -w->count, number, err));
        if (to > 0) {
            TRY(change(l, tokens[to - 1], m->left, -w->count, number, err));
            TRY(change(l, tokens[to - 1], m->made, w->count, number, err));
        }
        if (k + 2 < count) {
            TRY(change(l, m->right, tokens[k + 2], -w->count, number, err));
            TRY(change(l, m->made, tokens[k + 2], w->count, number, err));
        }
        tokens[to++] = m->made;
        k++;
    }
    w->tokens = to;
    return BE_OK;
}

/* The token of both together. */
static be_status add_token(tokenizer *t, int32_t left, int32_t right, be_error *err)
{
    void *memory = NULL;
    const tokenizer_token *a = &t->tokens[left], *b = &t->tokens[right];
    TRY(arena_alloc(t->arena, &memory, (size_t)(a->length + b->length), err));
    memcpy(memory, a->bytes, (size_t)a->length);
    memcpy((char *)memory + a->length, b->bytes, (size_t)b->length);
    t->merges[t->merge_count++] = (tokenizer_merge){left, right, t->count};
    t->tokens[t->count++] = (tokenizer_token){memory, a->length + b->length};
    return BE_OK;
}

static be_status merge_all(learner *l, int vocabulary, be_error *err)
{
    while (l->made->count < vocabulary && l->heap_count) {
        entry e = pop(l);
        pair *p = &l->pairs[e.pair];
        if (p->count != e.count || e.count < 2) continue; /* out of date */
        int32_t number = e.pair;
        TRY(add_token(l->made, p->left, p->right, err));
        const tokenizer_merge m = l->made->merges[l->made->merge_count - 1];
        for (size_t i = 0; i < l->pairs[number].used; i++)
            TRY(merge_word(l, l->pairs[number].words[i], &m, err));
    }
    return BE_OK;
}

/* ---------------------------------------------------------------- the whole */

static be_status begin(tokenizer *t, int vocabulary, be_error *err)
{
    void *memory = NULL;
    *t = (tokenizer){0};
    if (vocabulary < TOKENIZER_BYTES || vocabulary > TOKENIZER_MOST)
        FAIL(err, BE_USAGE, "expected a vocabulary of %d to %d tokens, found %d; change --vocab",
             TOKENIZER_BYTES, TOKENIZER_MOST, vocabulary);
    TRY(arena_new(&t->arena, err));
    TRY(arena_alloc(t->arena, &memory, (size_t)vocabulary * sizeof *t->tokens, err));
    t->tokens = memory;
    TRY(arena_alloc(t->arena, &memory, (size_t)vocabulary * sizeof *t->merges, err));
    t->merges = memory;
    TRY(arena_alloc(t->arena, &memory, TOKENIZER_BYTES, err));
    for (int b = 0; b < TOKENIZER_BYTES; b++) {
        ((char *)memory)[b] = (char)b;
        t->tokens[t->count++] = (tokenizer_token){(char *)memory + b, 1};
    }
    return tokenizer_index(t, "a new vocabulary", err);
}

static be_status add_pairs(tokenizer *t, const int32_t (*pairs)[2], size_t count, be_error *err)
{
    for (size_t i = 0; i < count; i++) {
        int32_t left = pairs[i][0], right = pairs[i][1];
        if (left < 0 || left >= t->count || right < 0 || right >= t->count)
            FAIL(err, BE_BAD_DATA, "merge %zu: expected tokens from 0 to %d, found %d and %d", i,
                 t->count - 1, left, right);
        TRY(add_token(t, left, right, err));
    }
    return tokenizer_index(t, "a kept vocabulary", err);
}

be_status tokenizer_of_pairs(tokenizer *t, const int32_t (*pairs)[2], size_t count, be_error *err)
{
    *t = (tokenizer){0};
    if (count > TOKENIZER_MOST - TOKENIZER_BYTES)
        FAIL(err, BE_BAD_DATA, "expected at most %d merges, found %zu",
             TOKENIZER_MOST - TOKENIZER_BYTES, count);
    be_status status = begin(t, TOKENIZER_BYTES + (int)count, err);
    if (status == BE_OK) status = add_pairs(t, pairs, count, err);
    if (status != BE_OK) tokenizer_free(t);
    return status;
}

be_status tokenizer_learn(tokenizer *t, const char *text, size_t length, int vocabulary,
                          be_error *err)
{
    learner l = {.made = t};
    be_status status = begin(t, vocabulary, err);
    if (status == BE_OK) status = take_words(&l, text, length, err);
    if (status == BE_OK) status = count_pairs(&l, err);
    if (status == BE_OK) status = merge_all(&l, vocabulary, err);
    if (status == BE_OK) status = tokenizer_index(t, "a new vocabulary", err);
    for (size_t p = 0; p < l.pair_count; p++) memory_free_array(l.pairs[p].words);
    memory_free_array(l.pairs);
    memory_free_array(l.words);
    memory_free_array(l.heap);
    memory_free(l.tokens);
    memory_free(l.word_places);
    memory_free(l.pair_places);
    if (status != BE_OK) tokenizer_free(t);
    return status;
}
