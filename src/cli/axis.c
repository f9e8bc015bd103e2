/* The axes of sweeps, and their ranges. */
#include "cli/axis.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/options.h"

static void set_batch(measurement_point *point, int64_t value)
{
    point->batch = value;
}

static bool always(const workload *w)
{
    (void)w;
    return true;
}

static bool never(const workload *w)
{
    (void)w;
    return false;
}

const axis axis_table[AXIS_COUNT] = {
#define X(id, name, noun, least, most, set, dimension, has) \
    {name, noun, least, most, set, dimension, has},
    AXIS_LIST(X)
#undef X
};

bool axis_is_measured(const axis *a)
{
    return a->set || axis_varies(a);
}

bool axis_varies(const axis *a)
{
    return a->dimension != WORKLOAD_DIMENSIONS;
}

static bool axis_is_of(const axis *a, const workload *w)
{
    return axis_varies(a) ? workload_variant_get(&w->own, a->dimension) != 0 : a->has(w);
}

static const char *list_axes(const workload *w, const char *separator, char out[200])
{
    size_t used = 0;
    out[0] = 0;
    for (int a = 0; a < AXIS_COUNT; a++)
        if (!w || axis_is_of(&axis_table[a], w))
            used += (size_t)snprintf(out + used, 200 - used, "%s%s", used ? separator : "",
                                     axis_table[a].name);
    return out;
}

static be_status find_axis(const char *name, const char *text, const workload *w, const axis **out,
                           be_error *err)
{
    char names[200], near[64];
    for (int a = 0; a < AXIS_COUNT; a++) {
        if (strcmp(axis_table[a].name, name) != 0) continue;
        *out = &axis_table[a];
        if (axis_is_of(&axis_table[a], w)) return BE_OK;
        FAIL(err, BE_USAGE, "%s has no %s; its axes are %s", w->name, axis_table[a].noun,
             list_axes(w, ", ", names));
    }
    option_nearest(name, list_axes(NULL, " ", names), near);
    FAIL(err, BE_USAGE, "--over: unknown axis \"%s\" in \"%s\"%s%s%s; the axes of %s are %s", name,
         text, near[0] ? "; did you mean " : "", near, near[0] ? "?" : "", w->name,
         list_axes(w, ", ", names));
}

/* A whole number at *text, which is moved behind it. */
static bool take_number(const char **text, int64_t *out)
{
    char *end = NULL;
    if (!isdigit((unsigned char)**text)) return false;
    errno = 0;
    *out = strtoll(*text, &end, 10);
    *text = end;
    return errno == 0;
}

be_status axis_parse(const char *text, const workload *w, axis_range *out, be_error *err)
{
    char name[32];
    size_t length = strcspn(text, "=");
    if (!text[length] || !length || length >= sizeof name)
        FAIL(err, BE_USAGE, "--over: expected AXIS=FROM..TO, as in batch=8..4096, found \"%s\"",
             text);
    memcpy(name, text, length);
    name[length] = 0;
    TRY(find_axis(name, text, w, &out->axis, err));
    const char *range = text + length + 1, *at = range;
    bool good = take_number(&at, &out->from) && strncmp(at, "..", 2) == 0;
    if (good) {
        at += 2;
        good = take_number(&at, &out->to) && !*at;
    }
    if (!good)
        FAIL(err, BE_USAGE,
             "--over: expected two whole numbers, as in %s=8..4096, found \"%s\" in \"%s\"", name,
             range, text);
    if (out->from >= out->to)
        FAIL(err, BE_USAGE, "--over: expected a range from a smaller to a larger %s, found %s",
             out->axis->noun, text);
    if ((double)out->from < out->axis->least || (double)out->to > out->axis->most)
        FAIL(err, BE_USAGE, "--over: expected %s from %.15g to %.15g, found %s", name,
             out->axis->least, out->axis->most, text);
    return BE_OK;
}
