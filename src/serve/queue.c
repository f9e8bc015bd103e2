/* See queue.h. */
#include "serve/queue.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/json.h"
#include "core/memory.h"
#include "core/text.h"
#include "core/topology.h"
#include "report/members.h"

#define LINE_MAX_BYTES ((size_t)64 << 20)
#define END_NS INT64_C(20000000000) /* to save, for a child that was asked to end */
#define LINES_AT_ONCE 200           /* taken before others have their turn */

#define X(id, name, title) name,
const char *const job_names[JOB_KINDS] = {JOB_KIND_LIST(X)};
#undef X
#define X(id, name, title) title,
const char *const job_titles[JOB_KINDS] = {JOB_KIND_LIST(X)};
#undef X

job_kind job_find_kind(const char *name)
{
    int kind = 0;
    while (kind < JOB_KINDS && strcmp(job_names[kind], name) != 0) kind++;
    return (job_kind)kind;
}

const char *job_state_name(job_state state)
{
    static const char *const names[] = {"waiting", "running", "done", "failed", "stopped"};
    return names[state];
}

/* ---------------------------------------------------------------- making */

#define ON(id) (1u << SETTING_##id)
#define ON_ALL (ON(PRECISION) | ON(LIMIT) | ON(SYNTHETIC))
#define ON_MEASURED (ON_ALL | ON(DEVICE) | ON(ENGINE) | ON(SECONDS))

static stage *add_stage(job *j, const char *verb)
{
    MUST(j->count < QUEUE_STAGES);
    stage *s = &j->stages[j->count++];
    snprintf(s->verb, sizeof s->verb, "%s", verb);
    s->records = json_array();
    s->curve = json_array();
    s->apart = 1;
    return s;
}

static bool trains_on(const queue *q, const settings *s, const char *device)
{
    size_t i;
    json_t *record;
    json_array_foreach(q->machine, i, record)
    {
        if (strcmp(report_string(record, device, engine), "native") == 0 &&
            strcmp(report_string(record, device, device), device) == 0)
            return report_is(record, device, usable) &&
                   (!s->value[SETTING_ENGINE][0] || settings_has(s, SETTING_ENGINE, "native"));
    }
    return false;
}

/* A training on each device, for all to see, then the verdict. */
static void add_try(const queue *q, job *j)
{
    const settings *s = &j->settings;
    char device[SETTING_BYTES];
    for (const char *at = s->value[SETTING_DEVICE]; *at; at += strspn(at, ",")) {
        size_t length = strcspn(at, ",");
        snprintf(device, sizeof device, "%.*s", (int)length, at);
        at += length;
        if (!trains_on(q, s, device) || j->count == QUEUE_STAGES - 1) continue;
        stage *training = add_stage(j, "train");
        snprintf(training->device, sizeof training->device, "%.31s", device);
        settings_command(s, q->program, "train",
                         ON_ALL | ON(BATCH) | ON(EPOCHS) | ON(RATE) | ON(DEVICE), device,
                         &training->command);
    }
    settings_command(s, q->program, "bench", ON_MEASURED | ON(BATCH), NULL,
                     &add_stage(j, "bench")->command);
}

static void add_machine(const queue *q, job *j)
{
    command *c = &add_stage(j, "devices")->command;
    command_add(c, q->program);
    command_add(c, "devices");
    command_add(c, "--format=jsonl");
}

static be_status add_sweep(const queue *q, job *j, be_error *err)
{
    const settings *s = &j->settings;
    bool over_batch = strcmp(s->value[SETTING_AXIS], "batch") == 0;
    if (strtod(s->value[SETTING_FROM], NULL) >= strtod(s->value[SETTING_TO], NULL))
        FAIL(err, BE_USAGE, "from, to: expected a smaller number and a larger one, found %s and %s",
             s->value[SETTING_FROM], s->value[SETTING_TO]);
    settings_command(s, q->program, "sweep", ON_MEASURED | ON(AXIS) | (over_batch ? 0 : ON(BATCH)),
                     NULL, &add_stage(j, "sweep")->command);
    return BE_OK;
}

