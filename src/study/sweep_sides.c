/* Who is compared with whom in a sweep. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/backend.h"
#include "report/sheet.h"
#include "study/sweep.h"

static bool is_native(const bench_contender *who)
{
    return strcmp(who->engine->name, "native") == 0;
}

/* What an engine says of a device, in its answer to hello. */
static const json_t *device_facts(const bench_plan *plan, const bench_contender *who)
{
    size_t i;
    json_t *device;
    for (int e = 0; e < ENGINE_COUNT; e++) {
        if (who->engine != &plan->engines[e]) continue;
        json_array_foreach(report_member(plan->hello[e], hello, devices), i, device)
        {
            const char *id = json_string_value(report_member(device, device, id));
            if (id && strcmp(id, who->device) == 0) return device;
        }
    }
    return NULL;
}

static bool runs_on_cpu(const bench_plan *plan, const bench_contender *who)
{
    const json_t *facts = device_facts(plan, who);
    const char *name = json_string_value(report_member(facts, device, name));
    const char *other = json_string_value(report_member(facts, device, duplicate_of));
    if (strcmp(who->device, "cpu") == 0 || (other && strcmp(other, "cpu") == 0)) return true;
    return name && strncmp(name, "CPU behind OpenCL", 17) == 0;
}

static be_status add_setting(sweep *s, sweep_side *side, const bench_contender *who,
                             const char *kernels, be_error *err)
{
    bench_plan *plan = &s->m.plan;
    if (side->setting_count == SWEEP_SETTINGS_MAX || plan->contender_count == BENCH_CONTENDERS_MAX)
        FAIL(err, BE_USAGE,
             "expected fewer combinations of engine, device and threads; name less "
             "of them by --engine, --device and --threads");
    sweep_setting *setting = &side->settings[side->setting_count++];
    setting->contender = plan->contender_count;
    plan->contenders[plan->contender_count++] = *who;
    if (strcmp(who->device, "cpu") == 0)
        snprintf(setting->name, sizeof setting->name, "%d thread%s%s%s", who->threads,
                 who->threads == 1 ? "" : "s", *kernels ? ", " : "", kernels);
    else
        snprintf(setting->name, sizeof setting->name, "%s", who->device);
    return BE_OK;
}

/* A side with its settings: the given threads, each with the engine's own choice; on the CPU also
 * each variant of the engine. */
static be_status add_side(sweep *s, const bench_contender *like, const int *threads, int count,
                          be_error *err)
{
    if (s->side_count == SWEEP_SIDES_MAX)
        FAIL(err, BE_USAGE,
             "expected at most %d engines and devices to compare, found more; name "
             "them by --engine and --device",
             SWEEP_SIDES_MAX);
    sweep_side *side = &s->sides[s->side_count++];
    bench_contender who = *like;
    bool cpu = strcmp(like->device, "cpu") == 0;
    *side = (sweep_side){.device = like->device,
                         .is_cpu = runs_on_cpu(&s->m.plan, like),
                         .limit = (double)s->range.to};
    int length =
        snprintf(side->name, sizeof side->name, "%s %s%s", engine_title(like->engine->name),
                 like->device, side->is_cpu && !cpu ? " (the CPU)" : "");
    if (cpu && count == 1)
        snprintf(side->name + length, sizeof side->name - (size_t)length, " %d thread%s",
                 threads[0], threads[0] == 1 ? "" : "s");
    for (int v = -1; v < (cpu ? s->variant_count : 0); v++) {
        const sweep_variant *variant = v < 0 ? NULL : &s->variants[v];
        if (variant && strcmp(variant->engine.name, like->engine->name) != 0) continue;
        if (variant) who.engine = &variant->engine;
        for (int t = 0; t < count; t++) {
            who.threads = threads[t];
            if (variant && threads[t] < variant->least_threads) continue;
            TRY(add_setting(s, side, &who, variant ? variant->name : "", err));
        }
    }
    return BE_OK;
}

/* Whether its numbers of threads are what is compared where there is no other device. */
static bool stands_alone(const sweep *s, const bench_contender *who)
{
    return is_native(who) || study_is_own(s->m.request);
}

/* The numbers of threads that are tried: those that were given; else 1, 2, 4, … and all, and for
 * other engines, which start slowly, 1 and all. */
static int thread_counts(const sweep *s, const bench_contender *who, int out[SWEEP_SETTINGS_MAX])
{
    const study_numbers *numbers = &s->m.request->threads;
    int all = s->m.request->usual_threads, count = 0;
    if (strcmp(who->device, "cpu") != 0) return out[0] = all, 1;
    for (int t = 0; t < numbers->count && count < 4; t++) out[count++] = (int)numbers->number[t];
    if (numbers->count) return count;
    for (int threads = 1; threads < all && count < 3 && (stands_alone(s, who) || !count);
         threads *= 2)
        out[count++] = threads;
    if (stands_alone(s, who) && all / 2 > (count ? out[count - 1] : 0)) out[count++] = all / 2;
    out[count++] = all;
    return count;
}

static be_status add_pair(sweep *s, int first, int second, bool is_yardstick, be_error *err)
{
    if (s->pair_count == SWEEP_PAIRS_MAX)
        FAIL(err, BE_USAGE,
             "expected at most %d pairs to compare, found more; name fewer engines "
             "and devices",
             SWEEP_PAIRS_MAX);
    sweep_pair *pair = &s->pairs[s->pair_count++];
    *pair = (sweep_pair){
        .first = first, .second = second, .is_yardstick = is_yardstick, .to = (double)s->range.to};
    return BE_OK;
}

