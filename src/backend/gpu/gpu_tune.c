/* See gpu_tune.h.  An op is tried with all its launches, on operands of its own filled with random
 * numbers; each way must give what the first one gives, so that a way which the driver compiles
 * wrongly is not taken. */
#include "backend/gpu/gpu_tune.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/gpu/gpu_recorder.h"
#include "backend/gpu/gpu_widen.h"
#include "core/clock.h"
#include "core/half.h"
#include "core/kept.h"
#include "core/rng.h"
#include "core/text.h"

#define WAYS_MAX 16
#define MODULES_MAX 64
#define RUNS 5
#define RUN_NS INT64_C(2000000)      /* at least so long … */
#define REPEATS_MAX 64               /* … but no more steps than this */
#define LOOK_BYTES ((size_t)1 << 20) /* of each result that are compared */
#define TOLERANCE 1e-3
#define GAIN                                                                            \
    0.97 /* the model's best is left only for one that needs less than this of its time \
          */
#define UNUSABLE INT64_MAX

typedef struct tuner {
    gpu_driver *driver;
    const gpu_kernel *kernel;
    const gpu_call *base;
    arena *memory;
    gpu_text texts[MODULES_MAX];
    gpu_module *modules[MODULES_MAX];
    int module_count;
    gpu_span in[OP_MAX_IN], out[OP_MAX_OUT], scratch;
    float *expected, *found; /* host memory for LOOK_BYTES of each result */
    bool has_expected;
} tuner;

/* What is known of a choice. */
typedef struct finding {
    int way, ways;
    double cut_at; /* seconds of the limit that cut the search short; 0: it was whole */
    int64_t ns[WAYS_MAX];
} finding;

be_status gpu_tune_seconds(double usual, double *out, be_error *err)
{
    const char *text = getenv("BREAKEVEN_TUNE_SECONDS");
    char *end = NULL;
    *out = usual;
    if (!text || !*text) return BE_OK;
    double given = strtod(text, &end);
    if (*end || !(given >= 0.0 && given <= 86400.0))
        FAIL(err, BE_USAGE,
             "BREAKEVEN_TUNE_SECONDS: expected seconds from 0 (no search) to 86400, found \"%s\"",
             text);
    *out = given;
    return BE_OK;
}

be_status gpu_tune_limit(const gpu_driver *driver, double *out, be_error *err)
{
    bool may_search = driver->tune_seconds >= 0.0;
    TRY(gpu_tune_seconds(may_search ? driver->tune_seconds : 0.0, out, err));
    if (!may_search) *out = 0.0;
    return BE_OK;
}

/* ---------------------------------------------------------------- trying */

static size_t shape_bytes(const be_shape *shape)
{
    return shape->rank < 0 ? 0 : (size_t)shape_elements(shape) * dtype_bytes(shape->dtype);
}

static be_status get_span(tuner *t, const be_shape *shape, gpu_span *out, be_error *err)
{
    if (shape->rank < 0) return BE_OK;
    out->bytes = shape_bytes(shape);
    return t->driver->vtable->alloc(t->driver, out->bytes, "an operand to try kernels on",
                                    &out->buffer, err);
}

/* As many of the floats as fit, in a type of 16 bits, at the same place. */
static void narrow(be_dtype dtype, float *x, size_t bytes)
{
    uint16_t *to = (uint16_t *)x;
    if (dtype != BE_F16 && dtype != BE_BF16) return;
    for (size_t i = 0; i < bytes / sizeof(float); i++)
        to[i] = dtype == BE_F16 ? half_from_float(x[i]) : brain_from_float(x[i]);
    memcpy(to + bytes / sizeof(float), to, bytes / sizeof(float) * sizeof *to);
}

/* Numbers between −1 and 1; codes of winners for bytes. */
static be_status fill_span(tuner *t, const be_shape *shape, const gpu_span *span, rng *r,
                           be_error *err)
{
    size_t block = LOOK_BYTES < span->bytes ? LOOK_BYTES : span->bytes;
    if (shape->rank < 0) return BE_OK;
    for (size_t i = 0; i < (block + 3) / 4; i++)
        if (dtype_is_real(shape->dtype))
            t->found[i] = 2.0f * rng_next_uniform(r) - 1.0f;
        else
            ((uint32_t *)t->found)[i] = rng_next(r) & (shape->dtype == BE_U8 ? 0x03030303u : 0u);
    narrow(shape->dtype, t->found, block);
    for (size_t at = 0; at < span->bytes; at += block) {
        size_t part = span->bytes - at < block ? span->bytes - at : block;
        TRY(t->driver->vtable->upload(t->driver, span->buffer, at, t->found, part, err));
    }
    return BE_OK;
}

