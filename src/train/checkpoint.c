/* Writing and reading checkpoints. */
#include "train/checkpoint.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "core/memory.h"
#include "graph/schedule.h"
#include "train/checkpoint_folder.h"
#include "train/variant.h"
#include "train/weights.h"

#define FORMAT_BASE "breakeven checkpoint "
#define FORMAT_NUMBER "3"
#define FORMAT FORMAT_BASE FORMAT_NUMBER
#define VALUE_BYTES 48
#define NAME_BYTES 192

static const char *const optimizer_names[] = {
#define X(id, text) text,
    BE_OPTIMIZER_LIST(X)
#undef X
};

/* The numbers of the metadata: key, member, how it is written and read back. */
#define WHOLE_LIST(X)                                  \
    X("count", count)                                  \
    X("batch", batch)                                  \
    X("step", step)                                    \
    X("epoch_correct", correct)                        \
    X("epoch_back", back)                              \
    X("best_epoch", best_epoch)                        \
    X("schedule", optimizer.schedule.kind)             \
    X("warmup_steps", optimizer.schedule.warmup_steps) \
    X("total_steps", optimizer.schedule.total_steps)

#define REAL_LIST(X)                                    \
    X("learning_rate", optimizer.learning_rate)         \
    X("momentum", optimizer.momentum)                   \
    X("weight_decay", optimizer.weight_decay)           \
    X("beta1", optimizer.beta1)                         \
    X("beta2", optimizer.beta2)                         \
    X("epsilon", optimizer.epsilon)                     \
    X("final_factor", optimizer.schedule.final_factor)  \
    X("max_gradient_norm", optimizer.max_gradient_norm) \
    X("epoch_loss_sum", loss_sum)                       \
    X("best_accuracy", best)                            \
    X("best_loss", best_loss)

#define X(...) +1
enum { METADATA_COUNT = 6 WHOLE_LIST(X) REAL_LIST(X) + WORKLOAD_DIMENSIONS };
#undef X

/* ---------------------------------------------------------------- writing */

/* A plan's tensors as a checkpoint has them: weights, then the optimizer's states, each by the name
 * of its parameter, so that the file does not depend on how a plan orders them. */
typedef struct contents {
    safetensors_tensor *tensors;
    be_value *values;
    char (*names)[NAME_BYTES];
    int count;
    void *buffer; /* of the largest */
    void *memory;
} contents;

static void contents_free(contents *c)
{
    memory_free(c->memory);
    memory_free(c->buffer);
}

static be_status contents_new(contents *out, const be_plan *plan, be_error *err)
{
    int weights = weights_count(plan), parameters = be_plan_parameter_count(plan);
    size_t each = sizeof(safetensors_tensor) + sizeof(be_value) + NAME_BYTES, largest = 0;
    *out = (contents){.count = weights + be_plan_slot_count(plan) * parameters};
    TRY(memory_alloc(&out->memory, (size_t)out->count * each, "the list of a checkpoint", err));
    out->tensors = out->memory;
    out->names = (char(*)[NAME_BYTES])(out->tensors + out->count);
    out->values = (be_value *)(out->names + out->count);
    for (int i = 0; i < out->count; i++) {
        int part = i - weights;
        be_parameter p = part < 0 ? weights_at(plan, i)
                                  : be_plan_slot_part(plan, part / parameters, part % parameters);
        out->values[i] = p.value;
        out->tensors[i] = weights_tensor(&p);
        if (i >= weights) {
            int length = snprintf(out->names[i], NAME_BYTES, "optimizer.%s", p.name);
            MUST(length > 0 && length < NAME_BYTES);
            out->tensors[i].name = out->names[i];
        }
        if (out->tensors[i].bytes > largest) largest = out->tensors[i].bytes;
    }
    be_status status = memory_alloc(&out->buffer, largest, "a tensor of a checkpoint", err);
    if (status != BE_OK) contents_free(out);
    return status;
}

