/* See fake_child.h. */
#include "fake_child.h"

#include <jansson.h>
#include <math.h>
#include <sched.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/rng.h"
#include "fake.h"
#include "machine/load.h"
#include "protocol/protocol.h"
#include "run/child.h"
#include "support.h"

#define START_S 0.05
#define MESSAGE_NS 20000 /* on the way, to or fro */
#define SETTLE_NS 600000 /* two looks at a process that sleeps */
#define OWN_BYTES (INT64_C(16) << 20)

typedef struct wish {
    double step, first, noise, spin, spin_after, loss, rise, claim, jump;
    double reference, hot, hot_step;
    double late;   /* seconds more until it answers, from run AT on */
    double others; /* share of the processors that other programs have, for stat */
    int64_t seed, at, memory, threads, prepares, moody, hot_from, hot_for;
    const char *engine, *refuse, *fault, *precision, *warning, *works_on, *energy, *energy_uj;
    const char *stat; /* file that it writes as if it were /proc/stat */
    bool unsynchronised, silent, constant, where;
} wish;

struct child {
    wish wish;
    rng random;
    const volatile sig_atomic_t *interrupted;
    json_t *request;
    char *answer;
    char device[32], processors[128];
    int64_t takes_ns; /* from the request to the answer */
    int64_t cpu_ns, spins_from_ns, spins_until_ns, pending_until_ns, last_step_ns;
    int64_t runs, preparations, readings, asked_for_phases;
    int exit_code;
    bool hangs, dies;
};

fake_clock fake_child_clock = {.born_s = 1700000000};
void (*fake_child_hangs)(void);
int fake_child_count;

int fake_child_set_up(void **state)
{
    (void)state;
    fake_clock_use(&fake_child_clock);
    return 0;
}

/* ------------------------------------------------------------------ wishes */

typedef struct option {
    const char *name;
    enum { FLAG, REAL, INTEGER, TEXT, SHARE, ENERGY } kind;
    size_t at;
} option;

static const option options[] = {
    {"--step", REAL, offsetof(wish, step)},
    {"--first", REAL, offsetof(wish, first)},
    {"--noise", REAL, offsetof(wish, noise)},
    {"--spin", SHARE, offsetof(wish, spin)},
    {"--spin-after", REAL, offsetof(wish, spin_after)},
    {"--loss", REAL, offsetof(wish, loss)},
    {"--rise", REAL, offsetof(wish, rise)},
    {"--claim", REAL, offsetof(wish, claim)},
    {"--jump", REAL, offsetof(wish, jump)},
    {"--reference", REAL, offsetof(wish, reference)},
    {"--hot", REAL, offsetof(wish, hot)},
    {"--hot-step", REAL, offsetof(wish, hot_step)},
    {"--late", REAL, offsetof(wish, late)},
    {"--others", REAL, offsetof(wish, others)},
    {"--seed", INTEGER, offsetof(wish, seed)},
    {"--at", INTEGER, offsetof(wish, at)},
    {"--memory", INTEGER, offsetof(wish, memory)},
    {"--threads", INTEGER, offsetof(wish, threads)},
    {"--prepares", INTEGER, offsetof(wish, prepares)},
    {"--moody", INTEGER, offsetof(wish, moody)},
    {"--hot-from", INTEGER, offsetof(wish, hot_from)},
    {"--hot-for", INTEGER, offsetof(wish, hot_for)},
    {"--engine", TEXT, offsetof(wish, engine)},
    {"--refuse", TEXT, offsetof(wish, refuse)},
    {"--fault", TEXT, offsetof(wish, fault)},
    {"--precision", TEXT, offsetof(wish, precision)},
    {"--warning", TEXT, offsetof(wish, warning)},
    {"--works-on", TEXT, offsetof(wish, works_on)},
    {"--stat", TEXT, offsetof(wish, stat)},
    {"--energy", ENERGY, offsetof(wish, energy)},
    {"--unsynchronised", FLAG, offsetof(wish, unsynchronised)},
    {"--unsynchronised-silent", FLAG, offsetof(wish, silent)},
    {"--constant", FLAG, offsetof(wish, constant)},
    {"--where", FLAG, offsetof(wish, where)},
};

