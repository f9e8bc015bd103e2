/* The training loop. */
#include "train/loop.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/clock.h"
#include "core/memory.h"
#include "core/room.h"
#include "data/order.h"
#include "group/group.h"
#include "train/ranks.h"
#include "train/snapshot.h"
#include "train/weights.h"

#define BLOCK_NS 200000000     /* between two looks at signals and progress */
#define SNAPSHOT_NS 5000000000 /* between two snapshots, at least … */
#define SNAPSHOT_RARITY 50     /* … and at least this many times as long as one takes */
#define SHARE_STEPS 8          /* by which shares are judged, behind a first one */
#define PLAN_LIMIT_NS \
    INT64_C(600000000000) /* how much longer another rank may take to make its plan */
#define SAVE_LIMIT_NS \
    INT64_C(600000000000) /* how long the others wait for rank 0 to write a file */

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* ---------------------------------------------------------------- opening */

static be_status check_options(const train_options *o, be_error *err)
{
    const data_table *d = o->data;
    if (o->batch < 1 || o->batch > d->count)
        FAIL(err, BE_USAGE,
             "expected a batch from 1 to the %" PRId64
             " %ss of the set, found %d; use a smaller --batch",
             d->count, d->sample, o->batch);
    TRY(ranks_check(o, err));
    return ranks_check_same(o, err);
}

/* What the system would only find out at work is told before: a processor's memory is promised to
 * whoever asks. */
static be_status plan_in_room(trainer *t, const be_plan_options *options, be_error *err)
{
    const train_options *o = t->options;
    be_error reason;
    be_status status = be_plan_new(t->model.graph, o->device, options, &t->plan, err);
    if ((status != BE_OK && status != BE_NO_MEMORY) || !be_device_threads(o->device)) return status;
    be_plan *plan = t->plan;
    if (status == BE_NO_MEMORY) {
        be_plan_options planning = *options;
        planning.dry_run = 1;
        if (be_plan_new(t->model.graph, o->device, &planning, &plan, &reason) != BE_OK)
            return status;
    }
    be_plan_facts facts = be_plan_describe(plan);
    if (plan != t->plan) be_plan_free(plan);
    room_need need = {o->workload->name, t->batch, (double)facts.persistent_bytes,
                      (double)(facts.activation_bytes + facts.scratch_bytes),
                      workload_targets(&t->model.form) ? train_turns(o) : 0};
    TRY(room_check(&need, room_here(), err));
    return status;
}

static be_status make_plan(trainer *t, be_error *err)
{
    const train_options *o = t->options;
    workload_options model = {
        .seed = o->seed, .batch = t->batch, .data = o->data, .optimizer = &o->optimizer};
    void *memory = NULL;
    size_t count = (size_t)o->data->count;
    bool alone = be_group_size(o->group) == 1;
    int turns = train_turns(o);
    t->entries = alone ? o->data->count : t->steps_per_epoch * t->batch * turns;
    model.order_count = t->entries;
    /* A group that is cut has its own pairs alone. */
    model.group = alone || o->own_pairs ? NULL : o->group;
    TRY(workload_model_new(o->workload, &model, &t->model, err));
    be_plan_options plan = {.mode = BE_TRAIN,
                            .precision = o->precision,
                            .keep = &t->model.outputs.back,
                            .keep_count = t->model.outputs.is_mutual,
                            .data_on_host = o->data_on_host,
                            .group = alone ? NULL : o->group,
                            .accumulate = turns,
                            .sync_batch_norm = o->sync_batch_norm,
                            .leave_weights = o->weights && !o->new_head};
    TRY(plan_in_room(t, &plan, err));
    TRY(workload_bind(&t->model, t->plan, o->data, err));
    TRY(memory_alloc(&memory, count * sizeof(int32_t), "the order of an epoch", err));
    t->order = memory;
    return BE_OK;
}

static be_status make_validation(trainer *t, be_error *err)
{
    evaluator_options options = {.workload = t->options->workload,
                                 .device = t->options->device,
                                 .share = t->plan,
                                 .group = t->options->group,
                                 .precision = t->options->precision,
                                 .batch = t->batch,
                                 .data = t->options->validation,
                                 .data_on_host = t->options->data_on_host,
                                 .interrupted = t->options->interrupted};
    if (!options.data) return BE_OK;
    /* What is compared with one another cannot be cut: each rank evaluates all of it. */
    if (t->is_compared)
        options.batch = t->options->batch;
    else
        ranks_cut(t->options->group, options.data->count, &options.first, &options.count);
    return evaluator_open(&t->validation, &options, err);
}

