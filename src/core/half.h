/* The two floating-point types of 16 bits, by their bits: IEEE 754 half precision (f16: 5 bits of
 * exponent, 10 of fraction) and bfloat16 (the upper half of a float).  Rounding is to the nearest,
 * ties to even, as hardware does it.  A NaN stays one, what is too large becomes infinite. */
#ifndef CORE_HALF_H
#define CORE_HALF_H

#include <stdint.h>

float half_to_float(uint16_t half);
uint16_t half_from_float(float x);

float brain_to_float(uint16_t brain);
uint16_t brain_from_float(float x);

#endif
