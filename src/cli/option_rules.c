/* Options that have no effect beside another one, or without it: refused, so that nobody believes
 * that they act. */
#include <string.h>

#include "cli/options.h"

typedef struct option_rule {
    unsigned commands;
    option_id option, with;
    bool needs;      /* it needs the other one; else the two exclude one another */
    const char *why; /* of those that exclude one another: what is to be done */
} option_rule;

#define NOTHING_MEASURED "with --from nothing is measured; leave one of the two out"
#define FROM_EXCLUDES(option)                                             \
    {                                                                     \
        ON(advise), OPTION_##option, OPTION_FROM, false, NOTHING_MEASURED \
    }

static const option_rule rules[] = {
    {ON(devices), OPTION_REFRESH, OPTION_MEASURE, true, NULL},
    {ON(devices), OPTION_TIME, OPTION_MEASURE, true, NULL},
    {ON(train) | ON(advise), OPTION_EPOCHS, OPTION_STEPS, false,
     "both say how long to train; give one of them"},
    {ON(advise), OPTION_SAMPLES, OPTION_STEPS, false,
     "both say how long to train; give one of them"},
    {ON_ALL, OPTION_DATA, OPTION_SYNTHETIC, false,
     "with --synthetic no data set is looked for; leave one of the two out"},
    {ON_ALL, OPTION_TEXT, OPTION_SYNTHETIC, false,
     "with --synthetic no text is read; leave one of the two out"},
    {ON_ALL, OPTION_TEXT, OPTION_DATA, false,
     "with --text no data set is looked for; leave one of the two out"},
    {ON_ALL, OPTION_TOKENIZER, OPTION_TEXT, true, NULL},
    {ON(bench) | ON(train), OPTION_FORMAT, OPTION_DRY_RUN, false,
     "a plan has one form; leave --format out"},
    {ON(bench) | ON(train), OPTION_NO_STORE, OPTION_DRY_RUN, false,
     "with --dry-run nothing is measured; leave --no-store out"},
    {ON(train), OPTION_WORKERS, OPTION_DRY_RUN, false,
     "a plan is of one process; leave --workers out"},
    {ON_KEEPING, OPTION_FORMAT, OPTION_EVENTS, false, "events have one form; leave --format out"},
    {ON_KEEPING, OPTION_EVENTS, OPTION_DRY_RUN, false,
     "with --dry-run nothing happens; leave --events out"},
    {ON(train), OPTION_NEW_HEAD, OPTION_WEIGHTS, true, NULL},
    {ON(train), OPTION_OWN_PAIRS, OPTION_DRY_RUN, false,
     "a plan is of one process; leave --own-pairs out"},
    {ON(train), OPTION_SYNC_BATCH_NORM, OPTION_DRY_RUN, false,
     "a plan is of one process; leave --sync-batch-norm out"},
    {ON(train), OPTION_WEIGHTS, OPTION_RESUME, false,
     "both say which weights to start with; give one of them"},
    {ON(train), OPTION_WEIGHTS, OPTION_DRY_RUN, false,
     "a plan is the same with any weights; leave --weights out"},
    {ON(train), OPTION_TENSORBOARD, OPTION_DRY_RUN, false,
     "with --dry-run nothing is trained; leave --tensorboard out"},
    {ON(serve), OPTION_LISTEN, OPTION_TOKEN, true, NULL},
    {ON(bench), OPTION_EACH, OPTION_WORKERS, true, NULL},
    {ON(bench), OPTION_ACCUMULATE, OPTION_WORKERS, false,
     "workers are measured with one turn each; leave --accumulate out"},
    {ON(bench), OPTION_ACCUMULATE, OPTION_INFER, false,
     "inference has no gradients; leave --accumulate out"},
    {ON(advise), OPTION_WORKERS, OPTION_LINK, true, NULL},
    {ON(advise), OPTION_LINK, OPTION_WORKERS, true, NULL},
    FROM_EXCLUDES(NO_STORE),
    FROM_EXCLUDES(DEVICE),
    FROM_EXCLUDES(ENGINE),
    FROM_EXCLUDES(THREADS),
    FROM_EXCLUDES(PRECISION),
    FROM_EXCLUDES(SEED),
    FROM_EXCLUDES(DATA),
    FROM_EXCLUDES(TEXT),
    FROM_EXCLUDES(TOKENIZER),
    FROM_EXCLUDES(SYNTHETIC),
    FROM_EXCLUDES(LIMIT),
    FROM_EXCLUDES(TIME),
    FROM_EXCLUDES(MAX_TIME),
    FROM_EXCLUDES(ISA),
    FROM_EXCLUDES(LIBRARY),
    FROM_EXCLUDES(CUDA_LIB_DIR),
};

