/* Filled figures, row by row.  Only + - * / in float and comparisons are used, never contracted to
 * fused operations, for those alone give the same bits with every compiler. */
#include "data/paint.h"

#include <stdbool.h>

#include "core/status.h"

#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#elif defined(__GNUC__)
#pragma GCC optimize("fp-contract=off")
#endif

const char *const paint_figure_names[PAINT_FIGURES] = {"circle", "square",   "triangle", "ring",
                                                       "cross",  "diamond",  "bar",      "frame",
                                                       "moon",   "hourglass"};

const char *const paint_colour_names[PAINT_COLOURS] = {
    "red", "green", "blue", "yellow", "purple", "orange", "cyan", "pink", "brown", "black"};

static const float colours[PAINT_COLOURS][3] = {
    {.85f, .1f, .1f}, {.1f, .6f, .15f}, {.1f, .2f, .85f},  {.85f, .8f, .1f},   {.5f, .1f, .6f},
    {.95f, .5f, .1f}, {.1f, .75f, .8f}, {.95f, .5f, .75f}, {.45f, .28f, .12f}, {.05f, .05f, .05f}};

static float magnitude(float x)
{
    return x < 0 ? -x : x;
}

/* Is the place in the figure, which fills the square from -1 to 1, y downwards? */
static bool is_inside(int figure, float x, float y)
{
    float ax = magnitude(x), ay = magnitude(y), squared = x * x + y * y;
    switch (figure) {
    case 0: /* circle */
        return squared <= 1;
    case 1: /* square */
        return ax <= .85f && ay <= .85f;
    case 2: /* triangle, its point upwards */
        return y <= .75f && y >= 1.75f * (ax / .95f) - 1;
    case 3: /* ring */
        return squared <= 1 && squared >= .36f;
    case 4: /* cross */
        return (ax <= .3f && ay <= 1) || (ay <= .3f && ax <= 1);
    case 5: /* diamond */
        return ax + ay <= 1;
    case 6: /* bar */
        return ax <= 1 && ay <= .35f;
    case 7: /* frame */
        return ax <= .85f && ay <= .85f && (ax >= .5f || ay >= .5f);
    case 8: /* moon: a circle without another one */
        return squared <= 1 && (x - .5f) * (x - .5f) + y * y >= .6f;
    default: /* hourglass */
        return ay <= 1 && ax <= .15f + .75f * ay;
    }
}

/* How bright the texture is there. */
static float texture_at(int texture, float x, float y)
{
    int column = (int)((x + 2) * 4), row = (int)((y + 2) * 4);
    switch (texture) {
    case 0: /* plain */
        return 1;
    case 1: /* stripes across */
        return row % 2 ? 1 : .45f;
    case 2: /* stripes upright */
        return column % 2 ? 1 : .45f;
    case 3: /* chequered */
        return (row + column) % 2 ? 1 : .45f;
    default: /* dotted */
        return row % 2 && column % 2 ? .3f : 1;
    }
}

void paint_ground(rng *r, paint_picture *p)
{
    for (int c = 0; c < 3; c++) {
        p->ground[c] = .6f + .35f * rng_next_uniform(r);
        p->slope_x[c] = .3f * (rng_next_uniform(r) - .5f);
        p->slope_y[c] = .3f * (rng_next_uniform(r) - .5f);
    }
    p->noise = .02f + .08f * rng_next_uniform(r);
}

typedef struct row {
    float value[3][PAINT_SIZE_MAX];
    union {
        uint32_t words[PAINT_SIZE_MAX / 4];
        uint8_t bytes[PAINT_SIZE_MAX];
    } noise; /* of one plane; little-endian, as shapes.c says */
} row;

static void draw_ground(const paint_picture *p, int y, row *out)
{
    float each = 1 / (float)p->size;
    for (int c = 0; c < 3; c++) {
        float start = p->ground[c] + p->slope_y[c] * ((float)y * each - .5f) - p->slope_x[c] * .5f;
        for (int x = 0; x < p->size; x++)
            out->value[c][x] = start + p->slope_x[c] * each * (float)x;
    }
}

static void draw_object(const paint_picture *p, const paint_object *o, int y, row *out)
{
    float size = (float)p->size, radius = o->radius * size, down = (float)y + .5f - o->y * size;
    float reach = 1.5f * radius; /* of a corner that is turned */
    float t = o->turn, cosine = (1 - t * t) / (1 + t * t), sine = 2 * t / (1 + t * t);
    if (down < -reach || down > reach) return;
    int from = (int)(o->x * size - reach), to = (int)(o->x * size + reach) + 1;
    for (int x = from < 0 ? 0 : from; x < to && x < p->size; x++) {
        float across = (float)x + .5f - o->x * size;
        float u = (cosine * across + sine * down) / radius;
        float v = (cosine * down - sine * across) / radius;
        if (!is_inside(o->figure, u, v)) continue;
        float light = o->light * texture_at(o->texture, u, v);
        for (int c = 0; c < 3; c++) out->value[c][x] = light * colours[o->colour][c];
    }
}

static uint8_t byte_of(float value)
{
    value = value * 255 + .5f;
    value = value < 0 ? 0 : value;
    return (uint8_t)(int)(value > 255 ? 255 : value);
}

void paint_draw(const paint_picture *p, rng_key noise, uint8_t *image)
{
    row r;
    uint64_t block = 0;
    int64_t plane = (int64_t)p->size * p->size;
    float grain = p->noise * (1 / 127.5f);
    MUST(p->size > 0 && p->size <= PAINT_SIZE_MAX && p->count <= PAINT_OBJECTS);
    for (int y = 0; y < p->size; y++) {
        draw_ground(p, y, &r);
        for (int i = 0; i < p->count; i++) draw_object(p, &p->objects[i], y, &r);
        for (int x = 0; x < p->size; x += 16) rng_block(noise, block++, r.noise.words + x / 4);
        for (int c = 0; c < 3; c++)
            for (int x = 0; x < p->size; x++)
                image[c * plane + (int64_t)y * p->size + x] =
                    byte_of(r.value[c][x] + grain * ((float)r.noise.bytes[x] - 127.5f));
    }
}
