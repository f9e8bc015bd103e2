/* Batch norm on GPUs. */
#include <inttypes.h>

#include "backend/gpu/gpu_group.h"
#include "ops/eltwise/activation_gpu.h"
#include "ops/norm/batch_norm.h"

extern const gpu_source gpu_source_activation_list, gpu_source_batch_norm,
    gpu_source_batch_norm_group, gpu_source_batch_norm_last;

#define GROUP_WANTED 256
#define GROUPS_PER_UNIT 8

/* Of images with the channels last (batch_norm_last.gpu.c). */
#define WIDE 8           /* channels of an item */
#define LANES_MOST 32    /* items of a group side by side */
#define PIXELS_LEAST 4   /* of an item, before there are more groups */
#define CHUNKS_A_UNIT 4  /* groups of all channels together */
#define PIECES_A_UNIT 12 /* of what sums nothing: whole rounds of 2, 3 or 4 groups at a time */
#define FINISH_LANES 4   /* channels of a group that puts the chunks together */

/* What the kernels leave out or put in, and the types of the operands that they may lack. */
typedef struct wanted {
    be_activation activation; /* forward */
    bool keep_z, residual, infer, synced;
    bool relu, dx, dresidual; /* backward */
    bool early;               /* writes_early */
    be_dtype r, y, dy;
} wanted;

/* How the work is cut, with the channels last. */
typedef struct cut {
    int wide, wanted, blocks, finishing; /* wanted: items of a group side by side */
    int64_t chunks, chunk;               /* how many, and the pixels of one */
    int64_t pieces, piece;
    size_t parts_bytes;
} cut;

static bool is_last(const gpu_call *call)
{
    return call->in_layout[0] == LAYOUT_CHANNELS_LAST;
}

/* Pixels of a part, of which there are as many as make so many groups a unit, of `least` at least.
 */
static int64_t part_of(const gpu_call *call, const cut *c, int64_t pixels, int64_t least,
                       int groups)
{
    int64_t parts = gpu_groups(call, (int64_t)call->facts->units * groups, c->blocks, groups);
    int64_t limit = (pixels + least - 1) / least;
    if (parts > limit) parts = limit;
    return (pixels + parts - 1) / parts;
}

static cut cut_of(const gpu_call *call)
{
    batch_norm_sizes s = batch_norm_size(&call->in_shape[0]);
    int64_t pixels = s.images * s.pixels;
    cut c = {0};
    int group = gpu_group(call, GROUP_WANTED);
    c.wide = s.channels % WIDE == 0 ? WIDE : 1;
    int64_t vectors = s.channels / c.wide;
    for (c.wanted = 1; c.wanted * 2 <= LANES_MOST && c.wanted < vectors;) c.wanted *= 2;
    int lanes = group < c.wanted ? 1 : c.wanted, least = group / lanes * PIXELS_LEAST;
    c.blocks = (int)((vectors + lanes - 1) / lanes);
    c.finishing = (int)((s.channels + FINISH_LANES - 1) / FINISH_LANES);
    c.chunk = part_of(call, &c, pixels, least, CHUNKS_A_UNIT);
    c.chunks = (pixels + c.chunk - 1) / c.chunk;
    c.piece = part_of(call, &c, pixels, least, PIECES_A_UNIT);
    c.pieces = (pixels + c.piece - 1) / c.piece;
    c.parts_bytes = (size_t)(c.chunks * 2 * s.channels) * sizeof(float);
    return c;
}

static be_dtype type_of(const be_shape *shape)
{
    return shape->rank < 0 ? BE_F32 : shape->dtype;
}

/* Whether the gradient of the residual is written by who adds up the sums, which has it at hand:
 * the gradient of x then reads it in the place of y and dy.  In another type it would be rounded.
 */
static bool writes_early(const gpu_call *call)
{
    const batch_norm_backward_attrs *attrs = call->attrs;
    return is_last(call) && attrs->need_dresidual && call->in_shape[4].rank >= 0 &&
           call->out_shape[3].dtype == call->in_shape[5].dtype;
}