static void say(const trainer *t, const char *text)
{
    const train_watcher *watch = &t->options->watch;
    if (watch->note) watch->note(watch->context, text);
}

static be_status start_with_weights(trainer *t, be_error *err)
{
    const train_options *o = t->options;
    char note[WEIGHTS_NOTE_BYTES], text[FILE_PATH_BYTES + WEIGHTS_NOTE_BYTES + 8];
    weights_head head = o->new_head ? WEIGHTS_NEW_HEAD : WEIGHTS_WHOLE;
    TRY(weights_load_file(t->plan, o->weights, head, note, err));
    snprintf(text, sizeof text, "%s: %s", o->weights, note);
    if (*note) say(t, text);
    return BE_OK;
}

static be_status resume(trainer *t, be_error *err)
{
    checkpoint c;
    char text[FILE_PATH_BYTES + 100];
    TRY(checkpoint_open(&c, t->options->resume, t->options->workload->name, err));
    be_status status = checkpoint_match(&c, &t->state, err);
    if (status == BE_OK) status = checkpoint_restore(&c, t->plan, err);
    if (status == BE_OK) {
        t->state = c.state;
        if (c.note[0]) say(t, c.note);
        snprintf(text, sizeof text, "going on from step %" PRId64 " of %s", c.state.step, c.path);
        say(t, text);
    }
    checkpoint_close(&c);
    return status;
}

static be_status resume_if_there(trainer *t, be_error *err)
{
    const train_options *o = t->options;
    char text[FILE_PATH_BYTES + 100];
    bool any = true;
    if (o->resume_if_any) TRY(checkpoint_any(o->resume, o->workload->name, &any, err));
    if (any) return resume(t, err);
    snprintf(text, sizeof text, "%s has no checkpoint of %s yet: from the start", o->resume,
             o->workload->name);
    say(t, text);
    return BE_OK;
}

/* What is in files: rank 0's to read. */
static be_status open_files(trainer *t, be_error *err)
{
    const train_options *o = t->options;
    if (o->weights) TRY(start_with_weights(t, err));
    if (o->resume) TRY(resume_if_there(t, err));
    if (o->folder) TRY(checkpoint_check_folder(o->folder, o->workload->name, t->state.step, err));
    return BE_OK;
}

static be_status open_all(trainer *t, be_error *err)
{
    const train_options *o = t->options;
    int64_t before;
    data_table form = workload_form(o->workload, o->data->count);
    TRY(check_options(o, err));
    t->is_compared = workload_targets(&form) == 0;
    t->batch = (int)(group_part(o->group, o->batch, &before) / train_turns(o));
    if (group_is_cut(o->group)) t->shares = shares_begin(o->batch);
    t->steps_per_epoch = order_steps_per_epoch((int32_t)o->data->count, o->batch);
    t->last_step = train_last_step(o);
    if (t->last_step > INT32_MAX / train_turns(o))
        FAIL(err, BE_USAGE,
             "expected at most 2^31 - 1 steps, or turns of them, found %" PRId64
             "; train fewer epochs",
             t->last_step * train_turns(o));
    t->state = (checkpoint_state){.count = o->data->count,
                                  .seed = o->seed,
                                  .batch = o->batch,
                                  .variant = workload_complete(o->workload),
                                  .optimizer = o->optimizer,
                                  .best = -1};
    snprintf(t->state.workload, sizeof t->state.workload, "%s", o->workload->name);
    snprintf(t->state.data, sizeof t->state.data, "%s", o->data->name);
    if (o->folder && be_group_rank(o->group) == 0)
        TRY(folder_lock_take(&t->lock, o->folder, o->workload->name, "training of this network",
                             "wait for its end, stop it, or name another folder by --checkpoint",
                             err));
    TRY(make_plan(t, err));
    TRY(make_validation(t, err));
    /* Where kernels are compiled and tuned, one rank may find ready what another one must make. */
    TRY(group_wait(o->group, PLAN_LIMIT_NS, err));
    if (be_group_rank(o->group) == 0) TRY(open_files(t, err));
    /* What was drawn is drawn again where it is wanted: a copy of a large model is as much memory
     * as three of its weights, and the first step would wait until the system has handed it out. */
    t->has_snapshot = !o->weights && !o->resume;
    t->snapshot_next_ns = clock_now_ns() + SNAPSHOT_NS;
    return ranks_copy_start(t, err);
}