static be_status add_stages(const queue *q, job *j, be_error *err)
{
    char *devices = j->settings.value[SETTING_DEVICE];
    if (j->kind == JOB_MACHINE) {
        add_machine(q, j);
        return BE_OK;
    }
    if (!*devices && j->kind == JOB_TRY) snprintf(devices, SETTING_BYTES, "cpu");
    if (j->kind == JOB_TRY) add_try(q, j);
    if (j->kind == JOB_BREAKEVEN) return add_sweep(q, j, err);
    if (j->kind == JOB_EXPLAIN)
        settings_command(&j->settings, q->program, "explain", ON_MEASURED | ON(BATCH), NULL,
                         &add_stage(j, "explain")->command);
    return BE_OK;
}

static void free_job(job *j)
{
    for (int s = 0; s < j->count; s++) {
        json_decref(j->stages[s].step);
        json_decref(j->stages[s].curve);
        json_decref(j->stages[s].records);
        json_decref(j->stages[s].result);
    }
    memory_free(j);
}

static bool has_ended(const job *j)
{
    return j->state != JOB_WAITING && j->state != JOB_RUNNING;
}

/* Room for one more: without the oldest that has ended. */
static void forget_oldest(queue *q)
{
    for (int i = 0; q->count == QUEUE_KEPT && i < q->count; i++) {
        if (!has_ended(q->jobs[i])) continue;
        free_job(q->jobs[i]);
        q->count--;
        memmove(q->jobs + i, q->jobs + i + 1, (size_t)(q->count - i) * sizeof *q->jobs);
    }
}

int queue_waiting(const queue *q)
{
    int waiting = 0;
    for (int i = 0; i < q->count; i++) waiting += q->jobs[i]->state == JOB_WAITING;
    return waiting;
}

be_status queue_add(queue *q, job_kind kind, const settings *s, int64_t *id, be_error *err)
{
    void *memory = NULL;
    if (queue_waiting(q) >= QUEUE_WAITING)
        FAIL(err, BE_UNAVAILABLE, "%d studies wait already; let one end, or stop one",
             QUEUE_WAITING);
    TRY(memory_alloc(&memory, sizeof(job), "a study", err));
    job *j = memory;
    j->kind = kind;
    j->settings = *s;
    be_status status = add_stages(q, j, err);
    if (status != BE_OK) {
        free_job(j);
        return status;
    }
    forget_oldest(q);
    j->id = *id = ++q->last_id;
    j->version = ++q->version;
    q->jobs[q->count++] = j;
    queue_work(q);
    return BE_OK;
}

be_status queue_open(queue *q, const char *program, be_error *err)
{
    settings usual = settings_usual();
    int64_t id = 0;
    *q = (queue){.program = program};
    return queue_add(q, JOB_MACHINE, &usual, &id, err);
}

void queue_close(queue *q)
{
    if (q->child) {
        kill((pid_t)child_pid(q->child), SIGTERM);
        child_stop(q->child, (double)END_NS * 1e-9, NULL, 0, NULL);
    }
    for (int i = 0; i < q->count; i++) free_job(q->jobs[i]);
    json_decref(q->machine);
    *q = (queue){0};
}

/* ---------------------------------------------------------------- looking */

job *queue_find(const queue *q, int64_t id)
{
    for (int i = 0; i < q->count; i++)
        if (q->jobs[i]->id == id) return q->jobs[i];
    return NULL;
}

const job *queue_running(const queue *q)
{
    for (int i = 0; i < q->count; i++)
        if (q->jobs[i]->state == JOB_RUNNING) return q->jobs[i];
    return NULL;
}

int queue_ahead(const queue *q, int64_t id)
{
    int ahead = 0;
    for (int i = 0; i < q->count && q->jobs[i]->id != id; i++) ahead += !has_ended(q->jobs[i]);
    return ahead;
}

