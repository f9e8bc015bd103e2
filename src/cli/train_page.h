/* What `train` prints and keeps of a training: its head, a line and a record an epoch, its end. */
#ifndef CLI_TRAIN_PAGE_H
#define CLI_TRAIN_PAGE_H

#include "cli/cli.h"
#include "cli/request.h"
#include "train/loop.h"
#include "train/mixed.h"
#include "train/scalars.h"

typedef struct train_command {
    const cli_options *cli;
    const workload *workload;
    struct workload varied; /* where it is a variant */
    be_group *group;        /* of workers, or NULL */
    be_device *device;
    be_device *accelerator; /* that has a part of each batch, beside the processor; or NULL */
    mixed mixed;            /* the two together */
    be_dataset *data, *validation;
    train_options options;
    char rescue[FILE_PATH_BYTES];
    json_t *epochs;      /* records */
    int64_t lost;        /* the first epoch whose record no memory was left for; 0: none */
    json_t *environment; /* of all of them */
    request_listener listener;
    int64_t started_ns;
    const trainer *trainer; /* while it trains */
    char counted[32];       /* what its answers are counted as: "accuracy", "retrieval at 1" */
    bool is_mutual;         /* … in two directions, of pictures to captions and back */
    bool tokenizer_saved;
    scalars scalars;         /* for TensorBoard */
    train_epoch first, last; /* those that this process ended */
    double cores;            /* in use while it trained */
} train_command;

void train_page_head(const train_command *c, const be_plan *plan);

/* A line of the table. */
void train_page_epoch(const train_command *c, const train_epoch *e);

/* The same as a record, which the caller releases; NULL: no memory is left. */
json_t *train_page_record(const train_command *c, const train_epoch *e);

/* First and last epoch, the best validation and by what it is the best, memory, time and cores. */
void train_page_end(const train_command *c, const trainer *t);

#endif
