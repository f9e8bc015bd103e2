/* Agreement between the ranks of a training. */
#include "train/ranks.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "build_info.h"
#include "core/memory.h"
#include "graph/graph.h"
#include "graph/precision.h"
#include "group/group.h"
#include "train/weights.h"

#define SAMPLES 4096      /* places of a field at which its bytes are compared … */
#define SAMPLE_BYTES 4096 /* … this many at each: sets of any size take milliseconds */

/* ---------------------------------------------------------------- before the first step */

be_status ranks_check_turns(const workload *w, int64_t batch, int turns, int workers, be_error *err)
{
    int64_t parts = (int64_t)workers * turns, below = batch / parts * parts;
    char of_each[40] = "";
    if (turns == 1) return BE_OK;
    data_table form = workload_form(w, 1);
    if (workload_targets(&form) == 0)
        FAIL(err, BE_USAGE,
             "%s compares the %ss of a batch with one another, and each of the %d turns of "
             "--accumulate would see a part of them: another training; leave --accumulate out",
             w->name, form.sample, turns);
    if (workers > 1) snprintf(of_each, sizeof of_each, " of each of %d workers", workers);
    if (batch % parts)
        FAIL(err, BE_USAGE,
             "expected a batch that %d turns%s can cut into equal parts, found %" PRId64
             "; use --batch %" PRId64 ", or another number of turns by --accumulate",
             turns, of_each, batch, below ? below : parts);
    return BE_OK;
}

static be_status check_turns(const train_options *o, be_error *err)
{
    return ranks_check_turns(o->workload, o->batch, train_turns(o), be_group_size(o->group), err);
}

be_status ranks_check(const train_options *o, be_error *err)
{
    int size = be_group_size(o->group);
    int64_t below = o->batch / size * size;
    data_table form = workload_form(o->workload, o->data->count);
    if (size == 1 && (o->sync_batch_norm || o->own_pairs))
        FAIL(err, BE_USAGE,
             "--%s: it is of several workers, found one; add --workers N, or leave it out",
             o->own_pairs ? "own-pairs" : "sync-batch-norm");
    if (size == 1) return check_turns(o, err);
    if (o->batch < size)
        FAIL(err, BE_USAGE,
             "expected a batch of at least a %s for each of the %d workers, found %d; use a larger "
             "--batch, or fewer workers",
             o->data->sample, size, o->batch);
    if (!group_is_cut(o->group) && o->batch % size)
        FAIL(err, BE_USAGE,
             "expected a batch that %d workers can cut into equal parts, found %d; use --batch "
             "%" PRId64 " or %" PRId64 ", or another number of workers",
             size, o->batch, below, below + size);
    bool compared = workload_targets(&form) == 0;
    if (compared && !o->own_pairs && group_is_cut(o->group))
        FAIL(err, BE_USAGE,
             "%s compares the %ss of a batch with one another, and each device would see its own "
             "part of them: another training; train it on one device, or say --own-pairs",
             o->workload->name, o->data->sample);
    if (!compared && o->own_pairs)
        FAIL(err, BE_USAGE, "--own-pairs: %s compares no %ss with one another; leave it out",
             o->workload->name, o->data->sample);
    if (!compared && o->validation && o->validation->count < size)
        FAIL(err, BE_USAGE,
             "expected at least a %s to validate for each of the %d workers, found %" PRId64
             "; use fewer workers",
             o->data->sample, size, o->validation->count);
    return check_turns(o, err);
}

/* Where rank r's part begins: by their weights, one sample each at least. */
static int64_t part_at(const be_group *group, int64_t samples, int r)
{
    int size = be_group_size(group);
    double before = 0;
    if (!group_is_cut(group)) return samples * r / size;
    for (int k = 0; k < r; k++) before += group_weight(group, k);
    int64_t at = (int64_t)(before * (double)samples);
    if (at < r) at = r;
    return at > samples - (size - r) ? samples - (size - r) : at;
}

void ranks_cut(const be_group *group, int64_t samples, int64_t *first, int64_t *count)
{
    int rank = be_group_rank(group);
    *first = part_at(group, samples, rank);
    *count = part_at(group, samples, rank + 1) - *first;
}

