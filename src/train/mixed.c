/* See mixed.h. */
#include "train/mixed.h"

#include <inttypes.h>
#include <string.h>

#include "group/group.h"

#define ALONE_STEPS 9 /* the first of which is not counted */

/* Nothing of it stays. */
static be_status time_alone(const train_options *options, be_device *device, double *step_s,
                            be_error *err)
{
    trainer t;
    train_options alone = *options;
    alone.device = device;
    alone.validation = NULL;
    alone.folder = alone.rescue_folder = alone.resume = alone.weights = NULL;
    alone.resume_if_any = alone.new_head = false;
    alone.steps = ALONE_STEPS;
    alone.watch = (train_watcher){0};
    TRY(trainer_open(&t, &alone, err));
    be_status status = trainer_run(&t, err);
    *step_s = (double)t.busy_ns * 1e-9;
    trainer_close(&t);
    return status;
}

static be_status train_other(mixed *m, be_error *err)
{
    trainer t;
    TRY(trainer_open(&t, &m->other, err));
    be_status status = trainer_run(&t, err);
    trainer_close(&t);
    return status;
}

static void *run_other(void *argument)
{
    mixed *m = argument;
    m->status = train_other(m, &m->err);
    if (m->status != BE_OK && m->status != BE_INTERRUPTED) group_end(m->other.group, &m->err);
    return NULL;
}

static be_status start(mixed *m, be_error *err)
{
    shares s = shares_begin(m->other.batch);
    for (int r = 0; r < SHARES_RANKS; r++) group_cut(m->groups[r], s.parts);
    m->runs = pthread_create(&m->thread, NULL, run_other, m) == 0;
    if (m->runs) return BE_OK;
    FAIL(err, BE_UNAVAILABLE, "no thread for a second device");
}

be_status mixed_begin(mixed *m, train_options *options, be_device *accelerator, be_error *err)
{
    *m = (mixed){0};
    if (options->batch < SHARES_RANKS)
        FAIL(err, BE_USAGE,
             "expected a batch of at least a %s for each of the %d devices, found %d; use a larger "
             "--batch, or one device",
             options->data->sample, SHARES_RANKS, options->batch);
    TRY(time_alone(options, accelerator, &m->alone_s, err));
    TRY(group_of_threads(SHARES_RANKS, m->groups, err));
    options->group = m->groups[0];
    m->other = *options;
    m->other.device = accelerator;
    m->other.group = m->groups[1];
    m->other.watch = (train_watcher){0};
    return start(m, err);
}

be_status mixed_end(mixed *m, be_status status, be_error *err)
{
    if (status != BE_OK && status != BE_INTERRUPTED && m->groups[0]) group_end(m->groups[0], err);
    if (m->runs) pthread_join(m->thread, NULL);
    if (m->runs && m->status != BE_OK && m->status != BE_INTERRUPTED && group_tells(m->groups[1])) {
        status = m->status;
        if (err) *err = m->err;
        status_prefix(err, "%s", be_device_id(m->other.device));
    }
    for (int r = 0; r < SHARES_RANKS; r++) be_group_close(m->groups[r]);
    return status;
}
