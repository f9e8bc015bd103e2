/* Weights in files: a model's parameters by the names and in the layout of PyTorch's state_dict.
 *
 * Owns nothing.  A file is written whole or not at all, and never with a weight that is not
 * finite. */
#ifndef TRAIN_WEIGHTS_H
#define TRAIN_WEIGHTS_H

#include "breakeven/plan.h"
#include "data/safetensors.h"

/* A parameter as a tensor of a file, without data. */
safetensors_tensor weights_tensor(const be_parameter *parameter);

/* Put the file's tensors into the plan's parameters.  BE_BAD_DATA for one that is missing or has
 * another shape; other tensors of the file are ignored. */
BE_CHECKED be_status weights_load(be_plan *plan, const safetensors *file, be_error *err);

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