static be_status use(gpu_call *call, const wanted *w, be_error *err)
{
    const gpu_source *source = is_last(call) ? &gpu_source_batch_norm_last : &gpu_source_batch_norm;
    const gpu_source *const sources[] = {&gpu_source_activation_list, source, NULL};
    batch_norm_sizes s = batch_norm_size(&call->in_shape[0]);
    cut c = cut_of(call);
    char x[64], r[64], y[64], dy[64], dx[64], dr[64], end[ACTIVATION_END_WORDS];
    if (is_last(call) && !w->infer) call->scratch_bytes = c.parts_bytes;
    return gpu_use(
        call, sources + !activation_needs_x(w->activation), GROUP_WANTED, err,
        "CHANNELS=%" PRId64 " PIXELS=%" PRId64 " COUNT=%" PRId64
        " RESIDUAL=%d INFER=%d FROM_RELU=%d NEED_DX=%d NEED_DR=%d EARLY_DR=%d WIDE=%d WANTED=%d"
        " CHUNKS=%" PRId64 " CHUNK=%" PRId64 " PIECE=%" PRId64 " SYNCED=%d %s %s %s %s %s %s %s",
        s.channels, s.pixels, s.images * s.pixels, w->residual, w->infer, w->relu, w->dx,
        w->dresidual, w->early, c.wide, c.wanted, c.chunks, c.chunk, c.piece, w->synced,
        gpu_type_words("X", call->in_shape[0].dtype, x), gpu_type_words("R", w->r, r),
        gpu_type_words("Y", w->y, y), gpu_type_words("DY", w->dy, dy),
        gpu_type_words("DX", type_of(&call->out_shape[0]), dx),
        gpu_type_words("DR", type_of(&call->out_shape[3]), dr),
        activation_end_words(w->activation, w->keep_z, end));
}

/* ---------------------------------------------------------------- ranks */

/* What a rank shows the others, and where it sees what they show, in scratch behind the parts. */
typedef struct show {
    gpu_span own, first, second, all; /* first and second: the halves of own */
} show;

static show show_of(const gpu_call *call, const be_group *group)
{
    size_t begin = is_last(call) ? cut_of(call).parts_bytes : 0;
    size_t half = (size_t)call->in_shape[0].dim[1] * sizeof(float);
    return (show){
        .own = gpu_part(call->scratch, begin, 2 * half),
        .first = gpu_part(call->scratch, begin, half),
        .second = gpu_part(call->scratch, begin + half, half),
        .all = gpu_part(call->scratch, begin + 2 * half, 2 * half * (size_t)be_group_size(group))};
}

/* A unit of its own, behind the op's. */
static be_status use_group(gpu_call *call, be_group *group, be_error *err)
{
    batch_norm_sizes s = batch_norm_size(&call->in_shape[0]);
    const char *by = NULL;
    gpu_mean *mean = NULL;
    size_t bytes = (size_t)(2 * s.channels * be_group_size(group)) * sizeof(float);
    TRY(gpu_mean_new(call, group, bytes, &mean, &by, err));
    call->state = mean;
    call->scratch_bytes += (size_t)(2 * s.channels * (1 + be_group_size(group))) * sizeof(float);
    return gpu_use(call, GPU_SOURCES(&gpu_source_batch_norm_group), GROUP_WANTED, err,
                   "CHANNELS=%" PRId64 " COUNT=%" PRId64, s.channels, s.images * s.pixels);
}

static int show_groups(const gpu_call *call)
{
    return gpu_groups(call, call->in_shape[0].dim[1], call->units[1].group, GROUPS_PER_UNIT);
}

