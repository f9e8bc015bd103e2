/* See rounding.h. */
#include "core/rounding.h"

#include <fenv.h>
#ifdef __SSE2__
#include <xmmintrin.h>
#endif

#ifdef __SSE2__
#define CONTROL_USUAL 0x1F80u
#define CONTROL_FLAGS 0x3Fu /* what has happened, not how to compute */

static rounding control_read(void)
{
    return _mm_getcsr() & ~CONTROL_FLAGS;
}

static void control_write(rounding control)
{
    _mm_setcsr(control | (_mm_getcsr() & CONTROL_FLAGS));
}
#elif defined __aarch64__
#define CONTROL_USUAL 0u

static rounding control_read(void)
{
    uint64_t control;
    __asm__ volatile("mrs %0, fpcr" : "=r"(control));
    return (rounding)control;
}

static void control_write(rounding control)
{
    uint64_t wide = control;
    __asm__ volatile("msr fpcr, %0" : : "r"(wide));
}
#else
#define CONTROL_USUAL ((rounding)FE_TONEAREST)

static rounding control_read(void)
{
    return (uint32_t)fegetround();
}

static void control_write(rounding control)
{
    (void)fesetround((int)control);
}
#endif

rounding rounding_usual(void)
{
    rounding before = control_read();
    if (rounding_is_odd(before)) control_write(CONTROL_USUAL);
    return before;
}

void rounding_restore(rounding before)
{
    if (rounding_is_odd(before)) control_write(before);
}

bool rounding_is_odd(rounding rules)
{
    return rules != CONTROL_USUAL;
}
