/* A table of operations (cudnn_graph.h) made ready with cuDNN: its operation graph, the engine, and
 * what it needs.
 *
 * In true fp32: engines are refused that use tensor cores or narrower numbers for fp32 data, that
 * add in an order which changes from run to run, or whose transform (FFT, large Winograd tiles)
 * costs more digits than an op's cases allow.  In tf32 an engine must use tensor cores and may
 * narrow what it multiplies; the rest as before.  Of bf16 data any engine is taken that adds in
 * fp32 and in a fixed order. */
#ifndef BACKEND_CUDA_CUDNN_PLAN_H
#define BACKEND_CUDA_CUDNN_PLAN_H

#include "backend/cuda/cudnn_build.h"

/* An engine that was chosen, for all calls with the same table: some take a second to compile. */
typedef struct cudnn_choice {
    struct cudnn_choice *next;
    int users;
    cudnn_graph graph;
    cudnn_builder made;
    cudnn_descriptor plan;
    size_t workspace_bytes;
    int rank, passed; /* which of those that may be taken and work it is to be; looked at so far */
    int64_t engine;   /* its number among those of its operation graph */
    int tried;        /* configurations of the heuristics that were looked at */
} cudnn_choice;

/* For whom the engine is chosen: the device behind a handle, or, with no device at all, the one
 * that a text of CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION describes (cuDNN 9.11 and later). */
typedef struct cudnn_place {
    cudnn_handle handle;
    const char *device_text;
    int rank; /* which of the engines that may be taken and work: 0 is the heuristics' favourite */
    cudnn_choice **kept; /* what was chosen with this handle and is in use; NULL: nothing is kept */
} cudnn_place;

typedef struct cudnn_plan {
    const cuda_math *math;
    cudnn_place place;
    cudnn_choice *choice;
    cudnn_builder pack; /* once it is bound */
} cudnn_plan;

/* BE_UNAVAILABLE, with the reason, if cuDNN has no engine for it here.  On failure nothing is left
 * to free. */
BE_CHECKED be_status cudnn_plan_new(const cuda_math *math, const cudnn_place *place,
                                    const cudnn_graph *graph, cudnn_plan *out, be_error *err);
void cudnn_plan_free(cudnn_plan *plan);

/* The operation graph alone, for tests: that it finalises without a device. */
BE_CHECKED be_status cudnn_graph_check(const cuda_math *math, const cudnn_graph *graph,
                                       be_error *err);

/* What the heuristics answer, for tests: it needs neither a device nor a plan. */
typedef struct cudnn_answer {
    int64_t engine, workspace_bytes;
    unsigned notes; /* numerical ones: bit n is that of number n */
    bool may_be_taken;
} cudnn_answer;

BE_CHECKED be_status cudnn_graph_ask(const cuda_math *math, const cudnn_place *place,
                                     const cudnn_graph *graph, cudnn_answer *answers, int *count,
                                     be_error *err);
#define CUDNN_ANSWERS_MOST 64

/* Tell it where its operands and its workspace are, by the operands' places; the workspace may be 0
 * if it needs none. */
BE_CHECKED be_status cudnn_plan_bind(cudnn_plan *plan, const cuda_address *operands,
                                     cuda_address workspace, be_error *err);

/* Hand it to the stream of its handle. */
BE_CHECKED be_status cudnn_plan_start(const cudnn_plan *plan, be_error *err);

#endif