/* From what this rank has in s.own the sum and the squares of all. */
static be_status record_statistics(const gpu_call *call, gpu_recorder *recorder, const show *s,
                                   be_error *err)
{
    const batch_norm_attrs *attrs = call->attrs;
    int ranks = be_group_size(attrs->group);
    TRY(gpu_record(
        recorder, call,
        &(gpu_unit_launch){1, "batch_norm_group_show", show_groups(call),
                           GPU_ARGUMENTS(gpu_reads(s->own), gpu_writes(s->all),
                                         gpu_int(be_group_rank(attrs->group)), gpu_int(ranks))},
        err));
    TRY(gpu_record_mean(recorder, call->state, s->all, err));
    return gpu_record(
        recorder, call,
        &(gpu_unit_launch){1, "batch_norm_group_finish", show_groups(call),
                           GPU_ARGUMENTS(gpu_reads(s->all), gpu_writes(call->out[1]),
                                         gpu_writes(call->out[2]), gpu_writes(call->out[3]),
                                         gpu_writes(call->out[4]), gpu_float(attrs->epsilon),
                                         gpu_float(attrs->momentum), gpu_int(ranks))},
        err);
}

/* Into *dweight and *dbias their means over the ranks, which are for dx alone. */
static be_status record_sums(const gpu_call *call, gpu_recorder *recorder, gpu_span *dweight,
                             gpu_span *dbias, be_error *err)
{
    const batch_norm_backward_attrs *attrs = call->attrs;
    *dweight = call->out[1];
    *dbias = call->out[2];
    if (!attrs->synced) return BE_OK;
    show s = show_of(call, attrs->group);
    TRY(gpu_record(recorder, call,
                   &(gpu_unit_launch){
                       1, "batch_norm_group_sums", show_groups(call),
                       GPU_ARGUMENTS(gpu_reads(*dweight), gpu_reads(*dbias), gpu_writes(s.own))},
                   err));
    *dweight = s.first;
    *dbias = s.second;
    return gpu_record_mean(recorder, call->state, s.own, err);
}

static be_status forward_prepare(gpu_call *call, bool infer, be_error *err)
{
    const batch_norm_attrs *attrs = call->attrs;
    bool synced = attrs->synced && !infer;
    TRY(use(call,
            &(wanted){.activation = attrs->activation,
                      .keep_z = attrs->keep_z,
                      .residual = call->in_shape[3].rank >= 0,
                      .infer = infer,
                      .synced = synced,
                      .r = type_of(&call->in_shape[3]),
                      .y = call->out_shape[0].dtype,
                      .dy = BE_F32},
            err));
    return synced ? use_group(call, attrs->group, err) : BE_OK;
}

static be_status batch_norm_prepare(gpu_call *call, be_error *err)
{
    return forward_prepare(call, false, err);
}

static be_status batch_norm_infer_prepare(gpu_call *call, be_error *err)
{
    return forward_prepare(call, true, err);
}

static be_status batch_norm_backward_prepare(gpu_call *call, be_error *err)
{
    const batch_norm_backward_attrs *attrs = call->attrs;
    TRY(use(call,
            &(wanted){.relu = call->in_shape[4].rank >= 0,
                      .dx = attrs->need_dx,
                      .dresidual = attrs->need_dresidual,
                      .early = writes_early(call),
                      .r = BE_F32,
                      .y = type_of(&call->in_shape[4]),
                      .dy = call->in_shape[5].dtype},
            err));
    return attrs->synced ? use_group(call, attrs->group, err) : BE_OK;
}

/* ---------------------------------------------------------------- with the channels last */

/* Groups for so many parts. */
static int jobs_of(const gpu_call *call, const cut *c, int64_t parts)
{
    return gpu_groups(call, parts * c->blocks, 1, 64);
}

static be_status record_last_apply(const gpu_call *call, gpu_recorder *recorder, gpu_span mean,
                                   gpu_span deviation, be_error *err)
{
    const batch_norm_attrs *attrs = call->attrs;
    cut c = cut_of(call);
    return gpu_record(
        recorder, call,
        &(gpu_unit_launch){0, "batch_norm_last_apply", jobs_of(call, &c, c.pieces),
                           GPU_ARGUMENTS(gpu_reads(call->in[0]), gpu_reads(call->in[1]),
                                         gpu_reads(call->in[2]), gpu_reads(call->in[3]),
                                         gpu_reads(mean), gpu_reads(deviation),
                                         gpu_writes(call->out[0]), gpu_writes(call->out[5]),
                                         gpu_float(attrs->epsilon))},
        err);
}

