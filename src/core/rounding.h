/* How the calling thread computes with floating-point numbers.  A library that was compiled for
 * speed alone may have told its processor to take denormal numbers for zero, and a program may have
 * chosen another rounding: our results must not depend on it, and it must find its rules again. */
#ifndef CORE_ROUNDING_H
#define CORE_ROUNDING_H

#include <stdbool.h>
#include <stdint.h>

/* The processor's own word for the rules of one thread. */
typedef uint32_t rounding;

/* From here to rounding_restore: to nearest, denormal numbers kept, no trap.  Returns the rules
 * that were. */
rounding rounding_usual(void);
void rounding_restore(rounding before);

bool rounding_is_odd(rounding rules);

#endif
