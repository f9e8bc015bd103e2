/* The convolution of images with the channels last on cuDNN: in bf16 its engines for tensor cores
 * read and write nothing else, so that y and the gradient of x are bf16, and that of w is, too, on
 * its way to the f32 that the optimizer reads.
 *
 * Where the channels do not divide by 8, pixels are folded into channels (conv2d_fold.gpu.c). */
#include <inttypes.h>

#include "ops/conv2d/conv2d_cudnn.h"
#include "ops/reduce/upstream_gpu.h"

extern const gpu_source gpu_source_conv2d_fold;

#define EACH_GROUP 256
#define EACH_GROUPS_A_UNIT 8
#define CHANNELS_WHOLE 8 /* a multiple of these needs no fold */
#define WIDE_STEP 16     /* of folded channels */

/* How pixels and windows are folded; without a fold every number says that nothing changes. */
typedef struct fold {
    bool is_folded;
    int64_t by[2], before[2], taps[2], places[2], wide;
} fold;

static fold fold_of(const conv2d_sizes *s)
{
    int64_t out[2] = {s->oh, s->ow};
    fold f = {.is_folded = s->c % CHANNELS_WHOLE != 0};
    for (int side = 0; side < 2; side++) {
        int64_t by = f.is_folded ? s->stride[side] : 1, padding = s->padding[side];
        f.by[side] = by;
        f.before[side] = (padding + by - 1) / by;
        f.taps[side] = (s->k[side] - 1 - padding + f.before[side] * by) / by + 1;
        f.places[side] = out[side] + f.taps[side] - 1;
    }
    f.wide = s->c * f.by[0] * f.by[1];
    if (f.is_folded) f.wide = (f.wide + WIDE_STEP - 1) / WIDE_STEP * WIDE_STEP;
    return f;
}

static int64_t image_elements(const gpu_call *call, const fold *f)
{
    return call->in_shape[0].dim[0] * f->places[0] * f->places[1] * f->wide;
}

static int64_t window_elements(const gpu_call *call, const fold *f)
{
    return call->in_shape[1].dim[0] * f->taps[0] * f->taps[1] * f->wide;
}

/* The unit of the folds. */
static be_status use_fold(gpu_call *call, const fold *f, be_error *err)
{
    conv2d_sizes s = conv2d_size(call->attrs, &call->in_shape[0], &call->in_shape[1]);
    char words[320], type[64];
    conv2d_gpu_words(&s, words);
    return gpu_use(call, GPU_SOURCES(&gpu_source_conv2d_fold), EACH_GROUP, err,
                   "%s FOLD_H=%" PRId64 " FOLD_W=%" PRId64 " BEFORE_H=%" PRId64 " BEFORE_W=%" PRId64
                   " FOLDED_ROWS=%" PRId64 " FOLDED_TAPS=%" PRId64 " ROWS=%" PRId64
                   " COLUMNS=%" PRId64 " WIDE=%" PRId64 " %s",
                   words, f->by[0], f->by[1], f->before[0], f->before[1], f->taps[0], f->taps[1],
                   f->places[0], f->places[1], f->wide,
                   gpu_type_words("P", call->in_shape[0].dtype, type));
}

static be_status record_fold(const gpu_call *call, gpu_recorder *recorder, const char *kernel,
                             const gpu_span span[2], int64_t count, be_error *err)
{
    int groups = gpu_groups(call, count, call->units[0].group, EACH_GROUPS_A_UNIT);
    return gpu_record(
        recorder, call,
        &(gpu_unit_launch){0, kernel, groups,
                           GPU_ARGUMENTS(gpu_reads(span[0]), gpu_writes(span[1]), gpu_int(count))},
        err);
}

/* The gradient of x is that of the images as they are. */
cudnn_convolution_pattern convolution_pattern_last(const conv2d_sizes *s, cudnn_direction direction,
                                                   be_dtype type)
{
    fold f = fold_of(s);
    cudnn_convolution_pattern what = convolution_pattern(s, direction);
    what.last = true;
    what.bf16 = type == BE_BF16;
    if (!f.is_folded || direction == CUDNN_TO_DX) return what;
    what.c = f.wide;
    what.h = f.places[0];
    what.w = f.places[1];
    for (int side = 0; side < 2; side++) {
        what.k[side] = f.taps[side];
        what.stride[side] = 1;
        what.padding[side] = 0;
    }
    return what;
}

static be_status prepare_one(gpu_call *call, cudnn_direction direction, convolution *out,
                             be_error *err)
{
    conv2d_sizes s = conv2d_size(call->attrs, &call->in_shape[0], &call->in_shape[1]);
    cudnn_convolution_pattern what =
        convolution_pattern_last(&s, direction, call->in_shape[0].dtype);
    what.tf32 = !what.bf16 && call->precision != BE_PRECISION_FP32;
    return convolution_prepare(call, &what, out, err);
}

/* In scratch. */
typedef struct folded {
    fold how;
    size_t bytes; /* of an element */
    size_t images_at, windows_at;
} folded;

static gpu_span images_of(const gpu_call *call, const folded *f)
{
    if (!f->how.is_folded) return call->in[0];
    return gpu_part(call->scratch, f->images_at, (size_t)image_elements(call, &f->how) * f->bytes);
}

static gpu_span windows_of(const gpu_call *call, const folded *f)
{
    return gpu_part(call->scratch, f->windows_at,
                    (size_t)window_elements(call, &f->how) * f->bytes);
}

