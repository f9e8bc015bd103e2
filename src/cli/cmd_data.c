/* breakeven data: what data is here, whether it is right, and fetching it. */
#include <inttypes.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/commands.h"
#include "core/json.h"
#include "core/text.h"
#include "data/get.h"
#include "data/inspect.h"
#include "graph/dtype.h"
#include "graph/graph.h"
#include "workloads/workload.h"

/* The sets that the command line names; all of them where it names none. */
typedef struct chosen_sets {
    const catalog_set *sets[DATASET_KINDS];
    int count;
} chosen_sets;

static be_status refuse_set(const char *name, be_error *err)
{
    char names[200], near[64];
    text_buffer b = TEXT_BUFFER(names);
    for (int k = 0; k < DATASET_KINDS; k++) text_add(&b, "%s ", catalog_get((dataset_kind)k)->name);
    option_nearest(name, names, near);
    FAIL(err, BE_USAGE, "data: unknown set \"%s\"%s%s%s; expected some of %sor all", name,
         near[0] ? "; did you mean " : "", near, near[0] ? "?" : "", names);
}

static be_status choose_sets(const cli_options *options, chosen_sets *out, be_error *err)
{
    bool all = options->argument_count == 1;
    out->count = 0;
    for (int a = 1; a < options->argument_count; a++) {
        dataset_kind kind;
        if (strcmp(options->arguments[a], "all") == 0) {
            all = true;
            continue;
        }
        if (catalog_find(options->arguments[a], &kind, NULL) != BE_OK)
            return refuse_set(options->arguments[a], err);
        if (out->count < DATASET_KINDS) out->sets[out->count++] = catalog_get(kind);
    }
    if (all)
        for (out->count = 0; out->count < DATASET_KINDS; out->count++)
            out->sets[out->count] = catalog_get((dataset_kind)out->count);
    return BE_OK;
}

/* ---------------------------------------------------------------- list and verify */

static const char *set_state(const inspect_report *r, bool verified)
{
    if (r->set->format == FORMAT_GENERATED) return "generated";
    if (!r->place.is_there) return "missing";
    if (verified && r->good) return "good";
    if (inspect_is_incomplete(r)) return "incomplete";
    return verified ? "damaged" : "there";
}

static json_t *file_records(const inspect_report *r)
{
    json_t *files = json_array();
    for (int f = 0; f < r->set->file_count; f++) {
        const inspect_file *file = &r->files[f];
        json_t *record = json_pack("{s:s, s:s}", "name", file->file->name, "state",
                                   inspect_state_name(file->state));
        if (file->state != INSPECT_MISSING) {
            json_object_set_new(record, "path", json_of_text(file->path));
            json_object_set_new(record, "bytes", json_integer(file->bytes));
        }
        if (file->problem.text[0])
            json_object_set_new(record, "problem", json_of_text(file->problem.text));
        json_array_append_new(files, record);
    }
    return files;
}

/* Of one that stands in for files, where no limit is given. */
static void add_drawn(const catalog_set *set, json_t *record)
{
    int64_t train = set->channels > 1 ? DATASET_SHAPES_COLOUR_TRAIN : DATASET_SHAPES_TRAIN;
    int64_t each = (int64_t)set->channels * set->height * set->width + (int64_t)sizeof(int32_t);
    json_object_set_new(record, "train", json_integer(train));
    json_object_set_new(record, "test", json_integer(DATASET_SHAPES_TEST));
    json_object_set_new(record, "memory_bytes", json_integer((train + DATASET_SHAPES_TEST) * each));
}

static json_t *set_record(const inspect_report *r, bool verified)
{
    int64_t bytes = r->archive_bytes;
    for (int f = 0; f < r->set->file_count; f++) bytes += r->files[f].bytes;
    json_t *record =
        json_pack("{s:i, s:s, s:s, s:s, s:o}", "schema", 1, "set", r->set->name, "title",
                  r->set->title, "state", set_state(r, verified), "files", file_records(r));
    if (r->set->format == FORMAT_GENERATED)
        add_drawn(r->set, record);
    else
        json_object_set_new(record, "bytes", json_integer(bytes));
    if (r->place.is_there) json_object_set_new(record, "folder", json_of_text(r->place.folder));
    if (*r->archive) json_object_set_new(record, "archive", json_of_text(r->archive));
    for (int s = 0; verified && r->set->format != FORMAT_GENERATED && s < 2; s++) {
        json_object_set_new(record, s == SPLIT_TRAIN ? "train" : "test",
                            json_integer(r->splits[s].count));
        if (r->splits[s].problem.text[0])
            json_object_set_new(record, "problem", json_of_text(r->splits[s].problem.text));
    }
    return record;
}

