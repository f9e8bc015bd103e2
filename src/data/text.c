/* Opening texts: see text.h. */
#include "data/text.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "core/file.h"
#include "core/rng.h"
#include "core/text.h"
#include "data/tokenizer.h"

#define TEXT_MOST_TOKENS ((size_t)INT32_MAX)
#define DRAWN_RUN 64 /* tokens that follow from one another */
#define DRAWN_SALT 0x74657874u

/* ---------------------------------------------------------------- the file */

/* The first byte that is no UTF-8, or `length`. */
static size_t find_bad(const char *text, size_t length)
{
    size_t at = 0;
    while (at < length) {
        size_t bytes = (unsigned char)text[at] < 0x80 ? 1 : text_character(text + at, length - at);
        if (bytes == 0) break;
        at += bytes;
    }
    return at;
}

static be_status check_text(const char *text, size_t length, const char *path, be_error *err)
{
    if (length == 0)
        FAIL(err, BE_BAD_DATA, "%s: expected a text, found an empty file; name another --text",
             path);
    size_t bad = find_bad(text, length);
    if (bad < length)
        FAIL(err, BE_BAD_DATA,
             "%s: expected text in UTF-8, found the byte 0x%02x at byte %zu; convert it ('iconv -t "
             "utf-8')",
             path, (unsigned char)text[bad], bad);
    return BE_OK;
}

/* Where the text is: options->text, or that of the data folders.  *path is "" where there is none.
 */
static be_status find_text(const dataset_options *options, char path[FILE_PATH_BYTES],
                           be_error *err)
{
    const char *folder = options->data_dir ? options->data_dir : getenv("BREAKEVEN_DATA");
    path[0] = 0;
    if (options->text) return file_format_path(path, err, "%s", options->text);
    if (!folder) return BE_OK;
    TRY(file_format_path(path, err, "%s/tinyshakespeare/input.txt", folder));
    if (!file_exists(path)) path[0] = 0;
    return BE_OK;
}

/* ---------------------------------------------------------------- tokens */

/* The two parts of a text, cut between characters: what is trained on is the same whatever is asked
 * for, and so is a vocabulary that is learnt from it. */
static size_t train_bytes(const char *text, size_t length)
{
    size_t at = length - length / TEXT_TEST_PART;
    while (at > 0 && at < length && ((unsigned char)text[at] & 0xc0) == 0x80) at--;
    return at;
}

static be_status make_tokenizer(const text_form *form, const dataset_options *options,
                                const char *text, size_t train, tokenizer *out, be_error *err)
{
    if (!options->tokenizer) return tokenizer_learn_once(out, text, train, form->vocabulary, err);
    TRY(tokenizer_open(out, options->tokenizer, err));
    if (out->count <= form->vocabulary) return BE_OK;
    FAIL(err, BE_BAD_DATA,
         "%s: expected at most the %d tokens of the model, found %d; use a larger --vocab, or "
         "another --tokenizer",
         options->tokenizer, form->vocabulary, out->count);
}

/* What stands in a file. */
typedef struct file_text {
    const char *bytes;
    size_t length;
} file_text;

static be_status encode(be_dataset *d, const text_form *form, const dataset_options *options,
                        const file_text *text, token_row *row, be_error *err)
{
    void *memory = NULL;
    size_t train = train_bytes(text->bytes, text->length);
    const tokenizer *reader = options->other ? options->other->tokenizer : NULL;
    if (!reader) {
        TRY(arena_alloc(d->arena, &memory, sizeof(tokenizer), err));
        memset(memory, 0, sizeof(tokenizer));
        reader = d->tokenizer = memory;
        TRY(make_tokenizer(form, options, text->bytes, train, d->tokenizer, err));
    }
    bool testing = d->split == SPLIT_TEST;
    return tokenizer_encode(reader, testing ? text->bytes + train : text->bytes,
                            testing ? text->length - train : train, row, err);
}

static be_status read_text(be_dataset *d, const text_form *form, const dataset_options *options,
                           const char *path, token_row *row, be_error *err)
{
    const void *text = NULL;
    size_t length = 0;
    TRY(arena_printf(d->arena, &d->source, err, "%s", path));
    TRY(file_map(&text, &length, path, err));
    be_status status = check_text(text, length, path, err);
    if (status == BE_OK) status = encode(d, form, options, &(file_text){text, length}, row, err);
    file_unmap(text, length);
    return status;
}

/* Mostly a token is a function of the one before, so that there is something to learn. */
static void draw_run(const text_form *form, rng_key key, int32_t *tokens, size_t count)
{
    rng r = {.key = key};
    int32_t token = (int32_t)rng_next_below(&r, (uint32_t)form->vocabulary);
    for (size_t i = 0; i < count; i++) {
        tokens[i] = token;
        token = rng_next(&r) >> 30 ? (int32_t)(((int64_t)token * 31 + 7) % form->vocabulary)
                                   : (int32_t)rng_next_below(&r, (uint32_t)form->vocabulary);
    }
}