be_status trainer_open(trainer *t, const train_options *options, be_error *err)
{
    *t = (trainer){.options = options, .first_step_s = (double)NAN, .open_ns = clock_now_ns()};
    be_status status = open_all(t, err);
    if (status != BE_OK) trainer_close(t);
    return status;
}

void trainer_close(trainer *t)
{
    evaluator_close(&t->validation);
    be_plan_free(t->plan);
    be_graph_free(t->model.graph);
    memory_free(t->order);
    memory_free(t->snapshot);
    folder_lock_release(&t->lock);
    *t = (trainer){0};
}

/* ---------------------------------------------------------------- running */

typedef struct saving {
    trainer *t;
    const char *folder;
    checkpoint_role role;
} saving;

static be_status save_alone(void *context, be_error *err)
{
    const saving *s = context;
    char path[FILE_PATH_BYTES];
    const train_watcher *watch = &s->t->options->watch;
    TRY(checkpoint_save(s->t->plan, s->folder, &s->t->state, s->role, path, err));
    if (s->role == CHECKPOINT_LAST && watch->saved)
        watch->saved(watch->context, path, s->t->state.step);
    return BE_OK;
}

static be_status save(trainer *t, const char *folder, checkpoint_role role, be_error *err)
{
    saving s = {t, folder, role};
    return group_alone(t->options->group, SAVE_LIMIT_NS, save_alone, &s, err);
}

static be_status stop_for_signal(trainer *t, be_error *err)
{
    const train_options *o = t->options;
    const char *folder = o->folder ? o->folder : o->rescue_folder;
    be_error reason = {0};
    be_status save_status = folder ? save(t, folder, CHECKPOINT_LAST, &reason) : BE_FAILED;
    if (save_status != BE_OK && o->folder) {
        if (err) *err = reason;
        return save_status;
    }
    if (save_status == BE_OK && t->state.step == t->last_step)
        FAIL(err, BE_INTERRUPTED,
             "stopped by a signal in the validation behind the last step, %" PRId64
             "; the weights are saved in %s, and 'breakeven eval' validates them",
             t->state.step, folder);
    if (save_status != BE_OK)
        FAIL(err, BE_INTERRUPTED,
             "stopped by a signal after step %" PRId64 " of %" PRId64
             "; not saved%s%s; name a folder by --checkpoint",
             t->state.step, t->last_step, reason.text[0] ? ": " : "", reason.text);
    FAIL(err, BE_INTERRUPTED,
         "stopped by a signal after step %" PRId64 " of %" PRId64
         "; saved, and --resume %s goes on from there",
         t->state.step, t->last_step, folder);
}

/* The order of the epoch to which the next step belongs, `done` steps being done. */
static be_status write_order(trainer *t, int64_t step, be_error *err)
{
    int64_t count = t->options->data->count, epoch = step / t->steps_per_epoch;
    be_group *group = t->options->group;
    order_epoch(t->options->seed, (uint32_t)epoch, t->order, (int32_t)count);
    if (be_group_size(group) > 1) {
        order_cut part;
        part.each = group_part(group, t->options->batch, &part.before);
        order_part(t->order, (int32_t)count, t->options->batch, part);
    }
    return be_plan_write(t->plan, t->model.order, t->order, (size_t)t->entries * sizeof *t->order,
                         err);
}

/* Before a block.  A model of gigabytes takes its time on the way to the host: the longer it takes,
 * the rarer it is. */
static be_status take_snapshot(trainer *t, be_error *err)
{
    int64_t start_ns = clock_now_ns();
    t->has_snapshot = false;
    if (!t->snapshot) TRY(snapshot_new(&t->snapshot, t->plan, err));
    TRY(snapshot_take(t->snapshot, t->plan, err));
    int64_t end_ns = clock_now_ns(), cost_ns = end_ns - start_ns;
    int64_t rest_ns = SNAPSHOT_RARITY * cost_ns;
    t->has_snapshot = true;
    t->snapshot_step = t->state.step;
    t->snapshot_cost_ns += cost_ns;
    t->snapshot_next_ns = end_ns + (rest_ns > SNAPSHOT_NS ? rest_ns : SNAPSHOT_NS);
    return BE_OK;
}

