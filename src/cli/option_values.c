/* The values of options: numbers, lists and ranges, choices; and what a mistyped word was meant to
 * be. */
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/options.h"

#define WORD_MAX 40

static int least_of(int a, int b)
{
    return a < b ? a : b;
}

/* Edits that turn one word into the other: insert, delete, replace, swap two neighbours (Damerau,
 * "A technique for computer detection and correction of spelling errors", 1964). */
static int edit_distance(const char *a, const char *b)
{
    int rows = (int)strlen(a), columns = (int)strlen(b), d[WORD_MAX + 1][WORD_MAX + 1];
    if (rows > WORD_MAX || columns > WORD_MAX) return WORD_MAX;
    for (int i = 0; i <= rows; i++) d[i][0] = i;
    for (int j = 0; j <= columns; j++) d[0][j] = j;
    for (int i = 1; i <= rows; i++)
        for (int j = 1; j <= columns; j++) {
            d[i][j] = least_of(least_of(d[i - 1][j], d[i][j - 1]) + 1,
                               d[i - 1][j - 1] + (a[i - 1] != b[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                d[i][j] = least_of(d[i][j], d[i - 2][j - 2] + 1);
        }
    return d[rows][columns];
}

/* The next of some words separated by blanks; returns where to go on, NULL at the end. */
static const char *next_word(const char *words, char out[64])
{
    words += strspn(words, " ");
    size_t length = strcspn(words, " ");
    if (!length || length > 63) return NULL;
    memcpy(out, words, length);
    out[length] = 0;
    return words + length;
}

const char *option_nearest(const char *text, const char *words, char out[64])
{
    char word[64];
    int best = 1 + (int)strlen(text) / 3;
    out[0] = 0;
    while ((words = next_word(words, word))) {
        bool is_start = strlen(text) >= 2 && strncmp(word, text, strlen(text)) == 0;
        int distance = is_start ? 1 : edit_distance(text, word);
        if (distance > best || (distance == best && out[0])) continue;
        best = distance;
        memcpy(out, word, sizeof word);
    }
    return out;
}

static be_status take_choice(const option_spec *spec, const char *text, be_error *err)
{
    char word[64], near[64];
    const char *at = spec->words;
    while ((at = next_word(at, word)))
        if (strcmp(word, text) == 0) return BE_OK;
    const char *hint = spec == &option_table[OPTION_ENGINE] ? option_hint(HINT_ENGINE, text) : NULL;
    if (hint)
        snprintf(near, sizeof near, "%s", hint);
    else
        option_nearest(text, spec->words, near);
    FAIL(err, BE_USAGE, "--%s: expected one of %s, found \"%s\"%s%s%s", spec->name, spec->words,
         text, near[0] ? "; did you mean " : "", near, near[0] ? "?" : "");
}

static be_status check_device(const char *word, be_error *err)
{
    const char *hint = option_hint(HINT_DEVICE, word);
    if (!hint) return BE_OK;
    FAIL(err, BE_USAGE,
         "--device: expected cpu, cuda:N, xpu:N, mps, opencl:N or all, found \"%s\"; did you mean "
         "%s? "
         "'breakeven devices' lists those that are here",
         word, hint);
}

static be_status take_words(const option_spec *spec, const char *text, option_value *out,
                            be_error *err)
{
    out->count = 0;
    for (;;) {
        size_t length = strcspn(text, ",");
        if (!length || length >= sizeof out->words[0])
            FAIL(err, BE_USAGE, "--%s: expected names separated by commas, found \"%s\"",
                 spec->name, out->text);
        if (out->count == OPTION_LIST_MAX / 4)
            FAIL(err, BE_USAGE, "--%s: expected at most %d names, found more", spec->name,
                 OPTION_LIST_MAX / 4);
        char *word = out->words[out->count++];
        memcpy(word, text, length);
        word[length] = 0;
        if (spec->kind == OPTION_KIND_CHOICES) TRY(take_choice(spec, word, err));
        if (spec == &option_table[OPTION_DEVICE]) TRY(check_device(word, err));
        if (!text[length]) return BE_OK;
        text += length + 1;
    }
}

/* A whole number at *text, which is moved behind it. */
static bool read_integer(const char **text, int64_t *out)
{
    char *end = NULL;
    if (!isdigit((unsigned char)**text)) return false;
    errno = 0;
    *out = strtoll(*text, &end, 10);
    *text = end;
    return errno == 0;
}

static be_status refuse_integer(const option_spec *spec, const char *text, be_error *err)
{
    const char *what = spec->kind == OPTION_KIND_COUNT
                           ? "a whole number"
                           : "whole numbers, as in 32,100,256 or 8..4096*2 or 10..50+10,";
    FAIL(err, BE_USAGE, "--%s: expected %s from %.15g to %.15g, found \"%s\"", spec->name, what,
         spec->least, spec->most, text);
}

static be_status list_add(const option_spec *spec, option_value *out, int64_t value, be_error *err)
{
    if ((double)value < spec->least || (double)value > spec->most)
        return refuse_integer(spec, out->text, err);
    if (out->count == OPTION_LIST_MAX)
        FAIL(err, BE_USAGE,
             "--%s: expected at most %d values, found more in \"%s\"; take a longer step",
             spec->name, OPTION_LIST_MAX, out->text);
    out->integers[out->count++] = value;
    return BE_OK;
}

/* FROM..TO, FROM..TO*FACTOR or FROM..TO+STEP, the text being behind FROM. */
static be_status take_range(const option_spec *spec, const char **at, int64_t from,
                            option_value *out, be_error *err)
{
    int64_t to = 0, step = 1;
    char how = '+';
    *at += 2;
    bool good = read_integer(at, &to);
    if (good && (**at == '*' || **at == '+')) {
        how = *(*at)++;
        good = read_integer(at, &step);
    }
    if (!good || to < from || step < (how == '*' ? 2 : 1) || (how == '*' && from == 0))
        return refuse_integer(spec, out->text, err);
    for (int64_t value = from; value <= to; value = how == '*' ? value * step : value + step) {
        TRY(list_add(spec, out, value, err));
        if (value > INT64_MAX / step - step) break;
    }
    return BE_OK;
}

static be_status take_list(const option_spec *spec, const char *text, option_value *out,
                           be_error *err)
{
    out->count = 0;
    for (;;) {
        int64_t value = 0;
        if (!read_integer(&text, &value)) return refuse_integer(spec, out->text, err);
        if (strncmp(text, "..", 2) == 0)
            TRY(take_range(spec, &text, value, out, err));
        else
            TRY(list_add(spec, out, value, err));
        if (!*text) return BE_OK;
        if (*text++ != ',') return refuse_integer(spec, out->text, err);
    }
}

static be_status take_integer(const option_spec *spec, const char *text, int64_t *out,
                              be_error *err)
{
    const char *at = text;
    if (!read_integer(&at, out) || *at || (double)*out < spec->least || (double)*out > spec->most)
        return refuse_integer(spec, text, err);
    return BE_OK;
}

static be_status take_real(const option_spec *spec, const char *text, double *out, be_error *err)
{
    char *end = NULL;
    *out = strtod(text, &end);
    if (end == text || *end || !(*out >= spec->least && *out <= spec->most))
        FAIL(err, BE_USAGE, "--%s: expected a number from %g to %g, found \"%s\"", spec->name,
             spec->least, spec->most, text);
    return BE_OK;
}

be_status option_take(const option_spec *spec, const char *text, option_value *out, be_error *err)
{
    out->is_given = true;
    out->text = text;
    switch (spec->kind) {
    case OPTION_KIND_CHOICE:
        return take_choice(spec, text, err);
    case OPTION_KIND_CHOICES:
    case OPTION_KIND_WORDS:
        return take_words(spec, text, out, err);
    case OPTION_KIND_COUNT:
        return take_integer(spec, text, &out->integer, err);
    case OPTION_KIND_COUNTS:
        return take_list(spec, text, out, err);
    case OPTION_KIND_REAL:
        return take_real(spec, text, &out->real, err);
    case OPTION_KIND_TEXT:
    case OPTION_KIND_FILE:
    case OPTION_KIND_SINK:
    case OPTION_KIND_FOLDER:
        if (!*text)
            FAIL(err, BE_USAGE, "--%s: expected %s, found an empty text", spec->name,
                 spec->argument);
        return BE_OK;
    case OPTION_KIND_FLAG:
        return BE_OK;
    }
    return BE_OK;
}

be_status option_single(const cli_options *options, option_id id, int64_t fallback, int64_t *out,
                        be_error *err)
{
    const option_value *value = &options->value[id];
    *out = value->is_given ? value->integers[0] : fallback;
    if (value->is_given && value->count != 1)
        FAIL(err, BE_USAGE, "--%s: %s takes one value, found the %d of \"%s\"",
             option_table[id].name, command_table[options->command].name, value->count,
             value->text);
    return BE_OK;
}
