/* The generated sequences and sentence pairs. */
#include <omp.h>

#include "core/rng.h"
#include "core/team.h"
#include "data/generated_set.h"

#define SEQUENCE_LEAST 8
#define SEQUENCE_VOCABULARY 32
#define FIRST_SIGN 1 /* of sequences; the words follow */

#define PAIR_LEAST 16
#define PAIR_VOCABULARY 160
#define PAIR_START 101 /* [CLS] and [SEP] of BERT's vocabulary */
#define PAIR_END 102
#define PAIR_FIRST_SIGN 104
#define PAIR_SIGNS 16

/* The places of one sample. */
typedef struct sample {
    int32_t *tokens, *segments; /* segments: NULL in sequences */
    int32_t length, label;
} sample;

typedef void draw_sample(const generated_form *form, rng *r, sample *s);

/* Words are not equally frequent: as in a language, few of them are in most sentences. */
static int32_t draw_word(rng *r, int first, int vocabulary)
{
    float u = rng_next_uniform(r);
    return first + (int32_t)(u * u * u * (float)(vocabulary - first));
}

static int32_t draw_between(rng *r, int32_t low, int32_t high)
{
    return low + (int32_t)rng_next_below(r, (uint32_t)(high - low + 1));
}

/* Put a sign in the place of some of the words of [from, to), of one at least. */
static void sprinkle(rng *r, int32_t *tokens, int32_t from, int32_t to, int32_t sign)
{
    int32_t count = 1 + (to - from) / 8;
    for (int32_t i = 0; i < count; i++) tokens[draw_between(r, from, to - 1)] = sign;
}

static void draw_sequence(const generated_form *form, rng *r, sample *s)
{
    int32_t longest = form->sequence, shortest = longest / 4;
    if (shortest < SEQUENCE_LEAST) shortest = SEQUENCE_LEAST;
    s->length = draw_between(r, shortest, longest);
    s->label = (int32_t)rng_next_below(r, SEQUENCES_CLASSES);
    int32_t one = FIRST_SIGN + s->label / 2 * 2, half = s->length / 2;
    int32_t early = one + s->label % 2, late = one + 1 - s->label % 2;
    for (int32_t i = 0; i < s->length; i++)
        s->tokens[i] = draw_word(r, FIRST_SIGN + SEQUENCES_CLASSES, form->vocabulary);
    /* Halves of one size, so that both signs are as frequent whichever comes first. */
    sprinkle(r, s->tokens, 0, half, early);
    sprinkle(r, s->tokens, s->length - half, s->length, late);
}

static void draw_pair(const generated_form *form, rng *r, sample *s)
{
    int32_t longest = form->sequence, shortest = longest / 4;
    if (shortest < PAIR_LEAST) shortest = PAIR_LEAST;
    s->length = draw_between(r, shortest, longest);
    int32_t words = s->length - 3, first = draw_between(r, words / 3, words - words / 3);
    int32_t middle = 1 + first, one = PAIR_FIRST_SIGN + 2 * draw_between(r, 0, PAIR_SIGNS / 2 - 1);
    s->label = (int32_t)rng_next_below(r, PAIRS_CLASSES);
    for (int32_t i = 0; i < s->length; i++) {
        s->tokens[i] = draw_word(r, PAIR_FIRST_SIGN + PAIR_SIGNS, form->vocabulary);
        s->segments[i] = i > middle;
    }
    s->tokens[0] = PAIR_START;
    s->tokens[middle] = s->tokens[s->length - 1] = PAIR_END;
    s->tokens[draw_between(r, 1, middle - 1)] = one + s->label;
    s->tokens[draw_between(r, middle + 1, s->length - 2)] = one + 1 - s->label;
}

/* ---------------------------------------------------------------- sets */

typedef struct set_kind {
    uint64_t salt; /* no two sets draw alike */
    int least_sequence, least_vocabulary, classes;
    bool segments;
    draw_sample *draw;
} set_kind;