/* Back to the snapshot, and from there to the start of the block once more. */
static be_status return_to_block(trainer *t, be_error *err)
{
    TRY(t->snapshot ? snapshot_restore(t->snapshot, t->plan, err) : snapshot_restart(t->plan, err));
    for (int64_t step = t->snapshot_step; step < t->state.step;) {
        int64_t steps = least(t->state.step - step, t->steps_per_epoch - step % t->steps_per_epoch);
        TRY(write_order(t, step, err));
        TRY(be_plan_run(t->plan, steps, err));
        step += steps;
    }
    return write_order(t, t->state.step, err);
}

/* A loss of the block is not finite: do it again, looking at every result, for the first one. */
static be_status explain_bad_loss(trainer *t, int64_t steps, int64_t bad, double loss,
                                  be_error *err)
{
    TRY(return_to_block(t, err));
    TRY(be_plan_run_checked(t->plan, steps, err));
    FAIL(err, BE_NUMERIC,
         "the loss of step %" PRId64 " was %g, but every result was finite when the block was done "
         "again; the machine's memory or an unsteady implementation may be to blame",
         bad, loss);
}

/* How many ranks have counted each right answer: those that compare the samples of all. */
static int times_counted(const trainer *t)
{
    return t->is_compared && !t->options->own_pairs ? be_group_size(t->options->group) : 1;
}

static be_status take_losses(trainer *t, int64_t steps, be_error *err)
{
    float losses[BE_LOSS_LOG];
    int32_t correct[BE_LOSS_LOG];
    TRY(be_plan_losses(t->plan, steps, losses, correct, err));
    TRY(ranks_join_losses(t->options->group, steps, losses, correct, err));
    int times = times_counted(t);
    for (int64_t i = 0; i < steps; i++) {
        if (!isfinite(losses[i]))
            return explain_bad_loss(t, steps, t->state.step + i, (double)losses[i], err);
        t->state.loss_sum += (double)losses[i];
        t->state.correct += correct[i] / times;
    }
    t->state.step += steps;
    int64_t back = 0;
    TRY(evaluation_add_back(t->plan, &t->model.outputs, &back, err));
    if (t->model.outputs.is_mutual) TRY(ranks_sum(t->options->group, &back, err));
    t->state.back += back / times;
    return BE_OK;
}

/* Steps until something has to be done: the end, an epoch, a checkpoint. */
static int64_t steps_to_boundary(const trainer *t)
{
    int64_t step = t->state.step, every = t->options->save_every;
    int64_t steps = least(t->last_step - step, t->steps_per_epoch - step % t->steps_per_epoch);
    if (t->options->folder && every) steps = least(steps, every - step % every);
    /* Of the answers back only the last step's are there. */
    return t->model.outputs.is_mutual ? 1 : least(steps, BE_LOSS_LOG);
}

/* The next block, as the clock of this process has it. */
typedef struct block {
    int64_t steps;
    int64_t snapshot; /* not 0: one is due before it */
} block;

static block choose_block(const trainer *t)
{
    int64_t steps = steps_to_boundary(t);
    /* The first step alone, for it tells how long a step takes. */
    int64_t step_ns = t->total_steps > 1 ? t->total_ns / t->total_steps : BLOCK_NS;
    int64_t fitting = step_ns > 0 ? BLOCK_NS / step_ns : steps;
    if (group_is_cut(t->options->group) && !t->shares.stays) fitting = t->blocks ? SHARE_STEPS : 1;
    return (block){.steps = least(steps, fitting > 0 ? fitting : 1),
                   .snapshot = !t->has_snapshot || clock_now_ns() >= t->snapshot_next_ns};
}

