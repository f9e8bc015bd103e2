/* Drawing the generated pictures: strokes as line segments, by squared distance.
 *
 * Only + - * / in float and comparisons are used, never contracted to fused operations, for those
 * alone give the same bits with every compiler and on every machine. */
#include "data/shapes.h"

#include <omp.h>

#include "core/rng.h"
#include "core/status.h"
#include "core/team.h"

#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#elif defined(__GNUC__)
#pragma GCC optimize("fp-contract=off")
#endif

#define STROKES_MAX 12
#define FAR_AWAY 1e9f /* pixels squared */

typedef struct stroke {
    float x0, y0, x1, y1;
} stroke;

typedef struct figure {
    const char *name;
    int stroke_count;
    stroke strokes[STROKES_MAX -
                   1]; /* in a square from -1 to 1, y downwards; one is left for clutter */
} figure;

/* Corners of regular polygons: cosines and sines to three digits. */
static const figure figures[SHAPES_CLASSES] = {
    {"ring",
     8,
     {{1, 0, .707f, .707f},
      {.707f, .707f, 0, 1},
      {0, 1, -.707f, .707f},
      {-.707f, .707f, -1, 0},
      {-1, 0, -.707f, -.707f},
      {-.707f, -.707f, 0, -1},
      {0, -1, .707f, -.707f},
      {.707f, -.707f, 1, 0}}},
    {"triangle", 3, {{0, -1, .866f, .5f}, {.866f, .5f, -.866f, .5f}, {-.866f, .5f, 0, -1}}},
    {"square",
     4,
     {{-.8f, -.8f, .8f, -.8f},
      {.8f, -.8f, .8f, .8f},
      {.8f, .8f, -.8f, .8f},
      {-.8f, .8f, -.8f, -.8f}}},
    {"cross", 2, {{-1, 0, 1, 0}, {0, -1, 0, 1}}},
    {"star",
     5,
     {{0, -1, .588f, .809f},
      {.588f, .809f, -.951f, -.309f},
      {-.951f, -.309f, .951f, -.309f},
      {.951f, -.309f, -.588f, .809f},
      {-.588f, .809f, 0, -1}}},
    {"arrow", 3, {{0, 1, 0, -1}, {0, -1, -.6f, -.3f}, {0, -1, .6f, -.3f}}},
    {"bow",
     4,
     {{-1, -.4f, -.707f, .3f}, {-.707f, .3f, 0, .6f}, {0, .6f, .707f, .3f}, {.707f, .3f, 1, -.4f}}},
    {"zigzag", 3, {{-.8f, -.8f, .8f, -.8f}, {.8f, -.8f, -.8f, .8f}, {-.8f, .8f, .8f, .8f}}},
    {"tee", 2, {{-.9f, -.8f, .9f, -.8f}, {0, -.8f, 0, 1}}},
    {"ladder", 3, {{-.7f, -1, -.7f, 1}, {.7f, -1, .7f, 1}, {-.7f, 0, .7f, 0}}},
};

/* A sequential reader of a sample's random words, a block of four at a time. */
typedef struct words {
    rng_key key;
    uint64_t next_block;
    uint32_t block[4];
    int used;
} words;

static uint32_t next_word(words *w)
{
    if (w->used == 4) {
        rng_block(w->key, w->next_block++, w->block);
        w->used = 0;
    }
    return w->block[w->used++];
}

static float between(words *w, float low, float high)
{
    return low + (high - low) * ((float)(next_word(w) >> 8) * 0x1p-24f);
}

/* What is drawn, in pixels. */
typedef struct drawing {
    int stroke_count;
    stroke strokes[STROKES_MAX];
    float radius;                 /* half the width of a stroke */
    float ground[3], ink[3];      /* 0 … 1, by channel; the ink is added */
    float slope_x[3], slope_y[3]; /* of the ground, over the whole picture */
    float noise;                  /* amplitude */
} drawing;

static void place_figure(words *w, const figure *f, float size, drawing *d)
{
    float half = size / 2, scale = half * between(w, .55f, .9f);
    float room = .8f * (half - .75f * scale);
    float centre_x = half + room * between(w, -1, 1), centre_y = half + room * between(w, -1, 1);
    /* A rotation by at most 25 degrees either way, from the tangent of half the angle. */
    float t = between(w, -.222f, .222f), cosine = (1 - t * t) / (1 + t * t);
    float sine = 2 * t / (1 + t * t);
    float wide = scale * between(w, .8f, 1.15f), high = scale * between(w, .8f, 1.15f);
    d->stroke_count = f->stroke_count;
    for (int i = 0; i < f->stroke_count; i++) {
        const stroke *s = &f->strokes[i];
        float x0 = s->x0 * wide, y0 = s->y0 * high, x1 = s->x1 * wide, y1 = s->y1 * high;
        d->strokes[i] =
            (stroke){centre_x + cosine * x0 - sine * y0, centre_y + sine * x0 + cosine * y0,
                     centre_x + cosine * x1 - sine * y1, centre_y + sine * x1 + cosine * y1};
    }
    d->radius = size * between(w, .025f, .06f);
}

/* A short stray stroke that belongs to no figure. */
static void add_clutter(words *w, float size, drawing *d)
{
    float x = size * between(w, 0, 1), y = size * between(w, 0, 1);
    float dx = size * between(w, -.15f, .15f), dy = size * between(w, -.15f, .15f);
    d->strokes[d->stroke_count++] = (stroke){x, y, x + dx, y + dy};
}