/* FNV-1a (Fowler, Noll, Vo) over samples of the bytes, spread evenly. */
static uint64_t hash_table(const data_table *table)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (int f = 0; f < table->fields; f++) {
        const unsigned char *bytes = table->field[f].bytes;
        size_t whole = bytes ? field_whole_bytes(&table->field[f]) : 0;
        size_t step = whole / SAMPLES > SAMPLE_BYTES ? whole / SAMPLES : SAMPLE_BYTES;
        for (size_t at = 0; at < whole; at += step)
            for (size_t i = at; i < whole && i < at + SAMPLE_BYTES; i++)
                hash = (hash ^ bytes[i]) * UINT64_C(0x100000001b3);
    }
    return hash;
}

static void describe_job(const train_options *o, rank_job *out)
{
    const be_optimizer *p = &o->optimizer;
    char variant[WORKLOAD_TEXT];
    workload_variant all = workload_complete(o->workload);
    *out = (rank_job){0};
    snprintf(out->build, RANK_JOB_BYTES, "%s %s", BUILD_VERSION, BUILD_COMMIT);
    snprintf(out->job, RANK_JOB_BYTES,
             "%s%.100s, batch %d in %d turns, seed %" PRIu64 ", %" PRId64
             " steps, %s, optimizer %d (%g %g %g "
             "%g %g %g; %d %" PRId64 " %" PRId64 " %g), clip %g, saved every %" PRId64 "%s%s",
             o->workload->name, workload_variant_text(o->workload, &all, ", ", ", ", variant),
             o->batch, train_turns(o), o->seed, train_last_step(o), precision_name(o->precision),
             (int)p->kind, p->learning_rate, p->momentum, p->weight_decay, p->beta1, p->beta2,
             p->epsilon, (int)p->schedule.kind, p->schedule.warmup_steps, p->schedule.total_steps,
             p->schedule.final_factor, p->max_gradient_norm, o->save_every,
             o->folder ? ", with checkpoints" : "",
             o->sync_batch_norm ? ", batch norm synced"
             : o->own_pairs     ? ", own pairs"
                                : "");
    snprintf(out->data, RANK_JOB_BYTES,
             "%" PRId64 " %ss of %s (%016" PRIx64 ") and %" PRId64 " to validate (%016" PRIx64 ")",
             o->data->count, o->data->sample, o->data->name, hash_table(o->data),
             o->validation ? o->validation->count : 0,
             o->validation ? hash_table(o->validation) : 0);
}

be_status ranks_compare(const rank_job *first, const rank_job *other, int rank, be_error *err)
{
    if (strcmp(first->build, other->build) != 0)
        FAIL(err, BE_USAGE,
             "rank %d runs another program than rank 0: expected breakeven %s, found %s; install "
             "the same one for all ranks",
             rank, first->build, other->build);
    if (strcmp(first->job, other->job) != 0)
        FAIL(err, BE_USAGE,
             "rank %d was asked for another training than rank 0: expected %s, found %s; give all "
             "ranks the same options",
             rank, first->job, other->job);
    if (strcmp(first->data, other->data) != 0)
        FAIL(err, BE_USAGE,
             "rank %d has other data than rank 0: expected %s, found %s; give all ranks the same "
             "files by --data",
             rank, first->data, other->data);
    return BE_OK;
}

be_status ranks_check_same(const train_options *o, be_error *err)
{
    void *memory = NULL;
    int size = be_group_size(o->group);
    if (size == 1) return BE_OK;
    TRY(memory_alloc(&memory, (size_t)(size + 1) * sizeof(rank_job), "the ranks' jobs", err));
    rank_job *jobs = memory; /* this rank's own stands behind all */
    describe_job(o, &jobs[size]);
    be_status status = group_gather(o->group, &jobs[size], jobs, sizeof *jobs, err);
    for (int r = 1; r < size && status == BE_OK; r++)
        status = ranks_compare(&jobs[0], &jobs[r], r, err);
    memory_free(memory);
    return status;
}

/* ---------------------------------------------------------------- as rank 0 has it */

static be_status copy_tensor(trainer *t, const be_parameter *tensor, be_error *err)
{
    be_group *group = t->options->group;
    size_t bytes = (size_t)shape_elements(&tensor->shape) * sizeof(float);
    void *memory = NULL;
    TRY(memory_alloc(&memory, bytes, tensor->name, err));
    be_status status = BE_OK;
    if (be_group_rank(group) == 0)
        status = be_plan_read(t->plan, tensor->value, memory, bytes, err);
    if (status == BE_OK) status = group_copy(group, memory, bytes, err);
    if (status == BE_OK && be_group_rank(group) != 0)
        status = be_plan_write(t->plan, tensor->value, memory, bytes, err);
    memory_free(memory);
    return status;
}