/* The number of arguments that the option at argv[0] took, itself among them. */
static int take_option(wish *out, const char *const *argv)
{
    const option *o = options, *end = options + sizeof options / sizeof *options;
    while (o < end && strcmp(o->name, argv[0]) != 0) o++;
    if (o == end) fail_msg("a fake inside the test knows no %s", argv[0]);
    void *place = (char *)out + o->at;
    bool valued = argv[1] && strncmp(argv[1], "--", 2) != 0;
    switch (o->kind) {
    case FLAG:
        *(bool *)place = true;
        return 1;
    case SHARE:
        *(double *)place = valued ? atof(argv[1]) : 1;
        return valued ? 2 : 1;
    case REAL:
        *(double *)place = atof(argv[1]);
        return 2;
    case INTEGER:
        *(int64_t *)place = atoll(argv[1]);
        return 2;
    case ENERGY:
        out->energy_uj = argv[2];
        *(const char **)place = argv[1];
        return 3;
    default:
        *(const char **)place = argv[1];
        return 2;
    }
}

/* Those that a process of the caller's would work on; "" where the system does not tell. */
static void list_processors(char *out, size_t size)
{
    *out = 0;
#ifdef __linux__
    cpu_set_t set;
    size_t used = 0;
    assert_int_equal(sched_getaffinity(0, sizeof set, &set), 0);
    for (int p = 0; p < CPU_SETSIZE && used < size; p++)
        if (CPU_ISSET(p, &set))
            used += (size_t)snprintf(out + used, size - used, "%s%d", used ? "," : "", p);
#else
    (void)size;
#endif
}

be_status child_start(child **out, const child_options *wanted, be_error *err)
{
    *out = NULL;
    if (strcmp(wanted->argv[0], "/usr/bin/env") != 0)
        FAIL(err, BE_UNAVAILABLE, "starting '%s': there is no such fake", wanted->argv[0]);
    child *c = calloc(1, sizeof *c);
    c->wish = (wish){.step = 0.001,
                     .loss = 2.3,
                     .claim = 1,
                     .hot = 1,
                     .hot_step = 1,
                     .seed = 1,
                     .at = 1,
                     .prepares = INT64_MAX,
                     .hot_for = INT64_MAX / 2,
                     .engine = "fake",
                     .refuse = "",
                     .fault = ""};
    for (const char *const *argv = wanted->argv + FAKE_PROGRAM; *argv;)
        argv += take_option(&c->wish, argv);
    c->random = (rng){.key = {.seed = (uint64_t)c->wish.seed, .stream = RNG_TEST}};
    c->interrupted = wanted->interrupted;
    list_processors(c->processors, sizeof c->processors);
    fake_child_count++;
    *out = c;
    return BE_OK;
}

/* ----------------------------------------------------------------- answers */

static int64_t ns_of(double seconds)
{
    return (int64_t)llround(seconds * 1e9);
}

static void answer(child *c, json_t *members)
{
    json_object_set_new(members, "ok", json_true());
    c->answer = json_dumps(members, JSON_COMPACT);
    json_decref(members);
}

static void refuse(child *c, const char *status, const char *text)
{
    json_t *refusal = json_pack("{s:b, s:s, s:s}", "ok", 0, "status", status, "error", text);
    c->answer = json_dumps(refusal, JSON_COMPACT);
    json_decref(refusal);
}

/* What its threads used that spun on after the last run. */
static int64_t spun_ns(const child *c)
{
    int64_t now_ns = fake_child_clock.now_ns;
    int64_t until_ns = now_ns < c->spins_until_ns ? now_ns : c->spins_until_ns;
    return until_ns > c->spins_from_ns ? until_ns - c->spins_from_ns : 0;
}