/* Twice over the same tensors: once for the checksum, which stands in front, once to write. */
static be_status contents_checksum(const contents *c, be_plan *plan, uint32_t *out, be_error *err)
{
    uLong sum = crc32(0, NULL, 0);
    for (int i = 0; i < c->count; i++) {
        const safetensors_tensor *t = &c->tensors[i];
        TRY(be_plan_read(plan, c->values[i], c->buffer, t->bytes, err));
        TRY(weights_check_finite(t->name, c->buffer, t->count, err));
        sum = crc32_z(sum, c->buffer, t->bytes);
    }
    *out = (uint32_t)sum;
    return BE_OK;
}

static be_status contents_write(const contents *c, be_plan *plan, const char *path,
                                const safetensors_layout *layout, be_error *err)
{
    safetensors_writer *writer = NULL;
    TRY(safetensors_write_begin(&writer, path, layout, err));
    for (int i = 0; i < c->count; i++) {
        size_t bytes = c->tensors[i].bytes;
        be_status status = be_plan_read(plan, c->values[i], c->buffer, bytes, err);
        if (status == BE_OK) status = safetensors_write(writer, c->buffer, bytes, err);
        if (status != BE_OK) {
            safetensors_write_abort(writer);
            return status;
        }
    }
    return safetensors_write_commit(writer, err);
}

static int fill_metadata(const checkpoint_state *s, uint32_t checksum,
                         safetensors_string out[METADATA_COUNT],
                         char text[METADATA_COUNT][VALUE_BYTES],
                         char variant[WORKLOAD_DIMENSIONS][VARIANT_VALUE_BYTES])
{
    int n = 0;
    out[n++] = (safetensors_string){"format", FORMAT};
    out[n++] = (safetensors_string){"workload", s->workload};
    out[n++] = (safetensors_string){"data", s->data};
    out[n++] = (safetensors_string){"optimizer", optimizer_names[s->optimizer.kind]};
    snprintf(text[n], VALUE_BYTES, "%" PRIu64, s->seed);
    out[n] = (safetensors_string){"seed", text[n]};
    n++;
    snprintf(text[n], VALUE_BYTES, "%08" PRIx32, checksum);
    out[n] = (safetensors_string){"crc32", text[n]};
    n++;
#define X(key, member)                                              \
    snprintf(text[n], VALUE_BYTES, "%" PRId64, (int64_t)s->member); \
    out[n] = (safetensors_string){key, text[n]};                    \
    n++;
    WHOLE_LIST(X)
#undef X
#define X(key, member)                                          \
    snprintf(text[n], VALUE_BYTES, "%.17g", (double)s->member); \
    out[n] = (safetensors_string){key, text[n]};                \
    n++;
    REAL_LIST(X)
#undef X
    n += variant_write(&s->variant, out + n, variant);
    return n;
}

/* Remove all but the newest, and never the one of `step`. */
static be_status prune(const char *folder, const char *workload, int64_t step, be_error *err)
{
    checkpoint_folder list;
    char path[FILE_PATH_BYTES];
    TRY(checkpoint_folder_list(&list, folder, workload, err));
    for (int i = CHECKPOINT_KEPT; i < list.count; i++) {
        if (list.steps[i] == step) continue;
        TRY(checkpoint_folder_path(path, folder, workload, list.steps[i], err));
        TRY(file_remove(path, err));
    }
    return BE_OK;
}

be_status checkpoint_save(be_plan *plan, const char *folder, const checkpoint_state *state,
                          checkpoint_role role, char path[FILE_PATH_BYTES], be_error *err)
{
    contents c;
    uint32_t checksum = 0;
    safetensors_string metadata[METADATA_COUNT];
    char text[METADATA_COUNT][VALUE_BYTES], variant[WORKLOAD_DIMENSIONS][VARIANT_VALUE_BYTES];
    TRY(file_make_folders(folder, err));
    int64_t step = role == CHECKPOINT_BEST ? CHECKPOINT_FOLDER_BEST : state->step;
    TRY(checkpoint_folder_path(path, folder, state->workload, step, err));
    TRY(contents_new(&c, plan, err));
    be_status status = contents_checksum(&c, plan, &checksum, err);
    int count = fill_metadata(state, checksum, metadata, text, variant);
    safetensors_layout layout = {c.tensors, c.count, metadata, count};
    if (status == BE_OK) status = contents_write(&c, plan, path, &layout, err);
    contents_free(&c);
    TRY(status);
    if (role == CHECKPOINT_BEST) return BE_OK;
    TRY(checkpoint_folder_sweep(folder, state->workload, state->step, err));
    return prune(folder, state->workload, state->step, err);
}

