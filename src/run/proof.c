/* The evidence, piece by piece. */
#include "run/proof.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/text.h"

/* "40 on cpu, 2 on cuda:0" */
static void describe_work(const json_t *work, char *out, size_t room)
{
    const char *device;
    json_t *item;
    text_buffer b = text_begin(out, room);
    json_object_foreach((json_t *)work, device, item)
    {
        int64_t launches = json_integer_value(json_object_get(item, "launches"));
        text_add(&b, "%s%" PRId64 " on %s", b.used ? ", " : "", launches, device);
    }
}

/* The busy time of the device asked for as a part of all; NAN where one of them is not known. */
static double busy_share(const proof_evidence *e)
{
    const char *device;
    json_t *item;
    double all_ns = 0, own_ns = 0;
    json_object_foreach((json_t *)e->work, device, item)
    {
        const json_t *value = json_object_get(item, "busy_ns");
        double busy_ns = json_is_number(value) ? json_number_value(value) : (double)NAN;
        all_ns += busy_ns;
        if (strcmp(device, e->device) == 0) own_ns += busy_ns;
    }
    return all_ns > 0 ? own_ns / all_ns : (double)NAN;
}

static be_status check_work(const proof_evidence *e, proof *out, be_error *err)
{
    char where[200];
    if (json_object_size(e->work) == 0) return BE_OK;
    const json_t *own = json_object_get(e->work, e->device);
    out->launches = json_integer_value(json_object_get(own, "launches"));
    describe_work(e->work, where, sizeof where);
    if (out->launches < 1)
        FAIL(err, BE_FAILED,
             "%s: expected its operations on %s, found %s; it runs elsewhere than it says, so it "
             "gets no speed; ask for the device that it uses",
             e->name, e->device, where);
    double share = busy_share(e);
    if (share < PROOF_BUSY_SHARE)
        FAIL(err, BE_FAILED,
             "%s: expected %s to do most of the work, found %.0f %% of the busy time there (%s); "
             "most of it runs elsewhere, so it gets no speed; ask for the device that it uses",
             e->name, e->device, 100 * share, where);
    return BE_OK;
}

/* What the system counted, whatever the runner tells. */
static be_status check_processor(const proof_evidence *e, const proof *out, be_error *err)
{
    if (e->is_cpu && e->busy_threads < PROOF_IDLE_THREADS && !e->crowded)
        FAIL(err, BE_FAILED,
             "%s: expected a process that uses the processor while it computes there, found %.3f "
             "threads busy; it runs elsewhere than it says, so it gets no speed",
             e->name, e->busy_threads);
    bool all = e->processors > 0 && e->busy_threads > PROOF_ALL_THREADS * e->processors;
    if (!e->is_cpu && all && out->launches < 1)
        FAIL(err, BE_FAILED,
             "%s: expected launches on %s, found none told and %.2g of %d threads of the processor "
             "busy; it runs on the processor, so it gets no speed; ask for the device cpu",
             e->name, e->device, e->busy_threads, e->processors);
    return BE_OK;
}

static be_status check_limits(const proof_evidence *e, proof *out, be_error *err)
{
    double flops = e->flops_per_step / e->step_s, bytes = e->bytes_per_step / e->step_s;
    if (e->limit_flops_per_s > 0) out->of_peak = flops / e->limit_flops_per_s;
    /* Told, but no reason to refuse: what stays in the inner caches moves faster than any of this.
     */
    if (e->limit_bytes_per_s > 0) out->of_bandwidth = bytes / e->limit_bytes_per_s;
    if (out->of_peak > PROOF_OVER_LIMIT)
        FAIL(err, BE_FAILED,
             "%s: expected at most the %.4g GFLOP/s that were measured as the limit of %s, found "
             "%.4g GFLOP/s (%.3g GFLOP in a step of %.3g ms); that is impossible, so it gets no "
             "speed; if the limit is wrong, measure it again with 'breakeven devices --measure'",
             e->name, e->limit_flops_per_s * 1e-9, e->device, flops * 1e-9,
             e->flops_per_step * 1e-9, e->step_s * 1e3);
    return BE_OK;
}

be_status proof_check(const proof_evidence *e, proof *out, be_error *err)
{
    *out = (proof){.launches = -1, .of_peak = NAN, .of_bandwidth = NAN};
    TRY(check_work(e, out, err));
    TRY(check_processor(e, out, err));
    return check_limits(e, out, err);
}
