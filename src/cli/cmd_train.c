/* breakeven train: a real training, with what it prints. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/events.h"
#include "cli/train_page.h"
#include "cli/workers.h"
#include "core/clock.h"
#include "core/json.h"
#include "core/text.h"
#include "data/text.h"
#include "machine/environment.h"
#include "report/training.h"
#include "train/ranks.h"
#include "train/variant.h"
#include "train/weights.h"

/* ---------------------------------------------------------------- what it prints */

/* A reason, if there is one. */
static void note_scalars(const train_command *c, const char *reason)
{
    if (reason) cli_note(c->cli, "%s", reason);
}

static void show_progress(void *context, const train_progress *p)
{
    train_command *c = context;
    char speed[REPORT_TEXT_BYTES], rest[REPORT_TEXT_BYTES], loss[REPORT_TEXT_BYTES];
    cli_progress(c->cli,
                 "epoch %" PRId64 "/%" PRId64 "  step %" PRId64 "/%" PRId64
                 "  loss %s  acc %.2f%%  %s %ss/s  %s left",
                 p->epoch, p->epochs, p->step, p->steps, report_loss(p->loss, loss),
                 p->accuracy * 100, report_number(p->units_per_s, speed), c->data->table.unit,
                 report_seconds(p->left_s, rest));
    note_scalars(c, scalars_add_progress(&c->scalars, p));
    events_step(c->cli, p, c->data->table.unit);
}

/* Print it, keep it and take it; false where no memory is left. */
static bool take_record(train_command *c, json_t *record)
{
    bool is_line = cli_format(c->cli) == REPORT_JSONL && !events_wanted(c->cli);
    if (!record) return false;
    if (events_wanted(c->cli)) events_write(c->cli, "record", record);
    bool is_taken = !is_line || json_dumpf(record, cli_results, JSON_COMPACT) == 0;
    if (is_line && is_taken) fprintf(cli_results, "\n");
    request_keep(&c->listener, record, NULL);
    return json_array_append_new(c->epochs, record) == 0 && is_taken;
}

static void show_epoch(void *context, const train_epoch *e)
{
    train_command *c = context;
    if (!c->first.epoch) c->first = *e;
    c->last = *e;
    cli_progress_end();
    if (!events_wanted(c->cli) && cli_format(c->cli) == REPORT_TABLE) train_page_epoch(c, e);
    if (!take_record(c, train_page_record(c, e)) && !c->lost) c->lost = e->epoch;
    fflush(cli_results);
    note_scalars(c, scalars_add_epoch(&c->scalars, e));
}

/* The tokens of a text mean nothing without it. */
static be_status save_tokenizer(train_command *c, const char *folder, be_error *err)
{
    char path[FILE_PATH_BYTES];
    if (!c->data->tokenizer || !folder || c->tokenizer_saved) return BE_OK;
    TRY(file_make_folders(folder, err));
    TRY(file_format_path(path, err, "%s/" CLI_TOKENIZER, folder));
    TRY(text_save_tokenizer(c->data, path, err));
    c->tokenizer_saved = true;
    return BE_OK;
}

static void show_saved(void *context, const char *path, int64_t step)
{
    train_command *c = context;
    be_error reason = {0};
    const char *folder = c->options.folder ? c->options.folder : c->options.rescue_folder;
    if (save_tokenizer(c, folder, &reason) != BE_OK)
        cli_note(c->cli, "the tokenizer was not saved: %s", reason.text);
    cli_progress(c->cli, "step %" PRId64 ": saved %s", step, path);
}

static void show_note(void *context, const char *text)
{
    const train_command *c = context;
    cli_note(c->cli, "%s", text);
    events_text(c->cli, "note", text);
}

