/* Weights in several files, as Hugging Face saves large models: "model.safetensors.index.json" with
 * {"metadata": …, "weight_map": {TENSOR: FILE}}, the files lying beside it.
 *
 * The reader trusts nothing in the index: a file's name leads nowhere but beside it. */
#ifndef DATA_SHARDS_H
#define DATA_SHARDS_H

#include <jansson.h>
#include <stddef.h>

#include "data/safetensors.h"

#define SHARDS_INDEX_BYTES_MAX (16 << 20)

typedef struct shard_index {
    json_t *json;   /* owns the texts */
    json_t *map;    /* tensor to file */
    json_t *places; /* file to its place in the list */
    int count;      /* files */
} shard_index;

/* Read an index; `name` stands for its path in error texts.  BE_BAD_DATA where it is none, lists no
 * tensor, or names a file that is not beside it.  Free with shard_index_free, after errors too. */
BE_CHECKED be_status shard_index_parse(shard_index *out, const char *text, size_t length,
                                       const char *name, be_error *err);
void shard_index_free(shard_index *index);

/* Open a file of weights, or all files of an index (a path that ends in ".json"), each once, as
 * one. BE_IO for a file that is missing, BE_BAD_DATA for a tensor that is not where the index says.
 */
BE_CHECKED be_status shards_open(safetensors **out, const char *path, be_error *err);

#endif