static be_status record_last(const gpu_call *call, gpu_recorder *recorder, be_error *err)
{
    const batch_norm_attrs *attrs = call->attrs;
    cut c = cut_of(call);
    gpu_span parts = gpu_part(call->scratch, 0, c.parts_bytes), mean = call->out[1],
             inverse = call->out[2];
    show s = {0};
    if (attrs->synced) {
        s = show_of(call, attrs->group);
        mean = s.first;
        inverse = s.second;
    }
    TRY(gpu_record(recorder, call,
                   &(gpu_unit_launch){0, "batch_norm_last_statistics", jobs_of(call, &c, c.chunks),
                                      GPU_ARGUMENTS(gpu_reads(call->in[0]), gpu_writes(parts))},
                   err));
    TRY(gpu_record(
        recorder, call,
        &(gpu_unit_launch){0, "batch_norm_last_finish", gpu_groups(call, c.finishing, 1, 64),
                           GPU_ARGUMENTS(gpu_reads(parts), gpu_writes(mean), gpu_writes(inverse),
                                         gpu_writes(call->out[3]), gpu_writes(call->out[4]),
                                         gpu_float(attrs->epsilon), gpu_float(attrs->momentum))},
        err));
    if (attrs->synced) TRY(record_statistics(call, recorder, &s, err));
    return record_last_apply(call, recorder, call->out[1], call->out[2], err);
}

static be_status record_last_backward(const gpu_call *call, gpu_recorder *recorder, be_error *err)
{
    const batch_norm_backward_attrs *attrs = call->attrs;
    cut c = cut_of(call);
    bool early = writes_early(call);
    gpu_span x = call->in[0], mean = call->in[2], inverse = call->in[3], y = call->in[4],
             dy = call->in[5], parts = gpu_part(call->scratch, 0, c.parts_bytes), dweight, dbias,
             dresidual = call->out[3], absent = {0};
    TRY(gpu_record(recorder, call,
                   &(gpu_unit_launch){0, "batch_norm_last_sums", jobs_of(call, &c, c.chunks),
                                      GPU_ARGUMENTS(gpu_reads(x), gpu_reads(mean), gpu_reads(y),
                                                    gpu_reads(dy), gpu_writes(parts),
                                                    gpu_writes(early ? dresidual : absent))},
                   err));
    TRY(gpu_record(
        recorder, call,
        &(gpu_unit_launch){0, "batch_norm_last_finish_sums", gpu_groups(call, c.finishing, 1, 64),
                           GPU_ARGUMENTS(gpu_reads(parts), gpu_reads(inverse),
                                         gpu_writes(call->out[1]), gpu_writes(call->out[2]))},
        err));
    if (!attrs->need_dx && (early || !attrs->need_dresidual)) return BE_OK;
    TRY(record_sums(call, recorder, &dweight, &dbias, err));
    return gpu_record(
        recorder, call,
        &(gpu_unit_launch){0, "batch_norm_last_gradients", jobs_of(call, &c, c.pieces),
                           GPU_ARGUMENTS(gpu_reads(x), gpu_reads(call->in[1]), gpu_reads(mean),
                                         gpu_reads(inverse), gpu_reads(early ? absent : y),
                                         gpu_reads(early ? dresidual : dy), gpu_reads(dweight),
                                         gpu_reads(dbias), gpu_writes(call->out[0]),
                                         gpu_writes(early ? absent : dresidual))},
        err);
}

/* ---------------------------------------------------------------- plain */

static int channel_groups(const gpu_call *call)
{
    return gpu_groups(call, call->in_shape[0].dim[1], 1, GROUPS_PER_UNIT);
}

