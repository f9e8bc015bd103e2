/* Safetensors: named tensors and a few strings in one file, as PyTorch users exchange weights.
 *
 * Layout (github.com/huggingface/safetensors, format): 8 bytes little-endian length N; N bytes of
 * JSON {"NAME": {"dtype", "shape", "data_offsets": [begin, end]}, "__metadata__": {string:
 * string}}, padded with spaces to a multiple of 8; then the data, whole, without holes or overlaps.
 * The reader maps the file and trusts nothing in it; the writer streams tensors in the given order
 * and is atomic (core/file.h).  May not know models, graphs or checkpoints. */
#ifndef DATA_SAFETENSORS_H
#define DATA_SAFETENSORS_H

#include <stddef.h>
#include <stdint.h>

#include "core/file.h"
#include "core/status.h"

#define SAFETENSORS_RANK_MAX 8
#define SAFETENSORS_HEADER_BYTES_MAX 100000000 /* the limit of the official reader */

/* name, bytes an item */
#define SAFETENSORS_DTYPE_LIST(X) \
    X(BOOL, 1)                    \
    X(U8, 1)                      \
    X(I8, 1)                      \
    X(I16, 2)                     \
    X(U16, 2)                     \
    X(F16, 2)                     \
    X(BF16, 2)                    \
    X(I32, 4)                     \
    X(U32, 4)                     \
    X(F32, 4)                     \
    X(I64, 8)                     \
    X(U64, 8)                     \
    X(F64, 8)

typedef enum safetensors_dtype {
#define X(name, item_bytes) SAFETENSORS_##name,
    SAFETENSORS_DTYPE_LIST(X)
#undef X
        SAFETENSORS_OTHER, /* of a file: a type that nothing here reads, as F8_E4M3 */
} safetensors_dtype;

const char *safetensors_dtype_name(safetensors_dtype dtype);
size_t safetensors_dtype_bytes(safetensors_dtype dtype); /* of OTHER: 1 */

typedef struct safetensors_tensor {
    const char *name;
    safetensors_dtype dtype;
    const char *type; /* of a file: the type's name there */
    int rank;         /* 0: one number */
    int64_t shape[SAFETENSORS_RANK_MAX];
    int64_t count; /* items */
    size_t bytes;
    const void
        *data; /* in the mapping; aligned to its item in every file of the official writers */
} safetensors_tensor;

typedef struct safetensors safetensors;

/* Map and check a file.  Everything that the tensors point to lives until safetensors_close. */
BE_CHECKED be_status safetensors_open(safetensors **out, const char *path, be_error *err);

/* The same from memory that outlives the result; `name` stands for the path in error texts. */
BE_CHECKED be_status safetensors_parse(safetensors **out, const void *bytes, size_t count,
                                       const char *name, be_error *err);
void safetensors_close(safetensors *file);

/* Several files as one, which owns them from then on (after an error the caller still does).
 * BE_BAD_DATA for a tensor that is in two of them. */
BE_CHECKED be_status safetensors_join(safetensors **out, safetensors *const *parts, int count,
                                      const char *name, be_error *err);

const char *safetensors_name(const safetensors *file); /* the path */

/* "F32 [2, 3]" */
void safetensors_describe(char *out, size_t room, const safetensors_tensor *t);

/* Tensors in the order of their data. */
int safetensors_count(const safetensors *file);
const safetensors_tensor *safetensors_at(const safetensors *file, int index);
const safetensors_tensor *safetensors_find(const safetensors *file, const char *name); /* or NULL */
const char *safetensors_metadata(const safetensors *file, const char *key);            /* or NULL */

/* The tensor of this name, dtype and shape, or BE_BAD_DATA with what was expected and found.
 * rank < 0: any shape. */
BE_CHECKED be_status safetensors_expect(const safetensors *file, const safetensors_tensor *like,
                                        const void **data, be_error *err);

/* BE_BAD_DATA with the first tensor whose name is not known, if there is one. */
BE_CHECKED be_status safetensors_expect_only(const safetensors *file,
                                             bool (*is_known)(const void *context,
                                                              const char *name),
                                             const void *context, be_error *err);

/* Writing.  All tensors are declared first (name, dtype, rank, shape; count, bytes and data are
 * ignored), for the header comes before the data; then their data is given in the same order.
 * Declare wider items first, so that every tensor lies at a multiple of its item (MUST). */
typedef struct safetensors_writer safetensors_writer;

typedef struct safetensors_string {
    const char *key, *value; /* UTF-8 */
} safetensors_string;

typedef struct safetensors_layout {
    const safetensors_tensor *tensors;
    int tensor_count;
    const safetensors_string *metadata;
    int metadata_count;
} safetensors_layout;

BE_CHECKED be_status safetensors_write_begin(safetensors_writer **out, const char *path,
                                             const safetensors_layout *layout, be_error *err);

/* The next `bytes` of data, little-endian, any piece size; tensors follow one another. */
BE_CHECKED be_status safetensors_write(safetensors_writer *w, const void *data, size_t bytes,
                                       be_error *err);

/* Publish; the writer is gone afterwards, whatever the status.  Less data than declared: a bug. */
BE_CHECKED be_status safetensors_write_commit(safetensors_writer *w, be_error *err);
void safetensors_write_abort(safetensors_writer *w); /* NULL is fine */

/* All at once: every tensor's `data` is set. */
BE_CHECKED be_status safetensors_save(const char *path, const safetensors_layout *layout,
                                      be_error *err);

#endif