static bool is_hot(const child *c)
{
    int64_t since = c->readings - c->wish.hot_from;
    return since >= 0 && since < c->wish.hot_for;
}

static void hello(child *c)
{
    c->takes_ns = ns_of(START_S);
    answer(c, json_pack("{s:i, s:s, s:s, s:{s:s}, s:[{s:s, s:s}, {s:s, s:s}]}", "schema",
                        PROTOCOL_SCHEMA, "engine", c->wish.engine, "version", "1.0", "libraries",
                        "blas", "none", "devices", "id", "cpu", "name", "a fake processor", "id",
                        "cuda:0", "name", "a fake accelerator"));
}

static void prepare(child *c)
{
    const wish *w = &c->wish;
    json_int_t threads = json_integer_value(json_object_get(c->request, "threads"));
    const char *precision = json_string_value(json_object_get(c->request, "precision"));
    json_t *warnings = json_array();
    if (w->warning) json_array_append_new(warnings, json_string(w->warning));
    snprintf(c->device, sizeof c->device, "%s",
             json_string_value(json_object_get(c->request, "device")));
    c->takes_ns = 1000000;
    if (++c->preparations > w->prepares) {
        json_decref(warnings);
        refuse(c, "NO_MEMORY", "expected room, found none; a batch of about 17 would fit");
        return;
    }
    answer(c, json_pack("{s:i, s:s, s:s, s:s, s:I, s:i, s:o}", "parameters", 37250, "device_name",
                        "a fake processor", "implementation", w->where ? c->processors : "sleep",
                        "precision", w->precision ? w->precision : precision, "threads",
                        w->threads ? (json_int_t)w->threads : threads, "prepare_ns", 1000000,
                        "warnings", warnings));
}

static void count_energy(const child *c, int64_t steps)
{
    if (!c->wish.energy) return;
    long long used = 0;
    char text[40];
    FILE *file = fopen(c->wish.energy, "r");
    assert_true(file && fscanf(file, "%lld", &used) == 1);
    fclose(file);
    snprintf(text, sizeof text, "%lld", used + steps * atoll(c->wish.energy_uj));
    support_write_file(c->wish.energy, text, strlen(text));
}

/* What becomes of a run that ends otherwise; false: it does not. */
static bool run_fails(child *c)
{
    const char *fault = c->wish.fault;
    if (c->runs < c->wish.at || !*fault) return false;
    c->hangs = !strcmp(fault, "hang");
    c->dies = !strcmp(fault, "exit");
    if (!strcmp(fault, "rubbish")) c->answer = strdup("\x1b[31mEpoch 1/10: loss 2.3");
    if (!strcmp(fault, "null")) answer(c, json_pack("{s:n, s:n, s:n}", "steps", "wall_ns", "loss"));
    if (!strcmp(fault, "nan"))
        answer(c, json_pack("{s:i, s:i, s:n}", "steps", 1, "wall_ns", 1000000, "loss"));
    if (!strcmp(fault, "steps"))
        answer(c, json_pack("{s:i, s:i, s:f}", "steps", 7, "wall_ns", 1000000, "loss", 2.3));
    if (!c->hangs && !c->dies && !c->answer) fail_msg("a fake inside the test cannot %s", fault);
    return true;
}

/* The processors' time at the end of a run: its own, and that of other programs. */
static void count_load(const child *c)
{
    char text[64];
    if (!c->wish.stat) return;
    double now_ns = (double)(fake_child_clock.now_ns + c->takes_ns);
    double busy_ns = (double)c->cpu_ns + c->wish.others * load_take(NULL).processors * now_ns;
    long long ticks = (long long)(busy_ns * 1e-9 * (double)sysconf(_SC_CLK_TCK));
    int length = snprintf(text, sizeof text, "cpu %lld 0 0 0 0 0 0 0\n", ticks);
    support_write_file(c->wish.stat, text, (size_t)length);
}