/* --text and --tokenizer are of workloads that learn from a text. */
static be_status check_text(const cli_options *options, be_error *err)
{
    const option_id of_text[] = {OPTION_TEXT, OPTION_TOKENIZER};
    const char *usual[] = {"cnn-fashion"}, *const *names = options->arguments;
    int count = options->argument_count;
    if (!count) {
        names = usual;
        count = 1;
    }
    for (int o = 0; o < 2; o++)
        for (int a = 0; a < count && options->value[of_text[o]].is_given; a++) {
            const workload *w = NULL;
            TRY(workload_find(names[a], &w, err));
            if (strcmp(w->dataset, "text") == 0) continue;
            FAIL(err, BE_USAGE,
                 "--%s: expected a workload that learns from a text, as gpt2, found %s, which "
                 "learns from %s; leave --%s out",
                 option_table[of_text[o]].name, w->name, w->dataset, option_table[of_text[o]].name);
        }
    return BE_OK;
}

/* Several precisions are contenders of a measurement side by side. */
static be_status check_precisions(const cli_options *options, be_error *err)
{
    const option_value *value = &options->value[OPTION_PRECISION];
    for (int i = 0; i < value->count; i++)
        for (int j = 0; j < i; j++)
            if (strcmp(value->words[i], value->words[j]) == 0)
                FAIL(err, BE_USAGE, "--precision: %s stands twice in \"%s\"; leave one out",
                     value->words[i], value->text);
    if (value->count < 2) return BE_OK;
    if (options->command != COMMAND_bench)
        FAIL(err, BE_USAGE,
             "--precision: expected one of them, found \"%s\"; bench alone takes several",
             value->text);
    if (options->value[OPTION_DRY_RUN].is_given)
        FAIL(err, BE_USAGE, "--precision: a plan has one, found \"%s\"; name one", value->text);
    return BE_OK;
}

static be_status check_arguments(const cli_options *options, be_error *err)
{
    const option_value *values = options->value;
    int count = options->argument_count;
    if (options->command == COMMAND_help && values[OPTION_MAN].is_given && count)
        FAIL(err, BE_USAGE, "--man: the man page is of all commands; leave \"%s\" out",
             options->arguments[0]);
    if (options->command == COMMAND_data && values[OPTION_FORMAT].is_given && count &&
        strcmp(options->arguments[0], "get") == 0)
        FAIL(err, BE_USAGE, "--format: data get has no results to write; leave it out");
    return BE_OK;
}

be_status options_check_rules(const cli_options *options, be_error *err)
{
    const option_value *values = options->value;
    const option_value *shortest = &values[OPTION_TIME], *longest = &values[OPTION_MAX_TIME];
    TRY(check_text(options, err));
    TRY(check_precisions(options, err));
    for (size_t r = 0; r < sizeof rules / sizeof *rules; r++) {
        const option_rule *rule = &rules[r];
        const char *name = option_table[rule->option].name, *other = option_table[rule->with].name;
        bool both = values[rule->with].is_given;
        if (!(rule->commands & 1u << options->command) || !values[rule->option].is_given) continue;
        if (rule->needs && !both)
            FAIL(err, BE_USAGE, "--%s: expected --%s beside it, found none; add it", name, other);
        if (!rule->needs && both) FAIL(err, BE_USAGE, "--%s and --%s: %s", name, other, rule->why);
    }
    if (shortest->is_given && longest->is_given && shortest->real > longest->real)
        FAIL(err, BE_USAGE,
             "--time: expected at most the %g s of --max-time, found %g; change one of the two",
             longest->real, shortest->real);
    return check_arguments(options, err);
}
