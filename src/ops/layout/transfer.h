/* What upload and download have in common: y is x, or its first elements. */
#ifndef OPS_LAYOUT_TRANSFER_H
#define OPS_LAYOUT_TRANSFER_H

#include "ops/op_util.h"

void transfer_reference(const op_reference *call);

/* The bytes that pass between the two memories, each once. */
op_cost transfer_cost(const void *attrs, const be_shape *in, const be_shape *out);

#endif
