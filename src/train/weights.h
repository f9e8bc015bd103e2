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

#define WEIGHTS_NOTE_BYTES 500

typedef enum weights_head {
    WEIGHTS_WHOLE,    /* all weights are those of the file */
    WEIGHTS_NEW_HEAD, /* the layer that tells the classes keeps what the plan began with */
} weights_head;

/* Put the file's tensors into the plan's parameters and buffers.  Read as well: weights in BF16,
 * F16 and F64, which are converted; names behind PyTorch's wrappers ("module.", "_orig_mod.");
 * those of Hugging Face's older files (without "transformer." or "bert.", LayerNorm.gamma and
 * .beta); and what such files hold beside the weights, which is passed over.  `note`, which may be
 * NULL, says what of this was done, else it is "".  BE_BAD_DATA for a tensor that is missing, has
 * another shape or type, or is none of the model (but a checkpoint's "optimizer.NAME" is passed
 * over), and for a tied head of other numbers; BE_USAGE for a new head of a network that has none.
 */
BE_CHECKED be_status weights_load(be_plan *plan, const safetensors *file, weights_head head,
                                  char note[WEIGHTS_NOTE_BYTES], be_error *err);

/* The same from a file, or from the index of several (data/shards.h). */
BE_CHECKED be_status weights_load_file(be_plan *plan, const char *path, weights_head head,
                                       char note[WEIGHTS_NOTE_BYTES], be_error *err);

/* All weights in a file; CLIP's logit_scale has the shape [] there, as Hugging Face's.
 * BE_NUMERIC if a weight is not finite. */
BE_CHECKED be_status weights_save(be_plan *plan, const char *path,
                                  const safetensors_string *metadata, int metadata_count,
                                  be_error *err);

/* The weights with which a plan of this graph starts. */
BE_CHECKED be_status weights_save_start(const be_graph *g, const char *path, be_error *err);

/* BE_NUMERIC with the tensor's name and the place if an element is not finite. */
BE_CHECKED be_status weights_check_finite(const char *name, const float *values, int64_t count,
                                          be_error *err);

#endif