/* How, and what it takes of scratch; backward the gradient of the windows lies there, too. */
static void take(gpu_call *call, folded *f, bool backward)
{
    conv2d_sizes s = conv2d_size(call->attrs, &call->in_shape[0], &call->in_shape[1]);
    size_t bytes = dtype_bytes(call->in_shape[0].dtype);
    *f = (folded){.how = fold_of(&s), .bytes = bytes};
    if (f->how.is_folded)
        f->images_at =
            gpu_scratch_take(&call->scratch_bytes, (size_t)image_elements(call, &f->how) * bytes);
    if (f->how.is_folded || backward)
        f->windows_at =
            gpu_scratch_take(&call->scratch_bytes, (size_t)window_elements(call, &f->how) * bytes);
}

static be_status record_images(const gpu_call *call, gpu_recorder *recorder, const folded *f,
                               be_error *err)
{
    if (!f->how.is_folded) return BE_OK;
    const gpu_span span[2] = {call->in[0], images_of(call, f)};
    return record_fold(call, recorder, "fold_images", span, image_elements(call, &f->how) / 8, err);
}

/* ---------------------------------------------------------------- forward */

typedef struct forward_plan {
    folded f;
    convolution y;
} forward_plan;

static void forward_release(void *state)
{
    cudnn_plan_free(&((forward_plan *)state)->y.plan);
}

/* Its engines write what they read. */
static be_status check_type(const gpu_call *call, be_error *err)
{
    const be_shape *result = &call->out_shape[0];
    if (result->rank >= 0 && result->dtype != call->in_shape[0].dtype)
        FAIL(err, BE_UNAVAILABLE,
             "cuDNN has no convolution of %s with a result in %s where the channels come last",
             dtype_name(call->in_shape[0].dtype), dtype_name(result->dtype));
    return BE_OK;
}

be_status conv2d_last_cudnn_prepare(gpu_call *call, be_error *err)
{
    TRY(check_type(call, err));
    TRY(arena_alloc(call->memory, &call->state, sizeof(forward_plan), err));
    forward_plan *plan = call->state;
    call->release = forward_release;
    take(call, &plan->f, false);
    if (plan->f.how.is_folded) TRY(use_fold(call, &plan->f.how, err));
    return prepare_one(call, CUDNN_TO_Y, &plan->y, err);
}

be_status conv2d_last_cudnn_record(const gpu_call *call, gpu_recorder *recorder, be_error *err)
{
    forward_plan *plan = call->state;
    bool is_folded = plan->f.how.is_folded;
    gpu_span windows = is_folded ? windows_of(call, &plan->f) : call->in[1];
    const gpu_span fold_windows[2] = {call->in[1], windows};
    const gpu_span operands[CUDNN_CONVOLUTION_OPERANDS] = {
        [CUDNN_X] = images_of(call, &plan->f), [CUDNN_W] = windows, [CUDNN_Y] = call->out[0]};
    TRY(record_images(call, recorder, &plan->f, err));
    if (is_folded)
        TRY(record_fold(call, recorder, "fold_windows", fold_windows,
                        window_elements(call, &plan->f.how), err));
    TRY(convolution_bind(call, recorder, &plan->y, operands, err));
    return convolution_record(call, recorder, &plan->y, operands, err);
}

/* ---------------------------------------------------------------- backward */

typedef struct backward_plan {
    folded f;
    convolution_sum sum;
    convolution dx, dw;
} backward_plan;

static void backward_release(void *state)
{
    backward_plan *plan = state;
    cudnn_plan_free(&plan->dx.plan);
    cudnn_plan_free(&plan->dw.plan);
}

be_status conv2d_last_cudnn_backward_prepare(gpu_call *call, be_error *err)
{
    TRY(check_type(call, err));
    if (conv2d_is_point(call)) return conv2d_point_cublaslt_prepare(call, err);
    TRY(arena_alloc(call->memory, &call->state, sizeof(backward_plan), err));
    backward_plan *plan = call->state;
    call->release = backward_release;
    take(call, &plan->f, true);
    TRY(use_fold(call, &plan->f.how, err));
    TRY(convolution_sum_prepare(call, &plan->sum, err));
    if (call->out_shape[0].rank >= 0) TRY(prepare_one(call, CUDNN_TO_DX, &plan->dx, err));
    return prepare_one(call, CUDNN_TO_DW, &plan->dw, err);
}

be_status conv2d_last_cudnn_backward_record(const gpu_call *call, gpu_recorder *recorder,
                                            be_error *err)
{
    if (conv2d_is_point(call)) return conv2d_point_cublaslt_record(call, recorder, err);
    backward_plan *plan = call->state;
    gpu_span windows = windows_of(call, &plan->f), dy = call->in[3];
    const gpu_span dx[CUDNN_CONVOLUTION_OPERANDS] = {[CUDNN_X] =
                                                         convolution_sum_span(call, &plan->sum),
                                                     [CUDNN_W] = call->in[1],
                                                     [CUDNN_Y] = dy};
    const gpu_span dw[CUDNN_CONVOLUTION_OPERANDS] = {
        [CUDNN_X] = images_of(call, &plan->f), [CUDNN_W] = windows, [CUDNN_Y] = dy};
    if (call->out_shape[0].rank >= 0) {
        TRY(convolution_bind(call, recorder, &plan->dx, dx, err));
        TRY(convolution_record(call, recorder, &plan->dx, dx, err));
        TRY(convolution_sum_record(call, recorder, &plan->sum, err));
    }
    TRY(record_images(call, recorder, &plan->f, err));
    TRY(convolution_bind(call, recorder, &plan->dw, dw, err));
    TRY(convolution_record(call, recorder, &plan->dw, dw, err));
    const gpu_span unfold[2] = {windows, call->out[1]};
    return record_fold(call, recorder, "unfold_windows", unfold,
                       shape_elements(&call->out_shape[1]), err);
}