static void choose_colours(words *w, int channels, drawing *d)
{
    /* One picture in eight is dark on light. */
    float sign = next_word(w) >> 29 ? 1.0f : -1.0f;
    d->noise = between(w, .02f, .15f);
    for (int c = 0; c < channels; c++) {
        /* In colour a channel may go against the others, but not so far that all vanish. */
        float contrast = sign * between(w, c == 0 ? .3f : -.2f, .75f);
        float low = contrast < 0 ? -contrast : 0, high = contrast > 0 ? 1 - contrast : 1;
        d->ground[c] = between(w, low, high);
        d->ink[c] = contrast;
        d->slope_x[c] = between(w, -.15f, .15f);
        d->slope_y[c] = between(w, -.15f, .15f);
    }
}

/* Lower the squared distances `nearest` of a row's pixel centres to those from one stroke. */
static void measure_row(const stroke *s, float y, int size, float *restrict nearest)
{
    float dx = s->x1 - s->x0, dy = s->y1 - s->y0;
    float scale = 1 / (dx * dx + dy * dy + 1e-6f), py = y - s->y0;
    for (int x = 0; x < size; x++) {
        float px = (float)x + .5f - s->x0;
        float along = (px * dx + py * dy) * scale;
        along = along < 0 ? 0 : along;
        along = along > 1 ? 1 : along;
        float ex = px - along * dx, ey = py - along * dy;
        float distance = ex * ex + ey * ey;
        nearest[x] = distance < nearest[x] ? distance : nearest[x];
    }
}

/* One row of a picture: what all its channels share, and the noise of one. */
typedef struct row {
    int y, size;
    float ink[SHAPES_SIZE_MAX];
    union {
        uint32_t words[SHAPES_SIZE_MAX / 4];
        uint8_t bytes[SHAPES_SIZE_MAX];
    } noise;
} row;

/* How much of each pixel is ink, 0 … 1.  Near the edge of a stroke of radius r, (r² - d²) / 2r is
 * the distance to the edge to first order, without a root. */
static void cover_row(const drawing *d, row *r)
{
    float nearest[SHAPES_SIZE_MAX], reach = d->radius + 1, y = (float)r->y + .5f;
    for (int x = 0; x < r->size; x++) nearest[x] = FAR_AWAY;
    for (int i = 0; i < d->stroke_count; i++) {
        const stroke *s = &d->strokes[i];
        float top = s->y0 < s->y1 ? s->y0 : s->y1, bottom = s->y0 < s->y1 ? s->y1 : s->y0;
        if (y >= top - reach && y <= bottom + reach) measure_row(s, y, r->size, nearest);
    }
    float squared = d->radius * d->radius, scale = 1 / (2 * d->radius);
    for (int x = 0; x < r->size; x++) {
        float value = .5f + (squared - nearest[x]) * scale;
        value = value < 0 ? 0 : value;
        r->ink[x] = value > 1 ? 1 : value;
    }
}

/* Whole blocks of random words, of which the row uses the first bytes, in memory order: the same on
 * every machine, for all are little-endian (data/safetensors.c says so to the compiler). */
static void draw_noise(words *w, row *r)
{
    for (int x = 0; x < r->size; x += 16)
        rng_block(w->key, w->next_block++, r->noise.words + x / 4);
}

/* One channel of a row: ground, slope, ink and noise. */
static void paint_row(const drawing *d, const row *r, int c, uint8_t *restrict out)
{
    float per_pixel = 1 / (float)r->size, slope = d->slope_x[c] * per_pixel;
    float start =
        d->ground[c] + d->slope_y[c] * ((float)r->y * per_pixel - .5f) - d->slope_x[c] * .5f;
    float grain = d->noise * (1 / 127.5f);
    for (int x = 0; x < r->size; x++) {
        float value = start + slope * (float)x + d->ink[c] * r->ink[x];
        value += grain * ((float)r->noise.bytes[x] - 127.5f);
        value = value * 255 + .5f;
        value = value < 0 ? 0 : value;
        value = value > 255 ? 255 : value;
        out[x] = (uint8_t)(int)value;
    }
}

static int32_t draw_one(const shapes_form *form, uint32_t index, uint8_t *image)
{
    words w = {.key = {.seed = form->seed, .stream = RNG_DATA, .sub = index}, .used = 4};
    row r = {.size = form->size};
    int32_t label = (int32_t)((uint64_t)next_word(&w) * SHAPES_CLASSES >> 32);
    drawing d;
    place_figure(&w, &figures[label], (float)r.size, &d);
    choose_colours(&w, form->channels, &d);
    add_clutter(&w, (float)r.size, &d);
    for (r.y = 0; r.y < r.size; r.y++) {
        cover_row(&d, &r);
        for (int c = 0; c < form->channels; c++) {
            draw_noise(&w, &r);
            paint_row(&d, &r, c, image + (size_t)(c * r.size + r.y) * (size_t)r.size);
        }
    }
    return label;
}

const char *shapes_class_name(int label)
{
    MUST(label >= 0 && label < SHAPES_CLASSES);
    return figures[label].name;
}

void shapes_draw(const shapes_form *form, int64_t count, uint8_t *images, int32_t *labels)
{
    MUST(form->size > 0 && form->size <= SHAPES_SIZE_MAX);
    MUST(form->channels == 1 || form->channels == 3);
    int64_t bytes = (int64_t)form->channels * form->size * form->size;
    int threads = team_possible(omp_get_max_threads());
#pragma omp parallel for schedule(static) num_threads(threads)
    for (int64_t i = 0; i < count; i++)
        labels[i] = draw_one(form, form->first + (uint32_t)i, images + i * bytes);
}