static const bench_contender *contender_of(const sweep *s, int side)
{
    return &s->m.plan.contenders[s->sides[side].settings[0].contender];
}

static bool same_engine(const sweep *s, int a, int b)
{
    return strcmp(contender_of(s, a)->engine->name, contender_of(s, b)->engine->name) == 0;
}

static bool same_device(const sweep *s, int a, int b)
{
    return strcmp(s->sides[a].device, s->sides[b].device) == 0;
}

/* An engine's processor against its accelerators; beside it what a framework costs. */
static be_status pair_with_gpu(sweep *s, be_error *err)
{
    for (int a = 0; a < s->side_count; a++)
        for (int b = 0; b < s->side_count; b++)
            if (same_engine(s, a, b) && s->sides[a].is_cpu && !s->sides[b].is_cpu)
                TRY(add_pair(s, a, b, false, err));
    bool none = s->pair_count == 0;
    for (int a = 0; a < s->side_count; a++)
        for (int b = a + 1; b < s->side_count; b++)
            if (!same_engine(s, a, b) && same_device(s, a, b)) TRY(add_pair(s, a, b, !none, err));
    for (int b = 1; s->pair_count == 0 && b < s->side_count; b++)
        TRY(add_pair(s, 0, b, false, err));
    return BE_OK;
}

/* The first against each other. */
static be_status pair_with_first(sweep *s, be_error *err)
{
    for (int b = 1; b < s->side_count; b++) TRY(add_pair(s, 0, b, false, err));
    return BE_OK;
}

static void add_variant(sweep *s, const char *engine_name, const engine_options *options,
                        const char *name, int least_threads)
{
    sweep_variant *variant = &s->variants[s->variant_count];
    if (engine_find(&variant->engine, engine_name, options, NULL) != BE_OK) return;
    variant->name = name;
    variant->least_threads = least_threads;
    s->variant_count++;
}

/* An OpenBLAS with threads of its own, which wait for work on the cores of PyTorch's. */
static bool has_pools_apart(const sweep *s)
{
    const bench_plan *plan = &s->m.plan;
    for (int e = 0; e < ENGINE_COUNT; e++) {
        const char *blas = report_string(plan->hello[e], hello, libraries.blas);
        if (!plan->hello[e] || strcmp(plan->engines[e].name, "torch") != 0) continue;
        if (strncmp(blas, "OpenBLAS", 8) == 0 && strstr(blas, " pthread")) return true;
    }
    return false;
}

/* The native engine with its own kernels alone, and with oneDNN's alone; PyTorch with OpenBLAS on
 * one thread, if the user has not chosen its threads. */
static void find_variants(sweep *s)
{
    static const char *const names[] = {"native", "onednn"};
    engine_options options = {.isa = s->m.request->isa};
    bool has_library = s->m.request->library || options.isa;
    for (int l = 0; l < 2 && !has_library; l++) {
        options.library = names[l];
        if (l == 0 || backend_has_library("cpu", names[l]))
            add_variant(s, "native", &options, names[l], 1);
    }
    const char *own = getenv("OPENBLAS_NUM_THREADS");
    options = (engine_options){.lone_blas = true, .pythons = &s->m.plan.pythons};
    if (has_pools_apart(s) && !(own && *own)) add_variant(s, "torch", &options, "OpenBLAS on 1", 2);
}

/* The processor stands for itself with the best of its settings; where nothing but processors is
 * there, or where several numbers of threads were named, each number is a side. */
static be_status add_contender(sweep *s, const bench_contender *who, bool apart, be_error *err)
{
    int threads[SWEEP_SETTINGS_MAX];
    int count = thread_counts(s, who, threads);
    if (strcmp(who->device, "cpu") != 0 || !apart || !stands_alone(s, who))
        return add_side(s, who, threads, count, err);
    if (!s->m.request->threads.count && count > 1) threads[1] = threads[count - 1];
    if (!s->m.request->threads.count && count > 2) count = 2;
    for (int t = 0; t < count; t++) TRY(add_side(s, who, &threads[t], 1, err));
    return BE_OK;
}

be_status sweep_find_sides(sweep *s, be_error *err)
{
    bench_plan *plan = &s->m.plan;
    bench_contender contenders[BENCH_CONTENDERS_MAX];
    int count = 0;
    for (int c = 0; c < plan->contender_count; c++) {
        bool is_repeated = false;
        for (int f = 0; f < count; f++)
            is_repeated |= contenders[f].engine == plan->contenders[c].engine &&
                           strcmp(contenders[f].device, plan->contenders[c].device) == 0;
        if (!is_repeated) contenders[count++] = plan->contenders[c];
        s->has_gpu |= !runs_on_cpu(plan, &plan->contenders[c]);
    }
    plan->contender_count = 0;
    find_variants(s);
    for (int f = 0; f < count; f++) TRY(add_contender(s, &contenders[f], !s->has_gpu, err));
    TRY(s->has_gpu ? pair_with_gpu(s, err) : pair_with_first(s, err));
    if (!s->pair_count)
        FAIL(err, BE_USAGE,
             "expected at least two contenders to compare, found %s alone; name more by --engine, "
             "--device or --threads",
             s->sides[0].name);
    return BE_OK;
}
