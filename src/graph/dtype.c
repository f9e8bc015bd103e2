/* See dtype.h. */
#include "graph/dtype.h"

#include <math.h>

#include "core/half.h"
#include "core/status.h"

size_t dtype_bytes(be_dtype dtype)
{
    static const size_t bytes[] = {
#define X(name, text, bytes) bytes,
        BE_DTYPE_LIST(X)
#undef X
    };
    return bytes[dtype];
}

const char *dtype_name(be_dtype dtype)
{
    static const char *const names[] = {
#define X(name, text, bytes) text,
        BE_DTYPE_LIST(X)
#undef X
    };
    return names[dtype];
}

bool dtype_is_real(be_dtype dtype)
{
    switch (dtype) {
    case BE_F32:
    case BE_F16:
    case BE_BF16:
        return true;
    case BE_I32:
    case BE_U8:
        return false;
    }
    MUST(!"the type is one of BE_DTYPE_LIST");
    return false;
}

void dtype_to_doubles(be_dtype dtype, const void *data, int64_t count, double *out)
{
    switch (dtype) {
    case BE_F32:
        for (int64_t i = 0; i < count; i++) out[i] = (double)((const float *)data)[i];
        return;
    case BE_I32:
        for (int64_t i = 0; i < count; i++) out[i] = (double)((const int32_t *)data)[i];
        return;
    case BE_U8:
        for (int64_t i = 0; i < count; i++) out[i] = (double)((const uint8_t *)data)[i];
        return;
    case BE_F16:
        for (int64_t i = 0; i < count; i++)
            out[i] = (double)half_to_float(((const uint16_t *)data)[i]);
        return;
    case BE_BF16:
        for (int64_t i = 0; i < count; i++)
            out[i] = (double)brain_to_float(((const uint16_t *)data)[i]);
        return;
    }
    MUST(!"the type is one of BE_DTYPE_LIST");
}

/* To the nearest float, or, if that was inexact, to the one beside it whose last bit is set
 * (rounding to odd, Boldo and Melquiond 2008): rounding that again to fewer digits gives what
 * rounding once would have given. */
static float float_to_odd(double value)
{
    float x = (float)value;
    if ((double)x == value || isnan(value) || isinf(x)) return x;
    union {
        float x;
        uint32_t bits;
    } near = {.x = x};
    if (near.bits & 1) return x;
    return nextafterf(x, (double)x < value ? INFINITY : -INFINITY);
}

void dtype_from_doubles(be_dtype dtype, const double *values, int64_t count, void *out)
{
    switch (dtype) {
    case BE_F32:
        for (int64_t i = 0; i < count; i++) ((float *)out)[i] = (float)values[i];
        return;
    case BE_I32:
        for (int64_t i = 0; i < count; i++) ((int32_t *)out)[i] = (int32_t)(int64_t)values[i];
        return;
    case BE_U8:
        for (int64_t i = 0; i < count; i++) ((uint8_t *)out)[i] = (uint8_t)(int64_t)values[i];
        return;
    case BE_F16:
        for (int64_t i = 0; i < count; i++)
            ((uint16_t *)out)[i] = half_from_float(float_to_odd(values[i]));
        return;
    case BE_BF16:
        for (int64_t i = 0; i < count; i++)
            ((uint16_t *)out)[i] = brain_from_float(float_to_odd(values[i]));
        return;
    }
    MUST(!"the type is one of BE_DTYPE_LIST");
}

void dtype_round(be_dtype dtype, double *values, int64_t count)
{
    if (dtype != BE_F16 && dtype != BE_BF16) return;
    for (int64_t i = 0; i < count; i++) {
        uint16_t bits;
        dtype_from_doubles(dtype, &values[i], 1, &bits);
        dtype_to_doubles(dtype, &bits, 1, &values[i]);
    }
}

static bool is_finite(be_dtype dtype, const void *data, size_t i)
{
    uint16_t bits = dtype == BE_F32 ? 0 : ((const uint16_t *)data)[i];
    if (dtype == BE_F32) return isfinite(((const float *)data)[i]);
    return dtype == BE_F16 ? (bits & 0x7c00u) != 0x7c00u : (bits & 0x7f80u) != 0x7f80u;
}

bool dtype_all_finite(be_dtype dtype, const void *data, size_t count, size_t *at, double *value)
{
    if (!dtype_is_real(dtype)) return true;
    for (size_t i = 0; i < count; i++) {
        if (is_finite(dtype, data, i)) continue;
        *at = i;
        dtype_to_doubles(dtype, (const char *)data + i * dtype_bytes(dtype), 1, value);
        return false;
    }
    return true;
}
