/* The axes of sweeps. */
#include "study/axis.h"

static void set_batch(measurement_point *point, int64_t value)
{
    point->batch = value;
}

static bool always(const workload *w)
{
    (void)w;
    return true;
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

double axis_most(const axis *a, const workload *w)
{
    return axis_varies(a) ? workload_most(w, a->dimension) : a->most;
}

bool axis_is_of(const axis *a, const workload *w)
{
    if (!axis_varies(a)) return a->has(w);
    return w->file || workload_variant_get(&w->own, a->dimension) != 0;
}
