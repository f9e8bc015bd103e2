/* A small training for the tests of src/train: a device, generated pictures, a folder, options, and
 * what the loop told its watcher. */
#ifndef TESTS_TRAIN_FIXTURE_H
#define TESTS_TRAIN_FIXTURE_H

#include "support.h"

#include <signal.h>

#include "core/file.h"
#include "data/dataset.h"
#include "train/loop.h"

#define PICTURES 96
#define BATCH 16 /* 6 steps an epoch */

typedef struct fixture {
    be_device *device;
    be_dataset *data, *test;
    char *folder;
    train_options options;
    /* What the watcher saw. */
    int epochs, saved, progress;
    char note[2000], last_saved[FILE_PATH_BYTES];
    volatile sig_atomic_t interrupt;
    int64_t interrupt_at; /* set the flag once that many steps are done; 0: never */
    train_epoch last;
} fixture;

int fixture_set_up(void **state);
int fixture_tear_down(void **state);

#define FIXTURE_TEST(name) cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)

/* Train with the options as they are and export the weights to NAME in the folder (NULL: do not).
 */
be_status train_and_export(fixture *f, const char *name, be_error *err);

/* Two files of the folder have the same bytes. */
void assert_same_files(const fixture *f, const char *first, const char *second);

/* "FOLDER/checkpoints" */
const char *checkpoints_of(fixture *f, char path[FILE_PATH_BYTES]);

/* "FOLDER/checkpoints/mlp-mnist-STEP.safetensors" */
const char *checkpoint_at(fixture *f, int step, char path[FILE_PATH_BYTES]);

#endif
