/* See clblast.h: the self-test.  Sizes at and beside what the library's kernels divide by, in the
 * four forms that ops use, each operand and the result away from the start of its buffer.
 *
 * a has a number that is none in one row and b in one column, which must come out there and nowhere
 * else; y is full of them before, and may not be read; what lies around y and behind the temporary
 * memory may not be written. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "backend/opencl/clblast.h"
#include "core/kept.h"
#include "core/rng.h"

static const int sizes[] = {255, 256, 1152, 1250};
#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

static const struct {
    bool a, b; /* transposed */
    const char *text;
} forms[] = {
    {false, false, "a·b"}, {false, true, "a·bᵀ"}, {true, false, "aᵀ·b"}, {true, true, "aᵀ·bᵀ"}};

#define AROUND 64         /* elements before and behind each operand */
#define MARK 12345.0f     /* what lies there */
#define BLOCK 4           /* rows of the reference at a time */
#define OUTCOME_BYTES 400 /* "" or the reason, as it is kept */

typedef struct checker {
    opencl_driver *d;
    int n;
    size_t floats; /* of a buffer: n × n and what lies around */
    double *a, *b, *y;
    float *host;
    gpu_span on_device[3], temporary; /* a, b, y */
    char reason[OUTCOME_BYTES];       /* "" as long as all is well */
} checker;

/* y = a·b in double, by rows. */
static void reference(const checker *c)
{
    size_t n = (size_t)c->n;
    memset(c->y, 0, n * n * sizeof(double));
    for (size_t i = 0; i < n; i += BLOCK)
        for (size_t k = 0; k < n; k++)
            for (size_t r = i; r < i + BLOCK && r < n; r++) {
                double factor = c->a[r * n + k];
                double *restrict to = c->y + r * n;
                const double *restrict from = c->b + k * n;
                for (size_t j = 0; j < n; j++) to[j] += factor * from[j];
            }
}

/* Sums of k products of numbers up to 1 are about √k large, and each of the k additions rounds. */
static double tolerance(int k)
{
    return (double)k * sqrt((double)k) * 0x1p-25;
}

static be_status upload(const checker *c, const gpu_span *to, be_error *err)
{
    gpu_driver *driver = &c->d->base;
    return driver->vtable->upload(driver, to->buffer, 0, c->host, c->floats * sizeof(float), err);
}

/* What a buffer holds: a matrix as it is or transposed, and marks around it. */
static be_status give_operand(checker *c, const double *matrix, bool transposed, const gpu_span *to,
                              be_error *err)
{
    size_t n = (size_t)c->n;
    for (size_t i = 0; i < c->floats; i++) c->host[i] = MARK;
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++)
            c->host[AROUND + (transposed ? j * n + i : i * n + j)] = (float)matrix[i * n + j];
    return upload(c, to, err);
}

static be_status poison_result(checker *c, be_error *err)
{
    for (size_t i = 0; i < c->floats; i++)
        c->host[i] = i < AROUND || i >= c->floats - AROUND ? MARK : NAN;
    return upload(c, &c->on_device[2], err);
}

static be_status take_span(const checker *c, size_t bytes, gpu_span *out, be_error *err)
{
    gpu_driver *driver = &c->d->base;
    *out = (gpu_span){.bytes = bytes};
    return driver->vtable->alloc(driver, bytes, "the self-test of CLBlast", &out->buffer, err);
}

static void give_back(const checker *c, gpu_span *span)
{
    if (span->buffer) c->d->base.vtable->free(&c->d->base, span->buffer);
    *span = (gpu_span){0};
}

/* The temporary memory, with marks behind it. */
static be_status take_temporary(checker *c, size_t bytes, be_error *err)
{
    gpu_driver *driver = &c->d->base;
    float marks[AROUND];
    for (int i = 0; i < AROUND; i++) marks[i] = MARK;
    TRY(take_span(c, bytes + sizeof marks, &c->temporary, err));
    return driver->vtable->upload(driver, c->temporary.buffer, bytes, marks, sizeof marks, err);
}

static void note(checker *c, const char *form, size_t i, size_t j, double expected, double found)
{
    snprintf(c->reason, sizeof c->reason,
             "self-test %d (%s): expected %.7g, found %.7g at [%zu, %zu]", c->n, form, expected,
             found, i, j);
}

/* The first element that is wrong. */
static void compare(checker *c, const char *form)
{
    size_t n = (size_t)c->n;
    double limit = tolerance(c->n);
    for (size_t e = 0; e < n * n && !*c->reason; e++) {
        double expected = c->y[e], is = (double)c->host[AROUND + e];
        bool good = isnan(expected) ? isnan(is) : fabs(expected - is) <= limit;
        if (!good) note(c, form, e / n, e % n, expected, is);
    }
    for (size_t i = 0; i < c->floats && !*c->reason; i++) {
        bool around = i < AROUND || i >= c->floats - AROUND;
        if (around && c->host[i] != MARK)
            snprintf(c->reason, sizeof c->reason,
                     "self-test %d (%s): expected nothing written outside of the result, found "
                     "%.7g %s it",
                     c->n, form, (double)c->host[i], i < AROUND ? "before" : "behind");
    }
}

static be_status compare_temporary(checker *c, const char *form, size_t bytes, be_error *err)
{
    gpu_driver *driver = &c->d->base;
    float marks[AROUND];
    TRY(driver->vtable->download(driver, c->temporary.buffer, bytes, marks, sizeof marks, err));
    for (int i = 0; i < AROUND && !*c->reason; i++)
        if (marks[i] != MARK)
            snprintf(c->reason, sizeof c->reason,
                     "self-test %d (%s): expected at most %zu bytes of temporary memory used, as "
                     "it said, found more",
                     c->n, form, bytes);
    return BE_OK;
}