int queue_watch(const queue *q, struct pollfd out[2], int64_t *until_ns)
{
    struct pollfd both[2];
    int count = 0;
    if (!q->child) return 0;
    child_watch(q->child, both);
    for (int i = 0; i < 2; i++)
        if (both[i].fd >= 0) out[count++] = both[i];
    if (q->kill_ns) *until_ns = q->kill_ns;
    return count;
}

/* ---------------------------------------------------------------- events */

/* Every point until there are too many, then half of them, twice as far apart. */
static void add_to_curve(stage *s, const json_t *event, double seconds)
{
    json_t *step = s->step;
    double epoch = json_real_at(step, "epoch"), steps = json_real_at(step, "steps");
    int64_t at = (int64_t)((epoch - 1) * steps + json_real_at(step, "step"));
    if (at < s->next) return;
    json_array_append_new(s->curve,
                          json_pack("[I, O, O, f]", (json_int_t)at, json_at(event, "loss"),
                                    json_at(event, "accuracy"), seconds));
    s->next = at + s->apart;
    if (json_array_size(s->curve) < QUEUE_CURVE) return;
    for (size_t i = json_array_size(s->curve) / 2; i > 0; i--)
        json_array_remove(s->curve, 2 * i - 1);
    s->apart *= 2;
}

static void take_step(stage *s, const json_t *event, job *j)
{
    static const char *const members[] = {"epoch", "epochs", "step", "steps", "units_per_s"};
    for (size_t i = 0; i < sizeof members / sizeof *members; i++)
        if (!json_is_number(json_at(event, members[i]))) return;
    json_decref(s->step);
    s->step = json_incref((json_t *)event);
    double rate = json_real_at(event, "units_per_s"), left_s = json_real_at(event, "left_s");
    double steps_so_far = (json_real_at(event, "epoch") - 1) * json_real_at(event, "steps") +
                          json_real_at(event, "step");
    double whole = json_real_at(event, "epochs") * json_real_at(event, "steps");
    /* What is left takes as long a step as what is done. */
    double seconds =
        whole > steps_so_far && rate > 0 ? left_s * steps_so_far / (whole - steps_so_far) : 0;
    add_to_curve(s, event, seconds);
    snprintf(j->line, sizeof j->line, "training on %s", s->device);
}

static void take_event(stage *s, const json_t *event, job *j)
{
    const char *kind = json_text_at(event, "event"), *text = json_text_at(event, "text");
    json_t *value = json_at(event, "value");
    if (!*kind) value = (json_t *)event; /* of a command without events: a record a line */
    if (strcmp(kind, "progress") == 0)
        snprintf(j->line, sizeof j->line, "%.*s", (int)text_cut(text, 390), text);
    else if (strcmp(kind, "note") == 0)
        text_clean(text, strlen(text), false, j->note, sizeof j->note);
    else if (strcmp(kind, "step") == 0)
        take_step(s, event, j);
    else if ((strcmp(kind, "so far") == 0 || strcmp(kind, "result") == 0) && value) {
        json_decref(s->result);
        s->result = json_incref(value);
    } else if (value && json_array_size(s->records) < QUEUE_RECORDS)
        json_array_append(s->records, value);
}

static void take_line(queue *q, job *j, const char *line)
{
    json_error_t where;
    json_t *event = json_loads(line, JSON_REJECT_DUPLICATES, &where);
    if (json_is_object(event)) take_event(&j->stages[j->at], event, j);
    json_decref(event);
    j->version = ++q->version;
}

/* ---------------------------------------------------------------- children */

static void end_job(queue *q, job *j, job_state state)
{
    j->state = state;
    j->version = ++q->version;
    j->line[0] = 0;
    q->done += state == JOB_DONE;
    q->failed += state == JOB_FAILED;
    q->stopped += state == JOB_STOPPED;
}

