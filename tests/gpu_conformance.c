/* The conformance kernel: all words of the dialect on one target (gpu_conformance.h). */
#include "gpu_conformance.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Results stand in rows of CONFORMANCE_COUNT, by word. */
#define ROWS(X)                                                                              \
    X(EXP, "EXP(v)", exp(v))                                                                 \
    X(EXPM1, "EXPM1(v)", expm1(v))                                                           \
    X(LOG, "LOG(v * v + 1.0f)", log(v *v + 1.0))                                             \
    X(SQRT, "SQRT(v * v)", fabs(v))                                                          \
    X(TANH, "TANH(v)", tanh(v))                                                              \
    X(ABS, "ABS(v)", fabs(v))                                                                \
    X(DECAY, "DECAY(v * v)", exp(-v *v))                                                     \
    X(SELECT, "SELECT(v < 0.0f, 2.0f, 3.0f)", v < 0.0 ? 2.0 : 3.0)                           \
    X(RECIPROCAL, "RECIPROCAL(1.0f + v * v)", 1.0 / (1.0 + v * v))                           \
    X(MAX, "MAX(v, 0.25f)", fmax(v, 0.25))                                                   \
    X(MIN, "MIN(v, 0.25f)", fmin(v, 0.25))                                                   \
    X(LOWEST, "v > F32_LOWEST ? v : 0.0f", v)                                                \
    X(NAN, "F32_NAN == F32_NAN ? 1.0f : 2.0f", 2.0)                                          \
    X(BITS, "(float)(BITS_OF(v) >> 16)", (double)(bits >> 16))                               \
    X(FLOAT, "FLOAT_OF(BITS_OF(v) ^ 0x80000000u)", -v)                                       \
    X(HIGH, "(float)(MULTIPLY_HIGH(0xD2511F53u, i * 2654435761u) >> 8)",                     \
      (double)((uint32_t)((uint64_t)0xD2511F53u * (uint32_t)(i * 2654435761u) >> 32) >> 8))  \
    X(TYPES,                                                                                 \
      "(float)sizeof(i8) + (float)sizeof(u8) + 10.0f * (float)sizeof(u16) + "                \
      "100.0f * (float)sizeof(i32) + 100.0f * (float)sizeof(u32) + 1000.0f * "               \
      "(float)sizeof(i64) + 1000.0f * (float)sizeof(u64) + 10000.0f * (float)sizeof(f16) + " \
      "10000.0f * (float)sizeof(bf16)",                                                      \
      56822.0)                                                                               \
    X(LOCALS, "shared_sum", shared)                                                          \
    X(UNROLLED, "unrolled", 6.0 + 28.0)                                                      \
    X(ROUNDED, "LOAD_TF32(x, i)", half_of(v, 11, -125))                                      \
    X(FETCHED_TF32, "FETCHED(FINE, FETCH(FINE, x, i))", half_of(v, 11, -125))                \
    X(FETCHED_BF16, "FETCHED(COARSE, FETCH(COARSE, x, i))", half_of(v, 8, -125))             \
    X(NARROWED, "LOAD_F32_TO_BF16(x, i)", half_of(v, 8, -125))                               \
    X(STORED, "LOAD_F32(x, i)", v)

#define X(name, text, value) ROW_##name,
enum { ROWS(X) ROW_COUNT };
#undef X

static const char head[] =
    "#define COUNT 64\n"
    "#define WHOLE_TYPE F32\n"
    "#define HALF_TYPE F16\n"
    "#define BRAIN_TYPE BF16\n"
    "#define FINE_TYPE TF32\n"
    "#define COARSE_TYPE F32_TO_BF16\n"
    "DEVICE float sum_of(LOCAL const float *values, int n)\n"
    "{\n"
    "    float sum = 0.0f;\n"
    "    for (int i = 0; i < n; i++) sum += values[i];\n"
    "    return sum;\n"
    "}\n"
    "DEVICE int place_of(ITEM_PARAM int offset)\n"
    "{\n"
    "    return GROUP_ID * 10000 + NUM_GROUPS * 1000 + LOCAL_SIZE * 100 + LOCAL_ID + offset;\n"
    "}\n"
    "KERNEL conformance(ITEM_ARG ARG_IN(float, x), ARG_OUT(float, y), ARG_IN(u16, halves),\n"
    "                   ARG_OUT(u16, halves_out), ARG_OUT(float, halves_read),\n"
    "                   ARG_OUT(int, indexes), ARG_OUT(float, vectors), ARG_INT(offset),\n"
    "                   ARG_FLOAT(factor))\n"
    "{\n"
    "    OPEN_IN(float, x);\n"
    "    OPEN_OUT(float, y);\n"
    "    OPEN_IN(u16, halves);\n"
    "    OPEN_OUT(u16, halves_out);\n"
    "    OPEN_OUT(float, halves_read);\n"
    "    OPEN_OUT(int, indexes);\n"
    "    OPEN_OUT(float, vectors);\n"
    "    LOCAL_ARRAY(float, shared, GROUP);\n"
    "    GLOBAL const float *RESTRICT again = x;\n"
    "    shared[LOCAL_SIZE - 1 - LOCAL_ID] = again[LOCAL_ID] * factor;\n"
    "    BARRIER();\n"
    "    float shared_sum = sum_of(shared, GROUP), unrolled = 0.0f;\n"
    "    UNROLL for (int j = 0; j < 4; j++) unrolled += (float)j;\n"
    "    UNROLL_4 for (int j = 0; j < 8; j++) unrolled += (float)j;\n"
    "    EACH (i, COUNT) {\n"
    "        float v = x[i];\n"
    "        indexes[i] = place_of(ITEM offset);\n"
    "        halves_read[i] = LOAD(HALF, halves, i);\n"
    "        halves_read[COUNT + i] = LOAD(BRAIN, halves, i);\n"
    "        STORE(HALF, halves_out, i, LOAD(WHOLE, x, i) * 1.0e-4f);\n"
    "        STORE_F16(halves_out, COUNT + i, v * 777.7f);\n"
    "        STORE(BRAIN, halves_out, 2 * COUNT + i, v * 0.3333f);\n";

