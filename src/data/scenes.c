/* The generated pictures of many classes, and the scenes with their captions. */
#include <omp.h>

#include "core/rng.h"
#include "core/team.h"
#include "data/generated_set.h"
#include "data/paint.h"

#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#elif defined(__GNUC__)
#pragma GCC optimize("fp-contract=off")
#endif

#define SIZE_LEAST 8
#define CAPTION_LEAST 20
#define CAPTION_VOCABULARY 64

/* Of the pixels / 255, by channel, measured over the first thousand. */
static const float pictures_mean[3] = {0.7351f, 0.7283f, 0.7209f};
static const float pictures_std[3] = {0.1968f, 0.1987f, 0.2069f};
static const float scenes_mean[3] = {0.7620f, 0.7487f, 0.7483f};
static const float scenes_std[3] = {0.1582f, 0.1612f, 0.1726f};

/* The words that are no figures and colours; 0 is padding. */
enum { WORD_A = 1, WORD_SMALL, WORD_LARGE, WORD_LEFT, WORD_RIGHT, WORD_OF, WORD_ABOVE, WORD_BELOW };
#define FIRST_COLOUR (WORD_BELOW + 1)
#define FIRST_FIGURE (FIRST_COLOUR + PAINT_COLOURS)

const char *generated_scene_word(int32_t token)
{
    static const char *const words[] = {"a",     "small", "large", "left",
                                        "right", "of",    "above", "below"};
    if (token >= WORD_A && token <= WORD_BELOW) return words[token - WORD_A];
    if (token >= FIRST_COLOUR && token < FIRST_FIGURE)
        return paint_colour_names[token - FIRST_COLOUR];
    if (token >= FIRST_FIGURE && token < FIRST_FIGURE + PAINT_FIGURES)
        return paint_figure_names[token - FIRST_FIGURE];
    return NULL;
}

/* ---------------------------------------------------------------- one sample */

typedef struct sample {
    paint_picture picture;
    int32_t *tokens, length, label; /* tokens: NULL for pictures of classes */
} sample;

static float draw_between(rng *r, float low, float high)
{
    return low + (high - low) * rng_next_uniform(r);
}

/* Where it stands and how it is turned. */
static void place(rng *r, paint_object *o, float x, float y, float radius)
{
    o->x = x;
    o->y = y;
    o->radius = radius * draw_between(r, .9f, 1.1f);
    o->turn = draw_between(r, -.15f, .15f); /* by 17 degrees at most */
    o->light = draw_between(r, .8f, 1.1f);
}

static void draw_classified(const generated_form *form, rng *r, sample *s)
{
    paint_picture *p = &s->picture;
    paint_object like = {0};
    s->label = (int32_t)rng_next_below(r, (uint32_t)form->classes);
    like.figure = s->label % PAINT_FIGURES;
    like.colour = s->label / PAINT_FIGURES % PAINT_COLOURS;
    like.texture = s->label / (PAINT_FIGURES * PAINT_COLOURS) % PAINT_TEXTURES;
    p->count = 1 + s->label / (PAINT_FIGURES * PAINT_COLOURS * PAINT_TEXTURES);
    for (int i = 0; i < p->count; i++) {
        float room = p->count == 1 ? .25f : .08f;
        float middle = p->count == 1 ? .5f : i ? .73f : .27f;
        p->objects[i] = like;
        float x = middle + draw_between(r, -room, room), y = .5f + draw_between(r, -.25f, .25f);
        place(r, &p->objects[i], x, y, p->count == 1 ? .21f : .17f);
    }
}

/* One word behind the others. */
static void say(sample *s, int32_t word)
{
    s->tokens[s->length++] = word;
}

static void describe(const paint_object *o, bool large, sample *s)
{
    say(s, WORD_A);
    say(s, large ? WORD_LARGE : WORD_SMALL);
    say(s, FIRST_COLOUR + o->colour);
    say(s, FIRST_FIGURE + o->figure);
}

static void relate(bool upright, bool reversed, sample *s)
{
    if (upright) {
        say(s, reversed ? WORD_BELOW : WORD_ABOVE);
        return;
    }
    say(s, reversed ? WORD_RIGHT : WORD_LEFT);
    say(s, WORD_OF);
}

static void draw_scene(const generated_form *form, rng *r, sample *s)
{
    paint_picture *p = &s->picture;
    uint32_t kind = rng_next_below(r, 5);
    bool upright = rng_next_below(r, 2), reversed = rng_next_below(r, 2);
    p->count = kind < 1 ? 1 : kind < 3 ? 2 : 3;
    say(s, form->vocabulary - 2);
    for (int i = 0; i < p->count; i++) {
        paint_object *o = &p->objects[i];
        bool large = rng_next_below(r, 2);
        float slot = 1 / (float)p->count, at = (float)(reversed ? p->count - 1 - i : i) + .5f;
        *o = (paint_object){.figure = (int)rng_next_below(r, PAINT_FIGURES),
                            .colour = (int)rng_next_below(r, PAINT_COLOURS)};
        float along = slot * (at + draw_between(r, -.05f, .05f));
        float across = .5f + draw_between(r, -.2f, .2f);
        place(r, o, upright ? across : along, upright ? along : across, large ? .15f : .08f);
        if (i) relate(upright, reversed, s);
        describe(o, large, s);
    }
    say(s, form->vocabulary - 1);
}

/* ---------------------------------------------------------------- sets */

