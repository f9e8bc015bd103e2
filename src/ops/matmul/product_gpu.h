/* Choosing tiles for sums of products on GPUs, and the product kernel itself; for the host sides of
 * matmul, linear and the convolutions. */
#ifndef OPS_MATMUL_PRODUCT_GPU_H
#define OPS_MATMUL_PRODUCT_GPU_H

#include "backend/gpu/gpu.h"
#include "ops/eltwise/activation.h"

/* The words of tile.gpu.c; `splits`: the groups that share the depth of one tile. */
typedef struct gpu_tile {
    int bm, bn, bk, vm, rm, vn, rn, ks;
    bool deep, on_cpu;
    int splits;
    int split_depth; /* a multiple of bk */
    int group;
} gpu_tile;

/* What is to be multiplied: m · n results, each a sum of `depth` products. */
typedef struct gpu_tile_problem {
    int64_t m, n, depth;
    int64_t batch;          /* of such results; 0: one.  Their depth is not split */
    int m_step;             /* vm must be a multiple of it (1: any) */
    int64_t channels, area; /* a convolution: depth = channels · area, and rounds are whole */
    bool deep;              /* the depth lies side by side in memory */
    int gated;              /* operands (0 to 2) that come with a second array that masks them */
    bool may_split;
} gpu_tile_problem;

/* One of the best few, by gpu_choose.  BE_UNAVAILABLE if the device is too small for any. */
be_status gpu_tile_choose(gpu_call *call, const gpu_tile_problem *problem, gpu_tile *out,
                          be_error *err);

#define GPU_TILE_FORMAT \
    "BM=%d BN=%d BK=%d VM=%d RM=%d VN=%d RN=%d KS=%d DEEP=%d ON_CPU=%d SPLITS=%d SPLIT_DEPTH=%d"
#define GPU_TILE_VALUES(t)                                                             \
    (t)->bm, (t)->bn, (t)->bk, (t)->vm, (t)->rm, (t)->vn, (t)->rn, (t)->ks, (t)->deep, \
        (t)->on_cpu, (t)->splits, (t)->split_depth

/* A product as product.gpu.c has it. */
typedef struct gpu_product {
    int64_t batch; /* products without any of what ends one; 0: one */
    int64_t rows, columns, depth;
    int64_t p_column, p_k, q_row, q_k;
    bool mask, ones, bias;
    bool add;                 /* to what y holds */
    bool keep;                /* an activation by formula leaves what it was given in `extra` */
    be_activation activation; /* comes last */
    bool across;              /* y lies as [columns, rows]; without bias */
    be_dtype p_type, q_type;
} gpu_product;

typedef struct gpu_product_operands {
    gpu_span p, q, mask, b, y, extra; /* buffer 0 where the product has none */
} gpu_product_operands;

/* What prepare leaves for record: which units of the call are whose. */
typedef struct gpu_product_plan {
    gpu_product product;
    gpu_tile tile;
    int unit, sum_unit; /* of the call; sum_unit −1: no sum of parts */
} gpu_product_plan;

be_status gpu_product_prepare(gpu_call *call, const gpu_product *product, gpu_product_plan *out,
                              be_error *err);
be_status gpu_product_record(const gpu_call *call, gpu_recorder *recorder,
                             const gpu_product_plan *plan, const gpu_product_operands *operands,
                             be_error *err);

/* The sum of partial results [parts, rows, width] (sum_parts.gpu.c). */
typedef struct gpu_parts {
    int parts;
    int64_t rows, width; /* the further column included */
    bool ones, bias, add, keep;
    be_activation activation;
    bool across; /* y lies as [width, rows] */
} gpu_parts;

be_status gpu_parts_prepare(gpu_call *call, const gpu_parts *parts, int *unit, be_error *err);
be_status gpu_parts_record(const gpu_call *call, gpu_recorder *recorder, const gpu_parts *parts,
                           int unit, const gpu_product_operands *operands, be_error *err);

#endif
