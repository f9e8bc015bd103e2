/* breakeven eval: accuracy and loss of weights from a file over the test split. */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/request.h"
#include "core/json.h"
#include "graph/precision.h"
#include "train/evaluate.h"
#include "train/variant.h"
#include "train/weights.h"

static be_status load_weights(const cli_options *options, be_plan *plan, be_error *err)
{
    const char *path = options->value[OPTION_WEIGHTS].text;
    char note[WEIGHTS_NOTE_BYTES];
    TRY(weights_load_file(plan, path, WEIGHTS_WHOLE, note, err));
    if (*note) cli_note(options, "%s: %s", path, note);
    return BE_OK;
}

static be_status evaluate(const cli_options *options, const workload *w, be_device *device,
                          const be_dataset *data, evaluation *out, be_error *err)
{
    evaluator e;
    int64_t batch = 0;
    TRY(option_single(options, OPTION_BATCH, w->batch, &batch, err));
    evaluator_options evaluation_options = {.workload = w,
                                            .device = device,
                                            .batch = (int)batch,
                                            .data = &data->table,
                                            .precision = cli_precision(options)};
    TRY(evaluator_open(&e, &evaluation_options, err));
    be_status status = load_weights(options, e.plan, err);
    if (status == BE_OK) status = evaluator_run(&e, out, err);
    evaluator_close(&e);
    TRY(status);
    if (!isfinite(out->loss))
        FAIL(err, BE_NUMERIC, "%s: the network gives a loss of %g: its weights are bad",
             options->value[OPTION_WEIGHTS].text, out->loss);
    return BE_OK;
}

static const char *accuracy_text(const json_t *record, char out[REPORT_TEXT_BYTES])
{
    snprintf(out, REPORT_TEXT_BYTES, "%.2f%%", report_real(record, epoch, accuracy) * 100);
    return out;
}

static const char *back_text(const json_t *record, char out[REPORT_TEXT_BYTES])
{
    snprintf(out, REPORT_TEXT_BYTES, "%.2f%%", report_real(record, epoch, accuracy_back) * 100);
    return out;
}

static be_status write_result(const cli_options *options, const workload *w,
                              const be_device *device, const be_dataset *data,
                              const evaluation *result, be_error *err)
{
    char units[REPORT_TEXT_BYTES];
    const report_column columns[] = {
        {MEMBER(epoch, workload), "workload", UNIT_TEXT, NULL},
        {MEMBER(epoch, accuracy), result->counted, UNIT_NUMBER, accuracy_text},
        {MEMBER(epoch, loss), "loss", UNIT_NUMBER, NULL},
        {MEMBER(epoch, count), report_samples(w->name, units), UNIT_COUNT, NULL},
        {MEMBER(epoch, seconds), "time", UNIT_SECONDS, NULL},
        {MEMBER(epoch, data), "data", UNIT_TEXT, NULL},
        w->perplexity
            ? (report_column){MEMBER(epoch, perplexity), "perplexity", UNIT_NUMBER, NULL}
            : (report_column){MEMBER(epoch, accuracy_back), "back", UNIT_NUMBER, back_text},
    };
    size_t count = sizeof columns / sizeof columns[0] - (!w->perplexity && result->back < 0);
    json_t *record = json_pack(
        "{s:i, s:s, s:o, s:o, s:f, s:f, s:I, s:I, s:f}", "schema", 1, "workload", w->name,
        "weights", json_of_text(options->value[OPTION_WEIGHTS].text), "data",
        json_of_text(data->source), "accuracy", (double)result->correct / (double)result->answers,
        "loss", result->loss, "count", (json_int_t)result->count, "correct",
        (json_int_t)result->correct, "seconds", result->seconds);
    json_object_set_new(record, "counted", json_string(result->counted));
    json_object_set_new(record, "precision", json_string(precision_name(cli_precision(options))));
    if (result->back >= 0)
        json_object_set_new(record, "accuracy_back",
                            json_real((double)result->back / (double)result->answers));
    if (w->perplexity) json_object_set_new(record, "perplexity", json_of_real(exp(result->loss)));
    json_object_set_new(record, "device", json_string(be_device_id(device)));
    json_object_set_new(record, "threads", json_integer(be_device_threads(device)));
    json_t *records = json_pack("[o]", record);
    report_sheet sheet = {columns, count, records, -1};
    be_status status = cli_write(options, &sheet, err);
    json_decref(records);
    return status;
}

/* The workload in the variant that the options, and the file of weights, say. */
static be_status find_variant(const cli_options *options, workload *room, const workload **out,
                              be_error *err)
{
    const workload *w = cli_workload(options, 0);
    workload_variant variant = cli_variant(options);
    TRY(variant_take(options->value[OPTION_WEIGHTS].text, w, &variant, err));
    return workload_vary(w, &variant, room, out, err);
}

be_status cmd_eval(const cli_options *options, be_error *err)
{
    be_device *device = NULL;
    be_dataset *data = NULL;
    evaluation result;
    workload room;
    const workload *w = NULL;
    const char *weights = options->value[OPTION_WEIGHTS].text;
    if (!options->value[OPTION_WEIGHTS].is_given)
        FAIL(err, BE_USAGE,
             "eval needs weights: --weights FILE, as train --export FILE writes them");
    TRY(cli_open_device(options, &device, err));
    be_status status = find_variant(options, &room, &w, err);
    if (status == BE_OK) {
        request_data data_request = {.workload = w, .split = SPLIT_TEST, .near = weights};
        status = request_open_data(options, &data_request, &data, err);
    }
    if (status == BE_OK) status = evaluate(options, w, device, data, &result, err);
    if (status == BE_OK) status = write_result(options, w, device, data, &result, err);
    dataset_close(data);
    be_device_close(device);
    return status;
}
