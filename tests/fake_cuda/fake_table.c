/* See fake_table.h. */
#include "fake_table.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "fake_bag.h"
#include "fake_narrow.h"

/* ---------------------------------------------------------------- reading */

bool fake_tensor_read(const bag *b, fake_tensor *out)
{
    int64_t align = 0;
    *out = (fake_tensor){0};
    if (!take(b, DNN_ATTR_TENSOR_UNIQUE_ID, 1, &out->id) ||
        !take(b, DNN_ATTR_TENSOR_DIMENSIONS, 4, out->dims) ||
        !take(b, DNN_ATTR_TENSOR_STRIDES, 4, out->strides) ||
        !take(b, DNN_ATTR_TENSOR_IS_VIRTUAL, 1, &out->inner) ||
        !take(b, DNN_ATTR_TENSOR_DATA_TYPE, 1, &out->type) ||
        !take(b, DNN_ATTR_TENSOR_BYTE_ALIGNMENT, 1, &align))
        return false;
    if (find(b, DNN_ATTR_TENSOR_IS_BY_VALUE))
        take(b, DNN_ATTR_TENSOR_IS_BY_VALUE, 1, &out->is_number);
    return out->is_number || align >= 16;
}

/* The place of the tensor of that attribute; −1 if there is none. */
static bool find_tensor(fake_table *t, const bag *op, cudnn_attribute name, int *out)
{
    fake_tensor found;
    const bag *b = take_bag(op, name, DNN_BACKEND_TENSOR_DESCRIPTOR);
    *out = -1;
    if (!find(op, name)) return true;
    if (!b || !fake_tensor_read(b, &found)) return false;
    for (int i = 0; i < t->tensor_count; i++)
        if (t->tensors[i].id == found.id) *out = i;
    if (*out >= 0) return true;
    if (t->tensor_count == FAKE_TENSORS) return false;
    *out = t->tensor_count;
    t->tensors[t->tensor_count++] = found;
    return true;
}

typedef struct names {
    cudnn_kind kind;
    cudnn_attribute in[3], out, lengths[3];
} names;

static const names kinds[] = {
    {DNN_BACKEND_OPERATION_MATMUL_DESCRIPTOR,
     {DNN_ATTR_OPERATION_MATMUL_ADESC, DNN_ATTR_OPERATION_MATMUL_BDESC, -1},
     DNN_ATTR_OPERATION_MATMUL_CDESC,
     {DNN_ATTR_OPERATION_MATMUL_GEMM_M_OVERRIDE_DESC,
      DNN_ATTR_OPERATION_MATMUL_GEMM_N_OVERRIDE_DESC,
      DNN_ATTR_OPERATION_MATMUL_GEMM_K_OVERRIDE_DESC}},
    {DNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR,
     {DNN_ATTR_OPERATION_POINTWISE_XDESC, DNN_ATTR_OPERATION_POINTWISE_BDESC,
      DNN_ATTR_OPERATION_POINTWISE_TDESC},
     DNN_ATTR_OPERATION_POINTWISE_YDESC,
     {-1, -1, -1}},
    {DNN_BACKEND_OPERATION_REDUCTION_DESCRIPTOR,
     {DNN_ATTR_OPERATION_REDUCTION_XDESC, -1, -1},
     DNN_ATTR_OPERATION_REDUCTION_YDESC,
     {-1, -1, -1}},
    {DNN_BACKEND_OPERATION_RESHAPE_DESCRIPTOR,
     {DNN_ATTR_OPERATION_RESHAPE_XDESC, -1, -1},
     DNN_ATTR_OPERATION_RESHAPE_YDESC,
     {-1, -1, -1}},
};

/* The mode of a pointwise operation or a reduction. */
static bool read_mode(const bag *op, fake_operation *out)
{
    const bag *how = NULL;
    if (op->kind == DNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR) {
        how = take_bag(op, DNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR,
                       DNN_BACKEND_POINTWISE_DESCRIPTOR);
        return how && take(how, DNN_ATTR_POINTWISE_MODE, 1, &out->mode) &&
               (out->mode != DNN_POINTWISE_GEN_INDEX ||
                take(how, DNN_ATTR_POINTWISE_AXIS, 1, &out->axis));
    }
    if (op->kind == DNN_BACKEND_OPERATION_REDUCTION_DESCRIPTOR) {
        how = take_bag(op, DNN_ATTR_OPERATION_REDUCTION_DESC, DNN_BACKEND_REDUCTION_DESCRIPTOR);
        return how && take(how, DNN_ATTR_REDUCTION_OPERATOR, 1, &out->mode);
    }
    return op->kind == DNN_BACKEND_OPERATION_RESHAPE_DESCRIPTOR ||
           take_bag(op, DNN_ATTR_OPERATION_MATMUL_DESC, DNN_BACKEND_MATMUL_DESCRIPTOR);
}

