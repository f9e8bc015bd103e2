/* Tokenizers from and to files of Hugging Face's form. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/file.h"
#include "core/json.h"
#include "core/text.h"
#include "data/tokenizer.h"
#include "data/unicode.h"

#define FILE_MOST ((size_t)64 << 20) /* bytes */

/* ---------------------------------------------------------------- the alphabet of bytes */

/* GPT-2 writes each byte as one character that can be printed: itself where it can, else the next
 * one behind U+00FF. */
static bool is_printed(int byte)
{
    return (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
}

static uint32_t character_of(int byte)
{
    uint32_t behind = 256;
    if (is_printed(byte)) return (uint32_t)byte;
    for (int b = 0; b < byte; b++) behind += !is_printed(b);
    return behind;
}

/* The byte of a character, or -1. */
static int byte_of(uint32_t character)
{
    for (int b = 0; b < TOKENIZER_BYTES; b++)
        if (character_of(b) == character) return b;
    return -1;
}

/* The bytes of a token; one that is not written in that alphabet, as added ones, stays as it is. */
static be_status take_bytes(tokenizer *t, const char *text, tokenizer_token *out, be_error *err)
{
    void *memory = NULL;
    size_t length = strlen(text), size = 0, bytes;
    TRY(arena_alloc(t->arena, &memory, length + 1, err));
    char *to = memory;
    for (size_t at = 0; at < length; at += bytes) {
        bytes = text_character(text + at, length - at);
        int byte = bytes ? byte_of(unicode_decode(text + at, bytes)) : -1;
        if (byte < 0) {
            memcpy(to, text, length);
            size = length;
            break;
        }
        to[size++] = (char)byte;
    }
    *out = (tokenizer_token){to, (int32_t)size};
    return BE_OK;
}

/* ---------------------------------------------------------------- reading */

static be_status take_vocabulary(tokenizer *t, json_t *vocabulary, const char *name, be_error *err)
{
    const char *text;
    json_t *value;
    void *memory = NULL;
    json_int_t last = -1;
    json_object_foreach(vocabulary, text, value)
    {
        json_int_t number = json_is_integer(value) ? json_integer_value(value) : -1;
        if (number < 0 || number >= TOKENIZER_MOST)
            FAIL(err, BE_BAD_DATA,
                 "%s: expected tokens with numbers from 0 to %d, found another for one of them; "
                 "write the file again",
                 name, TOKENIZER_MOST - 1);
        if (number > last) last = number;
    }
    if (last < TOKENIZER_BYTES - 1)
        FAIL(err, BE_BAD_DATA,
             "%s: expected a vocabulary of at least 256 tokens, found %" PRId64
             "; use a byte-level tokenizer, as GPT-2's",
             name, (int64_t)last + 1);
    t->count = (int32_t)last + 1;
    TRY(arena_alloc(t->arena, &memory, (size_t)t->count * sizeof *t->tokens, err));
    t->tokens = memory;
    memset(memory, 0, (size_t)t->count * sizeof *t->tokens);
    json_object_foreach(vocabulary, text, value)
    {
        tokenizer_token *token = &t->tokens[json_integer_value(value)];
        if (token->bytes)
            FAIL(err, BE_BAD_DATA,
                 "%s: expected each number for one token, found %" PRId64 " for two; write the "
                 "file again",
                 name, (int64_t)json_integer_value(value));
        TRY(take_bytes(t, text, token, err));
    }
    return BE_OK;
}

/* "a b", or the two apart; the token that they make is in the vocabulary as both together. */
static be_status take_merge(tokenizer *t, const json_t *vocabulary, const char *left,
                            const char *right, const char *name, be_error *err)
{
    char both[1024];
    int length = snprintf(both, sizeof both, "%s%s", left, right);
    const json_t *ids[3] = {json_object_get(vocabulary, left), json_object_get(vocabulary, right),
                            json_object_get(vocabulary, both)};
    if (length < 0 || (size_t)length >= sizeof both || !ids[0] || !ids[1] || !ids[2])
        FAIL(err, BE_BAD_DATA,
             "%s: expected merge %d to be of two tokens that make a third one of the vocabulary, "
             "found one that is not there; use the files of one tokenizer",
             name, t->merge_count + 1);
    t->merges[t->merge_count++] =
        (tokenizer_merge){(int32_t)json_integer_value(ids[0]), (int32_t)json_integer_value(ids[1]),
                          (int32_t)json_integer_value(ids[2])};
    return BE_OK;
}

/* A merge as one text with a blank between. */
static be_status take_line(tokenizer *t, const json_t *vocabulary, const char *line, size_t length,
                           const char *name, be_error *err)
{
    char text[1024];
    const char *blank = memchr(line, ' ', length);
    if (!blank || length >= sizeof text)
        FAIL(err, BE_BAD_DATA,
             "%s: expected merge %d to be two tokens with a blank between, found another line; "
             "write the file again",
             name, t->merge_count + 1);
    memcpy(text, line, length);
    text[length] = 0;
    text[blank - line] = 0;
    return take_merge(t, vocabulary, text, text + (blank - line) + 1, name, err);
}

static be_status reserve_merges(tokenizer *t, size_t count, const char *name, be_error *err)
{
    void *memory = NULL;
    if (count > TOKENIZER_MOST)
        FAIL(err, BE_BAD_DATA, "%s: expected at most %d merges, found %zu; use another tokenizer",
             name, TOKENIZER_MOST, count);
    TRY(arena_alloc(t->arena, &memory, (count + 1) * sizeof *t->merges, err));
    t->merges = memory;
    return BE_OK;
}

static be_status take_merge_list(tokenizer *t, const json_t *vocabulary, const json_t *merges,
                                 const char *name, be_error *err)
{
    size_t i;
    json_t *merge;
    if (!json_is_array(merges))
        FAIL(err, BE_BAD_DATA,
             "%s: expected a list 'model.merges', found none; use a byte-pair "
             "tokenizer",
             name);
    TRY(reserve_merges(t, json_array_size(merges), name, err));
    json_array_foreach(merges, i, merge)
    {
        const char *left = json_string_value(json_array_get(merge, 0));
        const char *right = json_string_value(json_array_get(merge, 1));
        if (json_is_string(merge))
            TRY(take_line(t, vocabulary, json_string_value(merge), json_string_length(merge), name,
                          err));
        else
            TRY(take_merge(t, vocabulary, left ? left : "", right ? right : "", name, err));
    }
    return BE_OK;
}

/* What would make other tokens of a text than this file's reader does. */
static be_status check_kind(const json_t *file, const char *name, be_error *err)
{
    const char *type = json_text_at(file, "model.type");
    const char *before = json_text_at(file, "pre_tokenizer.type");
    const json_t *normalizer = json_at(file, "normalizer");
    const char *kind = NULL;
    if (type[0] && strcmp(type, "BPE") != 0)
        kind = type;
    else if (strcmp(before, "ByteLevel") != 0)
        kind = before[0] ? before : "another way of cutting text";
    else if (json_is_true(json_at(file, "pre_tokenizer.add_prefix_space")))
        kind = "a blank put before each text";
    else if (json_is_false(json_at(file, "pre_tokenizer.use_regex")))
        kind = "text that is not cut";
    else if (normalizer && !json_is_null(normalizer))
        kind = "text that is changed before";
    else if (json_is_true(json_at(file, "model.ignore_merges")))
        kind = "whole words that pass over the merges";
    if (kind)
        FAIL(err, BE_BAD_DATA,
             "%s: expected a byte-level BPE tokenizer as GPT-2's, found %.60s; use another one",
             name, kind);
    return BE_OK;
}

static be_status finish(tokenizer *t, be_status status, const char *name, be_error *err)
{
    if (status == BE_OK) status = tokenizer_index(t, name, err);
    if (status != BE_OK) tokenizer_free(t);
    return status;
}

static be_status load_object(json_t **out, const char *text, size_t length, const char *name,
                             be_error *err)
{
    json_error_t why;
    *out = json_loadb(text, length, JSON_REJECT_DUPLICATES, &why);
    if (json_is_object(*out)) return BE_OK;
    json_decref(*out);
    FAIL(err, BE_BAD_DATA, "%s: expected a JSON object, found %s; fetch the file again", name,
         *out ? "something else" : "what is no JSON");
}

static be_status take_file(tokenizer *t, const json_t *file, const char *name, be_error *err)
{
    json_t *vocabulary = json_at(file, "model.vocab");
    TRY(check_kind(file, name, err));
    if (!json_is_object(vocabulary))
        FAIL(err, BE_BAD_DATA,
             "%s: expected an object 'model.vocab', found none; use a byte-pair tokenizer", name);
    TRY(take_vocabulary(t, vocabulary, name, err));
    return take_merge_list(t, vocabulary, json_at(file, "model.merges"), name, err);
}

be_status tokenizer_parse_json(tokenizer *t, const char *text, size_t length, const char *name,
                               be_error *err)
{
    json_t *file = NULL;
    *t = (tokenizer){0};
    TRY(load_object(&file, text, length, name, err));
    be_status status = arena_new(&t->arena, err);
    if (status == BE_OK) status = take_file(t, file, name, err);
    json_decref(file);
    return finish(t, status, name, err);
}

static be_status take_lines(tokenizer *t, const json_t *vocabulary, const char *text, size_t length,
                            const char *name, be_error *err)
{
    size_t lines = 1;
    for (size_t i = 0; i < length; i++) lines += text[i] == '\n';
    TRY(reserve_merges(t, lines, name, err));
    for (size_t at = 0, bytes; at < length; at += bytes + 1) {
        const char *end = memchr(text + at, '\n', length - at);
        bytes = end ? (size_t)(end - text) - at : length - at;
        size_t line = bytes && text[at + bytes - 1] == '\r' ? bytes - 1 : bytes;
        bool heading = at == 0 && line >= 8 && memcmp(text, "#version", 8) == 0;
        if (line && !heading) TRY(take_line(t, vocabulary, text + at, line, name, err));
    }
    return BE_OK;
}

be_status tokenizer_parse_pair(tokenizer *t, const tokenizer_pair *files, const char *name,
                               be_error *err)
{
    json_t *file = NULL;
    *t = (tokenizer){0};
    TRY(load_object(&file, files->vocabulary, files->vocabulary_length, name, err));
    be_status status = arena_new(&t->arena, err);
    if (status == BE_OK) status = take_vocabulary(t, file, name, err);
    if (status == BE_OK)
        status = take_lines(t, file, files->merges, files->merges_length, name, err);
    json_decref(file);
    return finish(t, status, name, err);
}

/* ---------------------------------------------------------------- files */

/* merges.txt in the folder of the vocabulary. */
static be_status open_pair(tokenizer *t, const char *path, const char *text, size_t length,
                           be_error *err)
{
    char other[FILE_PATH_BYTES];
    void *merges = NULL;
    size_t bytes = 0;
    const char *slash = strrchr(path, '/');
    TRY(file_format_path(other, err, "%.*smerges.txt", slash ? (int)(slash - path) + 1 : 0, path));
    TRY(file_read(&merges, &bytes, other, FILE_MOST, err));
    tokenizer_pair files = {text, merges, length, bytes};
    be_status status = tokenizer_parse_pair(t, &files, path, err);
    memory_free(merges);
    return status;
}

be_status tokenizer_open(tokenizer *t, const char *path, be_error *err)
{
    char inside[FILE_PATH_BYTES];
    void *text = NULL;
    size_t length = 0;
    *t = (tokenizer){0};
    TRY(file_format_path(inside, err, "%s", path));
    if (file_is_folder(path)) {
        TRY(file_format_path(inside, err, "%s/tokenizer.json", path));
        if (!file_exists(inside)) TRY(file_format_path(inside, err, "%s/vocab.json", path));
    }
    TRY(file_read(&text, &length, inside, FILE_MOST, err));
    const char *name = strrchr(inside, '/');
    be_status status = strcmp(name ? name + 1 : inside, "vocab.json") == 0
                           ? open_pair(t, inside, text, length, err)
                           : tokenizer_parse_json(t, text, length, inside, err);
    memory_free(text);
    return status;
}

/* ---------------------------------------------------------------- writing */

/* In the alphabet of bytes.  NULL: no memory. */
static char *text_of(const tokenizer_token *token)
{
    void *memory = NULL;
    if (memory_alloc(&memory, (size_t)token->length * 2 + 1, "a token", NULL) != BE_OK) return NULL;
    char *out = memory, *at = out;
    for (int32_t i = 0; i < token->length; i++) {
        uint32_t c = character_of((unsigned char)token->bytes[i]);
        if (c >= 0x80) {
            *at++ = (char)(0xc0 | c >> 6);
            *at++ = (char)(0x80 | (c & 0x3f));
        } else {
            *at++ = (char)c;
        }
    }
    *at = 0;
    return out;
}

static json_t *vocabulary_json(const tokenizer *t)
{
    json_t *object = json_object();
    for (int32_t i = 0; i < t->count; i++) {
        if (!t->tokens[i].bytes) continue;
        char *text = text_of(&t->tokens[i]);
        if (text)
            json_put(&object, text, json_integer(i));
        else
            json_put(&object, "", NULL);
        memory_free(text);
    }
    return object;
}

static json_t *merges_json(const tokenizer *t)
{
    json_t *list = json_array();
    for (int32_t m = 0; m < t->merge_count; m++) {
        char *left = text_of(&t->tokens[t->merges[m].left]);
        char *right = text_of(&t->tokens[t->merges[m].right]);
        json_add(&list, left && right ? json_sprintf("%s %s", left, right) : NULL);
        memory_free(left);
        memory_free(right);
    }
    return list;
}

be_status tokenizer_save(const tokenizer *t, const char *path, be_error *err)
{
    json_t *vocabulary = vocabulary_json(t), *merges = merges_json(t);
    json_t *file =
        json_pack("{s:s, s:n, s:{s:s, s:b, s:b, s:b}, s:{s:s, s:b, s:b, s:b}, s:{s:s, s:o, s:o}}",
                  "version", "1.0", "normalizer", "pre_tokenizer", "type", "ByteLevel",
                  "add_prefix_space", 0, "trim_offsets", 1, "use_regex", 1, "decoder", "type",
                  "ByteLevel", "add_prefix_space", 0, "trim_offsets", 1, "use_regex", 1, "model",
                  "type", "BPE", "vocab", vocabulary, "merges", merges);
    char *text = file ? json_dumps(file, JSON_COMPACT) : NULL;
    json_decref(file);
    if (!text) FAIL(err, BE_NO_MEMORY, "no memory left to write %s; free some", path);
    be_status status = file_write_whole(path, text, strlen(text), err);
    free(text);
    return status;
}
