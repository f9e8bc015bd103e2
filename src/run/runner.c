/* Calls to one runner. */
#include "run/runner.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/text.h"
#include "core/topology.h"

#define RUNNER_QUIT_S 5.0

be_status runner_call(runner *r, const protocol_call *call, double limit_s, protocol_answer *answer,
                      int64_t *outside_ns, be_error *err)
{
    *answer = (protocol_answer){0};
    if (!r->child || r->spoiled)
        FAIL(err, BE_FAILED, "%s: expected a runner that answers, found one that has failed",
             r->name);
    char *request = NULL;
    const char *line = NULL;
    size_t length = 0;
    be_status status = protocol_encode(call, &request, err);
    if (status == BE_OK) status = child_expect_silence(r->child, err);
    int64_t start_ns = clock_now_ns(), end_ns = start_ns;
    int64_t deadline_ns = start_ns + (int64_t)(limit_s * 1e9);
    if (status == BE_OK) status = child_send(r->child, request, strlen(request), deadline_ns, err);
    if (status == BE_OK)
        status = child_read_line(r->child, &line, &length, &end_ns, deadline_ns, err);
    free(request);
    r->spoiled = status != BE_OK;
    if (status == BE_OK) {
        status = protocol_parse(call, line, length, answer, err);
        r->spoiled = status != BE_OK && !answer->refused;
    }
    if (outside_ns) *outside_ns = end_ns - start_ns;
    if (r->spoiled && status != BE_INTERRUPTED)
        status_prefix(err, "%s, request %s", r->name, protocol_request_name(call->request));
    else if (status != BE_OK && status != BE_INTERRUPTED)
        status_prefix(err, "%s", r->name); /* a refusal names its request */
    return status;
}

be_status runner_begin(runner *r, const runner_options *options, be_error *err)
{
    *r = (runner){.interrupted = options->interrupted, .peak_rss_bytes = -1};
    snprintf(r->name, sizeof r->name, "%s", options->name);
    child_options child = {
        .argv = options->argv,
        .env = options->env,
        .line_max = PROTOCOL_LINE_MAX,
        .is_astray = protocol_is_answer,
        .interrupted = options->interrupted,
    };
    /* OpenMP may have pinned this thread, and the child would inherit that. */
    if (!topology_bind(options->cores, r->processors, sizeof r->processors)) topology_unbind();
    be_status status = child_start(&r->child, &child, err);
    topology_unbind();
    if (status != BE_OK) status_prefix(err, "%s", r->name);
    return status;
}

be_status runner_greet(runner *r, const runner_options *options, be_error *err)
{
    protocol_call hello = {
        .request = PROTOCOL_HELLO, .device = options->device, .try_devices = options->try_devices};
    be_status status = runner_call(r, &hello, options->start_limit_s, &r->hello, NULL, err);
    if (status != BE_OK) runner_stop(r);
    return status;
}

be_status runner_start(runner *r, const runner_options *options, be_error *err)
{
    TRY(runner_begin(r, options, err));
    return runner_greet(r, options, err);
}

/* BE_OK if hello named the device. */
static be_status runner_check_device(const runner *r, const char *device, be_error *err)
{
    char list[400];
    text_buffer b = TEXT_BUFFER(list);
    size_t i;
    json_t *item;
    json_array_foreach(r->hello.devices, i, item)
    {
        const char *id = json_string_value(json_object_get(item, "id"));
        if (!strcmp(id, device)) return BE_OK;
        text_add(&b, "%s%s", i ? ", " : "", id);
    }
    FAIL(err, BE_UNAVAILABLE, "%s: expected a device of this engine (%s), found '%s'", r->name,
         *list ? list : "it has none", device);
}

be_status runner_prepare(runner *r, const protocol_job *job, double limit_s, be_error *err)
{
    TRY(runner_check_device(r, job->device, err));
    protocol_call call = {.request = PROTOCOL_PREPARE, .job = job};
    protocol_answer_clear(&r->prepared);
    return runner_call(r, &call, limit_s, &r->prepared, NULL, err);
}

be_status runner_run(runner *r, int64_t steps, double limit_s, protocol_answer *answer,
                     int64_t *outside_ns, be_error *err)
{
    protocol_call call = {.request = PROTOCOL_RUN, .steps = steps};
    return runner_call(r, &call, limit_s, answer, outside_ns, err);
}

void runner_stop(runner *r)
{
    if (!r->child) return;
    int64_t peak_bytes = child_peak_rss_bytes(r->child), ended_bytes = -1;
    protocol_answer answer = {0};
    be_error ignored;
    bool is_asked = !r->spoiled && runner_call(r, &(protocol_call){.request = PROTOCOL_QUIT},
                                               RUNNER_QUIT_S, &answer, NULL, &ignored) == BE_OK;
    protocol_answer_clear(&answer);
    child_log(r->child, r->log, sizeof r->log);
    child_stop(r->child, is_asked ? RUNNER_QUIT_S : 0, r->ending, sizeof r->ending, &ended_bytes);
    r->child = NULL;
    /* Where the system tells of the living, that is the better number: what wait4 tells may still
     * count the parent's memory, from before the child became another program. */
    r->peak_rss_bytes = peak_bytes >= 0 ? peak_bytes : ended_bytes;
}

void runner_clear(runner *r)
{
    runner_stop(r);
    protocol_answer_clear(&r->hello);
    protocol_answer_clear(&r->prepared);
}
