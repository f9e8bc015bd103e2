/* Comparing traces kind by kind. */
#include "run/parity.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/text.h"
#include "run/rounding.h"

static const struct {
    const char *text, *name; /* NULL: the outputs, by their names */
} kinds[] = {
#define X(text, name) {text, name},
    PARITY_KIND_LIST(X)
#undef X
};
#define KINDS (sizeof kinds / sizeof kinds[0])

const parity_row *parity_find(const parity_result *result, const char *kind)
{
    for (int k = 0; k < result->count; k++)
        if (strcmp(result->rows[k].kind, kind) == 0) return &result->rows[k];
    return NULL;
}

/* "input" and "input.tokens" are of the kind "input". */
static bool is_of_kind(const char *tensor, const char *name)
{
    size_t length = strlen(name);
    return strncmp(tensor, name, length) == 0 && (tensor[length] == 0 || tensor[length] == '.');
}

static bool has_kind(const trace *t, const char *name)
{
    for (int i = 0; i < t->count; i++)
        if (is_of_kind(t->tensors[i].name, name)) return true;
    return false;
}

static bool is_output(const char *tensor)
{
    for (size_t k = 0; k < KINDS; k++)
        if (kinds[k].name && is_of_kind(tensor, kinds[k].name)) return false;
    return true;
}

/* "conv1.weight [3, 0, 1, 2]": the tensor, and the element at this place. */
static void describe_place(const trace_tensor *tensor, int64_t place, char *out, size_t room)
{
    int64_t index[BE_MAX_RANK] = {0};
    text_buffer b = text_begin(out, room);
    text_add(&b, "%s", tensor->name);
    for (int i = tensor->rank - 1; i >= 0; i--) {
        index[i] = place % tensor->shape[i];
        place /= tensor->shape[i];
    }
    for (int i = 0; i < tensor->rank; i++)
        text_add(&b, "%s%" PRId64 "%s", i ? ", " : " [", index[i],
                 i == tensor->rank - 1 ? "]" : "");
}

/* The gradient of the weight of a bias' layer, or NULL. */
static const trace_tensor *layer_weight(const trace *t, const trace_tensor *bias)
{
    static const char suffix[] = "bias";
    char name[128];
    size_t length = strlen(bias->name), end = sizeof suffix - 1;
    if (!is_of_kind(bias->name, "grad") || length < end || length >= sizeof name - end ||
        strcmp(bias->name + length - end, suffix) != 0)
        return NULL;
    snprintf(name, sizeof name, "%.*sweight", (int)(length - end), bias->name);
    return trace_find(t, name);
}

/* The gradient of a bias can be 0 by symmetry, as that of attention's key is: softmax does not see
 * what is added to all its scores.  What is found then is rounding, and is measured against the
 * gradient of its layer's weight.  Returns what errors relative to `right` are to be multiplied by.
 */
#define NOTHING 1e-5 /* of the weight's gradient: rounding alone */
static double share_of_layer(const trace *b, const trace_tensor *right)
{
    const trace_tensor *weight = layer_weight(b, right);
    if (!weight) return 1;
    double own = trace_largest(right), layer = trace_largest(weight);
    if (own == 0) return layer > 0 ? 1 / layer : 1;
    return own < NOTHING * layer ? own / layer : 1;
}

/* What rounding does to a tensor.  A bias' gradient sums what its weight's gradient sums too, and
 * is small where that cancels, as before a norm, which takes away what is added to all: so it is
 * off by at least as much, on the scale of the weight's. */
static double rounding_of(const parity_limits *limits, const trace *b, const trace_tensor *right,
                          bool by_distance)
{
    int number = by_distance ? ROUNDING_DISTANCE : ROUNDING_ERROR;
    const trace_tensor *own = limits->rounding ? trace_find(limits->rounding, right->name) : NULL;
    const trace_tensor *weight = layer_weight(b, right);
    double share = share_of_layer(b, right), out = NAN;
    if (!own) return out;
    out = share * own->values[number];
    if (weight && share == 1) {
        const trace_tensor *of_weight = trace_find(limits->rounding, weight->name);
        double scale = trace_largest(weight) / trace_largest(right);
        if (of_weight) out = fmax(out, scale * of_weight->values[number]);
    }
    return isfinite(out) ? out : NAN;
}

double parity_widened(const parity_limits *limits, double limit, double rounding)
{
    double wider = PARITY_ROUNDING_TIMES * rounding;
    if (limits->widest > 0) wider = fmin(wider, limits->widest);
    return isnan(rounding) ? limit : fmax(limit, wider);
}

/* A tensor as it is judged. */
typedef struct judged {
    double error, limit, rounding;
    int64_t at;
    bool by_distance, unproven;
} judged;

