/* Cutting text into pieces, and merging the pairs of a piece. */
#include "data/tokenizer.h"

#include <stdbool.h>
#include <string.h>

#include "core/text.h"
#include "data/unicode.h"

/* ---------------------------------------------------------------- pieces */

/* The kind of the character at `at`, whose bytes are counted in *bytes. */
static unicode_kind kind_at(const char *text, size_t length, size_t at, size_t *bytes)
{
    *bytes = text_character(text + at, length - at);
    if (*bytes == 0) *bytes = 1;
    return unicode_kind_of(unicode_decode(text + at, *bytes));
}

/* Bytes of the run of this kind that begins at `at`. */
static size_t run_of(const char *text, size_t length, size_t at, unicode_kind kind)
{
    size_t from = at, bytes;
    while (at < length && kind_at(text, length, at, &bytes) == kind) at += bytes;
    return at - from;
}

static size_t contraction(const char *text, size_t length)
{
    static const char *const endings[] = {"'s", "'t", "'re", "'ve", "'m", "'ll", "'d"};
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        size_t bytes = strlen(endings[i]);
        if (length >= bytes && memcmp(text, endings[i], bytes) == 0) return bytes;
    }
    return 0;
}

/* A run of blanks leaves its last one to the word behind it. */
static size_t blanks(const char *text, size_t length)
{
    size_t run = run_of(text, length, 0, UNICODE_BLANK), last = 0, bytes;
    if (run == length) return run;
    for (size_t at = 0; at < run; at += bytes) {
        kind_at(text, length, at, &bytes);
        last = at;
    }
    return last ? last : run;
}

size_t tokenizer_piece(const char *text, size_t length)
{
    size_t end = contraction(text, length), bytes, space = text[0] == ' ' && length > 1;
    if (end) return end;
    unicode_kind kind = kind_at(text, length, space, &bytes);
    if (kind != UNICODE_BLANK) return space + run_of(text, length, space, kind);
    return blanks(text, length);
}

/* ---------------------------------------------------------------- the table of merges */

static uint32_t place_of(const tokenizer *t, int32_t left, int32_t right)
{
    uint64_t bits = ((uint64_t)(uint32_t)left << 32 | (uint32_t)right) * 0x9e3779b97f4a7c15u;
    return (uint32_t)(bits >> 32) & t->place_mask;
}

/* The number of the merge of this pair, or -1. */
static int32_t find_merge(const tokenizer *t, int32_t left, int32_t right)
{
    for (uint32_t p = place_of(t, left, right); t->places[p]; p = (p + 1) & t->place_mask) {
        const tokenizer_merge *m = &t->merges[t->places[p] - 1];
        if (m->left == left && m->right == right) return t->places[p] - 1;
    }
    return -1;
}

be_status tokenizer_index(tokenizer *t, const char *name, be_error *err)
{
    void *memory = NULL;
    uint32_t places = 16;
    while (places < 2 * (uint32_t)t->merge_count + 2) places *= 2;
    TRY(arena_alloc(t->arena, &memory, places * sizeof *t->places, err));
    t->places = memory;
    memset(t->places, 0, places * sizeof *t->places);
    t->place_mask = places - 1;
    for (int b = 0; b < TOKENIZER_BYTES; b++) t->byte_tokens[b] = -1;
    for (int32_t i = t->count - 1; i >= 0; i--)
        if (t->tokens[i].length == 1) t->byte_tokens[(unsigned char)t->tokens[i].bytes[0]] = i;
    for (int b = 0; b < TOKENIZER_BYTES; b++)
        if (t->byte_tokens[b] < 0)
            FAIL(err, BE_BAD_DATA,
                 "%s: expected a token for each of the 256 bytes, found none for byte %d; use a "
                 "byte-level tokenizer, as GPT-2's",
                 name, b);
    for (int32_t m = 0; m < t->merge_count; m++) {
        const tokenizer_merge *merge = &t->merges[m];
        if (find_merge(t, merge->left, merge->right) >= 0) continue;
        uint32_t p = place_of(t, merge->left, merge->right);
        while (t->places[p]) p = (p + 1) & t->place_mask;
        t->places[p] = m + 1;
    }
    return BE_OK;
}

/* ---------------------------------------------------------------- encoding */

/* A piece as a list of tokens, and a heap of the pairs that can be merged. */
typedef struct node {
    int32_t token, before, behind; /* -1: none; token -1: merged away */
} node;

