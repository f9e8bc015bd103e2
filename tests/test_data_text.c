/* Texts as data: pieces, tokens, files of tokenizers, windows, and what is refused. */
#include "support.h"

#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/file.h"
#include "core/kept.h"
#include "data/text.h"
#include "data/tokenizer.h"
#include "workloads/texts.h"

static be_error err;
static char *folder;

static const char *path_of(const char *name)
{
    static char paths[4][FILE_PATH_BYTES];
    static int turn;
    char *path = paths[turn++ % 4];
    ASSERT_OK(file_format_path(path, &err, "%s/%s", folder, name));
    return path;
}

static void put(const char *name, const char *text)
{
    support_write_file(path_of(name), text, strlen(text));
}

/* ---------------------------------------------------------------- pieces */

/* The pieces of a text, with a bar behind each. */
static const char *cut(const char *text)
{
    static char out[400];
    size_t used = 0, length = strlen(text);
    for (size_t at = 0, bytes; at < length; at += bytes) {
        bytes = tokenizer_piece(text + at, length - at);
        assert_in_range(bytes, 1, length - at);
        used += (size_t)snprintf(out + used, sizeof out - used, "%.*s|", (int)bytes, text + at);
    }
    return out;
}

static void text_is_cut_as_gpt2_cuts_it(void **state)
{
    (void)state;
    assert_string_equal(cut("Hello world"), "Hello| world|");
    assert_string_equal(cut("we'll don't 'x I'M"), "we|'ll| don|'t| '|x| I|'|M|");
    assert_string_equal(cut("a1b22, ok!?"), "a|1|b|22|,| ok|!?|");
    assert_string_equal(cut("a   b\n\n  c  "), "a|  | b|\n\n | c|  |");
    assert_string_equal(cut("\n\nx\ty"), "\n|\n|x|\t|y|");
    assert_string_equal(cut("Übermut naïve été"), "Übermut| naïve| été|");
    assert_string_equal(cut("½ ⅷ٣日本語。"), "½| ⅷ٣|日本語|。|");
    assert_string_equal(cut("a\xc2\xa0"
                            "b"),
                        "a|\xc2\xa0|b|");
}

/* ---------------------------------------------------------------- learning */

static int32_t *encoded(const tokenizer *t, const char *text, size_t *count)
{
    token_row row = {0};
    ASSERT_OK(tokenizer_encode(t, text, strlen(text), &row, &err));
    *count = row.count;
    return row.tokens;
}

static void assert_decodes(const tokenizer *t, const char *text)
{
    size_t count, at = 0;
    int32_t *tokens = encoded(t, text, &count);
    for (size_t i = 0; i < count; i++) {
        const tokenizer_token *token = &t->tokens[tokens[i]];
        assert_memory_equal(token->bytes, text + at, (size_t)token->length);
        at += (size_t)token->length;
    }
    assert_int_equal(at, strlen(text));
    memory_free_array(tokens);
}

/* "low low low lower": l-o is first (4, the lowest numbers of those), then lo-w, then low, … */
static void frequent_pairs_become_tokens(void **state)
{
    (void)state;
    tokenizer t = {0};
    size_t count;
    ASSERT_OK(tokenizer_learn(&t, "low low low lower", 17, 1000, &err));
    static const char *const made[] = {"lo", "low", " low"};
    assert_int_equal(t.count, 259); /* nothing else is there twice */
    for (int i = 0; i < 3; i++) {
        assert_int_equal(t.tokens[256 + i].length, strlen(made[i]));
        assert_memory_equal(t.tokens[256 + i].bytes, made[i], strlen(made[i]));
    }
    int32_t *tokens = encoded(&t, "low lower lol", &count);
    static const int32_t expected[] = {257, 258, 'e', 'r', ' ', 256, 'l'};
    assert_int_equal(count, 7);
    assert_memory_equal(tokens, expected, sizeof expected);
    memory_free_array(tokens);
    assert_decodes(&t, "slow – Übermut, 日本語\n\n");
    tokenizer_free(&t);
    ASSERT_OK(tokenizer_learn(&t, "aaaa aaaa", 9, 257, &err)); /* pairs that overlap */
    tokens = encoded(&t, "aaaaa", &count);
    assert_int_equal(count, 3);
    assert_int_equal(tokens[2], 'a');
    memory_free_array(tokens);
    tokenizer_free(&t);
    ASSERT_FAILS(tokenizer_learn(&t, "x", 1, 255, &err), BE_USAGE, "256 to", "found 255");
}