static be_status draw_text(be_dataset *d, const text_form *form, const dataset_options *options,
                           token_row *row, be_error *err)
{
    void *memory = NULL;
    size_t windows = (size_t)form->drawn[d->split];
    uint32_t first = d->split == SPLIT_TEST ? 0x40000000u : 0;
    size_t count = windows * (size_t)form->sequence + 1;
    be_status status = memory_grow(&memory, &row->capacity, count, sizeof *row->tokens, err);
    row->tokens = memory;
    TRY(status);
    d->generated = true;
    row->count = count;
    for (size_t at = 0; at < count; at += DRAWN_RUN) {
        rng_key key = {options->seed ^ DRAWN_SALT, RNG_DATA, first + (uint32_t)(at / DRAWN_RUN)};
        draw_run(form, key, row->tokens + at, count - at < DRAWN_RUN ? count - at : DRAWN_RUN);
    }
    return arena_printf(d->arena, &d->source, err, "a generated text, seed %" PRIu64,
                        options->seed);
}

/* ---------------------------------------------------------------- windows */

static be_status make_windows(be_dataset *d, const text_form *form, int64_t limit, token_row *row,
                              be_error *err)
{
    void *memory = NULL;
    int64_t stride = form->stride ? form->stride : form->sequence, room = (int64_t)row->count - 1;
    if (row->count > TEXT_MOST_TOKENS)
        FAIL(err, BE_BAD_DATA, "%s: expected fewer than 2^31 tokens, found more; use a part of it",
             d->source);
    if (room < form->sequence)
        FAIL(err, BE_BAD_DATA,
             "%s: expected more than the %d tokens of a window to %s on, found %zu; use a longer "
             "text or a smaller --seq",
             d->source, form->sequence, d->split == SPLIT_TEST ? "test" : "train", row->count);
    d->count = (room - form->sequence) / stride + 1;
    if (limit > 0 && limit < d->count) d->count = limit;
    size_t bytes = (size_t)((d->count - 1) * stride + form->sequence + 1) * sizeof(int32_t);
    TRY(memory_alloc(&memory, bytes, "the tokens of a text", err));
    memcpy(memory, row->tokens, bytes);
    d->table = (data_table){.name = d->name,
                            .source = d->source,
                            .sample = "window",
                            .unit = "token",
                            .units_a_sample = form->sequence,
                            .count = d->count,
                            .fields = 2,
                            .field = {{.form = {.name = "tokens",
                                                .count = d->count,
                                                .sample = {BE_I32, 1, {form->sequence}},
                                                .stride = stride},
                                       .below = form->vocabulary,
                                       .bytes = memory},
                                      {.form = {.name = "targets",
                                                .count = d->count,
                                                .sample = {BE_I32, 1, {form->sequence}},
                                                .target = 1,
                                                .stride = stride},
                                       .below = form->vocabulary,
                                       .bytes = (int32_t *)memory + 1,
                                       .shared = true}}};
    return BE_OK;
}

static be_status fill(be_dataset *d, const text_form *form, const dataset_options *options,
                      token_row *row, be_error *err)
{
    char path[FILE_PATH_BYTES];
    if (options->limit < 0)
        FAIL(err, BE_USAGE, "expected a limit of windows from 1 (or 0: all), found %" PRId64,
             options->limit);
    TRY(find_text(options, path, err));
    if (!options->synthetic && !path[0]) {
        d->note =
            "no text was named and tinyshakespeare is not here: a generated text stands in for it; "
            "name one with --text";
        return draw_text(d, form, options, row, err);
    }
    return options->synthetic ? draw_text(d, form, options, row, err)
                              : read_text(d, form, options, path, row, err);
}

be_status text_open(const text_form *form, dataset_split split, const dataset_options *options,
                    be_dataset **out, be_error *err)
{
    void *memory = NULL;
    token_row row = {0};
    *out = NULL;
    TRY(memory_alloc(&memory, sizeof(be_dataset), "a text", err));
    be_dataset *d = memory;
    be_status status = dataset_start(d, "text", split, err);
    d->generated = false;
    if (status == BE_OK) status = fill(d, form, options, &row, err);
    if (status == BE_OK) status = make_windows(d, form, options->limit, &row, err);
    memory_free_array(row.tokens);
    if (status == BE_OK)
        *out = d;
    else
        dataset_close(d);
    return status;
}

be_status text_save_tokenizer(const be_dataset *d, const char *path, be_error *err)
{
    MUST(d->tokenizer);
    return tokenizer_save(d->tokenizer, path, err);
}