static be_status record_apply(const gpu_call *call, gpu_recorder *recorder, gpu_span mean,
                              gpu_span deviation, be_error *err)
{
    const batch_norm_attrs *attrs = call->attrs;
    int64_t count = shape_elements(&call->in_shape[0]);
    return gpu_record(
        recorder, call,
        &(gpu_unit_launch){
            0, "batch_norm_apply", gpu_groups(call, count, call->units[0].group, GROUPS_PER_UNIT),
            GPU_ARGUMENTS(gpu_reads(call->in[0]), gpu_reads(call->in[1]), gpu_reads(call->in[2]),
                          gpu_reads(call->in[3]), gpu_reads(mean), gpu_reads(deviation),
                          gpu_writes(call->out[0]), gpu_writes(call->out[5]),
                          gpu_float(attrs->epsilon), gpu_int(count))},
        err);
}

static be_status batch_norm_record(const gpu_call *call, gpu_recorder *recorder, be_error *err)
{
    const batch_norm_attrs *attrs = call->attrs;
    gpu_span mean = call->out[1], inverse = call->out[2];
    show s = {0};
    if (is_last(call)) return record_last(call, recorder, err);
    if (attrs->synced) {
        s = show_of(call, attrs->group);
        mean = s.first;
        inverse = s.second;
    }
    TRY(gpu_record(recorder, call,
                   &(gpu_unit_launch){
                       0, "batch_norm_statistics", channel_groups(call),
                       GPU_ARGUMENTS(gpu_reads(call->in[0]), gpu_writes(mean), gpu_writes(inverse),
                                     gpu_writes(call->out[3]), gpu_writes(call->out[4]),
                                     gpu_float(attrs->epsilon), gpu_float(attrs->momentum))},
                   err));
    if (attrs->synced) TRY(record_statistics(call, recorder, &s, err));
    return record_apply(call, recorder, call->out[1], call->out[2], err);
}

static be_status batch_norm_infer_record(const gpu_call *call, gpu_recorder *recorder,
                                         be_error *err)
{
    if (is_last(call)) return record_last_apply(call, recorder, call->in[4], call->in[5], err);
    return record_apply(call, recorder, call->in[4], call->in[5], err);
}

static be_status batch_norm_backward_record(const gpu_call *call, gpu_recorder *recorder,
                                            be_error *err)
{
    const batch_norm_backward_attrs *attrs = call->attrs;
    if (is_last(call)) return record_last_backward(call, recorder, err);
    int64_t count = shape_elements(&call->in_shape[0]);
    gpu_span x = call->in[0], mean = call->in[2], inverse = call->in[3], y = call->in[4],
             dy = call->in[5], dweight, dbias;
    TRY(gpu_record(
        recorder, call,
        &(gpu_unit_launch){0, "batch_norm_sums", channel_groups(call),
                           GPU_ARGUMENTS(gpu_reads(x), gpu_reads(mean), gpu_reads(inverse),
                                         gpu_reads(y), gpu_reads(dy), gpu_writes(call->out[1]),
                                         gpu_writes(call->out[2]))},
        err));
    if (!attrs->need_dx && !attrs->need_dresidual) return BE_OK;
    TRY(record_sums(call, recorder, &dweight, &dbias, err));
    return gpu_record(
        recorder, call,
        &(gpu_unit_launch){
            0, "batch_norm_gradients",
            gpu_groups(call, count, call->units[0].group, GROUPS_PER_UNIT),
            GPU_ARGUMENTS(gpu_reads(x), gpu_reads(call->in[1]), gpu_reads(mean), gpu_reads(inverse),
                          gpu_reads(y), gpu_reads(dy), gpu_reads(dweight), gpu_reads(dbias),
                          gpu_writes(call->out[0]), gpu_writes(call->out[3]), gpu_int(count))},
        err);
}

const gpu_kernel GPU_KERNEL(batch_norm) = {.implementation = GPU_IMPLEMENTATION,
                                           .prepare = batch_norm_prepare,
                                           .record = batch_norm_record};
const gpu_kernel GPU_KERNEL(batch_norm_infer) = {.implementation = GPU_IMPLEMENTATION,
                                                 .prepare = batch_norm_infer_prepare,
                                                 .record = batch_norm_infer_record};
const gpu_kernel GPU_KERNEL(batch_norm_backward) = {.implementation = GPU_IMPLEMENTATION,
                                                    .prepare = batch_norm_backward_prepare,
                                                    .record = batch_norm_backward_record};