static void start_stage(queue *q, job *j)
{
    stage *s = &j->stages[j->at];
    be_error err = {0};
    child_options options = {.argv = s->command.word, .line_max = LINE_MAX_BYTES, .plain = true};
    j->state = s->state = JOB_RUNNING;
    j->version = ++q->version;
    q->kill_ns = 0;
    topology_unbind(); /* OpenMP may have pinned this thread, and the command would inherit that */
    if (child_start(&q->child, &options, &err) == BE_OK) return;
    s->state = JOB_FAILED;
    snprintf(s->fault, sizeof s->fault, "%s", err.text);
    end_job(q, j, JOB_FAILED);
}

/* The last thing that the command said, without its name. */
static void take_fault(stage *s, const char *log, const char *ending)
{
    static const char name[] = "breakeven: ";
    const char *last = strrchr(log, '\n');
    last = last ? last + 1 : log;
    if (strncmp(last, name, sizeof name - 1) == 0) last += sizeof name - 1;
    if (*last)
        snprintf(s->fault, sizeof s->fault, "%.*s", (int)text_cut(last, 900), last);
    else
        snprintf(s->fault, sizeof s->fault, "the command %s", ending);
}

/* The devices, of which every other study names some. */
static void keep_machine(queue *q, const stage *s)
{
    json_decref(q->machine);
    q->machine = json_incref(s->records);
}

static void end_stage(queue *q, job *j, const char *fault)
{
    stage *s = &j->stages[j->at];
    char log[4000], ending[200];
    child_log(q->child, log, sizeof log);
    int code = child_stop(q->child, 2, ending, sizeof ending, NULL);
    q->child = NULL;
    bool good = code == 0 && !fault;
    s->state = j->stopping ? JOB_STOPPED : good ? JOB_DONE : JOB_FAILED;
    if (fault)
        snprintf(s->fault, sizeof s->fault, "%s", fault);
    else if (s->state == JOB_FAILED)
        take_fault(s, log, ending);
    if (s->state == JOB_DONE && j->kind == JOB_MACHINE) keep_machine(q, s);
    /* A training that failed is told, and the others go on: so does bench with its contenders. */
    bool goes_on = !j->stopping && j->at + 1 < j->count;
    if (goes_on) {
        j->at++;
        start_stage(q, j);
        return;
    }
    bool failed = false;
    for (int i = 0; i < j->count; i++) failed |= j->stages[i].state == JOB_FAILED;
    end_job(q, j, j->stopping ? JOB_STOPPED : failed ? JOB_FAILED : JOB_DONE);
}

static void start_next(queue *q)
{
    for (int i = 0; !q->child && i < q->count; i++)
        if (q->jobs[i]->state == JOB_WAITING) start_stage(q, q->jobs[i]);
}

void queue_work(queue *q)
{
    job *j = (job *)queue_running(q);
    const char *line = NULL;
    bool has_ended = false;
    for (int lines = 0; q->child && j && lines < LINES_AT_ONCE && !has_ended; lines++) {
        be_error err = {0};
        be_status status = child_take_line(q->child, &line, &has_ended, &err);
        if (status != BE_OK) {
            end_stage(q, j, err.text);
            break;
        }
        if (line) take_line(q, j, line);
        if (!line && !has_ended) break;
    }
    bool late = q->kill_ns && clock_now_ns() >= q->kill_ns;
    if (q->child && j && (has_ended || late)) end_stage(q, j, NULL);
    start_next(q);
}

be_status queue_stop(queue *q, int64_t id, be_error *err)
{
    job *j = queue_find(q, id);
    if (!j || has_ended(j))
        FAIL(err, BE_USAGE, "expected a study that waits or runs, found that %" PRId64 " %s", id,
             j ? "has ended" : "is none");
    j->stopping = true;
    if (j->state == JOB_WAITING) {
        end_job(q, j, JOB_STOPPED);
        return BE_OK;
    }
    kill((pid_t)child_pid(q->child), SIGTERM);
    if (!q->kill_ns) q->kill_ns = clock_now_ns() + END_NS;
    j->version = ++q->version;
    return BE_OK;
}