/* Several at a time: read as each type, and written as each type; rows from `read` and `written`
 * on.
 */
#define AT_A_TIME(n, read, written)                                                          \
    "    EACH (k, COUNT / " #n ") {\n"                                                       \
    "        float v[" #n "];\n"                                                             \
    "        LOAD_" #n "(HALF, v, halves, " #n " * k);\n"                                    \
    "        STORE_" #n "(WHOLE, vectors, " #read " * COUNT + " #n " * k, v);\n"             \
    "        LOAD_" #n "(BRAIN, v, halves, " #n " * k);\n"                                   \
    "        STORE_" #n "(WHOLE, vectors, (" #read " + 1) * COUNT + " #n " * k, v);\n"       \
    "        LOAD_" #n "(WHOLE, v, x, " #n " * k);\n"                                        \
    "        STORE_" #n "(HALF, halves_out, " #written " * COUNT + " #n " * k, v);\n"        \
    "        STORE_" #n "(BRAIN, halves_out, (" #written " + 1) * COUNT + " #n " * k, v);\n" \
    "    }\n"
static const char tail[] = AT_A_TIME(8, 0, 3) AT_A_TIME(4, 2, 5);

char *gpu_conformance_text(const char *dialect, int group)
{
    char *text = NULL;
    size_t length = 0;
    FILE *file = open_memstream(&text, &length);
    if (!file) abort();
    fprintf(file, "#define GROUP %d\n%s\n%s", group, dialect, head);
#define X(name, expression, value) \
    fprintf(file, "        STORE_F32(y, %d * COUNT + i, %s);\n", ROW_##name, expression);
    ROWS(X)
#undef X
    fprintf(file, "    }\n%s}\n", tail);
    fclose(file);
    return text;
}

/* IEEE half and bfloat16, rounded to the nearest even, by the long way. */
static double half_of(double value, int digits, int least_exponent)
{
    int exponent;
    if (value == 0.0) return value;
    frexp(value, &exponent);
    if (exponent < least_exponent) exponent = least_exponent;
    return ldexp(nearbyint(ldexp(value, digits - exponent)), exponent - digits);
}

static double decode(uint16_t bits, int exponent_bits)
{
    int digits = 15 - exponent_bits, bias = (1 << (exponent_bits - 1)) - 1;
    int exponent = bits >> digits & ((1 << exponent_bits) - 1), rest = bits & ((1 << digits) - 1);
    double value = exponent ? ldexp(1.0 + ldexp(rest, -digits), exponent - bias)
                            : ldexp(rest, 1 - bias - digits);
    return bits >> 15 ? -value : value;
}

typedef struct buffers {
    float x[CONFORMANCE_COUNT], y[ROW_COUNT * CONFORMANCE_COUNT];
    uint16_t halves[CONFORMANCE_COUNT], halves_out[7 * CONFORMANCE_COUNT];
    float halves_read[2 * CONFORMANCE_COUNT], vectors[4 * CONFORMANCE_COUNT];
    int32_t indexes[CONFORMANCE_COUNT];
} buffers;

static bool differs(double found, double expected, double tolerance)
{
    return !(fabs(found - expected) <= tolerance * fmax(1.0, fabs(expected)));
}

#define CHECK(condition, ...)                    \
    do {                                         \
        if (!(condition)) {                      \
            snprintf(reason, room, __VA_ARGS__); \
            return false;                        \
        }                                        \
    } while (0)

static bool check(const buffers *b, int group, char *reason, size_t room)
{
    double shared = 0.0;
    for (int i = 0; i < group; i++) shared += (double)b->x[i] * 0.5;
    for (uint32_t i = 0; i < CONFORMANCE_COUNT; i++) {
        double v = (double)b->x[i];
        uint32_t bits;
        memcpy(&bits, &b->x[i], sizeof bits);
#define X(name, text, value)                                                              \
    CHECK(!differs((double)b->y[ROW_##name * CONFORMANCE_COUNT + (int)i], (value), 3e-6), \
          "%s of %g: expected %.9g, found %.9g", text, v, (double)(value),                \
          (double)b->y[ROW_##name * CONFORMANCE_COUNT + (int)i]);
        ROWS(X)
#undef X
        int item = (int)i % (group * CONFORMANCE_GROUPS);
        int expected =
            item / group * 10000 + CONFORMANCE_GROUPS * 1000 + group * 100 + item % group + 7;
        CHECK(b->indexes[i] == expected, "indexes at %u: expected %d, found %d", i, expected,
              b->indexes[i]);
        CHECK((double)b->halves_read[i] == decode(b->halves[i], 5),
              "LOAD_F16 of %#x: expected %.9g, found %.9g", b->halves[i], decode(b->halves[i], 5),
              (double)b->halves_read[i]);
        CHECK((double)b->halves_read[CONFORMANCE_COUNT + i] == decode(b->halves[i], 8),
              "LOAD_BF16 of %#x: found %.9g", b->halves[i],
              (double)b->halves_read[CONFORMANCE_COUNT + i]);
        for (int s = 0; s < 4; s++) {
            double found = (double)b->vectors[s * CONFORMANCE_COUNT + (int)i];
            double single = (double)b->halves_read[s % 2 * CONFORMANCE_COUNT + (int)i];
            CHECK(found == single, "LOAD_%d of %#x as %s: expected %.9g, found %.9g", s < 2 ? 8 : 4,
                  b->halves[i], s % 2 ? "BF16" : "F16", single, found);
        }
        double stored[7] = {half_of((double)(b->x[i] * 1.0e-4f), 11, -13),
                            half_of((double)(b->x[i] * 777.7f), 11, -13),
                            half_of((double)(b->x[i] * 0.3333f), 8, -125),
                            half_of((double)b->x[i], 11, -13),
                            half_of((double)b->x[i], 8, -125),
                            half_of((double)b->x[i], 11, -13),
                            half_of((double)b->x[i], 8, -125)};
        for (int s = 0; s < 7; s++) {
            bool brain = s == 2 || s == 4 || s == 6;
            uint16_t found = b->halves_out[s * CONFORMANCE_COUNT + (int)i];
            CHECK(decode(found, brain ? 8 : 5) == stored[s],
                  "STORE%s_%s of %g (%d): expected %.9g, found %.9g",
                  s < 3   ? ""
                  : s < 5 ? "_8"
                          : "_4",
                  brain ? "BF16" : "F16", v, s, stored[s], decode(found, brain ? 8 : 5));
        }
    }
    return true;
}

static void fill(buffers *b)
{
    for (int i = 0; i < CONFORMANCE_COUNT; i++) {
        b->x[i] = ((float)((i * 37) % CONFORMANCE_COUNT) - 31.5f) / 16.0f;
        b->halves[i] = (uint16_t)((unsigned)i * 1031u % 0x7c00u | (i % 2 ? 0x8000u : 0u));
    }
}

static be_status run(gpu_driver *driver, gpu_buffer memory, gpu_module *module, int group,
                     buffers *b, be_error *err)
{
    const gpu_driver_vtable *vt = driver->vtable;
    gpu_launch launch = {.groups = CONFORMANCE_GROUPS, .group = group, .argument_count = 9};
#define SPAN(index, field, is_out)                          \
    launch.arguments[index] = (gpu_argument)                \
    {                                                       \
        .kind = GPU_ARGUMENT_SPAN, .out = is_out, .span = { \
            memory,                                         \
            offsetof(buffers, field),                       \
            sizeof b->field                                 \
        }                                                   \
    }
    SPAN(0, x, false);
    SPAN(1, y, true);
    SPAN(2, halves, false);
    SPAN(3, halves_out, true);
    SPAN(4, halves_read, true);
    SPAN(5, indexes, true);
    SPAN(6, vectors, true);
    launch.arguments[7] = gpu_int(7);
    launch.arguments[8] = gpu_float(0.5);
    TRY(vt->function(driver, module, "conformance", &launch.function, err));
    TRY(vt->upload(driver, memory, 0, b, sizeof *b, err));
    TRY(vt->launch(driver, &launch, err));
    return vt->download(driver, memory, 0, b, sizeof *b, err);
}

bool gpu_conformance_run(gpu_driver *driver, int group, char *reason, size_t room)
{
    be_error err;
    buffers b = {0};
    gpu_buffer memory = 0;
    gpu_module *module = NULL;
    char *text = gpu_conformance_text(driver->dialect, group);
    gpu_text source = {"conformance", text};
    fill(&b);
    be_status status = driver->vtable->alloc(driver, sizeof b, "conformance", &memory, &err);
    if (status == BE_OK) status = driver->vtable->compile(driver, &source, 1, &module, &err);
    if (status == BE_OK) status = run(driver, memory, module, group, &b, &err);
    if (module) driver->vtable->module_free(driver, module);
    if (memory) driver->vtable->free(driver, memory);
    free(text);
    if (status == BE_OK) return check(&b, group, reason, room);
    snprintf(reason, room, "%s", err.text);
    return false;
}
