/* A libclblast.so.1 for tests: products by plain loops in float, through buffers that are read and
 * written whole.  The environment says what is wrong with it:
 *
 *   FAKE_CLBLAST_FAULT   element     one element of the result is not right
 *                        last        the last row is left as it was
 *                        nan         a number that is none becomes 0
 *                        adds        what the result held before is added
 *                        before      one element before the result is written
 *                        temporary   more temporary memory is used than was said
 *                        fails       the call gives -2040
 *   FAKE_CLBLAST_AT      … in products with that many rows (255).  Those of 1000 rows and more are
 * 0 where this is set: the loops take seconds. */
#include <dlfcn.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/opencl/clblast.h"

#define TEMPORARY_BYTES 4096

static opencl_library cl;

static void open_opencl(void)
{
    if (cl.handle) return;
    cl.handle = dlopen("libOpenCL.so.1", RTLD_NOW | RTLD_LOCAL);
    if (!cl.handle) abort();
#define X(result, name, parameters) *(void **)&cl.name = dlsym(cl.handle, #name);
    OPENCL_FUNCTIONS(X)
#undef X
}

static bool has_fault(const char *name, size_t rows)
{
    const char *fault = getenv("FAKE_CLBLAST_FAULT"), *at = getenv("FAKE_CLBLAST_AT");
    return fault && strcmp(fault, name) == 0 && rows == (size_t)atol(at ? at : "255");
}

static float *take(cl_queue queue, cl_memory buffer, size_t *bytes)
{
    if (cl.clGetMemObjectInfo(buffer, CL_BUFFER_BYTES, sizeof *bytes, bytes, NULL)) abort();
    float *content = malloc(*bytes);
    if (!content || cl.clEnqueueReadBuffer(queue, buffer, 1, 0, *bytes, content, 0, NULL, NULL))
        abort();
    return content;
}

static void give(cl_queue queue, cl_memory buffer, size_t offset, size_t bytes, const void *content)
{
    if (cl.clEnqueueWriteBuffer(queue, buffer, 1, offset, bytes, content, 0, NULL, NULL)) abort();
}

/* y [m, n] += a · b, of which either lies by columns. */
static void multiply(float *y, const float *a, const size_t a_step[2], const float *b,
                     const size_t b_step[2], const size_t size[3])
{
    for (size_t i = 0; i < size[0]; i++)
        for (size_t k = 0; k < size[2]; k++)
            for (size_t j = 0; j < size[1]; j++)
                y[i * size[1] + j] +=
                    a[i * a_step[0] + k * a_step[1]] * b[k * b_step[0] + j * b_step[1]];
}

static void make_wrong(float *y, const float *before, size_t m, size_t n)
{
    if (has_fault("element", m)) y[3 * n + 7] += 0.25f;
    for (size_t i = 0; i < m * n; i++) {
        if (has_fault("nan", m) && isnan(y[i])) y[i] = 0.0f;
        if (has_fault("adds", m)) y[i] += before[i];
        if (has_fault("last", m) && i >= (m - 1) * n) y[i] = before[i];
    }
}

int CLBlastSGemmTempBufferSize(int layout, int transpose_a, int transpose_b, size_t m, size_t n,
                               size_t k, size_t a_offset, size_t a_ld, size_t b_offset, size_t b_ld,
                               size_t c_offset, size_t c_ld, cl_queue *queue, size_t *bytes);
int CLBlastSGemmTempBufferSize(int layout, int transpose_a, int transpose_b, size_t m, size_t n,
                               size_t k, size_t a_offset, size_t a_ld, size_t b_offset, size_t b_ld,
                               size_t c_offset, size_t c_ld, cl_queue *queue, size_t *bytes)
{
    (void)layout, (void)transpose_a, (void)transpose_b, (void)m, (void)n, (void)k, (void)a_offset;
    (void)a_ld, (void)b_offset, (void)b_ld, (void)c_offset, (void)c_ld, (void)queue;
    *bytes = TEMPORARY_BYTES;
    return 0;
}

int CLBlastSgemmWithTempBuffer(int layout, int transpose_a, int transpose_b, size_t m, size_t n,
                               size_t k, float alpha, cl_memory a, size_t a_offset, size_t a_ld,
                               cl_memory b, size_t b_offset, size_t b_ld, float beta, cl_memory c,
                               size_t c_offset, size_t c_ld, cl_queue *queue, cl_event *event,
                               cl_memory temporary);
int CLBlastSgemmWithTempBuffer(int layout, int transpose_a, int transpose_b, size_t m, size_t n,
                               size_t k, float alpha, cl_memory a, size_t a_offset, size_t a_ld,
                               cl_memory b, size_t b_offset, size_t b_ld, float beta, cl_memory c,
                               size_t c_offset, size_t c_ld, cl_queue *queue, cl_event *event,
                               cl_memory temporary)
{
    const char *at = getenv("FAKE_CLBLAST_AT");
    char used[TEMPORARY_BYTES + 4] = {0};
    size_t bytes[3], size[3] = {m, n, k};
    bool ta = transpose_a == CLBLAST_TRANSPOSED, tb = transpose_b == CLBLAST_TRANSPOSED;
    size_t a_step[2] = {ta ? 1 : a_ld, ta ? a_ld : 1}, b_step[2] = {tb ? 1 : b_ld, tb ? b_ld : 1};
    if (layout != CLBLAST_ROW_MAJOR || alpha != 1.0f || beta != 0.0f || c_ld != n || event ||
        has_fault("fails", m))
        return -2040;
    open_opencl();
    float *in[2] = {take(*queue, a, &bytes[0]), take(*queue, b, &bytes[1])};
    float *y = take(*queue, c, &bytes[2]), *before = malloc(bytes[2]);
    if (!before) abort();
    memcpy(before, y, bytes[2]);
    memset(y + c_offset, 0, m * n * sizeof(float));
    if (!at || m < 1000)
        multiply(y + c_offset, in[0] + a_offset, a_step, in[1] + b_offset, b_step, size);
    make_wrong(y + c_offset, before + c_offset, m, n);
    if (has_fault("before", m)) y[c_offset - 1] = 7.0f;
    give(*queue, c, 0, bytes[2], y);
    give(*queue, temporary, 0, TEMPORARY_BYTES + (has_fault("temporary", m) ? 4 : 0), used);
    for (int i = 0; i < 2; i++) free(in[i]);
    free(y);
    free(before);
    return 0;
}