/* ---------------------------------------------------------------- reading */

static be_status refuse_metadata(const checkpoint *c, const char *key, be_error *err)
{
    FAIL(err, BE_BAD_DATA,
         "%s: expected a checkpoint of a training, found no good \"%s\" in its metadata; name a "
         "file "
         "that 'breakeven train --checkpoint' wrote",
         c->path, key);
}

static be_status read_text(const checkpoint *c, const char *key, char *out, size_t room,
                           be_error *err)
{
    const char *value = safetensors_metadata(c->file, key);
    if (!value || strlen(value) >= room) return refuse_metadata(c, key, err);
    strcpy(out, value);
    return BE_OK;
}

static be_status read_whole(const checkpoint *c, const char *key, int64_t *out, be_error *err)
{
    char text[VALUE_BYTES], *end = NULL;
    TRY(read_text(c, key, text, sizeof text, err));
    *out = strtoll(text, &end, 10);
    return end == text || *end || *out < 0 ? refuse_metadata(c, key, err) : BE_OK;
}

static be_status read_real(const checkpoint *c, const char *key, double *out, be_error *err)
{
    char text[VALUE_BYTES], *end = NULL;
    TRY(read_text(c, key, text, sizeof text, err));
    *out = strtod(text, &end);
    return end == text || *end ? refuse_metadata(c, key, err) : BE_OK;
}

static be_status read_optimizer(checkpoint *c, be_error *err)
{
    char name[VALUE_BYTES];
    TRY(read_text(c, "optimizer", name, sizeof name, err));
    for (size_t i = 0; i < sizeof optimizer_names / sizeof optimizer_names[0]; i++)
        if (strcmp(name, optimizer_names[i]) == 0) {
            c->state.optimizer.kind = (be_optimizer_kind)i;
            return BE_OK;
        }
    return refuse_metadata(c, "optimizer", err);
}

static be_status read_state(checkpoint *c, be_error *err)
{
    checkpoint_state *s = &c->state;
    char format[VALUE_BYTES], seed[VALUE_BYTES], *end = NULL;
    int64_t whole = 0;
    double real = 0;
    TRY(read_text(c, "format", format, sizeof format, err));
    if (strcmp(format, FORMAT_BASE "1") == 0 || strcmp(format, FORMAT_BASE "2") == 0)
        FAIL(err, BE_USAGE,
             "%s: expected a checkpoint of form " FORMAT_NUMBER
             ", found one of form %s, of an older "
             "version of this program; end that training with that version, or begin a new one "
             "without --resume",
             c->path, format + strlen(FORMAT_BASE));
    if (strcmp(format, FORMAT) != 0) return refuse_metadata(c, "format", err);
    TRY(read_text(c, "workload", s->workload, sizeof s->workload, err));
    TRY(read_text(c, "data", s->data, sizeof s->data, err));
    TRY(variant_read(c->file, c->path, &s->variant, err));
    TRY(read_optimizer(c, err));
    TRY(read_text(c, "seed", seed, sizeof seed, err));
    s->seed = strtoull(seed, &end, 10);
    if (end == seed || *end) return refuse_metadata(c, "seed", err);
#define X(key, member)                    \
    TRY(read_whole(c, key, &whole, err)); \
    s->member = whole;
    WHOLE_LIST(X)
#undef X
#define X(key, member)                  \
    TRY(read_real(c, key, &real, err)); \
    s->member = (__typeof__(s->member))real;
    REAL_LIST(X)
#undef X
    return schedule_name(s->optimizer.schedule.kind) ? BE_OK : refuse_metadata(c, "schedule", err);
}