typedef struct candidate {
    int32_t merge, at; /* the number of the merge; the left node */
} candidate;

typedef struct piece {
    const tokenizer *tokenizer;
    node *nodes;
    candidate *heap;
    size_t node_capacity, heap_capacity, heap_count;
} piece;

static bool comes_first(const candidate *a, const candidate *b)
{
    return a->merge != b->merge ? a->merge < b->merge : a->at < b->at;
}

static void push(piece *p, candidate c)
{
    size_t i = p->heap_count++;
    for (; i > 0 && comes_first(&c, &p->heap[(i - 1) / 2]); i = (i - 1) / 2)
        p->heap[i] = p->heap[(i - 1) / 2];
    p->heap[i] = c;
}

static candidate pop(piece *p)
{
    candidate top = p->heap[0], last = p->heap[--p->heap_count];
    size_t i = 0;
    for (size_t next; (next = 2 * i + 1) < p->heap_count; i = next) {
        if (next + 1 < p->heap_count && comes_first(&p->heap[next + 1], &p->heap[next])) next++;
        if (!comes_first(&p->heap[next], &last)) break;
        p->heap[i] = p->heap[next];
    }
    if (p->heap_count) p->heap[i] = last;
    return top;
}

/* The pair of this node and the one behind it, if a merge makes it one token. */
static void offer(piece *p, int32_t at)
{
    if (at < 0 || p->nodes[at].behind < 0) return;
    int32_t merge =
        find_merge(p->tokenizer, p->nodes[at].token, p->nodes[p->nodes[at].behind].token);
    if (merge >= 0) push(p, (candidate){merge, at});
}

/* Do the merge, unless one of its tokens is another by now. */
static void merge_pair(piece *p, candidate c)
{
    const tokenizer_merge *m = &p->tokenizer->merges[c.merge];
    node *left = &p->nodes[c.at];
    if (left->token != m->left || left->behind < 0 || p->nodes[left->behind].token != m->right)
        return;
    node *right = &p->nodes[left->behind];
    left->token = m->made;
    right->token = -1;
    left->behind = right->behind;
    if (left->behind >= 0) p->nodes[left->behind].before = c.at;
    offer(p, left->before);
    offer(p, c.at);
}

static be_status encode_piece(piece *p, const char *text, size_t length, be_error *err)
{
    void *nodes = p->nodes, *heap = p->heap;
    be_status status = memory_grow(&nodes, &p->node_capacity, length, sizeof(node), err);
    p->nodes = nodes;
    /* A merge makes at most two more candidates. */
    if (status == BE_OK)
        status = memory_grow(&heap, &p->heap_capacity, 3 * length, sizeof(candidate), err);
    p->heap = heap;
    TRY(status);
    p->heap_count = 0;
    for (size_t i = 0; i < length; i++)
        p->nodes[i] = (node){p->tokenizer->byte_tokens[(unsigned char)text[i]], (int32_t)i - 1,
                             i + 1 < length ? (int32_t)i + 1 : -1};
    for (size_t i = 0; i + 1 < length; i++) offer(p, (int32_t)i);
    while (p->heap_count) merge_pair(p, pop(p));
    return BE_OK;
}

static be_status take_tokens(const piece *p, size_t length, token_row *row, be_error *err)
{
    void *memory = row->tokens;
    be_status status =
        memory_grow(&memory, &row->capacity, row->count + length, sizeof *row->tokens, err);
    row->tokens = memory;
    TRY(status);
    for (int32_t at = 0; at >= 0; at = p->nodes[at].behind)
        row->tokens[row->count++] = p->nodes[at].token;
    return BE_OK;
}

be_status tokenizer_encode(const tokenizer *t, const char *text, size_t length, token_row *row,
                           be_error *err)
{
    piece p = {.tokenizer = t};
    be_status status = BE_OK;
    for (size_t at = 0, bytes; status == BE_OK && at < length; at += bytes) {
        bytes = tokenizer_piece(text + at, length - at);
        status = encode_piece(&p, text + at, bytes, err);
        if (status == BE_OK) status = take_tokens(&p, bytes, row, err);
    }
    memory_free_array(p.nodes);
    memory_free_array(p.heap);
    return status;
}

void tokenizer_free(tokenizer *t)
{
    arena_free(t->arena);
    *t = (tokenizer){0};
}