/* The one file of kept vocabularies, and its key. */
static void find_kept(kept_key *key, void **file)
{
    size_t bytes = 0;
    uint64_t key_bytes = 0;
    glob_t found;
    assert_int_equal(glob(path_of("breakeven/vocabularies/*"), 0, NULL, &found), 0);
    assert_int_equal(found.gl_pathc, 1);
    ASSERT_OK(file_read(file, &bytes, found.gl_pathv[0], 1 << 20, &err));
    globfree(&found);
    memcpy(&key_bytes, (char *)*file + 8, sizeof key_bytes);
    *key = (kept_key){"vocabularies", "pairs", (char *)*file + 32, key_bytes};
}

/* Another one is put into the place of what was kept: it is that which is found.  What is damaged,
 * or of another text or size, is learnt. */
static void a_vocabulary_is_learnt_once(void **state)
{
    (void)state;
    static const char text[] = "low low low lower";
    static const int32_t other[1][2] = {{'e', 'r'}}, wrong[1][2] = {{'e', 256}};
    tokenizer t = {0};
    kept_key key;
    void *file = NULL;
    ASSERT_OK(tokenizer_learn_once(&t, text, 17, 1000, &err));
    assert_int_equal(t.count, 259);
    tokenizer_free(&t);
    find_kept(&key, &file);
    ASSERT_OK(kept_write(&key, other, sizeof other, &err));
    ASSERT_OK(tokenizer_learn_once(&t, text, 17, 1000, &err));
    assert_int_equal(t.count, 257);
    assert_memory_equal(t.tokens[256].bytes, "er", 2);
    assert_decodes(&t, "slower – Übermut");
    tokenizer_free(&t);
    ASSERT_OK(tokenizer_learn_once(&t, text, 17, 257, &err));
    assert_memory_equal(t.tokens[256].bytes, "lo", 2);
    tokenizer_free(&t);
    ASSERT_OK(tokenizer_learn_once(&t, text, 16, 1000, &err));
    assert_int_equal(t.count, 259);
    tokenizer_free(&t);
    ASSERT_OK(kept_write(&key, wrong, sizeof wrong, &err));
    ASSERT_OK(tokenizer_learn_once(&t, text, 17, 1000, &err));
    assert_int_equal(t.count, 259);
    tokenizer_free(&t);
    memory_free(file);
    ASSERT_FAILS(tokenizer_of_pairs(&t, wrong, 1, &err), BE_BAD_DATA,
                 "merge 0: expected tokens from 0 to 255, found 101 and 256");
}

/* A long run has as many pairs as bytes: it takes a moment, not an hour. */
static void a_piece_may_be_long(void **state)
{
    (void)state;
    enum { LONG = 400000 };
    char *text = malloc(LONG + 1);
    assert_non_null(text);
    memset(text, 'a', LONG);
    text[LONG] = 0;
    tokenizer t = {0};
    size_t count;
    ASSERT_OK(tokenizer_learn(&t, "aaaaaaaa aaaaaaaa", 17, 300, &err));
    int32_t *tokens = encoded(&t, text, &count);
    assert_in_range(count, LONG / 16, LONG / 4);
    memory_free_array(tokens);
    tokenizer_free(&t);
    free(text);
}

/* ---------------------------------------------------------------- files */

static void refuse_json(const char *text, const char *first, const char *second)
{
    tokenizer t;
    ASSERT_FAILS(tokenizer_parse_json(&t, text, strlen(text), "tokenizer.json", &err), BE_BAD_DATA,
                 first, second);
    assert_null(t.arena);
}

#define BEFORE "\"pre_tokenizer\": {\"type\": \"ByteLevel\", \"add_prefix_space\": false}, "

