/* Who a record (run/record.h) is of, in the words for people: engine, device, threads. */
#ifndef REPORT_CONTENDER_H
#define REPORT_CONTENDER_H

#include "report/sheet.h"

/* The engine's name for people: "native", "PyTorch", "TensorFlow". */
const char *contender_title(const json_t *record);

/* What the model is called: by its own file, else the workload. */
const char *contender_model(const json_t *record);

/* What it was asked to compute in, or all that were measured side by side: "fp32,bf16". */
const char *contender_precisions(const json_t *record);

bool contender_is_cpu(const json_t *record);

/* Did it run on something that is no processor? */
bool contender_is_gpu(const json_t *record);

/* A processor behind OpenCL, which is never taken for a GPU. */
bool contender_is_hidden_cpu(const json_t *record);

/* "native on 2 threads", "PyTorch on cuda:0", "native on opencl:0 (CPU)"; of several precisions
 * "PyTorch on cuda:0, bf16". */
const char *contender_who(const json_t *record, char out[REPORT_TEXT_BYTES]);

/* Does its step move bytes and compute next to nothing, as op:copy does?  Then bytes are its work.
 */
bool contender_only_moves(const json_t *record);

#endif
