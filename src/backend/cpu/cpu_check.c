/* A look at oneDNN when a device is opened: a product and a gradient of a convolution, on the
 * device's threads, against plain loops.
 *
 * All numbers are whole and small enough for every sum to be exact in any order, so that the
 * results must be the same.  Those of one operand need 12 bits: arithmetic of less precision than
 * fp32 would cut them.  The product is large enough not to be done by one thread. */
#include "backend/cpu/cpu.h"
#include "backend/cpu/onednn_shim.h"
#include "core/memory.h"

#define SIDE 64 /* of the matrices */
#define IMAGES 4
#define CHANNELS 16
#define PIXELS 6 /* of an image's side */
#define KERNEL 3
#define WHOLE (PIXELS + KERNEL - 1) /* side of the image with its border */

typedef struct check_memory {
    float a[SIDE * SIDE], b[SIDE * SIDE], c[SIDE * SIDE];
    float x[IMAGES * CHANNELS * WHOLE * WHOLE], dy[IMAGES * CHANNELS * PIXELS * PIXELS];
    float dw[CHANNELS * CHANNELS * KERNEL * KERNEL];
} check_memory;

static void fill(float *wide, size_t wide_count, float *narrow, size_t narrow_count)
{
    for (size_t i = 0; i < wide_count; i++) wide[i] = (float)(i * 1237 % 4096);
    for (size_t i = 0; i < narrow_count; i++) narrow[i] = (float)((int)(i * 7 % 5) - 2);
}

static be_status differs(const cpu_device *device, const char *what, float found, float expected,
                         be_error *err)
{
    FAIL(err, BE_NUMERIC,
         "cpu: %s of oneDNN on %d threads gives %g where plain loops give %g: this library, or how "
         "OpenMP runs here, cannot be trusted; use --library native, or another number of threads",
         what, device->base.threads, (double)found, (double)expected);
}

static be_status check_product(const cpu_device *device, check_memory *m, be_error *err)
{
    for (int64_t i = 0; i < SIDE; i++)
        for (int64_t j = 0; j < SIDE; j++) {
            float sum = 0.0f, found = m->c[i * SIDE + j];
            for (int64_t k = 0; k < SIDE; k++) sum += m->a[i * SIDE + k] * m->b[k * SIDE + j];
            if (!(found == sum)) return differs(device, "a product", found, sum, err);
        }
    return BE_OK;
}

static be_status run_product(const cpu_device *device, arena *memory, check_memory *m,
                             be_error *err)
{
    const onednn_matmul spec = {.m = SIDE,
                                .n = SIDE,
                                .k = SIDE,
                                .x_stride = {SIDE, 1},
                                .w_stride = {SIDE, 1},
                                .y_stride = {SIDE, 1}};
    onednn_primitive *product = NULL;
    void *scratch = NULL;
    TRY(onednn_matmul_new(device, &spec, memory, &product, err));
    be_status status = memory_alloc(&scratch, onednn_scratch_bytes(product), "scratch", err);
    const onednn_operand operands[] = {
        {DNNL_ARG_SRC, m->a}, {DNNL_ARG_WEIGHTS, m->b}, {DNNL_ARG_DST, m->c}};
    if (status == BE_OK) status = onednn_run(product, operands, 3, scratch, err);
    memory_free(scratch);
    onednn_free(product);
    TRY(status);
    return check_product(device, m, err);
}

static float gradient_at(const check_memory *m, int64_t o, int64_t c, int64_t r, int64_t q)
{
    float sum = 0.0f;
    for (int64_t n = 0; n < IMAGES; n++) {
        const float *x = m->x + (n * CHANNELS + c) * WHOLE * WHOLE;
        const float *dy = m->dy + (n * CHANNELS + o) * PIXELS * PIXELS;
        for (int64_t i = 0; i < PIXELS; i++)
            for (int64_t j = 0; j < PIXELS; j++)
                sum += x[(i + r) * WHOLE + j + q] * dy[i * PIXELS + j];
    }
    return sum;
}

static be_status check_gradient(const cpu_device *device, const check_memory *m, be_error *err)
{
    const float *dw = m->dw;
    for (int64_t o = 0; o < CHANNELS; o++)
        for (int64_t c = 0; c < CHANNELS; c++)
            for (int64_t r = 0; r < KERNEL; r++)
                for (int64_t q = 0; q < KERNEL; q++, dw++) {
                    float sum = gradient_at(m, o, c, r, q);
                    if (!(*dw == sum))
                        return differs(device, "a convolution's gradient", *dw, sum, err);
                }
    return BE_OK;
}

static be_status run_gradient(const cpu_device *device, arena *memory, check_memory *m,
                              be_error *err)
{
    const onednn_convolution spec = {.direction = ONEDNN_BACKWARD_WEIGHTS,
                                     .images = IMAGES,
                                     .in_channels = CHANNELS,
                                     .out_channels = CHANNELS,
                                     .in_height = WHOLE,
                                     .in_width = WHOLE,
                                     .kernel = {KERNEL, KERNEL},
                                     .stride = {1, 1},
                                     .src = dnnl_nchw,
                                     .weights = dnnl_oihw,
                                     .dst = dnnl_nchw};
    onednn_primitive *gradient = NULL;
    void *scratch = NULL;
    TRY(onednn_convolution_new(device, &spec, memory, &gradient, err));
    be_status status = memory_alloc(&scratch, onednn_scratch_bytes(gradient), "scratch", err);
    const onednn_operand operands[] = {
        {DNNL_ARG_SRC, m->x}, {DNNL_ARG_DIFF_DST, m->dy}, {DNNL_ARG_DIFF_WEIGHTS, m->dw}};
    if (status == BE_OK) status = onednn_run(gradient, operands, 3, scratch, err);
    memory_free(scratch);
    onednn_free(gradient);
    TRY(status);
    return check_gradient(device, m, err);
}

be_status cpu_check(const cpu_device *device, be_error *err)
{
    void *memory = NULL;
    arena *primitives = NULL;
    TRY(memory_alloc(&memory, sizeof(check_memory), "a check of oneDNN", err));
    check_memory *m = memory;
    fill(m->a, sizeof m->a / sizeof *m->a, m->b, sizeof m->b / sizeof *m->b);
    fill(m->x, sizeof m->x / sizeof *m->x, m->dy, sizeof m->dy / sizeof *m->dy);
    be_status status = arena_new(&primitives, err);
    if (status == BE_OK) status = run_product(device, primitives, m, err);
    if (status == BE_OK) status = run_gradient(device, primitives, m, err);
    arena_free(primitives);
    memory_free(m);
    return status;
}