static be_status write_epochs(const train_command *c, be_error *err)
{
    static const report_column columns[] = {TRAINING_COLUMNS};
    report_sheet sheet = {columns, sizeof columns / sizeof columns[0], c->epochs, -1};
    report_format format = cli_format(c->cli);
    return format == REPORT_TABLE || format == REPORT_JSONL ? BE_OK
                                                            : cli_write(c->cli, &sheet, err);
}

/* ---------------------------------------------------------------- options */

static be_status take_save_every(train_command *c, be_error *err)
{
    const option_value *every = &c->cli->value[OPTION_CHECKPOINT_EVERY];
    char *end = NULL;
    if (!every->is_given) return BE_OK;
    if (!c->options.folder)
        FAIL(err, BE_USAGE, "--checkpoint-every needs a folder: add --checkpoint DIR");
    if (strcmp(every->text, "epoch") == 0) return BE_OK;
    c->options.save_every = strtoll(every->text, &end, 10);
    if (end == every->text || *end || c->options.save_every < 1 ||
        c->options.save_every > INT32_MAX)
        FAIL(err, BE_USAGE,
             "--checkpoint-every: expected a number of steps or 'epoch', found \"%s\"",
             every->text);
    return BE_OK;
}

/* The same command line for the first start of a training and for all that go on with it. */
static be_status take_resume_if_any(train_command *c, be_error *err)
{
    const option_value *values = c->cli->value, *folder = &values[OPTION_RESUME_IF_ANY];
    if (!folder->is_given) return BE_OK;
    if (values[OPTION_RESUME].is_given)
        FAIL(err, BE_USAGE,
             "--resume and --resume-if-any both say where to go on; give one of them");
    if (file_exists(folder->text))
        FAIL(err, BE_USAGE,
             "--resume-if-any %s: expected a folder of checkpoints, found a file; go on from it by "
             "--resume",
             folder->text);
    c->options.resume = folder->text;
    c->options.resume_if_any = true;
    if (!c->options.folder) c->options.folder = folder->text;
    return BE_OK;
}

/* Where to save, and from where to go on: --resume FOLDER saves there too. */
static be_status take_folders(train_command *c, be_error *err)
{
    const option_value *values = c->cli->value;
    const char *resume = values[OPTION_RESUME].text;
    char state[FILE_PATH_BYTES];
    c->options.folder = values[OPTION_CHECKPOINT].text;
    c->options.resume = resume;
    TRY(take_resume_if_any(c, err));
    if (resume && !c->options.folder && file_is_folder(resume)) c->options.folder = resume;
    TRY(take_save_every(c, err));
    if (c->options.folder || file_xdg(state, FILE_STATE, NULL) != BE_OK) return BE_OK;
    /* A folder of its own, for another training may have left its checkpoint there. */
    TRY(file_format_path(c->rescue, err, "%s/interrupted/%lld-%ld", state,
                         (long long)clock_unix_s(), (long)getpid()));
    c->options.rescue_folder = c->rescue;
    return BE_OK;
}

static void take_optimizer(train_command *c)
{
    const option_value *values = c->cli->value;
    be_optimizer *o = &c->options.optimizer;
    if (values[OPTION_LR].is_given) o->learning_rate = values[OPTION_LR].real;
    if (values[OPTION_CLIP].is_given) o->max_gradient_norm = values[OPTION_CLIP].real;
    o->schedule = cli_schedule(c->cli, o->schedule);
}

static be_status take_options(train_command *c, be_error *err)
{
    const option_value *values = c->cli->value;
    const workload *w = c->workload;
    int64_t batch = 0;
    TRY(option_single(c->cli, OPTION_BATCH, w->batch, &batch, err));
    c->options = (train_options){
        .workload = w,
        .group = c->group,
        .seed = cli_seed(c->cli),
        .batch = (int)batch,
        .accumulate = (int)values[OPTION_ACCUMULATE].integer,
        .epochs = values[OPTION_EPOCHS].is_given ? values[OPTION_EPOCHS].integer : w->epochs,
        .steps = values[OPTION_STEPS].integer,
        .optimizer = w->optimizer,
        .precision = cli_precision(c->cli),
        .data_on_host =
            values[OPTION_DATA_ON].is_given && strcmp(values[OPTION_DATA_ON].text, "host") == 0,
        .weights = values[OPTION_WEIGHTS].text,
        .new_head = values[OPTION_NEW_HEAD].is_given,
        .own_pairs = values[OPTION_OWN_PAIRS].is_given,
        .sync_batch_norm = values[OPTION_SYNC_BATCH_NORM].is_given,
        .watch = {c, show_progress, show_epoch, show_saved, show_note},
        .interrupted = &cli_signal,
    };
    take_optimizer(c);
    return take_folders(c, err);
}