be_status ranks_copy_start(trainer *t, be_error *err)
{
    if (be_group_size(t->options->group) == 1) return BE_OK;
    TRY(group_copy(t->options->group, &t->state, sizeof t->state, err));
    for (int i = 0; i < weights_count(t->plan); i++) {
        be_parameter weight = weights_at(t->plan, i);
        TRY(copy_tensor(t, &weight, err));
    }
    for (int i = 0; i < be_plan_slot_count(t->plan); i++) {
        be_parameter slot = be_plan_slot(t->plan, i);
        TRY(copy_tensor(t, &slot, err));
    }
    return be_plan_set_steps(t->plan, t->state.step, err);
}

be_status ranks_copy_buffers(trainer *t, be_error *err)
{
    int count = be_group_size(t->options->group) == 1 ? 0 : be_plan_buffer_count(t->plan);
    for (int i = 0; i < count; i++) {
        be_parameter buffer = be_plan_buffer(t->plan, i);
        TRY(copy_tensor(t, &buffer, err));
    }
    return BE_OK;
}

/* ---------------------------------------------------------------- sums */

typedef struct rank_steps {
    float losses[BE_LOSS_LOG];
    int32_t correct[BE_LOSS_LOG];
} rank_steps;

static void join_steps(const be_group *group, const rank_steps *all, int64_t steps, float *losses,
                       int32_t *correct)
{
    int size = be_group_size(group);
    for (int64_t i = 0; i < steps; i++) {
        double loss = 0;
        correct[i] = 0;
        for (int r = 0; r < size; r++) {
            loss += (double)all[r].losses[i] * group_weight(group, r);
            correct[i] += all[r].correct[i];
        }
        losses[i] = (float)loss;
    }
}

be_status ranks_join_losses(be_group *group, int64_t steps, float *losses, int32_t *correct,
                            be_error *err)
{
    void *memory = NULL;
    int size = be_group_size(group);
    size_t bytes = (size_t)steps * sizeof *losses;
    if (size == 1) return BE_OK;
    TRY(memory_alloc(&memory, (size_t)(size + 1) * sizeof(rank_steps), "the ranks' losses", err));
    rank_steps *all = memory, *mine = &all[size];
    memcpy(mine->losses, losses, bytes);
    memcpy(mine->correct, correct, bytes);
    be_status status = group_gather(group, mine, all, sizeof *mine, err);
    if (status == BE_OK) join_steps(group, all, steps, losses, correct);
    memory_free(memory);
    return status;
}

be_status ranks_join_evaluations(be_group *group, evaluation *e, be_error *err)
{
    evaluation all[GROUP_MOST];
    if (be_group_size(group) == 1) return BE_OK;
    TRY(group_gather(group, e, all, sizeof *e, err));
    double sum = 0;
    e->count = e->correct = e->answers = 0;
    for (int r = 0; r < be_group_size(group); r++) {
        e->count += all[r].count;
        e->correct += all[r].correct;
        e->answers += all[r].answers;
        sum += all[r].loss * (double)all[r].count;
        e->seconds = all[r].seconds > e->seconds ? all[r].seconds : e->seconds;
    }
    e->loss = sum / (double)e->count;
    return BE_OK;
}

be_status ranks_sum(be_group *group, int64_t *count, be_error *err)
{
    int64_t all[GROUP_MOST];
    if (be_group_size(group) == 1) return BE_OK;
    TRY(group_gather(group, count, all, sizeof *count, err));
    *count = 0;
    for (int r = 0; r < be_group_size(group); r++) *count += all[r];
    return BE_OK;
}

be_status ranks_any(be_group *group, bool mine, bool *any, be_error *err)
{
    bool all[GROUP_MOST];
    *any = mine;
    if (be_group_size(group) == 1) return BE_OK;
    TRY(group_gather(group, &mine, all, sizeof mine, err));
    for (int r = 0; r < be_group_size(group); r++) *any |= all[r];
    return BE_OK;
}
