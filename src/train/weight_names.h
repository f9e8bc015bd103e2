/* What weights are called in files of other programs: PyTorch's wrappers, torchvision, Hugging Face
 * today and in the years before, and what these files hold beside the weights.
 *
 * Knows names alone, no plans; owns nothing. */
#ifndef TRAIN_WEIGHT_NAMES_H
#define TRAIN_WEIGHT_NAMES_H

#include <stdbool.h>

#include "data/safetensors.h"

/* How the names of a file differ from the model's. */
typedef struct weight_names {
    const char *wrapper; /* stands before each: DistributedDataParallel puts "module." */
    const char *dropped; /* what the names of the file lack: "bert.", "transformer." */
    const char *network; /* the model's first parameter: surplus is known by network */
    bool gamma;          /* LayerNorm.gamma and .beta are weight and bias */
} weight_names;

/* `first`: the model's first parameter, by which prefixes are found. */
weight_names weight_names_of(const safetensors *file, const char *first);

/* Is it this parameter's name in the file? */
bool weight_names_match(const weight_names *names, const char *parameter, const char *in_file);

/* The parameter's tensor, or NULL. */
const safetensors_tensor *weight_names_find(const weight_names *names, const safetensors *file,
                                            const char *parameter);

/* What a file may hold beside the weights, by its number below WEIGHT_SURPLUS; -1: nothing known.
 * A tied head is among it (weight_names_is_tied_head). */
#define WEIGHT_SURPLUS 7
int weight_names_surplus(const weight_names *names, const char *in_file);
const char *weight_names_surplus_told(int surplus); /* "num_batches_tracked" */
bool weight_names_is_tied_head(int surplus);

/* The layer that tells the classes, of which another task has another number: "classifier", "fc",
 * "head"; NULL where the parameter is none of its. */
const char *weight_names_head(const char *parameter);

/* Hugging Face saves it as one number, of shape [], where the engine has [1]. */
bool weight_names_is_scalar(const char *parameter);

#endif
