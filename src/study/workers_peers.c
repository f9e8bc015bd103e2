/* PyTorch's workers (DistributedDataParallel) as a contender of several: a runner for each job, so
 * that a form which compiles does it once; each number of workers is held against the reference
 * before it is timed.
 *
 * Owns the runners, and the data and weights for them. */
#include "study/workers.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/memory.h"
#include "graph/precision.h"
#include "run/engine.h"
#include "run/gate.h"
#include "run/material.h"
#include "study/study.h"

#define START_LIMIT_S 120.0
#define RUN_LIMIT_S 600.0
#define LANES_MOST (2 * STUDY_NAMES_MAX * WORKERS_NUMBERS_MAX)

/* A training that is measured once a round. */
typedef struct lane {
    workers_job job;
    engine *engine;
    runner runner;
} lane;

struct workers_peers {
    const study_request *request;
    const study_watch *watch;
    workload varied;
    be_dataset *set;
    material material;
    material_options options;
    pythons_known pythons;
    engine engines[STUDY_NAMES_MAX];
    int engine_count;
    lane *lanes[LANES_MOST];
    int lane_count;
};

static be_status open_material(workers_peers *p, be_error *err)
{
    const workload *w = NULL;
    const study_request *r = p->request;
    TRY(workload_vary(r->workloads[0], &r->variant, &p->varied, &w, err));
    TRY(study_open_data(p->watch, &r->data, w, SPLIT_TRAIN, &p->set, err));
    p->options = (material_options){.workload = w, .set = &p->set->table, .seed = r->seed};
    return material_new(&p->material, &p->options, err);
}

be_status workers_peers_new(workers_peers **out, const study_request *request,
                            const study_watch *watch, be_error *err)
{
    void *memory = NULL;
    *out = NULL;
    TRY(memory_alloc(&memory, sizeof(workers_peers), "PyTorch's workers", err));
    workers_peers *p = memory;
    *p = (workers_peers){.request = request, .watch = watch};
    be_status status = open_material(p, err);
    if (status == BE_OK)
        *out = p;
    else
        workers_peers_close(p);
    return status;
}

void workers_peers_close(workers_peers *p)
{
    if (!p) return;
    for (int l = 0; l < p->lane_count; l++) {
        runner_clear(&p->lanes[l]->runner);
        memory_free(p->lanes[l]);
    }
    material_free(&p->material);
    dataset_close(p->set);
    memory_free(p);
}

static be_status find_engine(workers_peers *p, const char *name, engine **out, be_error *err)
{
    engine_options options = {.pythons = &p->pythons, .interrupted = p->watch->stop};
    for (int e = 0; e < p->engine_count; e++) {
        *out = &p->engines[e];
        if (strcmp((*out)->name, name) == 0) return BE_OK;
    }
    MUST(p->engine_count < STUDY_NAMES_MAX);
    *out = &p->engines[p->engine_count];
    TRY(engine_find(*out, name, &options, err));
    p->engine_count++;
    return BE_OK;
}

static protocol_job make_job(const workers_peers *p, const workers_job *job)
{
    protocol_job out = material_job(&p->material, &p->options);
    out.device = workers_on_gpus(p->request) ? "cuda:0" : "cpu";
    out.precision = p->request->precision;
    out.workers = (int)job->workers;
    out.batch = job->batch;
    out.threads = job->threads ? job->threads : p->request->usual_threads;
    return out;
}

/* No speed without parity, for each number of workers. */
static be_status check(const workers_peers *p, lane *l, be_error *err)
{
    gate g;
    gate_result result;
    be_precision precision;
    protocol_job job = make_job(p, &l->job);
    TRY(precision_find(p->request->precision, &precision, err));
    gate_options options = {.material = &p->options,
                            .folder = p->material.folder.path,
                            .workers = (int)l->job.workers,
                            .precisions = 1U << precision,
                            .interrupted = p->watch->stop};
    study_progress(p->watch, "%s: comparing with the reference ...", l->runner.name);
    TRY(gate_new(&g, &options, err));
    be_status status = gate_check(&g, &l->runner, &job, RUN_LIMIT_S, &result, err);
    gate_free(&g);
    return status;
}

static be_status start_lane(workers_peers *p, lane *l, const workers_job *job, be_error *err)
{
    char name[sizeof l->runner.name];
    const char *device = workers_on_gpus(p->request) ? "cuda:0" : "cpu";
    TRY(find_engine(p, job->engine, &l->engine, err));
    snprintf(name, sizeof name, "%s %s, %" PRId64 " worker%s", l->engine->name, device,
             job->workers, job->workers == 1 ? "" : "s");
    l->job = *job;
    TRY(runner_start(&l->runner,
                     &(runner_options){.name = name,
                                       .argv = l->engine->argv,
                                       .env = l->engine->env,
                                       .device = workers_on_gpus(p->request) ? NULL : device,
                                       .start_limit_s = START_LIMIT_S,
                                       .interrupted = p->watch->stop},
                     err));
    return BE_OK;
}

/* As many steps before, as of a native training's first epoch. */
static be_status prepare(const workers_peers *p, lane *l, bool is_checked, be_error *err)
{
    protocol_answer answer = {0};
    protocol_job job = make_job(p, &l->job);
    if (!is_checked) TRY(check(p, l, err));
    TRY(runner_prepare(&l->runner, &job, RUN_LIMIT_S, err));
    be_status status = runner_run(&l->runner, l->job.steps, RUN_LIMIT_S, &answer, NULL, err);
    protocol_answer_clear(&answer);
    return status;
}

static be_status find_lane(workers_peers *p, const workers_job *job, lane **out, be_error *err)
{
    void *memory = NULL;
    bool is_checked = false;
    for (int i = 0; i < p->lane_count; i++) {
        const workers_job *other = &p->lanes[i]->job;
        *out = p->lanes[i];
        if (other->workers != job->workers || strcmp(other->engine, job->engine) != 0) continue;
        if (other->batch == job->batch && other->threads == job->threads) return BE_OK;
        is_checked = true;
    }
    MUST(p->lane_count < LANES_MOST);
    TRY(memory_alloc(&memory, sizeof(lane), "a runner", err));
    *out = memory;
    **out = (lane){0};
    be_status status = start_lane(p, *out, job, err);
    if (status == BE_OK) status = prepare(p, *out, is_checked, err);
    if (status == BE_OK) {
        p->lanes[p->lane_count++] = *out;
        return BE_OK;
    }
    runner_clear(&(*out)->runner);
    memory_free(memory);
    return status;
}

be_status workers_peers_train(void *peers, const workers_job *job, workers_time *out, be_error *err)
{
    lane *l = NULL;
    protocol_answer answer = {0};
    TRY(find_lane(peers, job, &l, err));
    be_status status = runner_run(&l->runner, job->steps, RUN_LIMIT_S, &answer, NULL, err);
    *out = (workers_time){.step_s = (double)answer.wall_ns * 1e-9 / (double)job->steps,
                          .reduce_s = (double)NAN,
                          .bytes = (double)NAN,
                          .implementation = l->runner.prepared.implementation};
    protocol_answer_clear(&answer);
    return status;
}
