/* Trainings: the epochs that train kept, as a table and as curves, made from their records alone.
 */
#ifndef REPORT_TRAINING_H
#define REPORT_TRAINING_H

#include "report/sheet.h"

/* All epochs, a row each; in table and md their curves too, where a training has two epochs: loss
 * and right answers by steps, in HTML also by time. */
BE_CHECKED be_status training_write(const json_t *epochs, report_format format, FILE *out,
                                    be_error *err);

/* A sentence for each training: how far it came and how long it took. */
void training_write_sentences(const json_t *epochs, FILE *out);

#endif
