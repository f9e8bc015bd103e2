/* What more workers would make of the training that is advised, by the model of measure/scaling.h.
 */
#include <math.h>
#include <string.h>

#include "core/json.h"
#include "report/members.h"
#include "study/advise.h"
#include "study/workers.h"

#define PART_FACTOR 4
#define GRADIENT_BYTES 4.0 /* of one parameter: gradients are added up in fp32 */

static int64_t most_workers(const study_training *training)
{
    int64_t largest = 1;
    for (int i = 0; i < training->worker_count; i++)
        if (training->workers[i] > largest) largest = training->workers[i];
    return largest;
}

int64_t advise_next_part(int64_t batch, int64_t part, const study_training *training)
{
    int64_t least = batch / most_workers(training), next = part / PART_FACTOR;
    if (least < 1) least = 1;
    if (part <= least) return 0;
    return next > least ? next : least;
}

static json_t *bounds_json(const stats_interval *s)
{
    return json_pack("{s:o, s:o, s:o}", "point", json_of_real(s->point), "low",
                     json_of_real(s->low), "high", json_of_real(s->high));
}

static stats_interval times_of(const stats_interval *s, double factor)
{
    return (stats_interval){s->point * factor, s->low * factor, s->high * factor};
}

/* Workers of this machine do; a GPU is a worker's own. */
static bool shares_cores(const candidate *of, const study_training *training)
{
    return training->link_is_local && strcmp(of->record->device, "cpu") == 0;
}

/* NAN for a worker that would have no sample, or a part outside of what was measured. */
static stats_interval part_step(const candidate *of, const advice_question *question, int64_t part)
{
    advice_question smaller = *question;
    advice_estimate e;
    smaller.batch = (double)part;
    advice_estimate_of(&of->advice, &smaller, &e);
    if (part >= 1 && e.in_range) return e.step_s;
    return (stats_interval){(double)NAN, (double)NAN, (double)NAN};
}

static json_t *point_json(const candidate *of, const advice_question *question, double bytes,
                          const study_training *training, int64_t workers)
{
    /* The last worker waits for whoever has one sample more. */
    int64_t part = ((int64_t)question->batch + workers - 1) / workers;
    if ((double)workers > question->batch) part = 0;
    scaling_reduce reduce = scaling_all_reduce(&training->link, bytes, (double)workers);
    const stats_interval *whole = &of->estimate.step_s;
    double threads = report_real(of->record->json, bench, threads), share = 1;
    if (shares_cores(of, training))
        share = scaling_share((double)workers, threads, training->cores);
    stats_interval part_alone = part_step(of, question, part), step = times_of(&part_alone, share);
    stats_interval whole_each = times_of(whole, share);
    stats_interval split = scaling_speed_up(whole, &step, reduce.seconds);
    stats_interval each = scaling_speed_up(whole, &whole_each, reduce.seconds);
    return json_pack("{s:I, s:o, s:s, s:I, s:o, s:o, s:o}", "workers", (json_int_t)workers,
                     "reduce_s", json_of_real(reduce.seconds), "reduce",
                     reduce.by_ring ? "ring" : "tree", "batch", (json_int_t)part, "step_s",
                     bounds_json(&step), "speed_up", bounds_json(&split), "efficiency",
                     bounds_json(&each));
}

json_t *advise_workers(const candidate *of, const advice_question *question,
                       const study_training *training)
{
    double bytes = GRADIENT_BYTES * (double)of->record->params;
    if (!training->worker_count) return json_null();
    json_t *points = json_array();
    for (int i = 0; i < training->worker_count; i++)
        json_array_append_new(points,
                              point_json(of, question, bytes, training, training->workers[i]));
    return json_pack("{s:b, s:o, s:o, s:o, s:o, s:o}", "shared", shares_cores(of, training),
                     "bytes_per_s", json_of_real(training->link.bytes_per_s), "latency_s",
                     json_of_real(training->link.latency_s), "gradient_bytes", json_of_real(bytes),
                     "batch", json_of_real(question->batch), "points", points);
}

be_status advise_measure_workers(const study_request *request, const study_watch *watch,
                                 study_training *training, json_t **records, be_error *err)
{
    workers_question question = {.workers = {training->worker_count, training->workers}};
    *records = NULL;
    if (!training->link_is_local) return BE_OK;
    study_request native = *request;
    native.engines = (study_names){0};
    TRY(study_workers(&native, &question, watch, records, err));
    training->link.bytes_per_s = json_real_at(*records, "bytes_per_s");
    training->link.latency_s = json_real_at(*records, "latency_s");
    training->cores = json_real_at(*records, "cores");
    if (training->link.bytes_per_s > 0) return BE_OK;
    FAIL(err, BE_USAGE,
         "--link local: the GPUs add up among themselves by a link that nothing here measures; "
         "give it as bytes per second and seconds, as in 300e9,5e-6");
}

void advise_add_measured(json_t *scaling, const json_t *records)
{
    size_t i, k;
    json_t *point, *other;
    if (!records) return;
    json_array_foreach(json_object_get(scaling, "points"), i, point) json_array_foreach(
        json_object_get(records, "points"), k,
        other) if (json_equal(json_object_get(point, "workers"), json_object_get(other, "workers")))
        json_object_set(point, "measured", json_object_get(other, "speed_up"));
}