typedef struct set_kind {
    uint64_t salt; /* no two sets draw alike */
    const float *mean, *std;
    bool captions;
    void (*draw)(const generated_form *form, rng *r, sample *s);
} set_kind;

typedef struct columns {
    uint8_t *images;
    int32_t *tokens, *lengths, *labels;
} columns;

static be_status check_form(const void *of, const char *title, const generated_form *form,
                            be_error *err)
{
    const set_kind *kind = of;
    if (form->size < SIZE_LEAST || form->size > PAINT_SIZE_MAX)
        FAIL(err, BE_USAGE, "%s: expected pictures of %d to %d pixels, found %d; change --size",
             title, SIZE_LEAST, PAINT_SIZE_MAX, form->size);
    if (kind->captions && (form->sequence < CAPTION_LEAST || form->vocabulary < CAPTION_VOCABULARY))
        FAIL(err, BE_USAGE,
             "%s: expected captions of at least %d tokens and a vocabulary of at least %d, found "
             "%d and %d; use a larger --seq or --vocab",
             title, CAPTION_LEAST, CAPTION_VOCABULARY, form->sequence, form->vocabulary);
    if (!kind->captions && (form->classes < 1 || form->classes > PICTURES_CLASSES))
        FAIL(err, BE_USAGE, "%s: expected 1 to %d classes, found %d", title, PICTURES_CLASSES,
             form->classes);
    return BE_OK;
}

static be_status add_fields(const set_kind *kind, const generated_form *form, data_table *t,
                            columns *c, be_error *err)
{
    data_field images = {.form = {.name = "images",
                                  .sample = {BE_U8, 3, {3, form->size, form->size}},
                                  .normalize = 1}};
    data_field labels = {.form = {.name = "labels", .sample = {BE_I32, 0, {0}}, .target = 1},
                         .below = form->classes};
    data_field tokens = {.form = {.name = "tokens", .sample = {BE_I32, 1, {form->sequence}}},
                         .below = form->vocabulary};
    data_field lengths = {.form = {.name = "lengths", .sample = {BE_I32, 0, {0}}},
                          .below = form->sequence + 1};
    void *bytes[3] = {0};
    for (int i = 0; i < 3; i++) {
        images.form.mean[i] = kind->mean[i];
        images.form.std[i] = kind->std[i];
    }
    TRY(generated_add_field(t, &images, &bytes[0], err));
    TRY(generated_add_field(t, kind->captions ? &tokens : &labels, &bytes[1], err));
    if (kind->captions) TRY(generated_add_field(t, &lengths, &bytes[2], err));
    *c = (columns){.images = bytes[0],
                   .tokens = kind->captions ? bytes[1] : NULL,
                   .lengths = bytes[2],
                   .labels = kind->captions ? NULL : bytes[1]};
    return BE_OK;
}

static void draw_one(const set_kind *kind, const generated_form *form, rng_key key,
                     const columns *c, int64_t i)
{
    rng r = {.key = key};
    sample s = {.picture = {.size = form->size},
                .tokens = c->tokens ? c->tokens + i * form->sequence : NULL};
    paint_ground(&r, &s.picture);
    kind->draw(form, &r, &s);
    key.seed ^= 0x6e6f697365u;
    paint_draw(&s.picture, key, c->images + i * 3 * form->size * form->size);
    if (kind->captions)
        c->lengths[i] = s.length;
    else
        c->labels[i] = s.label;
}

static be_status draw_all(const void *of, const generated_form *form, uint64_t seed, uint32_t first,
                          be_dataset *d, be_error *err)
{
    const set_kind *kind = of;
    columns c = {0};
    int threads = team_possible(omp_get_max_threads());
    TRY(add_fields(kind, form, &d->table, &c, err));
    rng_key key = {.seed = seed ^ kind->salt, .stream = RNG_DATA};
#pragma omp parallel for schedule(dynamic, 8) num_threads(threads)
    for (int64_t i = 0; i < d->count; i++)
        draw_one(kind, form, (rng_key){key.seed, key.stream, first + (uint32_t)i}, &c, i);
    return BE_OK;
}

be_status generated_pictures(const generated_form *form, dataset_split split,
                             const dataset_options *options, be_dataset **out, be_error *err)
{
    static const set_kind kind = {.salt = 0x736861706573u,
                                  .mean = pictures_mean,
                                  .std = pictures_std,
                                  .draw = draw_classified};
    const generated_set set = {.name = "shapes-1000",
                               .title = "generated pictures of filled shapes",
                               .sample = "picture",
                               .unit = "picture",
                               .units_a_sample = 1,
                               .kind = &kind,
                               .check = check_form,
                               .draw = draw_all};
    return generated_open(&set, form, split, options, out, err);
}

be_status generated_scenes(const generated_form *form, dataset_split split,
                           const dataset_options *options, be_dataset **out, be_error *err)
{
    static const set_kind kind = {.salt = 0x7363656e6573u,
                                  .mean = scenes_mean,
                                  .std = scenes_std,
                                  .captions = true,
                                  .draw = draw_scene};
    const generated_set set = {.name = "scenes",
                               .title = "generated scenes with captions",
                               .sample = "pair",
                               .unit = "pair",
                               .units_a_sample = 1,
                               .kind = &kind,
                               .check = check_form,
                               .draw = draw_all};
    return generated_open(&set, form, split, options, out, err);
}
