/* Activations by formula on GPUs, for the host sides of other ops too. */
#ifndef OPS_ELTWISE_ACTIVATION_GPU_H
#define OPS_ELTWISE_ACTIVATION_GPU_H

#include "backend/gpu/gpu.h"
#include "ops/eltwise/activation.h"

/* The words with which activation_list.gpu.c stands in front of a kernel: F and DF are the formula
 * and its derivative, of a kind that activation_needs_x of. */
#define ACTIVATION_WORDS 96
const char *activation_words(be_activation kind, char out[ACTIVATION_WORDS]);

/* The words for how a result ends: RELU, FORMULA and, where that is, those above; KEEP: what F was
 * given is an output too. */
#define ACTIVATION_END_WORDS (ACTIVATION_WORDS + 48)
const char *activation_end_words(be_activation kind, bool keep, char out[ACTIVATION_END_WORDS]);

/* One more unit and launch of the call, where a library makes x, of this type: y = f(x), each as
 * output 0 of the call is; y may be x. */
be_status gpu_activation_prepare(gpu_call *call, be_activation kind, be_dtype x, be_error *err);
be_status gpu_activation_record(const gpu_call *call, gpu_recorder *recorder, int unit, gpu_span x,
                                gpu_span y, be_error *err);

#endif