static void other_tokenizers_are_refused(void **state)
{
    (void)state;
    refuse_json("{", "tokenizer.json: expected a JSON object", "what is no JSON");
    refuse_json("[1]", "expected a JSON object", "something else");
    refuse_json("{\"model\": {\"type\": \"WordPiece\"}}", "byte-level BPE tokenizer", "WordPiece");
    refuse_json("{\"model\": {\"type\": \"BPE\"}, \"pre_tokenizer\": {\"type\": \"Metaspace\"}}",
                "byte-level BPE tokenizer", "Metaspace");
    refuse_json("{" BEFORE "\"model\": {\"type\": \"BPE\"}}", "'model.vocab'", "found none");
    refuse_json("{" BEFORE "\"model\": {\"vocab\": {\"a\": 0}, \"merges\": []}}",
                "at least 256 tokens", "found 1");
    refuse_json("{" BEFORE "\"model\": {\"vocab\": {\"a\": -1}, \"merges\": []}}", "numbers from 0",
                "found another");
    refuse_json("{" BEFORE "\"model\": {\"vocab\": {\"a\": 300, \"b\": 300}, \"merges\": []}}",
                "each number for one token", "found 300 for two");
    refuse_json("{" BEFORE "\"model\": {\"vocab\": {\"a\": 300}, \"merges\": [\"a b\"]}}",
                "merge 1 to be of two tokens", "one that is not there");
    refuse_json("{" BEFORE "\"model\": {\"vocab\": {\"a\": 300}, \"merges\": [\"ab\"]}}",
                "two tokens with a blank between", "another line");
    refuse_json("{" BEFORE "\"model\": {\"vocab\": {\"a\": 300}, \"merges\": []}}",
                "a token for each of the 256 bytes", "for byte 0");
}

/* ---------------------------------------------------------------- windows */

static const char *const poem = "The quick brown fox jumps over the lazy dog. ";

static void put_poem(int times)
{
    size_t length = strlen(poem);
    char *text = malloc(length * (size_t)times + 1);
    assert_non_null(text);
    for (int i = 0; i < times; i++) memcpy(text + length * (size_t)i, poem, length);
    support_write_file(path_of("poem"), text, length * (size_t)times);
    free(text);
}

static void a_text_becomes_windows(void **state)
{
    (void)state;
    be_dataset *d = NULL;
    put_poem(200);
    dataset_options options = {.text = path_of("poem"), .seed = 1};
    text_form form = {.sequence = 16, .vocabulary = 280, .stride = 5};
    ASSERT_OK(text_open(&form, SPLIT_TRAIN, &options, &d, &err));
    assert_string_equal(d->table.unit, "token");
    assert_int_equal(d->table.units_a_sample, 16);
    const data_field *tokens = table_find(&d->table, "tokens");
    const data_field *targets = table_find(&d->table, "targets");
    for (int64_t i = 0; i < d->count; i++) {
        const int32_t *here = field_at(tokens, i), *next = field_at(targets, i);
        for (int k = 0; k < 16; k++) assert_in_range(here[k], 0, 279);
        assert_memory_equal(here + 1, next, 15 * sizeof *here);
        if (i + 1 < d->count)
            assert_memory_equal(field_at(tokens, i + 1), here + 5, 11 * sizeof *here);
    }
    ASSERT_OK(text_save_tokenizer(d, path_of("tokenizer.json"), &err));
    int64_t count = d->count;
    int32_t first[16];
    memcpy(first, field_at(tokens, 0), sizeof first);
    dataset_close(d);
    /* By the tokenizer that was written, and at another stride. */
    options.tokenizer = path_of("tokenizer.json");
    form.stride = 0;
    ASSERT_OK(text_open(&form, SPLIT_TRAIN, &options, &d, &err));
    assert_memory_equal(field_at(&d->table.field[0], 0), first, sizeof first);
    assert_in_range(d->count, count * 5 / 16 - 2, count * 5 / 16 + 2);
    workload_variant v = {.seq = 8, .vocab = 100};
    data_table wanted;
    ASSERT_OK(texts_fit(&v, &d->table, &err));
    texts_form(&v, &wanted);
    ASSERT_OK(table_check(&d->table, &wanted, "a test", &err));
    dataset_close(d);
    ASSERT_OK(text_open(&form, SPLIT_TEST, &options, &d, &err));
    assert_in_range(d->count, 1, count);
    dataset_close(d);
}