static void run(child *c)
{
    const wish *w = &c->wish;
    int64_t steps = json_integer_value(json_object_get(c->request, "steps"));
    int64_t waited_ns = 0, now_ns = fake_child_clock.now_ns;
    c->runs++;
    if (run_fails(c)) return;
    double wanted_s = w->step * (w->constant ? 10 : (double)steps);
    if (c->runs == 1) wanted_s += w->first;
    wanted_s *= 1 + fabs(w->noise * rng_next_normal(&c->random));
    wanted_s *= is_hot(c) ? w->hot_step : 1;
    double wall_s = wanted_s;
    if (w->unsynchronised || w->silent) {
        if (c->pending_until_ns > now_ns) waited_ns = c->pending_until_ns - now_ns;
        c->pending_until_ns = now_ns + waited_ns + ns_of(wanted_s);
        wall_s = 0.2 * wanted_s;
    }
    c->takes_ns = waited_ns + ns_of(wall_s) + (c->runs >= w->at ? ns_of(w->late) : 0);
    if (!strcmp(c->device, "cpu")) c->cpu_ns += ns_of(w->spin * wall_s);
    c->cpu_ns += spun_ns(c);
    c->spins_from_ns = now_ns + c->takes_ns;
    c->spins_until_ns = c->spins_from_ns + ns_of(w->spin_after);
    count_energy(c, steps);
    count_load(c);
    wall_s = wall_s * w->claim + (c->runs == w->at ? w->jump : 0);
    int64_t wall_ns = wall_s > 1e-9 ? ns_of(wall_s) : 1;
    c->last_step_ns = wall_ns / steps;
    answer(c,
           json_pack("{s:I, s:I, s:f, s:[]}", "steps", (json_int_t)steps, "wall_ns",
                     (json_int_t)wall_ns, "loss", w->loss + w->rise * (double)c->runs, "losses"));
}

static void synchronise(child *c)
{
    int64_t pending_ns = c->pending_until_ns - fake_child_clock.now_ns;
    c->takes_ns = pending_ns > 0 ? pending_ns : 0;
    answer(c, json_pack("{s:I}", "wall_ns", (json_int_t)(c->wish.silent ? 0 : c->takes_ns)));
}

static void phases(child *c)
{
    json_int_t steps = json_integer_value(json_object_get(c->request, "steps"));
    json_int_t each = (c->last_step_ns > 10 ? c->last_step_ns / 10 : 1) * steps;
    const char *device = c->wish.works_on ? c->wish.works_on : c->device;
    if (++c->asked_for_phases <= c->wish.moody) each *= 2;
    json_t *work = json_object();
    if (*device)
        json_object_set_new(work, device, json_pack("{s:I, s:n}", "launches", steps, "busy_ns"));
    c->takes_ns = 10 * each;
    answer(c, json_pack("{s:I, s:I, s:I, s:i, s:i, s:n, s:o, s:{s:I, s:i, s:I, s:I, s:I, s:i, s:n, "
                        "s:I}, s:[{s:s, s:s, s:s, s:s, s:I, s:I, s:n, s:n}]}",
                        "steps", steps, "wall_ns", 10 * each, "launches", steps, "synchronisations",
                        1, "upload_bytes", 0, "download_bytes", "work", work, "phases", "data",
                        each, "upload", 0, "forward", 4 * each, "backward", 3 * each, "optimizer",
                        each, "loss_read", 0, "idle_host", "idle_other", each, "ops", "op", "nap",
                        "name", "", "phase", "forward", "implementation", "sleep", "launches",
                        steps, "ns", 4 * each, "flops", "bytes"));
}

static void reference(child *c)
{
    if (c->wish.reference == 0) {
        refuse(c, "UNAVAILABLE", "there is none");
        return;
    }
    c->readings++;
    c->takes_ns = ns_of(c->wish.reference * (is_hot(c) ? c->wish.hot : 1));
    answer(c, json_pack("{s:I}", "wall_ns", (json_int_t)c->takes_ns));
}

