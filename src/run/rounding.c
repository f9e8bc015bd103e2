/* Rounded references, and how far each is from the one in double. */
#include "run/rounding.h"

#include <math.h>

/* The numbers of a tensor, 0 so far. */
static be_status add_numbers(trace *t, const char *name, be_error *err)
{
    void *values = NULL;
    trace_tensor *tensor = &t->tensors[t->count];
    *tensor = (trace_tensor){.rank = 1, .shape = {ROUNDING_NUMBERS}, .count = ROUNDING_NUMBERS};
    TRY(arena_printf(t->memory, &tensor->name, err, "%s", name));
    TRY(arena_alloc(t->memory, &values, ROUNDING_NUMBERS * sizeof(double), err));
    tensor->values = values;
    t->count++;
    return BE_OK;
}

static be_status make_numbers(trace *t, const trace *right, be_error *err)
{
    void *tensors = NULL;
    TRY(arena_new(&t->memory, err));
    TRY(arena_alloc(t->memory, &tensors, ((size_t)right->count + 1) * sizeof(trace_tensor), err));
    t->tensors = tensors;
    for (int i = 0; i < right->count; i++) TRY(add_numbers(t, right->tensors[i].name, err));
    return BE_OK;
}

static void keep_largest(const trace *t, const trace *rounded, const trace *right)
{
    for (int i = 0; i < right->count; i++) {
        const trace_tensor *expected = &right->tensors[i],
                           *tensor = trace_find(rounded, expected->name);
        double *numbers = t->tensors[i].values;
        MUST(tensor && tensor->count == expected->count);
        numbers[ROUNDING_ERROR] =
            fmax(numbers[ROUNDING_ERROR], trace_error(tensor, expected, NULL));
        numbers[ROUNDING_DISTANCE] =
            fmax(numbers[ROUNDING_DISTANCE], trace_distance(tensor, expected));
    }
}

static be_status draw_all(trace *out, const trace_options *options, const trace *right,
                          be_error *err)
{
    TRY(make_numbers(out, right, err));
    for (int d = 0; d < ROUNDING_DRAWS; d++) {
        trace rounded = {0};
        trace_options draw = *options;
        draw.grid = exp2((double)d / ROUNDING_DRAWS);
        TRY(trace_of_reference(&rounded, &draw, err));
        keep_largest(out, &rounded, right);
        trace_free(&rounded);
    }
    return BE_OK;
}

be_status rounding_measure(trace *out, const trace_options *options, const trace *right,
                           be_error *err)
{
    *out = (trace){0};
    be_status status = draw_all(out, options, right, err);
    if (status != BE_OK) trace_free(out);
    return status;
}