/* ---------------------------------------------------------------- what is drawn for networks */

static json_t *find_set(const json_t *records, const char *name)
{
    size_t i;
    json_t *record;
    json_array_foreach(records, i, record) if (strcmp(report_string(record, set, set), name) ==
                                               0) return record;
    return NULL;
}

/* Bytes of one sample; what lies in another field's memory takes none. */
static int64_t sample_bytes(const data_table *t)
{
    int64_t bytes = 0;
    for (int f = 0; f < t->fields; f++)
        if (!t->field[f].shared)
            bytes += shape_elements(&t->field[f].form.sample) *
                     (int64_t)dtype_bytes(t->field[f].form.sample.dtype);
    return bytes;
}

/* The record of a network's own set, by the name that the set gives itself; a new one if no network
 * before had it. */
static be_status drawn_record(const workload *w, json_t *records, json_t **out, be_error *err)
{
    be_dataset *one = NULL;
    dataset_options options = {.synthetic = true, .limit = 1};
    TRY(workload_data(w, SPLIT_TRAIN, &options, &one, err));
    *out = find_set(records, one->name);
    if (!*out) {
        int64_t train = w->drawn[SPLIT_TRAIN], test = w->drawn[SPLIT_TEST];
        *out = json_pack("{s:i, s:s, s:s, s:s, s:I, s:I, s:I}", "schema", 1, "set", one->name,
                         "title", one->source, "state", "generated", "train", (json_int_t)train,
                         "test", (json_int_t)test, "memory_bytes",
                         (json_int_t)((train + test) * sample_bytes(&one->table)));
        json_array_append_new(records, *out);
    }
    dataset_close(one);
    return BE_OK;
}

/* "clip, clip-b16" */
static void add_user(json_t *record, const char *name)
{
    char text[WORKLOAD_NAMES];
    const char *before = report_string(record, set, used_by);
    snprintf(text, sizeof text, "%s%s%s", before, *before ? ", " : "", name);
    json_object_set_new(record, "used_by", json_string(text));
}

/* Who uses which set; those that are drawn for a network alone are added where `drawn`. */
static be_status add_users(json_t *records, bool is_generated, be_error *err)
{
    for (int i = 0; i < WORKLOAD_COUNT; i++) {
        const workload *w = workload_table[i];
        json_t *record = NULL;
        if (!w->drawn[SPLIT_TRAIN])
            record = find_set(records, w->dataset);
        else if (is_generated)
            TRY(drawn_record(w, records, &record, err));
        if (record) add_user(record, w->name);
    }
    return BE_OK;
}

/* What it stands in for. */
static void add_stand_ins(json_t *records)
{
    for (int k = 0; k < DATASET_KINDS; k++) {
        const catalog_set *set = catalog_get((dataset_kind)k);
        json_t *from = find_set(records, set->name), *to;
        if (!from || set->format == FORMAT_GENERATED) continue;
        to = find_set(records, catalog_get(set->stand_in)->name);
        if (to) add_user(to, report_string(from, set, used_by));
    }
}

static void print_problems(const json_t *records)
{
    size_t i, f;
    json_t *record, *file;
    json_array_foreach(records, i, record)
    {
        const char *whole = report_string(record, set, problem);
        if (*whole) fprintf(cli_results, "\n"), report_paragraph(cli_results, whole, 2);
        json_array_foreach(report_member(record, set, files), f, file)
        {
            const char *problem = report_string(file, set, problem);
            if (*problem && strcmp(problem, whole) != 0)
                fprintf(cli_results, "\n"), report_paragraph(cli_results, problem, 2);
        }
    }
}

