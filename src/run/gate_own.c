/* The reference of a user's own model, by its own library. */
#include "run/gate_own.h"

#include <string.h>
#include <unistd.h>

#include "core/file.h"

#define START_LIMIT_S 120

static be_status ask_parity(gate *g, runner *r, const gate_own_options *options,
                            gate_own_found *shape, be_error *err)
{
    protocol_call call = {
        .request = PROTOCOL_PARITY, .steps = g->steps, .judge = true, .path = g->path};
    protocol_answer answer = {0};
    TRY(runner_call(r, &call, options->limit_s, &answer, NULL, err));
    shape->draws = strcmp(answer.draws, "model") == 0     ? GATE_DRAWS_MODEL
                   : strcmp(answer.draws, "dropout") == 0 ? GATE_DRAWS_DROPOUT
                                                          : GATE_DRAWS_NOTHING;
    g->moved_gradients = answer.moved_gradients;
    g->moved_losses = answer.moved_losses;
    json_decref(shape->weights); /* of single precision after double: the same */
    json_decref(shape->input);
    shape->weights = json_incref(answer.weights);
    shape->input = json_incref(answer.input);
    protocol_answer_clear(&answer);
    be_status status = trace_of_file(&g->reference, g->path, err);
    unlink(g->path);
    return status;
}

static be_status compute(gate *g, runner *r, const gate_own_options *options, const char *precision,
                         gate_own_found *shape, be_error *err)
{
    protocol_job job = material_job(options->material, options->material_options);
    job.device = "cpu";
    job.threads = options->threads;
    job.batch = g->batch;
    job.precision = precision;
    job.mode = options->infer ? "infer" : "train";
    job.dropout = "counter";
    TRY(runner_prepare(r, &job, options->limit_s, err));
    return ask_parity(g, r, options, shape, err);
}

/* A model may hold parts that exist in single precision only; what is wrong there too is wrong. */
static be_status compute_somehow(gate *g, runner *r, const gate_own_options *options,
                                 gate_own_found *shape, be_error *err)
{
    be_status status = compute(g, r, options, "fp64", shape, err);
    if (status != BE_BAD_DATA || r->spoiled) return status;
    shape->reason = *err;
    TRY(compute(g, r, options, "fp32", shape, err));
    shape->in_single = true;
    return BE_OK;
}

be_status gate_new_own(gate *out, const gate_own_options *options, gate_own_found *shape,
                       be_error *err)
{
    const workload *w = options->material_options->workload;
    runner r = {0};
    *shape = (gate_own_found){0};
    *out = (gate){.workload = w->name,
                  .own = true,
                  .seed = options->material_options->seed,
                  .batch = options->batch < w->gate.batch ? options->batch : w->gate.batch,
                  .steps = w->gate.steps,
                  .infer = options->infer};
    runner_options start = {.name = w->name,
                            .argv = options->engine->argv,
                            .env = options->engine->env,
                            .device = "cpu",
                            .start_limit_s = START_LIMIT_S,
                            .interrupted = options->interrupted};
    TRY(file_format_path(out->path, err, "%s/parity.safetensors", options->material->folder.path));
    TRY(runner_start(&r, &start, err));
    be_status status = compute_somehow(out, &r, options, shape, err);
    runner_stop(&r);
    runner_clear(&r);
    if (status != BE_OK) gate_free(out);
    return status;
}