static be_status tuner_open(tuner *t, const gpu_call *prepared, be_error *err)
{
    void *memory = NULL;
    rng r = {.key = {.seed = 1, .stream = RNG_TUNE}};
    TRY(arena_new(&t->memory, err));
    TRY(arena_alloc(t->memory, &memory, (OP_MAX_OUT + 1) * LOOK_BYTES, err));
    t->expected = memory;
    t->found = t->expected + OP_MAX_OUT * LOOK_BYTES / sizeof(float);
    for (int i = 0; i < OP_MAX_IN; i++) {
        TRY(get_span(t, &prepared->in_shape[i], &t->in[i], err));
        TRY(fill_span(t, &prepared->in_shape[i], &t->in[i], &r, err));
    }
    for (int o = 0; o < OP_MAX_OUT; o++) TRY(get_span(t, &prepared->out_shape[o], &t->out[o], err));
    return BE_OK;
}

static void tuner_close(tuner *t)
{
    const gpu_driver_vtable *vt = t->driver->vtable;
    for (int m = 0; m < t->module_count; m++) vt->module_free(t->driver, t->modules[m]);
    for (int i = 0; i < OP_MAX_IN; i++)
        if (t->in[i].buffer) vt->free(t->driver, t->in[i].buffer);
    for (int o = 0; o < OP_MAX_OUT; o++)
        if (t->out[o].buffer) vt->free(t->driver, t->out[o].buffer);
    if (t->scratch.buffer) vt->free(t->driver, t->scratch.buffer);
    arena_free(t->memory);
}

/* The module of a unit, compiled when it is first wanted. */
static be_status find_module(tuner *t, const gpu_unit *unit, gpu_module **out, be_error *err)
{
    const char *text;
    TRY(gpu_unit_text(unit, t->memory, &text, err));
    TRY(arena_printf(t->memory, &text, err, "%s\n%s", t->driver->dialect, text));
    for (int m = 0; m < t->module_count; m++)
        if (strcmp(t->texts[m].text, text) == 0) {
            *out = t->modules[m];
            return BE_OK;
        }
    MUST(t->module_count < MODULES_MAX);
    gpu_text one = {.name = unit->sources[0]->file, .text = text};
    TRY(t->driver->vtable->compile(t->driver, &one, 1, out, err));
    t->texts[t->module_count] = one;
    t->modules[t->module_count++] = *out;
    return BE_OK;
}

static be_status record_call(tuner *t, gpu_call *call, gpu_recorder *recorder, be_error *err)
{
    const gpu_driver_vtable *vt = t->driver->vtable;
    gpu_module *modules[GPU_MAX_UNITS];
    for (int u = 0; u < call->unit_count; u++)
        TRY(find_module(t, &call->units[u], &modules[u], err));
    if (call->scratch_bytes > t->scratch.bytes) {
        if (t->scratch.buffer) vt->free(t->driver, t->scratch.buffer);
        t->scratch = (gpu_span){0};
        TRY(vt->alloc(t->driver, call->scratch_bytes, "scratch to try kernels on",
                      &t->scratch.buffer, err));
        t->scratch.bytes = call->scratch_bytes;
    }
    memcpy(call->in, t->in, sizeof call->in);
    memcpy(call->out, t->out, sizeof call->out);
    call->scratch = (gpu_span){t->scratch.buffer, 0, call->scratch_bytes};
    recorder->modules = modules;
    return gpu_kernel_record(t->kernel, call, recorder, err);
}

/* Keep the results of the first way, or compare with them: BE_NUMERIC if they differ. */
static be_status check_results(tuner *t, const gpu_call *call, be_error *err)
{
    for (int o = 0; o < OP_MAX_OUT; o++) {
        size_t bytes = t->out[o].bytes < LOOK_BYTES ? t->out[o].bytes : LOOK_BYTES;
        float *expected = t->expected + (size_t)o * (LOOK_BYTES / sizeof(float));
        if (bytes == 0 || call->out_shape[o].dtype != BE_F32) continue;
        TRY(t->driver->vtable->download(t->driver, t->out[o].buffer, 0,
                                        t->has_expected ? t->found : expected, bytes, err));
        float largest = 0.0f;
        for (size_t i = 0; i < bytes / sizeof(float); i++)
            largest = fmaxf(largest, fabsf(expected[i]));
        for (size_t i = 0; t->has_expected && i < bytes / sizeof(float); i++)
            if (!(fabsf(t->found[i] - expected[i]) <= TOLERANCE * largest))
                FAIL(err, BE_NUMERIC, "a kernel gave another result than the others");
    }
    t->has_expected = true;
    return BE_OK;
}