static be_status write_sets(const cli_options *options, const json_t *records, be_error *err)
{
    static const report_column columns[] = {
        {MEMBER(set, set), "set", UNIT_TEXT, NULL},
        {MEMBER(set, state), "state", UNIT_TEXT, NULL},
        {MEMBER(set, train), "train", UNIT_COUNT, NULL},
        {MEMBER(set, test), "test", UNIT_COUNT, NULL},
        {MEMBER(set, bytes), "on disk", UNIT_BYTES, NULL},
        {MEMBER(set, memory_bytes), "in memory", UNIT_BYTES, NULL},
        {MEMBER(set, used_by), "used by", UNIT_TEXT, NULL},
        {MEMBER(set, folder), "folder", UNIT_TEXT, NULL},
    };
    report_sheet sheet = {columns, sizeof columns / sizeof columns[0], records, -1};
    TRY(cli_write(options, &sheet, err));
    if (cli_format(options) == REPORT_TABLE) print_problems(records);
    return BE_OK;
}

static be_status inspect_sets(const cli_options *options, bool verify, be_error *err)
{
    const char *folder = options->value[OPTION_DATA].text;
    chosen_sets sets;
    const char *bad = NULL;
    TRY(choose_sets(options, &sets, err));
    json_t *records = json_array();
    be_status status = BE_OK;
    for (int s = 0; status == BE_OK && s < sets.count; s++) {
        static inspect_report report; /* large: six files with their paths and texts */
        cli_progress(options, "reading %s ...", sets.sets[s]->title);
        status = verify ? inspect_verify(sets.sets[s], folder, &report, err)
                        : inspect_list(sets.sets[s], folder, &report, err);
        if (status != BE_OK) break;
        json_array_append_new(records, set_record(&report, verify));
        bool asked_for = options->argument_count > 1 || report.place.is_there;
        if (verify && asked_for && strcmp(set_state(&report, true), "good") != 0 &&
            report.set->format != FORMAT_GENERATED)
            bad = report.set->name;
    }
    if (status == BE_OK) status = add_users(records, !verify && options->argument_count == 1, err);
    if (status == BE_OK) add_stand_ins(records);
    if (status == BE_OK) status = write_sets(options, records, err);
    json_decref(records);
    if (status == BE_OK && bad)
        FAIL(err, BE_BAD_DATA, "%s is missing or damaged; 'breakeven data get %s' fetches it", bad,
             bad);
    return status;
}

/* ---------------------------------------------------------------- get */

static bool show_progress(void *context, const get_progress *p)
{
    char part[REPORT_TEXT_BYTES], total[REPORT_TEXT_BYTES];
    cli_progress(context, "%s (%d of %d): %s of %s", p->file, p->index + 1, p->count,
                 report_bytes((double)p->bytes, part), report_bytes((double)p->total_bytes, total));
    return !cli_signal;
}

static be_status get_sets(const cli_options *options, be_error *err)
{
    chosen_sets sets;
    if (options->argument_count == 1)
        FAIL(err, BE_USAGE,
             "data get needs the name of a set: mnist, fashion-mnist, cifar-10 or all");
    TRY(choose_sets(options, &sets, err));
    for (int s = 0; s < sets.count; s++) {
        const catalog_set *set = sets.sets[s];
        get_options get = {.data_dir = options->value[OPTION_DATA].text,
                           .progress = show_progress,
                           .context = (void *)options};
        get_result result;
        if (set->format == FORMAT_GENERATED && sets.count > 1) continue;
        TRY(get_data_set(set, &get, &result, err));
        cli_progress_end();
        fprintf(cli_results, "%s: %d file%s fetched, %d there already, in %s\n", set->name,
                result.fetched, result.fetched == 1 ? "" : "s", result.kept, result.folder);
    }
    return BE_OK;
}

be_status cmd_data(const cli_options *options, be_error *err)
{
    const char *action = options->arguments[0];
    char near[64];
    if (strcmp(action, "list") == 0) return inspect_sets(options, false, err);
    if (strcmp(action, "verify") == 0) return inspect_sets(options, true, err);
    if (strcmp(action, "get") == 0) return get_sets(options, err);
    option_nearest(action, "list verify get", near);
    FAIL(err, BE_USAGE, "data: expected list, verify or get, found \"%s\"%s%s%s", action,
         near[0] ? "; did you mean " : "", near, near[0] ? "?" : "");
}
