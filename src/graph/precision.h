/* The precisions of products: their names, and what they keep of a number. */
#ifndef GRAPH_PRECISION_H
#define GRAPH_PRECISION_H

#include "breakeven/plan.h"
#include "core/status.h"

const char *precision_name(be_precision precision); /* "fp32" */

/* BE_USAGE with the known names if it is none of them. */
be_status precision_find(const char *name, be_precision *out, be_error *err);

/* What a product of this precision keeps of the numbers of an operand: tf32 the nearest of 11 bits,
 * ties to even.  The others keep the numbers of the operand's type. */
void precision_round(be_precision precision, double *values, int64_t count);

/* What is sure of sums of products in fp32: the nearest of 20 bits, ties to even.  Each of K
 * additions rounds to 24; in whatever order they are done, they are off by about sqrt(K) of these
 * roundings together, 16 where K is 256 (Higham, Accuracy and Stability of Numerical Algorithms,
 * 2002, chapter 4: the error of a sum grows with its length, and with the square root as roundings
 * are independent). */
void precision_round_sums(double *values, int64_t count);

#endif
