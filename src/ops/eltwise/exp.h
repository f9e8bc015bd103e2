/* Attributes of exp and exp_backward. */
#ifndef OPS_ELTWISE_EXP_H
#define OPS_ELTWISE_EXP_H

typedef struct exp_attrs {
    float limit;
} exp_attrs;

#endif
