/* The checkpoints of one workload in a folder, by their steps.  Inner to checkpoints. */
#ifndef TRAIN_CHECKPOINT_FOLDER_H
#define TRAIN_CHECKPOINT_FOLDER_H

#include "core/file.h"

#define CHECKPOINT_FOLDER_MAX 256 /* files looked at, the newest ones */

typedef struct checkpoint_folder {
    int count;
    int64_t steps[CHECKPOINT_FOLDER_MAX]; /* newest first */
} checkpoint_folder;

/* An absent folder has none. */
BE_CHECKED be_status checkpoint_folder_list(checkpoint_folder *out, const char *folder,
                                            const char *workload, be_error *err);

/* In the place of a step: the file of the best validation, which lists leave out. */
#define CHECKPOINT_FOLDER_BEST (-1)

BE_CHECKED be_status checkpoint_folder_path(char out[FILE_PATH_BYTES], const char *folder,
                                            const char *workload, int64_t step, be_error *err);

/* Remove the unfinished files that killed writers left, of steps up to this one and of the best. */
BE_CHECKED be_status checkpoint_folder_sweep(const char *folder, const char *workload, int64_t step,
                                             be_error *err);

#endif