/* The ranks have other parts now: a plan for this one's, with what the one before has learned. */
static be_status change_part(trainer *t, be_error *err)
{
    int64_t before;
    if (!t->snapshot) TRY(snapshot_new(&t->snapshot, t->plan, err));
    TRY(snapshot_take(t->snapshot, t->plan, err));
    void *learned = t->snapshot;
    evaluator_close(&t->validation);
    be_plan_free(t->plan);
    be_graph_free(t->model.graph);
    memory_free(t->order);
    t->plan = NULL;
    t->model = (workload_model){0};
    t->order = NULL;
    t->snapshot = NULL;
    t->has_snapshot = false;
    t->batch = (int)group_part(t->options->group, t->options->batch, &before);
    be_status status = make_plan(t, err);
    if (status == BE_OK) status = make_validation(t, err);
    if (status == BE_OK) status = snapshot_restore(learned, t->plan, err);
    memory_free(learned);
    return status == BE_OK ? write_order(t, t->state.step, err) : status;
}

/* After a block: the first one with a plan says nothing, the second how long the parts take. */
static be_status adapt_shares(trainer *t, be_error *err)
{
    be_group *group = t->options->group;
    int64_t all[SHARES_RANKS];
    double seconds[SHARES_RANKS];
    if (!group_is_cut(group) || t->shares.stays || t->blocks < 2) return BE_OK;
    MUST(be_group_size(group) == SHARES_RANKS);
    TRY(group_gather(group, &t->busy_ns, all, sizeof *all, err));
    for (int r = 0; r < SHARES_RANKS; r++) seconds[r] = (double)all[r] * 1e-9;
    if (!shares_next(&t->shares, seconds)) return BE_OK;
    group_cut(group, t->shares.parts);
    t->blocks = 0;
    return change_part(t, err);
}

static be_status run_block(trainer *t, be_error *err)
{
    block next = choose_block(t);
    TRY(group_copy(t->options->group, &next, sizeof next, err));
    int64_t steps = next.steps;
    if (next.snapshot) TRY(take_snapshot(t, err));
    int64_t start_ns = clock_now_ns(), waited_ns = group_waited_ns(t->options->group);
    TRY(be_plan_run(t->plan, steps, err));
    int64_t now_ns = clock_now_ns();
    waited_ns = group_waited_ns(t->options->group) - waited_ns;
    t->busy_ns = (now_ns - start_ns - waited_ns) / steps;
    if (t->total_steps == 0)
        t->first_step_s = (double)(now_ns - t->open_ns - t->snapshot_cost_ns) * 1e-9;
    t->total_ns += now_ns - start_ns;
    t->epoch_ns += now_ns - start_ns;
    t->total_steps += steps;
    if (t->shares.stays && t->blocks > 0) {
        t->shares_ns += now_ns - start_ns;
        t->shares_steps += steps;
    }
    t->blocks++;
    return take_losses(t, steps, err);
}

/* The share of right answers in an epoch of which `steps` steps are done. */
static double accuracy_after(const trainer *t, int64_t steps)
{
    int64_t targets = workload_targets(&t->model.form), samples = steps * t->options->batch;
    return (double)t->state.correct / (double)(samples * (targets ? targets : 1));
}

static double back_after(const trainer *t, int64_t steps)
{
    return t->model.outputs.is_mutual ? (double)t->state.back / (double)(steps * t->options->batch)
                                      : (double)NAN;
}

static void report_progress(const trainer *t)
{
    const train_watcher *watch = &t->options->watch;
    int64_t step = (t->state.step - 1) % t->steps_per_epoch + 1;
    double step_s = (double)t->total_ns * 1e-9 / (double)t->total_steps;
    if (!watch->progress) return;
    train_progress progress = {
        .epoch = (t->state.step - 1) / t->steps_per_epoch + 1,
        .epochs = (t->last_step + t->steps_per_epoch - 1) / t->steps_per_epoch,
        .step = step,
        .steps = t->steps_per_epoch,
        .loss = t->state.loss_sum / (double)step,
        .accuracy = accuracy_after(t, step),
        .back = back_after(t, step),
        .samples_per_s = t->options->batch / step_s,
        .units_per_s = t->options->batch / step_s * t->model.form.units_a_sample,
        .left_s = (double)(t->last_step - t->state.step) * step_s};
    watch->progress(watch->context, &progress);
}

static void begin_epoch(trainer *t)
{
    t->epoch_first_step = t->state.step;
    t->epoch_ns = 0;
    if (t->state.step % t->steps_per_epoch == 0) {
        t->state.loss_sum = 0;
        t->state.correct = 0;
        t->state.back = 0;
    }
}