static be_status check_checksum(const checkpoint *c, be_error *err)
{
    char expected[VALUE_BYTES], actual[16];
    uLong sum = crc32(0, NULL, 0);
    TRY(read_text(c, "crc32", expected, sizeof expected, err));
    for (int i = 0; i < safetensors_count(c->file); i++) {
        const safetensors_tensor *t = safetensors_at(c->file, i);
        sum = crc32_z(sum, t->data, t->bytes);
    }
    snprintf(actual, sizeof actual, "%08lx", sum);
    if (strcmp(actual, expected) != 0)
        FAIL(err, BE_BAD_DATA,
             "%s: expected tensors with the checksum %s, found %s; the file is damaged, use an "
             "older "
             "checkpoint",
             c->path, expected, actual);
    return BE_OK;
}

static be_status open_file(checkpoint *c, be_error *err)
{
    TRY(safetensors_open(&c->file, c->path, err));
    be_status status = read_state(c, err);
    if (status == BE_OK) status = check_checksum(c, err);
    if (status != BE_OK) checkpoint_close(c);
    return status;
}

/* Out of the way of the good ones; where that is not allowed it stays. */
static void set_aside(checkpoint *c, const char *reason)
{
    char damaged[FILE_PATH_BYTES + 16];
    snprintf(damaged, sizeof damaged, "%s.damaged", c->path);
    bool is_moved = rename(c->path, damaged) == 0;
    snprintf(c->note, sizeof c->note, "the newest checkpoint is damaged%s: %s",
             is_moved ? " and was renamed to NAME.damaged" : "", reason);
}

static be_status open_newest(checkpoint *c, const char *folder, const char *workload, be_error *err)
{
    checkpoint_folder list;
    be_error reason = {0};
    TRY(checkpoint_folder_list(&list, folder, workload, err));
    for (int i = 0; i < list.count; i++) {
        TRY(checkpoint_folder_path(c->path, folder, workload, list.steps[i], err));
        be_status status = open_file(c, &reason);
        if (status == BE_OK) return BE_OK;
        if (status != BE_BAD_DATA) {
            if (err) *err = reason;
            return status;
        }
        set_aside(c, reason.text);
    }
    FAIL(err, BE_IO,
         "%s: expected a checkpoint of %s (%s-STEP.safetensors), found %s; name another folder, or "
         "begin without --resume%s%s",
         folder, workload, workload, list.count ? "damaged ones only" : "none",
         c->note[0] ? "; " : "", c->note);
}

be_status checkpoint_open(checkpoint *out, const char *path, const char *workload, be_error *err)
{
    *out = (checkpoint){0};
    if (file_is_folder(path)) return open_newest(out, path, workload, err);
    TRY(file_format_path(out->path, err, "%s", path));
    return open_file(out, err);
}

void checkpoint_close(checkpoint *c)
{
    safetensors_close(c->file);
    c->file = NULL;
}

be_status checkpoint_restore(const checkpoint *c, be_plan *plan, be_error *err)
{
    contents parts;
    TRY(contents_new(&parts, plan, err));
    be_status status = BE_OK;
    for (int i = 0; status == BE_OK && i < parts.count; i++) {
        const void *data = NULL;
        status = safetensors_expect(c->file, &parts.tensors[i], &data, err);
        if (status == BE_OK)
            status = be_plan_write(plan, parts.values[i], data, parts.tensors[i].bytes, err);
    }
    contents_free(&parts);
    TRY(status);
    return be_plan_set_steps(plan, c->state.step, err);
}

#define SCHEDULE_BYTES 128

/* "cosine, 100 steps of warm-up, 5000 in all, down to 0.1" */
static const char *schedule_text(const be_schedule *s, char text[SCHEDULE_BYTES])
{
    int length = snprintf(text, SCHEDULE_BYTES, "%s, %" PRId64 " steps of warm-up",
                          schedule_name(s->kind), s->warmup_steps);
    MUST(length > 0 && length < SCHEDULE_BYTES);
    if (s->kind != BE_RATE_CONSTANT)
        snprintf(text + length, SCHEDULE_BYTES - (size_t)length,
                 ", %" PRId64 " in all, down to %.9g", s->total_steps, s->final_factor);
    return text;
}