static gpu_span inside(const gpu_span *whole)
{
    size_t around = AROUND * sizeof(float);
    return gpu_part(*whole, around, whole->bytes - 2 * around);
}

static be_status check_form(checker *c, int form, be_error *err)
{
    gpu_driver *driver = &c->d->base;
    size_t bytes = 0;
    clblast_product product = {.rows = c->n,
                               .columns = c->n,
                               .depth = c->n,
                               .transpose_a = forms[form].a,
                               .transpose_b = forms[form].b};
    TRY(clblast_room(c->d, &product, &bytes, err));
    TRY(take_temporary(c, bytes, err));
    TRY(give_operand(c, c->a, product.transpose_a, &c->on_device[0], err));
    TRY(give_operand(c, c->b, product.transpose_b, &c->on_device[1], err));
    TRY(poison_result(c, err));
    clblast_operands operands = {inside(&c->on_device[0]), inside(&c->on_device[1]),
                                 inside(&c->on_device[2]), c->temporary};
    TRY(clblast_start(c->d, &product, &operands, err));
    TRY(driver->vtable->download(driver, c->on_device[2].buffer, 0, c->host,
                                 c->floats * sizeof(float), err));
    compare(c, forms[form].text);
    TRY(compare_temporary(c, forms[form].text, bytes, err));
    give_back(c, &c->temporary);
    return BE_OK;
}

static void draw(double *matrix, size_t count, uint32_t sub)
{
    rng r = {.key = {.seed = 1, .stream = RNG_TUNE, .sub = sub}};
    for (size_t i = 0; i < count; i++) matrix[i] = 2.0 * (double)rng_next_uniform(&r) - 1.0;
}

static be_status check_size(checker *c, int n, be_error *err)
{
    size_t count = (size_t)n * (size_t)n;
    c->n = n;
    c->floats = count + 2 * (size_t)AROUND;
    draw(c->a, count, (uint32_t)n);
    draw(c->b, count, (uint32_t)n + 1u);
    c->a[count / 3] = NAN;
    c->b[count / 2 + 1] = NAN;
    reference(c);
    for (int s = 0; s < 3; s++) TRY(take_span(c, c->floats * sizeof(float), &c->on_device[s], err));
    for (int f = 0; f < COUNT(forms) && !*c->reason; f++) TRY(check_form(c, f, err));
    for (int s = 0; s < 3; s++) give_back(c, &c->on_device[s]);
    return BE_OK;
}

/* The test itself: BE_OK with a reason or without one; else it could not be made. */
static be_status check_sizes(opencl_driver *d, char reason[OUTCOME_BYTES], be_error *err)
{
    checker c = {.d = d};
    size_t elements = (size_t)sizes[COUNT(sizes) - 1] * (size_t)sizes[COUNT(sizes) - 1];
    void *memory = NULL;
    TRY(memory_alloc(&memory,
                     3 * elements * sizeof(double) + (elements + 2 * AROUND) * sizeof(float),
                     "the self-test of CLBlast", err));
    c.a = memory;
    c.b = c.a + elements;
    c.y = c.b + elements;
    c.host = (float *)(c.y + elements);
    be_status status = BE_OK;
    for (int s = 0; s < COUNT(sizes) && status == BE_OK && !*c.reason; s++)
        status = check_size(&c, sizes[s], err);
    for (int s = 0; s < 3; s++) give_back(&c, &c.on_device[s]);
    give_back(&c, &c.temporary);
    memory_free(memory);
    strcpy(reason, c.reason);
    return status;
}

/* What is kept begins with this, so that it is never empty. */
#define KEPT "outcome: "

static be_status kept_or_tested(opencl_driver *d, const kept_key *key, char reason[OUTCOME_BYTES],
                                be_error *err)
{
    char kept[sizeof KEPT + OUTCOME_BYTES];
    void *content = NULL;
    size_t bytes = 0;
    if (kept_read(key, &content, &bytes, NULL) == BE_OK) {
        size_t skip = sizeof KEPT - 1;
        bool good = bytes >= skip && bytes - skip < OUTCOME_BYTES;
        if (good)
            snprintf(reason, OUTCOME_BYTES, "%.*s", (int)(bytes - skip),
                     (const char *)content + skip);
        memory_free(content);
        if (good) return BE_OK;
    }
    TRY(check_sizes(d, reason, err));
    int length = snprintf(kept, sizeof kept, "%s%s", KEPT, reason);
    /* Where nothing can be kept the next start tests again. */
    (void)!kept_write(key, kept, (size_t)length, NULL);
    return BE_OK;
}

be_status clblast_check(opencl_driver *d, be_error *err)
{
    char text[FILE_PATH_BYTES + 600], reason[OUTCOME_BYTES] = "";
    const clblast *library = d->clblast;
    int length = snprintf(text, sizeof text,
                          "CLBlast self-test 2\n%s\n%s\n%s\n%s\n%" PRId64 " bytes of %" PRId64 "\n",
                          d->base.facts.name, d->base.facts.software, library->title, library->path,
                          library->file_bytes, library->file_s);
    kept_key key = {
        .folder = "kernels", .ending = "clblast", .text = text, .bytes = (size_t)length};
    TRY(kept_or_tested(d, &key, reason, err));
    if (!*reason) return BE_OK;
    FAIL(err, BE_UNAVAILABLE,
         "%s (%s) computes wrong products on %s: %s; leave --library out, or install another "
         "version of CLBlast or of the driver",
         library->title, library->path, d->base.facts.name, reason);
}
