/* See native_phases.h. */
#include "native/native_phases.h"

static const char *const phase_names[] = {
#define X(id, text) text,
    BE_PHASE_LIST(X)
#undef X
};

/* What the device itself worked: all ops. */
static json_t *work_of(const be_plan_times *times, const char *device)
{
    int64_t busy_ns = 0;
    for (int i = 0; i < times->op_count; i++) busy_ns += times->ops[i].ns;
    return json_pack("{s:{s:I, s:I}}", device, "launches", (json_int_t)times->launches, "busy_ns",
                     (json_int_t)busy_ns);
}

static json_t *ops_of(const be_plan_times *times)
{
    json_t *ops = json_array();
    for (int i = 0; i < times->op_count; i++) {
        const be_op_time *op = &times->ops[i];
        double steps = (double)times->steps;
        json_array_append_new(
            ops,
            json_pack("{s:s, s:s, s:s, s:s, s:I, s:I, s:f, s:f}", "op", op->op, "name", op->name,
                      "phase", phase_names[op->phase], "implementation", op->implementation,
                      "launches", (json_int_t)(op->launches * times->steps), "ns",
                      (json_int_t)op->ns, "flops", op->flops * steps, "bytes", op->bytes * steps));
    }
    return ops;
}

void native_phases_answer(const be_plan_times *times, const char *device, json_t *answer)
{
    json_t *phases = json_object();
    for (int p = 0; p < BE_PHASE_COUNT; p++) {
        int64_t ns = times->phase_ns[p];
        json_object_set_new(phases, phase_names[p], ns < 0 ? json_null() : json_integer(ns));
    }
    const struct {
        const char *name;
        int64_t value;
    } numbers[] = {{"steps", times->steps},
                   {"wall_ns", times->wall_ns},
                   {"launches", times->launches},
                   {"synchronisations", times->synchronisations},
                   {"upload_bytes", times->upload_bytes},
                   {"download_bytes", times->download_bytes}};
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        json_object_set_new(answer, numbers[i].name, json_integer(numbers[i].value));
    if (times->launch_order)
        json_object_set_new(answer, "launch_order", json_string(times->launch_order));
    json_object_set_new(answer, "phases", phases);
    json_object_set_new(answer, "work", work_of(times, device));
    json_object_set_new(answer, "ops", ops_of(times));
}
