/* breakeven workloads: what each model of the ladder costs a step. */
#include "cli/cli.h"
#include "cli/commands.h"

#define SAMPLES 8192 /* of the set that the plan is told of; nothing is allocated */

static be_status plan_facts(const workload *w, be_device *device, int batch, be_mode mode,
                            be_plan_facts *out, be_error *err)
{
    workload_model model = {0};
    be_plan *plan = NULL;
    workload_options options = {
        .seed = 1, .batch = batch, .count = batch > SAMPLES ? batch : SAMPLES};
    TRY(workload_model_new(w, &options, &model, err));
    be_plan_options planning = {.mode = mode, .dry_run = 1};
    be_status status = be_plan_new(model.graph, device, &planning, &plan, err);
    if (status == BE_OK) *out = be_plan_describe(plan);
    be_plan_free(plan);
    be_graph_free(model.graph);
    return status;
}

static be_status add_workload(const workload *w, be_device *device, int batch, json_t *records,
                              be_error *err)
{
    static const char *const optimizers[] = {
#define X(id, text) text,
        BE_OPTIMIZER_LIST(X)
#undef X
    };
    be_plan_facts train = {0}, infer = {0};
    if (!batch) batch = w->batch;
    TRY(plan_facts(w, device, batch, w->link ? BE_INFER : BE_TRAIN, &train, err));
    TRY(plan_facts(w, device, batch, BE_INFER, &infer, err));
    json_t *record = json_pack(
        "{s:i, s:s, s:s, s:s, s:I, s:i, s:i, s:s, s:f, s:f, s:f, s:i, s:i, s:I, s:I}", "schema", 1,
        "workload", w->name, "summary", w->summary, "data", w->dataset, "params",
        (json_int_t)train.parameters, "batch", batch, "epochs", w->epochs, "optimizer",
        optimizers[w->optimizer.kind], "learning_rate", w->optimizer.learning_rate,
        "flops_per_step", train.flops_per_step, "bytes_per_step", train.bytes_per_step, "nodes",
        train.nodes, "reorders", train.reorders, "memory_bytes",
        (json_int_t)(train.persistent_bytes + train.activation_bytes + train.scratch_bytes),
        "infer_nodes", (json_int_t)infer.nodes);
    json_object_set_new(record, "infer_flops_per_step", json_real(infer.flops_per_step));
    json_array_append_new(records, record);
    return BE_OK;
}

be_status cmd_workloads(const cli_options *options, be_error *err)
{
    static const report_column columns[] = {
        {MEMBER(listed, workload), "workload", UNIT_TEXT, NULL},
        {MEMBER(listed, data), "data", UNIT_TEXT, NULL},
        {MEMBER(listed, params), "parameters", UNIT_COUNT, NULL},
        {MEMBER(listed, batch), "batch", UNIT_COUNT, NULL},
        {MEMBER(listed, flops_per_step), "work per step", UNIT_FLOPS, NULL},
        {MEMBER(listed, bytes_per_step), "traffic", UNIT_BYTES, NULL},
        {MEMBER(listed, memory_bytes), "memory", UNIT_BYTES, NULL},
        {MEMBER(listed, optimizer), NULL, UNIT_TEXT, NULL},
        {MEMBER(listed, nodes), NULL, UNIT_COUNT, NULL},
        {MEMBER(listed, epochs), NULL, UNIT_COUNT, NULL},
        {MEMBER(listed, learning_rate), NULL, UNIT_NUMBER, NULL},
        {MEMBER(listed, infer_flops_per_step), NULL, UNIT_FLOPS, NULL},
        {MEMBER(listed, summary), NULL, UNIT_TEXT, NULL},
    };
    int64_t batch = 0;
    be_device *device = NULL;
    TRY(option_single(options, OPTION_BATCH, 0, &batch, err));
    TRY(cli_open_device(options, &device, err));
    json_t *records = json_array();
    be_status status = BE_OK;
    for (int i = 0; status == BE_OK && i < WORKLOAD_COUNT + OPERATION_COUNT; i++) {
        const workload *w =
            i < WORKLOAD_COUNT ? workload_table[i] : operation_table[i - WORKLOAD_COUNT];
        status = add_workload(w, device, (int)batch, records, err);
        /* A batch that is too large for one network is none for the others. */
        if (status != BE_USAGE || !batch) continue;
        cli_note(options, "%s is left out: %s", w->name, err->text);
        status = BE_OK;
    }
    report_sheet sheet = {columns, sizeof columns / sizeof columns[0], records, -1};
    if (status == BE_OK) status = cli_write(options, &sheet, err);
    json_decref(records);
    be_device_close(device);
    return status;
}