static be_status run_for(tuner *t, gpu_sequence *sequence, int64_t times, int64_t *ns,
                         be_error *err)
{
    int64_t before_ns = clock_now_ns();
    TRY(t->driver->vtable->replay(t->driver, sequence, times, err));
    TRY(t->driver->vtable->synchronise(t->driver, err));
    *ns = (clock_now_ns() - before_ns) / times;
    return BE_OK;
}

static int by_size(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* The median of a few runs; one run that is much slower than `best` is enough. */
static be_status time_sequence(tuner *t, const gpu_call *call, gpu_sequence *sequence, int64_t best,
                               int64_t *ns, be_error *err)
{
    int64_t runs[RUNS];
    TRY(run_for(t, sequence, 1, &runs[0], err));
    TRY(check_results(t, call, err));
    TRY(run_for(t, sequence, 1, ns, err));
    if (best < INT64_MAX / 2 && *ns > 2 * best && *ns > RUN_NS) return BE_OK;
    int64_t times = RUN_NS / (*ns > 0 ? *ns : 1) + 1;
    if (times > REPEATS_MAX) times = REPEATS_MAX;
    for (int i = 0; i < RUNS; i++) TRY(run_for(t, sequence, times, &runs[i], err));
    qsort(runs, RUNS, sizeof runs[0], by_size);
    *ns = runs[RUNS / 2];
    return BE_OK;
}

static be_status time_call(tuner *t, gpu_call *call, int64_t best, int64_t *ns, be_error *err)
{
    gpu_sequence *sequence = NULL;
    gpu_recorder recorder = {.driver = t->driver};
    be_status status = record_call(t, call, &recorder, err);
    if (status == BE_OK)
        status = t->driver->vtable->sequence(t->driver, recorder.launches, (int)recorder.count,
                                             &sequence, err);
    if (status == BE_OK) status = time_sequence(t, call, sequence, best, ns, err);
    if (sequence) t->driver->vtable->sequence_free(t->driver, sequence);
    memory_free_array(recorder.launches);
    return status;
}

/* A way that the driver refuses, or that computes something else, is one not to take: the reason
 * shows where it is the only one and the plan is made with it. */
static void try_way(tuner *t, int k, int way, int64_t best, int64_t *ns)
{
    be_error unused;
    gpu_call call = *t->base;
    call.memory = t->memory;
    call.wanted[k] = way;
    be_status status = gpu_kernel_prepare(t->kernel, &call, &unused);
    if (status == BE_OK) status = time_call(t, &call, best, ns, &unused);
    if (call.release) call.release(call.state);
    if (status != BE_OK) *ns = UNUSABLE;
}

static void search(tuner *t, int k, double limit, int64_t end_ns, finding *out)
{
    int64_t best = INT64_MAX;
    for (int w = 0; w < out->ways; w++) out->ns[w] = UNUSABLE;
    for (int w = 0; w < out->ways; w++) {
        if (clock_now_ns() >= end_ns) {
            out->cut_at = limit;
            break;
        }
        try_way(t, k, w, best, &out->ns[w]);
        if (out->ns[w] < best) best = out->ns[w];
    }
    for (int w = 1; w < out->ways; w++) {
        double gain = out->way == 0 ? GAIN : 1.0;
        if ((double)out->ns[w] < gain * (double)out->ns[out->way]) out->way = w;
    }
}

/* ---------------------------------------------------------------- keeping */

static be_status make_key(const gpu_device *device, const gpu_call *prepared, int k, arena *memory,
                          kept_key *out, be_error *err)
{
    const gpu_facts *f = &device->driver->facts;
    const gpu_choice *choice = &prepared->choices[k];
    const char *text, *dialect = device->driver->dialect;
    uint64_t hash = kept_hash(KEPT_HASH_START, dialect, strlen(dialect));
    for (int u = 0; u < prepared->unit_count; u++) {
        TRY(gpu_unit_text(&prepared->units[u], memory, &text, err));
        hash = kept_hash(hash, text, strlen(text));
    }
    TRY(arena_printf(memory, &text, err,
                     "%s\n%s\n%d units, groups of %d, %zu bytes of local memory\n%s, choice %d of "
                     "%d, ways %016" PRIx64 ", kernels %016" PRIx64 "\n",
                     f->name, f->software, f->units, f->group_max, f->local_bytes,
                     prepared->node->op->name, k, prepared->choice_count, choice->hash, hash));
    *out = (kept_key){"tuning", "tune", text, strlen(text)};
    return BE_OK;
}

static bool recall(const kept_key *key, finding *out)
{
    be_error unused;
    void *content = NULL;
    size_t bytes;
    int way = -1, ways = 0;
    double cut_at;
    if (kept_read(key, &content, &bytes, &unused) != BE_OK) return false;
    int words = sscanf(content, "way %d of %d, cut at %lf s", &way, &ways, &cut_at);
    memory_free(content);
    if (words != 3 || ways != out->ways || way < 0 || way >= ways) return false;
    out->way = way;
    out->cut_at = cut_at;
    return true;
}

static be_status keep(const kept_key *key, const finding *f, be_error *err)
{
    char text[64 + WAYS_MAX * 24];
    text_buffer b = TEXT_BUFFER(text);
    text_add(&b, "way %d of %d, cut at %.17g s\n", f->way, f->ways, f->cut_at);
    for (int w = 0; w < f->ways; w++)
        text_add(&b, "%" PRId64 " ns\n", f->ns[w] == UNUSABLE ? -1 : f->ns[w]);
    return kept_write(key, text, b.used + 1, err);
}

/* ---------------------------------------------------------------- both */

typedef struct request {
    gpu_device *device;
    const gpu_call *prepared;
    gpu_tune_count *count;
    tuner *tuner; /* opened when it is first wanted */
} request;

static void search_and_keep(const request *r, int k, const kept_key *key, finding *f)
{
    be_error unused;
    gpu_tune_count *count = r->count;
    const finding guess = {.ways = f->ways, .cut_at = r->device->tune_limit};
    int64_t start_ns = clock_now_ns();
    int64_t left_ns = count->stopped ? 0 : (int64_t)(guess.cut_at * 1e9) - count->ns;
    int64_t end_ns = start_ns + left_ns / (count->to_come > 1 ? count->to_come : 1);
    bool ready = start_ns < end_ns;
    *f = guess;
    if (ready && !r->tuner->memory) ready = tuner_open(r->tuner, r->prepared, &unused) == BE_OK;
    if (ready) {
        f->cut_at = 0.0;
        search(r->tuner, k, guess.cut_at, end_ns, f);
    }
    /* Not even the first one ran: that says nothing of the kernels. */
    bool is_lost = ready && f->cut_at == 0.0 && f->ns[f->way] == UNUSABLE;
    if (!is_lost) count->stopped |= keep(key, f, &unused) != BE_OK;
    if (count->stopped || is_lost) *f = guess;
    count->ns += clock_now_ns() - start_ns;
    count->cut += f->cut_at > 0.0;
    count->searched += f->cut_at == 0.0;
}

static be_status find_way(const request *r, int k, arena *memory, int *way, be_error *err)
{
    kept_key key;
    finding f = {.ways = r->prepared->choices[k].ways};
    MUST(f.ways <= WAYS_MAX);
    *way = 0;
    if (f.ways == 1) return BE_OK;
    TRY(make_key(r->device, r->prepared, k, memory, &key, err));
    bool is_known = recall(&key, &f);
    if (is_known && (f.cut_at == 0.0 || f.cut_at >= r->device->tune_limit || r->count->dry_run))
        r->count->kept++;
    else if (!r->count->dry_run)
        search_and_keep(r, k, &key, &f);
    *way = f.way;
    return BE_OK;
}

be_status gpu_tune(gpu_device *device, const gpu_kernel *kernel, gpu_call *base,
                   const gpu_call *prepared, gpu_tune_count *count, be_error *err)
{
    tuner t = {.driver = device->driver, .kernel = kernel, .base = base};
    request r = {device, prepared, count, &t};
    be_status status = BE_OK;
    if (device->tune_limit <= 0.0) return BE_OK;
    for (int k = 0; status == BE_OK && k < prepared->choice_count; k++) {
        status = find_way(&r, k, base->memory, &base->wanted[k], err);
        count->to_come--;
    }
    if (t.memory) tuner_close(&t);
    return status;
}