static void quit(child *c)
{
    answer(c, json_object());
}

be_status child_send(child *c, const char *bytes, size_t length, int64_t deadline_ns, be_error *err)
{
    static const struct {
        const char *op;
        void (*answer)(child *);
    } ops[] = {{"hello", hello},   {"prepare", prepare},     {"run", run},  {"sync", synchronise},
               {"phases", phases}, {"reference", reference}, {"quit", quit}};
    (void)deadline_ns, (void)err;
    json_decref(c->request);
    c->request = json_loadb(bytes, length, 0, NULL);
    assert_non_null(c->request);
    const char *op = json_string_value(json_object_get(c->request, "op"));
    const char *colon = strchr(c->wish.refuse, ':');
    free(c->answer);
    c->answer = NULL;
    c->takes_ns = 0;
    if (colon && !strcmp(colon + 1, op)) {
        char status[32];
        snprintf(status, sizeof status, "%.*s", (int)(colon - c->wish.refuse), c->wish.refuse);
        refuse(c, status, "expected mercy, found none; ask another");
        return BE_OK;
    }
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++)
        if (!strcmp(ops[i].op, op)) {
            ops[i].answer(c);
            return BE_OK;
        }
    fail_msg("a fake inside the test knows no request %s", op);
    return BE_FAILED;
}

be_status child_read_line(child *c, const char **line, size_t *length, int64_t *arrived_ns,
                          int64_t deadline_ns, be_error *err)
{
    fake_clock *clock = &fake_child_clock;
    if (c->hangs && fake_child_hangs) fake_child_hangs();
    if (c->interrupted && *c->interrupted) FAIL(err, BE_INTERRUPTED, "stopped by a signal");
    if (c->dies) FAIL(err, BE_IO, "found that the runner exited with 3");
    int64_t end_ns = clock->now_ns + 2 * MESSAGE_NS + c->takes_ns;
    if (c->hangs || end_ns > deadline_ns) {
        clock->now_ns = deadline_ns;
        FAIL(err, BE_FAILED, "the runner hung and was killed");
    }
    clock->now_ns = end_ns;
    *line = c->answer;
    *length = strlen(c->answer);
    if (arrived_ns) *arrived_ns = end_ns;
    return BE_OK;
}

be_status child_expect_silence(child *c, be_error *err)
{
    (void)c, (void)err;
    return BE_OK;
}

/* ----------------------------------------------------------- end and facts */

int child_stop(child *c, double grace_s, char *ending, size_t size, int64_t *peak_rss_bytes)
{
    (void)grace_s;
    if (ending) snprintf(ending, size, "exited with 0");
    if (peak_rss_bytes) *peak_rss_bytes = child_peak_rss_bytes(c);
    json_decref(c->request);
    free(c->answer);
    free(c);
    fake_child_count--;
    return 0;
}

char *child_log(child *c, char *out, size_t size)
{
    snprintf(out, size, "%s", c->dies ? "fake: now exit" : "");
    return out;
}

int64_t child_peak_rss_bytes(const child *c)
{
    return OWN_BYTES + (c->wish.memory << 20);
}

int64_t child_cpu_ns(const child *c)
{
    return c->cpu_ns + spun_ns(c);
}

int64_t child_group_cpu_ns(const child *c)
{
    return child_cpu_ns(c);
}

double child_settle(const child *c, double limit_s)
{
    int64_t spins_ns = c->spins_until_ns - fake_child_clock.now_ns, limit_ns = ns_of(limit_s);
    bool settles = spins_ns + SETTLE_NS < limit_ns;
    int64_t waited_ns = settles ? (spins_ns > 0 ? spins_ns : 0) + SETTLE_NS : limit_ns;
    fake_child_clock.now_ns += waited_ns;
    return (settles ? 1e-9 : -1e-9) * (double)waited_ns;
}

int64_t child_pid(const child *c)
{
    (void)c;
    return 1;
}
