/* The request to prepare a job. */
#include "protocol/protocol_prepare.h"

#include <inttypes.h>
#include <math.h>

#include "graph/schedule.h"

static json_t *protocol_text_or_null(const char *text)
{
    return text ? json_string(text) : json_null();
}

static json_t *protocol_numbers(const double *values, int count)
{
    json_t *list = json_array();
    for (int i = 0; i < count; i++) json_array_append_new(list, json_real(values[i]));
    return list;
}

/* JSON has no word for what is not finite. */
static be_status protocol_check_numbers(const protocol_job *job, be_error *err)
{
    const protocol_optimizer *o = &job->optimizer;
    const double settings[] = {
        o->lr,    o->momentum, o->weight_decay,      o->beta1,
        o->beta2, o->epsilon,  o->max_gradient_norm, o->schedule.final_factor};
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++)
        if (!isfinite(settings[i]))
            FAIL(err, BE_USAGE, "prepare: expected finite numbers for the optimizer, found %g",
                 settings[i]);
    for (int t = 0; t < job->transform_count; t++) {
        const protocol_transform *transform = &job->transforms[t];
        if (!transform->field || transform->channels < 1 ||
            transform->channels > PROTOCOL_CHANNELS_MAX)
            FAIL(err, BE_USAGE,
                 "prepare: expected a field of 1 to %d channels to normalise, found %d",
                 PROTOCOL_CHANNELS_MAX, transform->channels);
        for (int i = 0; i < transform->channels; i++)
            if (!isfinite(transform->mean[i]) || !isfinite(transform->std[i]))
                FAIL(err, BE_USAGE,
                     "prepare: expected finite means and deviations, found %g and %g",
                     transform->mean[i], transform->std[i]);
    }
    return BE_OK;
}

be_status protocol_check_job(const protocol_job *job, be_error *err)
{
    if (!job || !job->workload || !job->device || !job->precision || !job->mode)
        FAIL(err, BE_USAGE, "prepare: expected a workload, device, precision and mode, found none");
    if (job->batch < 1)
        FAIL(err, BE_USAGE, "prepare: expected a batch of at least 1, found %" PRId64, job->batch);
    if (job->threads < 1)
        FAIL(err, BE_USAGE, "prepare: expected at least 1 thread, found %d", job->threads);
    if (job->seed > INT64_MAX)
        FAIL(err, BE_USAGE, "prepare: expected a seed below 2^63, found %" PRIu64, job->seed);
    return protocol_check_numbers(job, err);
}

static json_t *protocol_transforms(const protocol_job *job)
{
    json_t *out = json_object();
    for (int t = 0; t < job->transform_count; t++) {
        const protocol_transform *from = &job->transforms[t];
        json_object_set_new(out, from->field,
                            json_pack("{s:o, s:o}", "mean",
                                      protocol_numbers(from->mean, from->channels), "std",
                                      protocol_numbers(from->std, from->channels)));
    }
    return out;
}

static json_t *protocol_schedule(const be_schedule *s)
{
    return json_pack("{s:s, s:I, s:I, s:f}", "kind", schedule_name(s->kind), "warmup_steps",
                     (json_int_t)s->warmup_steps, "total_steps", (json_int_t)s->total_steps,
                     "final_factor", s->final_factor);
}

json_t *protocol_prepare_object(const protocol_job *job)
{
    const protocol_optimizer *o = &job->optimizer;
    json_t *optimizer =
        json_pack("{s:s, s:f, s:f, s:f, s:f, s:f, s:f}", "name", o->name ? o->name : "sgd", "lr",
                  o->lr, "momentum", o->momentum, "weight_decay", o->weight_decay, "beta1",
                  o->beta1, "beta2", o->beta2, "epsilon", o->epsilon);
    if (o->max_gradient_norm != 0)
        json_object_set_new(optimizer, "max_gradient_norm", json_real(o->max_gradient_norm));
    if (o->matrices_decay) json_object_set_new(optimizer, "decay", json_string("matrices"));
    if (schedule_last_step(&o->schedule) > 0)
        json_object_set_new(optimizer, "schedule", protocol_schedule(&o->schedule));
    json_t *object = json_pack(
        "{s:s, s:s, s:s, s:s, s:i, s:I, s:s, s:I, s:o, s:o, s:o, s:o, s:s, s:s}", "op", "prepare",
        "workload", job->workload, "device", job->device, "precision", job->precision, "threads",
        job->threads, "batch", (json_int_t)job->batch, "mode", job->mode, "seed",
        (json_int_t)job->seed, "data", protocol_text_or_null(job->data), "weights",
        protocol_text_or_null(job->weights), "normalize", protocol_transforms(job), "optimizer",
        optimizer, "dropout", job->dropout ? job->dropout : "engine", "data_on",
        job->data_on ? job->data_on : "device");
    if (job->workers > 1) json_object_set_new(object, "workers", json_integer(job->workers));
    if (job->accumulate > 1)
        json_object_set_new(object, "accumulate", json_integer(job->accumulate));
    if (job->model) json_object_set_new(object, "model", json_string(job->model));
    for (int d = 0; d < WORKLOAD_DIMENSIONS; d++) {
        int value = workload_variant_get(&job->variant, (workload_dimension)d);
        if (value) json_object_set_new(object, workload_dimension_names[d], json_integer(value));
    }
    return object;
}
