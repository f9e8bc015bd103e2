/* See op_list.h. */
#include "ops/op_list.h"

#include <string.h>

const be_op *const op_table[OP_COUNT] = {
#define X(name, ...) &be_op_##name,
    OP_LIST(X)
#undef X
};

const be_op *op_find(const char *name)
{
    for (int i = 0; i < OP_COUNT; i++)
        if (strcmp(op_table[i]->name, name) == 0) return op_table[i];
    return NULL;
}