static be_status check_form(const void *of, const char *title, const generated_form *form,
                            be_error *err)
{
    const set_kind *kind = of;
    if (form->sequence < kind->least_sequence)
        FAIL(err, BE_USAGE,
             "%s: expected at least %d tokens per sample, found %d; use a larger --seq", title,
             kind->least_sequence, form->sequence);
    if (form->vocabulary < kind->least_vocabulary)
        FAIL(err, BE_USAGE,
             "%s: expected a vocabulary of at least %d tokens, found %d; use a larger --vocab",
             title, kind->least_vocabulary, form->vocabulary);
    return BE_OK;
}

typedef struct columns {
    int32_t *tokens, *segments, *lengths, *labels;
} columns;

static be_status add_fields(const set_kind *kind, const generated_form *form, data_table *t,
                            columns *c, be_error *err)
{
    const be_shape row = {BE_I32, 1, {form->sequence}}, one = {BE_I32, 0, {0}};
    const data_field tokens = {.form = {.name = "tokens", .sample = row},
                               .below = form->vocabulary},
                     segments = {.form = {.name = "segments", .sample = row}, .below = 2},
                     lengths = {.form = {.name = "lengths", .sample = one},
                                .below = form->sequence + 1},
                     labels = {.form = {.name = "labels", .sample = one, .target = 1},
                               .below = kind->classes};
    void *bytes[4] = {NULL};
    TRY(generated_add_field(t, &tokens, &bytes[0], err));
    if (kind->segments) TRY(generated_add_field(t, &segments, &bytes[1], err));
    TRY(generated_add_field(t, &lengths, &bytes[2], err));
    TRY(generated_add_field(t, &labels, &bytes[3], err));
    *c = (columns){bytes[0], bytes[1], bytes[2], bytes[3]};
    return BE_OK;
}

static be_status draw_all(const void *of, const generated_form *form, uint64_t seed, uint32_t first,
                          be_dataset *d, be_error *err)
{
    const set_kind *kind = of;
    columns c = {0};
    int threads = team_possible(omp_get_max_threads());
    TRY(add_fields(kind, form, &d->table, &c, err));
#pragma omp parallel for schedule(static) num_threads(threads)
    for (int64_t i = 0; i < d->count; i++) {
        rng r = {
            .key = {.seed = seed ^ kind->salt, .stream = RNG_DATA, .sub = first + (uint32_t)i}};
        sample s = {.tokens = c.tokens + i * form->sequence,
                    .segments = c.segments ? c.segments + i * form->sequence : NULL};
        kind->draw(form, &r, &s);
        c.lengths[i] = s.length;
        c.labels[i] = s.label;
    }
    return BE_OK;
}

be_status generated_sequences(const generated_form *form, dataset_split split,
                              const dataset_options *options, be_dataset **out, be_error *err)
{
    static const set_kind kind = {.salt = 0x746f6b656e73u,
                                  .least_sequence = SEQUENCE_LEAST,
                                  .least_vocabulary = SEQUENCE_VOCABULARY,
                                  .classes = SEQUENCES_CLASSES,
                                  .draw = draw_sequence};
    const generated_set set = {.name = "tokens",
                               .title = "generated sequences",
                               .sample = "sequence",
                               .unit = "token",
                               .units_a_sample = form->sequence,
                               .kind = &kind,
                               .check = check_form,
                               .draw = draw_all};
    return generated_open(&set, form, split, options, out, err);
}

be_status generated_pairs(const generated_form *form, dataset_split split,
                          const dataset_options *options, be_dataset **out, be_error *err)
{
    static const set_kind kind = {.salt = 0x7061697273u,
                                  .least_sequence = PAIR_LEAST,
                                  .least_vocabulary = PAIR_VOCABULARY,
                                  .classes = PAIRS_CLASSES,
                                  .segments = true,
                                  .draw = draw_pair};
    const generated_set set = {.name = "pairs",
                               .title = "generated sentence pairs",
                               .sample = "pair",
                               .unit = "token",
                               .units_a_sample = form->sequence,
                               .kind = &kind,
                               .check = check_form,
                               .draw = draw_all};
    return generated_open(&set, form, split, options, out, err);
}