/* The variant is what the options say, and what they leave out is as the checkpoint or the file of
 * weights has it. */
static be_status take_variant(train_command *c, be_error *err)
{
    const workload *base = c->workload;
    workload_variant variant = cli_variant(c->cli);
    if (c->options.resume) TRY(checkpoint_variant(c->options.resume, base, &variant, err));
    if (c->options.weights) TRY(variant_take(c->options.weights, base, &variant, err));
    TRY(workload_vary(base, &variant, &c->varied, &c->workload, err));
    c->options.workload = c->workload;
    return BE_OK;
}

/* ---------------------------------------------------------------- work */

/* Of all threads of this process. */
static double processor_s(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           1e-6 * (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

static be_status print_plan(const train_command *c, be_error *err)
{
    workload_model model = {0};
    be_plan *plan = NULL;
    int turns = train_turns(&c->options);
    workload_options options = {.seed = c->options.seed,
                                .batch = c->options.batch / turns,
                                .data = &c->data->table,
                                .optimizer = &c->options.optimizer};
    TRY(workload_model_new(c->workload, &options, &model, err));
    be_plan_options planning = {.mode = BE_TRAIN,
                                .precision = c->options.precision,
                                .dry_run = 1,
                                .data_on_host = c->options.data_on_host,
                                .accumulate = turns};
    be_status status = be_plan_new(model.graph, c->device, &planning, &plan, err);
    if (status == BE_OK) be_plan_print(plan, cli_results);
    be_plan_free(plan);
    be_graph_free(model.graph);
    return status;
}

static be_status read_environment(json_t **out, be_error *err)
{
    environment read;
    environment_read(NULL, false, &read);
    return environment_to_json(&read, out, err);
}

static be_status export_weights(const train_command *c, be_plan *plan, const char *path,
                                be_error *err)
{
    safetensors_string metadata[2 + WORKLOAD_DIMENSIONS] = {{"format", "pt"},
                                                            {"workload", c->workload->name}};
    char text[WORKLOAD_DIMENSIONS][VARIANT_VALUE_BYTES];
    workload_variant variant = workload_complete(c->workload);
    return weights_save(plan, path, metadata, 2 + variant_write(&variant, metadata + 2, text), err);
}

static be_status run_training(train_command *c, trainer *t, be_error *err)
{
    double before_s = processor_s();
    int64_t start_ns = clock_now_ns();
    if (be_group_rank(c->group) == 0) TRY(save_tokenizer(c, c->options.folder, err));
    TRY(trainer_run(t, err));
    c->cores = (processor_s() - before_s) / ((double)(clock_now_ns() - start_ns) * 1e-9);
    return BE_OK;
}

static be_status open_scalars(train_command *c, be_error *err)
{
    const char *folder = be_group_rank(c->group) ? NULL : c->cli->value[OPTION_TENSORBOARD].text;
    return folder ? scalars_open(&c->scalars, folder, c->counted, err) : BE_OK;
}

static be_status train(train_command *c, be_error *err)
{
    const char *weights = c->cli->value[OPTION_EXPORT].text;
    trainer t;
    /* A file that cannot be written in the end should not cost a training. */
    if (weights) TRY(file_check_output(weights, err));
    TRY(read_environment(&c->environment, err));
    TRY(trainer_open(&t, &c->options, err));
    c->trainer = &t;
    /* A copy: a training on two devices makes its plan anew. */
    snprintf(c->counted, sizeof c->counted, "%s", be_plan_describe(t.plan).counted);
    c->is_mutual = t.model.outputs.is_mutual;
    bool table = cli_format(c->cli) == REPORT_TABLE && !events_wanted(c->cli);
    if (table) train_page_head(c, t.plan);
    be_status status = open_scalars(c, err);
    if (status == BE_OK) status = run_training(c, &t, err);
    scalars_close(&c->scalars);
    cli_progress_end();
    if (status == BE_OK && table) train_page_end(c, &t);
    be_status output = write_epochs(c, status == BE_OK ? err : NULL);
    if (status == BE_OK) status = output;
    if (status == BE_OK && weights) {
        status = export_weights(c, t.plan, weights, err);
        if (status == BE_OK && table)
            fprintf(cli_results, "weights: %s\n", cli_output_name(&c->cli->value[OPTION_EXPORT]));
    }
    trainer_close(&t);
    if (status == BE_OK && c->lost)
        FAIL(err, BE_NO_MEMORY,
             "no memory was left for the record of epoch %" PRId64
             ", which is missing; the training is whole; free some and train again for it",
             c->lost);
    return status;
}

static be_status train_mixed(train_command *c, be_error *err)
{
    be_status status = mixed_begin(&c->mixed, &c->options, c->accelerator, err);
    c->group = c->options.group;
    if (status == BE_OK) status = train(c, err);
    c->group = NULL;
    return mixed_end(&c->mixed, status, err);
}

static be_status open_and_train(train_command *c, be_error *err)
{
    TRY(take_options(c, err));
    TRY(take_variant(c, err));
    request_data data = {.workload = c->workload,
                         .split = SPLIT_TRAIN,
                         .near = c->options.resume ? c->options.resume : c->options.weights};
    TRY(cli_open_devices(c->cli, &c->device, &c->accelerator, err));
    if (c->accelerator && c->cli->value[OPTION_DRY_RUN].is_given)
        FAIL(err, BE_USAGE, "--dry-run: a plan is of one device, found \"%s\"; name one",
             c->cli->value[OPTION_DEVICE].text);
    c->options.device = c->device;
    TRY(request_open_data(c->cli, &data, &c->data, err));
    c->options.data = &c->data->table;
    if (c->options.optimizer.schedule.kind != BE_RATE_CONSTANT)
        c->options.optimizer.schedule.total_steps = train_last_step(&c->options);
    if (c->cli->value[OPTION_DRY_RUN].is_given) {
        TRY(ranks_check(&c->options, err));
        return print_plan(c, err);
    }
    data.split = SPLIT_TEST;
    data.other = c->data;
    TRY(request_open_data(c->cli, &data, &c->validation, err));
    c->options.validation = &c->validation->table;
    return c->accelerator ? train_mixed(c, err) : train(c, err);
}

/* What one rank does, or the one process. */
static be_status train_here(const workers *w, be_error *err)
{
    train_command c = {.cli = w->options,
                       .group = w->group,
                       .workload = cli_workload(w->options, 0),
                       .epochs = json_array(),
                       .listener = {w->options, NULL, request_keeper(w->options)},
                       .started_ns = clock_now_ns()};
    be_status status = open_and_train(&c, err);
    dataset_close(c.data);
    dataset_close(c.validation);
    be_device_close(c.device);
    be_device_close(c.accelerator);
    request_keep_end(&c.listener);
    json_decref(c.environment);
    json_decref(c.epochs);
    return status;
}

be_status cmd_train(const cli_options *options, be_error *err)
{
    static workers w;
    be_status status = workers_open(&w, options, err);
    if (status == BE_OK && !w.started) status = train_here(&w, err);
    return workers_close(&w, status, err);
}
