/* Comparing traces kind by kind. */
#include "run/parity.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/text.h"

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

/* The gradient of a bias can be 0 by symmetry, as that of attention's key is: softmax does not see
 * what is added to all its scores.  What is found then is rounding, and is measured against the
 * gradient of its layer's weight.  Returns what errors relative to `right` are to be multiplied by.
 */
#define NOTHING 1e-5 /* of the weight's gradient: rounding alone */
static double share_of_layer(const trace *b, const trace_tensor *right)
{
    static const char suffix[] = "bias";
    char name[128];
    size_t length = strlen(right->name), end = sizeof suffix - 1;
    if (strncmp(right->name, "grad.", 5) != 0 || length < end || length >= sizeof name - end ||
        strcmp(right->name + length - end, suffix) != 0)
        return 1;
    snprintf(name, sizeof name, "%.*sweight", (int)(length - end), right->name);
    const trace_tensor *weight = trace_find(b, name);
    if (!weight) return 1;
    double own = trace_largest(right), layer = trace_largest(weight);
    if (own == 0) return layer > 0 ? 1 / layer : 1;
    return own < NOTHING * layer ? own / layer : 1;
}

static be_status compare_tensor(const trace *a, const trace *b, const trace_tensor *right,
                                parity_row *row, be_error *err)
{
    const trace_tensor *left = trace_find(a, right->name);
    int64_t where = 0;
    if (!left || left->count != right->count)
        FAIL(err, BE_BAD_DATA,
             "parity: expected %s with %" PRId64 " elements from both engines, found %" PRId64
             " from the first; it computes another network",
             right->name, right->count, left ? left->count : 0);
    double share = share_of_layer(b, right);
    double error = share * trace_error(left, right, &where);
    double distance = share * trace_distance(left, right);
    row->tensors++;
    if (!isnan(row->distance) && !(distance <= row->distance)) {
        row->distance = distance;
        snprintf(row->distant, sizeof row->distant, "%s", right->name);
    }
    /* Written so that NaN is taken as the largest of all. */
    if (row->tensors > 1 && !isnan(error) && !(error > row->error)) return BE_OK;
    if (isnan(row->error)) return BE_OK;
    row->error = error;
    describe_place(right, where, row->where, sizeof row->where);
    return BE_OK;
}

static parity_row *add_row(parity_result *result, const char *kind)
{
    MUST(result->count < PARITY_ROWS);
    parity_row *row = &result->rows[result->count++];
    snprintf(row->kind, sizeof row->kind, "%s", kind);
    return row;
}

static be_status compare_kind(const trace *a, const trace *b, size_t kind, parity_result *out,
                              be_error *err)
{
    const char *name = kinds[kind].name;
    bool is_optional = name && (strcmp(name, "buffer") == 0 || strcmp(name, "target") == 0 ||
                                strcmp(name, "input") == 0);
    if (is_optional && !has_kind(a, name) && !has_kind(b, name)) return BE_OK;
    parity_row *row = name ? add_row(out, kinds[kind].text) : NULL;
    for (int i = 0; i < b->count; i++) {
        const trace_tensor *tensor = &b->tensors[i];
        if (row ? !is_of_kind(tensor->name, name) : !is_output(tensor->name)) continue;
        TRY(compare_tensor(a, b, tensor, row ? row : add_row(out, tensor->name), err));
    }
    return BE_OK;
}

be_status parity_compare(const trace *a, const trace *b, double limit, parity_result *out,
                         be_error *err)
{
    *out = (parity_result){.good = true};
    for (size_t k = 0; k < KINDS; k++) TRY(compare_kind(a, b, k, out, err));
    for (int k = 0; k < out->count; k++) {
        parity_row *row = &out->rows[k];
        row->good = row->tensors > 0 && row->error <= limit;
        out->good &= row->good;
    }
    return BE_OK;
}

void parity_judge_distance(parity_result *result, double limit)
{
    result->good = true;
    for (int k = 0; k < result->count; k++) {
        parity_row *row = &result->rows[k];
        if (strcmp(row->kind, "gradients") == 0) {
            row->error = row->distance;
            memcpy(row->where, row->distant, sizeof row->where);
            row->good = row->tensors > 0 && row->error <= limit;
        }
        result->good &= row->good;
    }
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