static bool can_be_read(const fake_table *t, int place)
{
    const fake_tensor *tensor = &t->tensors[place];
    return !tensor->inner || tensor->written;
}

static bool product_fits(const fake_table *t, const fake_operation *o)
{
    const int64_t *a = t->tensors[o->in[0]].dims, *b = t->tensors[o->in[1]].dims,
                  *y = t->tensors[o->out].dims;
    return a[0] == y[0] && a[1] == y[1] && b[0] == y[0] && b[1] == y[1] && a[2] == y[2] &&
           b[3] == y[3] && a[3] == b[2];
}

static bool read_operation(fake_table *t, const bag *op)
{
    const names *n = NULL;
    fake_operation o = {.kind = op->kind};
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++)
        if (kinds[k].kind == op->kind) n = &kinds[k];
    if (!n || !op->final || t->operation_count == FAKE_OPERATIONS || !read_mode(op, &o))
        return false;
    for (int i = 0; i < 3; i++) {
        if (!find_tensor(t, op, n->in[i], &o.in[i]) ||
            !find_tensor(t, op, n->lengths[i], &o.lengths[i]))
            return false;
        if (o.in[i] >= 0 && !can_be_read(t, o.in[i])) return false;
        if (o.lengths[i] >= 0 && t->tensors[o.lengths[i]].type != DNN_DATA_INT32) return false;
    }
    if (o.in[0] < 0 || !find_tensor(t, op, n->out, &o.out) || o.out < 0) return false;
    if (n == &kinds[0] && (o.in[1] < 0 || !product_fits(t, &o))) return false;
    if (t->tensors[o.out].written || t->tensors[o.out].is_number) return false;
    t->tensors[o.out].written = true;
    t->operations[t->operation_count++] = o;
    return true;
}

bool fake_table_read(const bag *graph, fake_table *out)
{
    const bag *operations[FAKE_OPERATIONS];
    const bag_attribute *list = find(graph, DNN_ATTR_OPERATIONGRAPH_OPS);
    *out = (fake_table){0};
    if (!list || list->count > FAKE_OPERATIONS) return false;
    memcpy(operations, list->data, (size_t)list->count * sizeof(bag *));
    for (int64_t i = 0; i < list->count; i++)
        if (!read_operation(out, operations[i])) return false;
    return true;
}

/* ---------------------------------------------------------------- computing */

static int64_t place_of(const fake_tensor *t, const int64_t at[4])
{
    int64_t place = 0;
    for (int d = 0; d < 4; d++) place += (t->dims[d] == 1 ? 0 : at[d]) * t->strides[d];
    return place;
}

static size_t room_of(const fake_tensor *t)
{
    int64_t last = 0;
    for (int d = 0; d < 4; d++) last += (t->dims[d] - 1) * t->strides[d];
    return (size_t)last + 1;
}

/* The next element of a tensor; false behind the last. */
static bool next(const fake_tensor *t, int64_t at[4])
{
    for (int d = 3; d >= 0; d--) {
        if (++at[d] < t->dims[d]) return true;
        at[d] = 0;
    }
    return false;
}

static double kept(int type, double value)
{
    return type == DNN_DATA_BFLOAT16 ? fake_round_bf16(value) : (double)(float)value;
}

static void load(const fake_tensor *t, const void *from, double *to)
{
    for (size_t i = 0; i < room_of(t); i++)
        to[i] = t->type == DNN_DATA_BFLOAT16 ? fake_bf16(from, i)
                : t->type == DNN_DATA_INT32  ? (double)((const int32_t *)from)[i]
                                             : (double)((const float *)from)[i];
}

static void store(const fake_tensor *t, const double *from, void *to)
{
    int64_t at[4] = {0};
    do {
        size_t place = (size_t)place_of(t, at);
        if (t->type == DNN_DATA_BFLOAT16)
            ((uint16_t *)to)[place] = fake_bf16_bits(from[place]);
        else
            ((float *)to)[place] = (float)from[place];
    } while (next(t, at));
}

typedef struct machine {
    const fake_table *t;
    double *values[FAKE_TENSORS];
} machine;

static double value(const machine *m, int tensor, const int64_t at[4])
{
    return m->values[tensor][place_of(&m->t->tensors[tensor], at)];
}

