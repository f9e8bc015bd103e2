/* What the ops of this engine attain on a device: small networks of many sizes, timed op by op.
 *
 * Their shapes are none of a workload's, so that a prediction made from them is one.  Owns nothing
 * after a call. */
#ifndef NATIVE_NATIVE_CALIBRATE_H
#define NATIVE_NATIVE_CALIBRATE_H

#include <jansson.h>

#include "measure/predict.h"
#include "native/native.h"

/* What the ops of a plan are to a prediction, in the order of the step; `out` has room for one a
 * node.  Returns how many. */
int native_calibrate_ops(const be_plan *plan, predict_op *out);

/* Calibration network `index` as a training graph of its own, at the sizes for a processor or for
 * an accelerator; NULL in *out after the last. */
BE_CHECKED be_status native_calibrate_network(int index, bool accelerator, be_graph **out,
                                              be_error *err);

/* Time networks for about `seconds` at most, a list of points (native_calibrate_to_json). */
BE_CHECKED be_status native_calibrate(be_device *device, be_precision precision, double seconds,
                                      json_t **out, be_error *err);

json_t *native_calibrate_to_json(const predict_op *op);

#endif