static judged judge(const parity_limits *limits, const trace *b, const trace_tensor *left,
                    const trace_tensor *right)
{
    bool is_gradient = is_of_kind(right->name, "grad"),
         is_losses = is_of_kind(right->name, "losses");
    judged j = {.by_distance = is_gradient && limits->gradients > 0};
    double share = share_of_layer(b, right);
    j.error = trace_error(left, right, &j.at);
    if (j.by_distance && !isnan(j.error)) j.error = trace_distance(left, right);
    j.error *= share;
    j.rounding = rounding_of(limits, b, right, j.by_distance);
    j.limit = j.by_distance                     ? limits->gradients
              : is_losses && limits->losses > 0 ? limits->losses
                                                : limits->error;
    j.limit = parity_widened(limits, j.limit, j.rounding);
    j.unproven = is_gradient && limits->rounding && share == 1 && j.limit >= 1;
    if (j.unproven) j.limit = fmax(j.limit, PARITY_GROSS_TIMES * j.rounding);
    return j;
}

/* Whether it is nearer to its limit than what the row tells of, or farther beyond; NaN is worse
 * than all. */
static bool is_worse(const judged *j, const parity_row *row)
{
    if (row->tensors == 0 || isnan(row->error)) return row->tensors == 0;
    if (isnan(j->error) || j->limit == row->limit) return !(j->error <= row->error);
    return j->error * row->limit > row->error * j->limit;
}

static be_status compare_tensor(const parity_limits *limits, const trace *a, const trace *b,
                                const trace_tensor *right, parity_row *row, be_error *err)
{
    const trace_tensor *left = trace_find(a, right->name);
    if (!left || left->count != right->count)
        FAIL(err, BE_BAD_DATA,
             "parity: expected %s with %" PRId64 " elements from both engines, found %" PRId64
             " from the first; it computes another network",
             right->name, right->count, left ? left->count : 0);
    judged j = judge(limits, b, left, right);
    row->good &= j.error <= j.limit;
    if (j.unproven && row->unproven++ == 0)
        snprintf(row->unproven_where, sizeof row->unproven_where, "%s", right->name);
    if (is_worse(&j, row)) {
        row->error = j.error;
        row->limit = j.limit;
        row->rounding = j.rounding;
        if (j.by_distance && !isnan(j.error))
            snprintf(row->where, sizeof row->where, "%s", right->name);
        else
            describe_place(right, j.at, row->where, sizeof row->where);
    }
    row->tensors++;
    return BE_OK;
}

static parity_row *add_row(parity_result *result, const char *kind, double limit)
{
    MUST(result->count < PARITY_ROWS);
    parity_row *row = &result->rows[result->count++];
    *row = (parity_row){.good = true, .limit = limit, .rounding = NAN};
    snprintf(row->kind, sizeof row->kind, "%s", kind);
    return row;
}

/* The traces and what they may differ by. */
typedef struct comparison {
    const trace *a, *b;
    const parity_limits *limits;
} comparison;

static be_status compare_kind(const comparison *c, size_t kind, parity_result *out, be_error *err)
{
    const char *name = kinds[kind].name;
    bool is_optional = name && (strcmp(name, "buffer") == 0 || strcmp(name, "target") == 0 ||
                                strcmp(name, "input") == 0);
    if (is_optional && !has_kind(c->a, name) && !has_kind(c->b, name)) return BE_OK;
    double limit = c->limits->error;
    parity_row *row = name ? add_row(out, kinds[kind].text, limit) : NULL;
    for (int i = 0; i < c->b->count; i++) {
        const trace_tensor *tensor = &c->b->tensors[i];
        if (row ? !is_of_kind(tensor->name, name) : !is_output(tensor->name)) continue;
        TRY(compare_tensor(c->limits, c->a, c->b, tensor,
                           row ? row : add_row(out, tensor->name, limit), err));
    }
    return BE_OK;
}

be_status parity_compare_within(const trace *a, const trace *b, const parity_limits *limits,
                                parity_result *out, be_error *err)
{
    *out = (parity_result){.good = true};
    for (size_t k = 0; k < KINDS; k++) TRY(compare_kind(&(comparison){a, b, limits}, k, out, err));
    for (int k = 0; k < out->count; k++) {
        out->rows[k].good &= out->rows[k].tensors > 0;
        out->good &= out->rows[k].good;
    }
    return BE_OK;
}

be_status parity_compare(const trace *a, const trace *b, double limit, parity_result *out,
                         be_error *err)
{
    return parity_compare_within(a, b, &(parity_limits){.error = limit}, out, err);
}

be_status parity_ask(runner *r, int64_t steps, const char *path, double limit_s, trace *out,
                     be_error *err)
{
    protocol_call call = {.request = PROTOCOL_PARITY, .steps = steps, .path = path};
    protocol_answer answer = {0};
    *out = (trace){0};
    TRY(runner_call(r, &call, limit_s, &answer, NULL, err));
    protocol_answer_clear(&answer);
    return trace_of_file(out, path, err);
}