be_status checkpoint_match(const checkpoint *c, const checkpoint_state *state, be_error *err)
{
    const checkpoint_state *s = &c->state;
    const be_optimizer *a = &state->optimizer, *b = &s->optimizer;
    const char *what = NULL;
    char expected[SCHEDULE_BYTES] = "", actual[SCHEDULE_BYTES] = "";
    char wanted_rates[SCHEDULE_BYTES], found_rates[SCHEDULE_BYTES];
#define DIFFERS(name, form, left, right)                 \
    if (!what) {                                         \
        what = name;                                     \
        snprintf(expected, sizeof expected, form, left); \
        snprintf(actual, sizeof actual, form, right);    \
        if (strcmp(expected, actual) == 0) what = NULL;  \
    }
    DIFFERS("workload", "%s", state->workload, s->workload)
#define X(id, member, before, after, most, noun, ...) \
    DIFFERS(noun, "%d", state->variant.member, s->variant.member)
    WORKLOAD_VARIANT_LIST(X)
#undef X
    DIFFERS("data set", "%s", state->data, s->data)
    DIFFERS("number of samples", "%" PRId64, state->count, s->count)
    DIFFERS("seed", "%" PRIu64, state->seed, s->seed)
    DIFFERS("batch", "%" PRId64, state->batch, s->batch)
    DIFFERS("optimizer", "%s", optimizer_names[a->kind], optimizer_names[b->kind])
    /* As they are computed with: a checkpoint of an older version has them in single precision. */
    DIFFERS("learning rate", "%.9g", (double)(float)a->learning_rate,
            (double)(float)b->learning_rate)
    DIFFERS("momentum", "%.9g", (double)(float)a->momentum, (double)(float)b->momentum)
    DIFFERS("weight decay", "%.9g", (double)(float)a->weight_decay, (double)(float)b->weight_decay)
    DIFFERS("largest gradient norm", "%.9g", a->max_gradient_norm, b->max_gradient_norm)
    DIFFERS("schedule", "%s", schedule_text(&a->schedule, wanted_rates),
            schedule_text(&b->schedule, found_rates))
#undef DIFFERS
    if (!what) return BE_OK;
    FAIL(err, BE_USAGE,
         "%s: expected a checkpoint with the %s %s, found one with %s; resume with the options of "
         "that training, or begin a new one without --resume",
         c->path, what, expected, actual);
}

be_status checkpoint_variant(const char *path, const workload *w, workload_variant *variant,
                             be_error *err)
{
    checkpoint_folder list;
    char newest[FILE_PATH_BYTES];
    if (!file_is_folder(path)) return variant_take(path, w, variant, err);
    TRY(checkpoint_folder_list(&list, path, w->name, err));
    for (int i = 0; i < list.count; i++) {
        safetensors *file = NULL;
        TRY(checkpoint_folder_path(newest, path, w->name, list.steps[i], err));
        if (safetensors_open(&file, newest, NULL) != BE_OK) continue; /* it is damaged */
        safetensors_close(file);
        return variant_take(newest, w, variant, err);
    }
    return BE_OK;
}

be_status checkpoint_any(const char *folder, const char *workload, bool *any, be_error *err)
{
    checkpoint_folder list;
    TRY(checkpoint_folder_list(&list, folder, workload, err));
    *any = list.count > 0;
    return BE_OK;
}

be_status checkpoint_check_folder(const char *folder, const char *workload, int64_t step,
                                  be_error *err)
{
    checkpoint_folder list;
    TRY(checkpoint_folder_list(&list, folder, workload, err));
    if (!list.count || list.steps[0] <= step) return BE_OK;
    FAIL(err, BE_USAGE,
         "%s holds a checkpoint of step %" PRId64
         " of another training of %s; go on with it by --resume, or name an empty folder by "
         "--checkpoint",
         folder, list.steps[0], workload);
}
