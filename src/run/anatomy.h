/* A contender's step taken apart: its phases and ops as its runner told them at the end of the
 * measurement and, of the native engine, what its ops are to a prediction and what they attain on
 * other shapes, for which its runner is started once more.
 *
 * Points of calibration can be kept in a file, for a week, beside the limits of the same device.
 * Owns what is in the struct until anatomy_clear. */
#ifndef RUN_ANATOMY_H
#define RUN_ANATOMY_H

#include "measure/predict.h"
#include "run/conductor.h"

#define ANATOMY_SCHEMA 2

typedef struct anatomy_options {
    const json_t *phases; /* the contender's answer to `phases`, from its measurement */
    double calibrate_s;
    double limit_s;   /* for the runner that calibrates, from its start; 0: as long as it takes */
    const char *kept; /* file of calibration points; "" or NULL: they are not kept */
    bool calibrate;   /* only the native engine can; no other runner is started */
    const volatile sig_atomic_t *interrupted;
} anatomy_options;

typedef struct anatomy {
    protocol_answer answer; /* to phases */
    predict_op *ops;        /* one for each of the answer's ops, or none */
    predict_op *points;
    int op_count, point_count;
} anatomy;

BE_CHECKED be_status anatomy_take(const conductor_contender *contender,
                                  const anatomy_options *options, anatomy *out, be_error *err);
void anatomy_clear(anatomy *a);

#endif