static void a_drawn_text_can_be_learnt(void **state)
{
    (void)state;
    be_dataset *d = NULL;
    int follow = 0, all = 0;
    dataset_options options = {.synthetic = true, .seed = 1};
    text_form form = {.sequence = 32, .vocabulary = 1000, .drawn = {2048, 204}};
    ASSERT_OK(text_open(&form, SPLIT_TRAIN, &options, &d, &err));
    assert_true(d->generated && d->count == 2048);
    for (int64_t i = 0; i < d->count; i++)
        for (int k = 0; k < 32; k++, all++) {
            int32_t here = ((const int32_t *)field_at(&d->table.field[0], i))[k];
            follow +=
                ((const int32_t *)field_at(&d->table.field[1], i))[k] == (here * 31 + 7) % 1000;
        }
    assert_in_range(follow, all * 7 / 10, all * 8 / 10);
    dataset_close(d);
}

static void refuse_text(const char *text, size_t length, const char *first, const char *second)
{
    be_dataset *d = NULL;
    support_write_file(path_of("bad"), text, length);
    dataset_options options = {.text = path_of("bad"), .seed = 1};
    text_form form = {.sequence = 64, .vocabulary = 300};
    ASSERT_FAILS(text_open(&form, SPLIT_TRAIN, &options, &d, &err), BE_BAD_DATA, first, second);
    assert_null(d);
}

static void bad_texts_are_refused(void **state)
{
    (void)state;
    be_dataset *d = NULL;
    refuse_text("", 0, "expected a text, found an empty file", "--text");
    refuse_text("ab\xff", 3, "expected text in UTF-8, found the byte 0xff at byte 2", "iconv");
    refuse_text("\xc3", 1, "found the byte 0xc3 at byte 0", "");
    refuse_text("Too short.", 10, "more than the 64 tokens of a window to train on",
                "a smaller --seq");
    put_poem(200);
    dataset_options options = {.text = path_of("poem"), .seed = 1};
    text_form form = {.sequence = 8, .vocabulary = 300};
    ASSERT_OK(text_open(&form, SPLIT_TRAIN, &options, &d, &err));
    ASSERT_OK(text_save_tokenizer(d, path_of("tokenizer.json"), &err));
    dataset_close(d);
    options.tokenizer = path_of("tokenizer.json");
    form.vocabulary = 270;
    ASSERT_FAILS(text_open(&form, SPLIT_TRAIN, &options, &d, &err), BE_BAD_DATA,
                 "expected at most the 270 tokens of the model", "a larger --vocab");
    options.text = path_of("none");
    ASSERT_FAILS(text_open(&form, SPLIT_TRAIN, &options, &d, &err), BE_IO, "none", "");
    put("vocab.json", "{}");
    tokenizer t;
    ASSERT_FAILS(tokenizer_open(&t, path_of("vocab.json"), &err), BE_IO, "merges.txt", "");
}

static be_status open_poem(void *context, be_error *error)
{
    be_dataset *d = NULL;
    text_form form = {.sequence = 8, .vocabulary = 262};
    TRY(text_open(&form, SPLIT_TRAIN, context, &d, error));
    dataset_close(d);
    return BE_OK;
}

static void memory_may_end(void **state)
{
    (void)state;
    put_poem(23); /* whose vocabulary is not kept */
    dataset_options options = {.text = path_of("poem"), .seed = 1};
    assert_true(support_fail_each_allocation(open_poem, &options, 400) >= 15);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_is_cut_as_gpt2_cuts_it),
        cmocka_unit_test(frequent_pairs_become_tokens),
        cmocka_unit_test(a_vocabulary_is_learnt_once),
        cmocka_unit_test(a_piece_may_be_long),
        cmocka_unit_test(other_tokenizers_are_refused),
        cmocka_unit_test(a_text_becomes_windows),
        cmocka_unit_test(a_drawn_text_can_be_learnt),
        cmocka_unit_test(bad_texts_are_refused),
        cmocka_unit_test(memory_may_end),
    };
    folder = support_make_folder();
    setenv("XDG_CACHE_HOME", folder, 1);
    int failed = cmocka_run_group_tests_name("data_text", tests, NULL, NULL);
    support_remove_folder(folder);
    return failed;
}
