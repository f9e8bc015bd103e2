/* A product of cuBLASLt by which the peak of a device in tf32 and in bf16 is measured: square, and
 * as large as the device can fill.
 *
 * Its operands are numbers drawn from (−1, 1): of zeros a device multiplies more a second than of
 * anything that a network has, because it is then not held back by its power. */
#include "backend/cuda/cublaslt_plan.h"
#include "backend/cuda/cuda_driver.h"
#include "core/half.h"
#include "core/rng.h"

#define SIDE_STEP 128
#define SIDE_OF_A_UNIT 64     /* 132 multiprocessors: 8192 */
#define SHARE_OF_MEMORY 64    /* at most this part of it for the three matrices */
#define NUMBERS (1 << 18)     /* drawn once, and repeated */
#define REPEAT (NUMBERS - 31) /* … without falling into step with the rows */

typedef struct cuda_peak {
    gpu_peak base; /* first */
    cuda_driver *driver;
    cublaslt_plan plan;
    gpu_buffer memory;
} cuda_peak;

static void peak_free(gpu_peak *peak)
{
    cuda_peak *p = (cuda_peak *)peak;
    cublaslt_plan_free(&p->plan);
    if (p->memory) p->driver->base.vtable->free(&p->driver->base, p->memory);
    memory_free(p);
}

static be_status peak_start(const gpu_peak *peak, be_error *err)
{
    const cuda_peak *p = (const cuda_peak *)peak;
    TRY(cuda_enter(p->driver, err));
    return cublaslt_plan_start(&p->plan, p->driver->stream, err);
}

static int64_t side_of(const gpu_facts *f)
{
    int64_t side = (int64_t)f->units * SIDE_OF_A_UNIT / SIDE_STEP * SIDE_STEP;
    while (side > SIDE_STEP &&
           3 * side * side * (int64_t)sizeof(float) > (int64_t)(f->memory_bytes / SHARE_OF_MEMORY))
        side -= SIDE_STEP;
    return side < SIDE_STEP ? SIDE_STEP : side;
}

/* bf16 numbers; read as fp32 two of them are one that has all its digits. */
static be_status fill(const cuda_peak *p, size_t bytes, be_error *err)
{
    gpu_driver *d = &p->driver->base;
    rng source = {.key = {.stream = RNG_TUNE}};
    void *memory = NULL;
    be_status status = BE_OK;
    TRY(memory_alloc(&memory, NUMBERS * sizeof(uint16_t), "numbers to multiply", err));
    uint16_t *numbers = memory;
    for (int i = 0; i < NUMBERS; i++)
        numbers[i] = brain_from_float(2.0f * rng_next_uniform(&source) - 1.0f);
    for (size_t at = 0; at < bytes && status == BE_OK; at += REPEAT * sizeof *numbers) {
        size_t part = bytes - at < REPEAT * sizeof *numbers ? bytes - at : REPEAT * sizeof *numbers;
        status = d->vtable->upload(d, p->memory, at, numbers, part, err);
    }
    memory_free(memory);
    return status;
}

static be_status peak_make(cuda_peak *p, be_precision precision, be_error *err)
{
    gpu_driver *d = &p->driver->base;
    int64_t side = side_of(&d->facts);
    bool narrow = precision == BE_PRECISION_BF16;
    cublaslt_product product = {.rows = side,
                                .columns = side,
                                .depth = side,
                                .transpose_b = true,
                                .type = narrow ? BE_BF16 : BE_F32,
                                .tf32 = !narrow};
    size_t matrix = (size_t)(side * side) * dtype_bytes(product.type);
    size_t result = (size_t)(side * side) * sizeof(float);
    TRY(cuda_enter(p->driver, err));
    TRY(cublaslt_plan_new(p->driver->math, p->driver->cublaslt, &product, &p->plan, err));
    p->base.flops = 2.0 * (double)side * (double)side * (double)side;
    TRY(d->vtable->alloc(d, 2 * matrix + result + p->plan.workspace_bytes, "matrices to measure",
                         &p->memory, err));
    TRY(fill(p, 2 * matrix, err));
    cublaslt_operands at = {.a = p->memory,
                            .b = p->memory + matrix,
                            .y = p->memory + 2 * matrix,
                            .workspace = p->memory + 2 * matrix + result};
    return cublaslt_plan_bind(&p->plan, &at, err);
}

be_status cuda_peak_new(gpu_device *device, be_precision precision, gpu_peak **out, be_error *err)
{
    void *memory = NULL;
    *out = NULL;
    TRY(gpu_knows(device, precision, err));
    TRY(cuda_math_ready(device, err));
    TRY(memory_alloc(&memory, sizeof(cuda_peak), "a product to measure", err));
    cuda_peak *p = memory;
    p->base = (gpu_peak){.start = peak_start, .free = peak_free};
    p->driver = (cuda_driver *)device->driver;
    be_status status = peak_make(p, precision, err);
    if (status == BE_OK)
        *out = &p->base;
    else
        peak_free(&p->base);
    return status;
}