/* The length of this batch, or all of it. */
static int64_t length_of(const machine *m, int tensor, int64_t batch, int64_t all)
{
    if (tensor < 0) return all;
    int64_t length = (int64_t)value(m, tensor, (const int64_t[]){batch, 0, 0, 0});
    if (length < 0 || length > all) abort(); /* the real one would read beyond its memory */
    return length;
}

/* Beyond its rows and columns a product promises nothing. */
static double product(const machine *m, const fake_operation *o, const int64_t at[4])
{
    const int64_t *dims = m->t->tensors[o->in[0]].dims;
    double sum = 0.0;
    if (at[2] >= length_of(m, o->lengths[0], at[0], dims[2]) ||
        at[3] >= length_of(m, o->lengths[1], at[0], m->t->tensors[o->out].dims[3]))
        return m->t->tensors[o->out].inner ? 0.0 : (double)NAN;
    for (int64_t k = 0; k < length_of(m, o->lengths[2], at[0], dims[3]); k++)
        sum += value(m, o->in[0], (const int64_t[]){at[0], at[1], at[2], k}) *
               value(m, o->in[1], (const int64_t[]){at[0], at[1], k, at[3]});
    return sum;
}

static double pointwise(const machine *m, const fake_operation *o, const int64_t at[4])
{
    double x = value(m, o->in[0], at), b = o->in[1] < 0 ? 0.0 : value(m, o->in[1], at);
    switch (o->mode) {
    case DNN_POINTWISE_ADD:
        return x + b;
    case DNN_POINTWISE_SUB:
        return x - b;
    case DNN_POINTWISE_MUL:
        return x * b;
    case DNN_POINTWISE_DIV:
        return x / b;
    case DNN_POINTWISE_EXP:
        return exp(x);
    case DNN_POINTWISE_LOG:
        return log(x);
    case DNN_POINTWISE_CMP_GE:
        return x >= b;
    case DNN_POINTWISE_CMP_LT:
        return x < b;
    case DNN_POINTWISE_LOGICAL_AND:
        return x != 0.0 && b != 0.0;
    case DNN_POINTWISE_GEN_INDEX:
        return (double)at[o->axis];
    case DNN_POINTWISE_BINARY_SELECT:
        return value(m, o->in[2], at) != 0.0 ? x : b;
    default:
        abort();
    }
}

static double reduction(const machine *m, const fake_operation *o, const int64_t at[4])
{
    int64_t from[4] = {at[0], at[1], at[2], 0};
    bool most = o->mode == DNN_REDUCE_TENSOR_MAX;
    double result = most ? -(double)INFINITY : 0.0;
    for (; from[3] < m->t->tensors[o->in[0]].dims[3]; from[3]++) {
        double x = value(m, o->in[0], from);
        if (!most)
            result += x;
        else if (!(x <= result))
            result = x;
    }
    return result;
}

static void run_operation(const machine *m, const fake_operation *o)
{
    const fake_tensor *y = &m->t->tensors[o->out];
    int64_t at[4] = {0};
    if (o->kind == DNN_BACKEND_OPERATION_RESHAPE_DESCRIPTOR) {
        for (size_t i = 0; i < room_of(y); i++)
            m->values[o->out][i] = kept(y->type, m->values[o->in[0]][i]);
        return;
    }
    do {
        double result = o->kind == DNN_BACKEND_OPERATION_MATMUL_DESCRIPTOR ? product(m, o, at)
                        : o->kind == DNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR
                            ? pointwise(m, o, at)
                            : reduction(m, o, at);
        m->values[o->out][place_of(y, at)] = kept(y->type, result);
    } while (next(y, at));
}

void fake_table_run(const void *work)
{
    const fake_table_work *w = work;
    const fake_table *t = w->table;
    machine m = {.t = t};
    memset(w->work, 0xff, FAKE_WORKSPACE);
    for (int i = 0; i < t->tensor_count; i++) {
        m.values[i] = calloc(room_of(&t->tensors[i]), sizeof(double));
        if (!m.values[i]) abort();
        if (!t->tensors[i].written) load(&t->tensors[i], w->at[i], m.values[i]);
    }
    for (int o = 0; o < t->operation_count; o++) run_operation(&m, &t->operations[o]);
    for (int i = 0; i < t->tensor_count; i++) {
        const fake_tensor *tensor = &t->tensors[i];
        /* Engines that may not be taken are wrong on purpose. */
        if (w->engine != ENGINE_GOOD) m.values[i][0] += 1.0;
        if (tensor->written && !tensor->inner) store(tensor, m.values[i], w->at[i]);
        free(m.values[i]);
    }
}
