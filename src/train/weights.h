/* Weights in files: a model's parameters and buffers by the names and in the layout of PyTorch's
 * state_dict.  Its num_batches_tracked, which counts for nothing where batch norm has a momentum,
 * is passed over in files and not written; PyTorch loads such files strictly.
 *
 * Owns nothing.  A file is written whole or not at all, and never with a weight that is not
 * finite. */
#ifndef TRAIN_WEIGHTS_H
#define TRAIN_WEIGHTS_H

#include "breakeven/plan.h"
#include "data/safetensors.h"

/* A plan's weights in the order of a file: its parameters, then its buffers. */
int weights_count(const be_plan *plan);
be_parameter weights_at(const be_plan *plan, int index);

/* A parameter as a tensor of a file, without data. */
safetensors_tensor weights_tensor(const be_parameter *parameter);

#define WEIGHTS_NOTE_BYTES 200

/* Put the file's tensors into the plan's parameters and buffers.  Weights in BF16, F16 or F64 are
 * converted, and the prefixes that PyTorch's wrappers give to names ("module.", "_orig_mod.") are
 * passed over: `note` then says so, else it is "".  It may be NULL.  BE_BAD_DATA for a tensor that
 * is missing, has another shape or type, or is none of the model; but a checkpoint's
 * "optimizer.NAME" is passed over. */
BE_CHECKED be_status weights_load(be_plan *plan, const safetensors *file,
                                  char note[WEIGHTS_NOTE_BYTES], be_error *err);

/* BE_NUMERIC if a weight is not finite. */
BE_CHECKED be_status weights_save(be_plan *plan, const char *path,
                                  const safetensors_string *metadata, int metadata_count,
                                  be_error *err);

/* The weights with which a plan of this graph starts. */
BE_CHECKED be_status weights_save_start(const be_graph *g, const char *path, be_error *err);

/* BE_NUMERIC with the tensor's name and the place if an element is not finite. */
BE_CHECKED be_status weights_check_finite(const char *name, const float *values, int64_t count,
                                          be_error *err);

#endif
