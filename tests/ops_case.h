/* What the test of the ops is made of: the data of a case, the comparer and its planted faults, a
 * case on a device, and finite differences.  test_ops.c puts them together.
 *
 * The chain of trust: finite differences in double check reference and gradient; every
 * implementation is compared with the reference, never with another implementation.  Whatever is
 * wrong is written to a report, and the function returns false. */
#ifndef TESTS_OPS_CASE_H
#define TESTS_OPS_CASE_H

#include <stdio.h>

#include "graph/device.h"

/* One draw of the inputs, and what the reference makes of it; NULL where absent. */
typedef struct ops_draw {
    void *in[OP_MAX_IN];   /* as a device gets it */
    double *x[OP_MAX_IN];  /* the same numbers */
    double *y[OP_MAX_OUT]; /* the reference's outputs */
    /* How far each element may be off, in a precision other than fp32; else NULL (op_case.tolerance
     * is valid then). */
    double *allowed[OP_MAX_OUT];
} ops_draw;

/* What the draws are for: random numbers; the same with zeros among them, where ReLU and ties are
 * decided; and with a NaN in one input, which may not get lost. */
#define OPS_DRAW_LIST(X) X(RANDOM) X(ZEROS) X(NANS)

typedef enum ops_draw_kind {
#define X(name) OPS_##name,
    OPS_DRAW_LIST(X)
#undef X
        OPS_DRAWS
} ops_draw_kind;

/* In tf32 what an op makes of products and multiplies again is rounded too, by 2^-11 of itself at
 * most: as a part of the largest result, which is a sum of such terms. */
#define OPS_ROUNDED_TF32 0x1p-10

typedef struct ops_case {
    const be_op *op;
    const op_case *spec;
    be_precision precision;
    uint64_t seed;
    bool is_narrow; /* in bf16: what may be that (be_op.narrow_in, narrow_out) is it, too, … */
    bool rounds_inside; /* … and what the op computes from its products may come from bf16 */
    be_shape in[OP_MAX_IN], out[OP_MAX_OUT]; /* rank −1: absent */
    ops_draw draw[OPS_DRAWS];
} ops_case;

/* With another precision than fp32, which only ops with operands of products know, these operands
 * are drawn as numbers that it has: bf16 as that type, tf32 as floats of 11 bits.  What is compared
 * then is how the sums are made alone. */
bool ops_case_open(ops_case *c, const be_op *op, const op_case *spec, be_precision precision,
                   uint64_t seed, FILE *report);
/* Does the op read or write bf16 in the place of f32, besides operands of products? */
bool ops_is_mixed(const be_op *op);
/* In bf16, with everything bf16 that may be: of such ops. */
bool ops_case_open_narrow(ops_case *c, const be_op *op, const op_case *spec, uint64_t seed,
                          FILE *report);
void ops_case_close(ops_case *c);

/* Is the name in a list that is separated by commas?  NULL: every name is. */
bool ops_is_listed(const char *list, const char *name);

/* Does output o overwrite input i? */
bool ops_is_updated(const be_op *op, int i);

/* Zeroed memory; a test that has none aborts. */
void *ops_alloc(size_t bytes);

size_t ops_bytes(const be_shape *shape);
double ops_get(const be_shape *shape, const void *data, int64_t i);
void ops_set(const be_shape *shape, void *data, int64_t i, double value);

/* "[2, 0, 7]" for element i. */
const char *ops_index_text(const be_shape *shape, int64_t i, char text[96]);

typedef struct ops_difference {
    int64_t wrong, first; /* how many elements, and the first of them */
    double expected, found, largest_error, scale;
} ops_difference;

/* What is compared, and how closely. */
typedef struct ops_expectation {
    const be_shape *shape;
    const double *values;
    double tolerance;
    const double *allowed; /* of each element; NULL: tolerance · the largest |expected| */
    double rounding;       /* beside `allowed`, as a part of the element */
    bool with_nan;         /* where a NaN is expected there must be one, elsewhere there may be */
} ops_expectation;

/* True if every element is right: whole numbers exactly, others within what is allowed. */
bool ops_compare(const ops_expectation *expected, const void *found, ops_difference *out);

/* The comparer must find each of these in an otherwise right output. */
#define OPS_FAULT_LIST(X)     \
    X(NAN, "NaN")             \
    X(SIGN, "sign")           \
    X(DOUBLE, "factor 2")     \
    X(SHIFT, "off by one")    \
    X(TAIL, "unwritten tail") \
    X(SLIGHT, "slightly beyond the tolerance")

typedef enum ops_fault {
#define X(name, text) OPS_##name,
    OPS_FAULT_LIST(X)
#undef X
        OPS_FAULT_COUNT
} ops_fault;

/* Every fault that changes an output of the case is found, and the right output is accepted. */
bool ops_faults_are_found(const ops_case *c, FILE *report);

/* How a case is run. */
typedef struct ops_setting {
    be_device *device;
    const char *implementation; /* the first word of its name */
    const char *blocked;        /* where its inputs lie blocked, if that is another; or NULL */
    value_layout block;         /* the device's layout beside the plain one */
    bool is_block_alone;        /* inputs lie plainly nowhere */
    unsigned halved;            /* bit o: output o is f32, and was bf16 on its way */
    int summand; /* 1 + the input to which what makes output 0 was added as bf16; 0: none */
    double
        rounding; /* beside the case's tolerance: what is rounded on the way, or in the results */
} ops_setting;

typedef enum ops_result { OPS_PASSED, OPS_FAILED, OPS_REFUSED } ops_result;

/* The op on the device with plain inputs, and with those of its other layout where it takes them:
 * right outputs, wholly written; nothing else written; padding zero; no NaN lost; the same bits at
 * the second run; and the same in the memory of each input where the op allows it (be_op.in_place).
 * REFUSED, with the reason in the report, if the device does not take this case. */
ops_result ops_run_on_device(const ops_case *c, const ops_setting *setting, FILE *report);

/* The op's products in blocks against its plain loops, on one thread and on several. */
bool ops_check_blocked(const ops_case *c, FILE *report);

/* The op's gradient against central differences of its reference.  reached[i] is set for op i of
 * op_table that took part. */
bool ops_check_gradient(const ops_case *c, bool *reached, FILE *report);

#endif
