/* The variant of a workload in the metadata of its files of weights and checkpoints: a string by
 * the name of each dimension ("layers": "12"), so that anyone can build the model again. */
#ifndef TRAIN_VARIANT_H
#define TRAIN_VARIANT_H

#include "data/safetensors.h"
#include "workloads/workload.h"

#define VARIANT_VALUE_BYTES 12

/* The dimensions of a variant as strings of metadata, those that are 0 left out; `text` is their
 * memory.  Returns how many. */
int variant_write(const workload_variant *variant, safetensors_string out[WORKLOAD_DIMENSIONS],
                  char text[WORKLOAD_DIMENSIONS][VARIANT_VALUE_BYTES]);

/* The dimensions in a file's metadata, 0 where one is not there.  BE_BAD_DATA, naming `path`, for
 * one that is no whole number from 1 on. */
BE_CHECKED be_status variant_read(const safetensors *file, const char *path, workload_variant *out,
                                  be_error *err);

/* Fill the dimensions of `variant` that are 0 with those of a file of this workload; what is the
 * workload's own stays 0.  A file that tells none, that is of another workload, or that cannot be
 * read changes nothing: who loads it says why. */
BE_CHECKED be_status variant_take(const char *path, const workload *w, workload_variant *variant,
                                  be_error *err);

#endif