/* Whether this validation is the best so far; then it is that from now on. */
static bool take_best(trainer *t, const train_epoch *e)
{
    double accuracy = evaluation_accuracy(&e->validation), loss = e->validation.loss;
    bool by_loss = t->options->workload->perplexity, first = t->state.best_epoch == 0;
    if (!first && !(by_loss ? loss < t->state.best_loss : accuracy > t->state.best)) return false;
    t->state.best = accuracy;
    t->state.best_loss = loss;
    t->state.best_epoch = e->epoch;
    return true;
}

/* A signal to one rank ends the validation of all. */
static be_status validate(trainer *t, evaluation *out, be_error *err)
{
    be_group *group = t->options->group;
    bool stopped = false;
    be_status status = evaluator_run(&t->validation, out, err);
    if (status != BE_OK && status != BE_INTERRUPTED) return status;
    TRY(ranks_any(group, status == BE_INTERRUPTED, &stopped, err));
    if (stopped) FAIL(err, BE_INTERRUPTED, "stopped by a signal in a validation");
    return t->is_compared ? BE_OK : ranks_join_evaluations(group, out, err);
}

/* Validate and tell; the epoch's sums start anew with the next one. */
static be_status end_epoch(trainer *t, bool *best, be_error *err)
{
    const train_watcher *watch = &t->options->watch;
    int64_t steps = (t->state.step - 1) % t->steps_per_epoch + 1;
    int64_t mine = t->state.step - t->epoch_first_step;
    train_epoch epoch = {.epoch = (t->state.step - 1) / t->steps_per_epoch + 1,
                         .step = t->state.step,
                         .loss = t->state.loss_sum / (double)steps,
                         .accuracy = accuracy_after(t, steps),
                         .back = back_after(t, steps),
                         .seconds = (double)t->epoch_ns * 1e-9};
    TRY(be_plan_learning_rate(t->plan, &epoch.learning_rate, err));
    epoch.gradient_norm = (double)NAN;
    if (t->options->optimizer.max_gradient_norm > 0) {
        float norm = 0;
        TRY(be_plan_gradient_norms(t->plan, 1, &norm, err));
        epoch.gradient_norm = (double)norm;
    }
    epoch.samples_per_s = (double)(mine * t->options->batch) / epoch.seconds;
    epoch.units_per_s = epoch.samples_per_s * t->model.form.units_a_sample;
    /* Devices of different kinds round their steps differently. */
    if (group_is_cut(t->options->group)) TRY(ranks_copy_start(t, err));
    if (t->validation.plan) {
        TRY(ranks_copy_buffers(t, err));
        TRY(validate(t, &epoch.validation, err));
        epoch.best = take_best(t, &epoch);
    }
    *best = epoch.best;
    if (watch->epoch) watch->epoch(watch->context, &epoch);
    return BE_OK;
}

/* The best one is kept beside the last ones, whatever the steps between these. */
static be_status save_if_due(trainer *t, bool epoch_ended, bool best, be_error *err)
{
    int64_t every = t->options->save_every;
    bool due = t->state.step == t->last_step || (every ? t->state.step % every == 0 : epoch_ended);
    if (!t->options->folder) return BE_OK;
    if (due) TRY(save(t, t->options->folder, CHECKPOINT_LAST, err));
    return best ? save(t, t->options->folder, CHECKPOINT_BEST, err) : BE_OK;
}

static be_status run_epoch(trainer *t, be_error *err)
{
    const train_options *o = t->options;
    bool has_ended = false, stop = false, best = false;
    TRY(write_order(t, t->state.step, err));
    begin_epoch(t);
    while (!has_ended) {
        TRY(run_block(t, err));
        report_progress(t);
        has_ended = t->state.step % t->steps_per_epoch == 0 || t->state.step == t->last_step;
        be_status status = has_ended ? end_epoch(t, &best, err) : BE_OK;
        if (status == BE_INTERRUPTED) return stop_for_signal(t, err);
        TRY(status);
        if (t->state.step < t->last_step) TRY(adapt_shares(t, err));
        TRY(save_if_due(t, has_ended, best, err));
        TRY(ranks_any(o->group, o->interrupted && *o->interrupted, &stop, err));
        if (stop && t->state.step < t->last_step) return stop_for_signal(t, err);
    }
    return BE_OK;
}

be_status trainer_run(trainer *t, be_error *err)
{
    while (t->state.step < t->last_step) TRY(run_epoch(t, err));
    return BE_OK;
}
