/* A data set in memory: pictures as bytes and their labels, loaded from the publisher's files or
 * generated, for one split.
 *
 * A set is generated only when it was asked for or none of its files is on the machine, and then it
 * says so.  Damaged or incomplete files are errors.  May not order, batch or normalise. */
#ifndef DATA_DATASET_H
#define DATA_DATASET_H

#include <stdbool.h>
#include <stdint.h>

#include "core/memory.h"
#include "core/status.h"
#include "data/catalog.h"
#include "data/table.h"

/* How many pictures a generated set has where no limit is given. */
#define DATASET_SHAPES_TRAIN 60000
#define DATASET_SHAPES_COLOUR_TRAIN 50000
#define DATASET_SHAPES_TEST 10000

typedef struct be_dataset {
    dataset_kind kind; /* what was loaded, which may be the stand-in of what was asked for */
    dataset_split split;
    const char *name;   /* its id: "fashion-mnist", "shapes" */
    const char *source; /* "Fashion-MNIST, /path" or "generated shapes, seed 1" */
    /* NULL, or a warning to show: why a stand-in was generated, or which files are not there, and
     * what to do. */
    const char *note;
    bool generated;
    struct tokenizer *tokenizer; /* of a text; NULL: there is none */
    int64_t count;
    int channels, height, width, classes;
    uint8_t *images;       /* count × channels × height × width, as loaded */
    int32_t *labels;       /* count, 0 … classes - 1 */
    float mean[3], std[3]; /* of pixel / 255 by channel: x = (pixel / 255 - mean) / std */
    /* All of it as who trains on it sees it; owns pictures and labels: a workload may exchange them
     * (workload_fit). */
    data_table table;
    arena *arena; /* owns the texts */
} be_dataset;

typedef struct dataset_options {
    const char *data_dir;  /* NULL: $BREAKEVEN_DATA, then the XDG data folder */
    uint64_t seed;         /* of generated pictures */
    const char *text;      /* a file to take the tokens of; NULL: see data/text.h */
    const char *tokenizer; /* its files, or NULL: one is learnt */
    /* The other split, opened by the same options and still open: its tokenizer is read with, so
     * that it is learnt once.  NULL: none is. */
    const struct be_dataset *other;
    bool synthetic; /* generate, whatever is on the machine */
    int64_t limit;  /* keep the first pictures only; 0: all */
} dataset_options;

/* Make the table of what the other members say: fields "images" and "labels". */
void dataset_describe(be_dataset *d);

/* For who makes a set: an arena and a name (borrowed) for one that is all 0 yet; what is generated
 * says so, and its table is the maker's to fill.  dataset_close frees it, whatever the status. */
BE_CHECKED be_status dataset_start(be_dataset *d, const char *name, dataset_split split,
                                   be_error *err);

/* How many samples a split has of a set of which any number can be made: its own without a limit;
 * with one, `limit` to train on and as many less to test on as the set's own are. */
int64_t dataset_generated_count(int64_t train, int64_t test, dataset_split split, int64_t limit);

/* Load one split.  `options` may be NULL.  With a data_dir the set must be there.  Free with
 * dataset_close. */
BE_CHECKED be_status dataset_open(dataset_kind kind, dataset_split split,
                                  const dataset_options *options, be_dataset **out, be_error *err);
/* Scale all pictures to `size` × `size` by taking the nearest pixel.  BE_NO_MEMORY with what they
 * would take. */
BE_CHECKED be_status dataset_resize(be_dataset *d, int size, be_error *err);
void dataset_close(be_dataset *d); /* NULL is fine */

/* Bytes of one picture. */
static inline int64_t dataset_image_bytes(const be_dataset *d)
{
    return (int64_t)d->channels * d->height * d->width;
}

#endif
