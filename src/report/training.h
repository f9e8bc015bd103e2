/* Trainings: the epochs that train kept, as a table and as curves, made from their records alone.
 */
#ifndef REPORT_TRAINING_H
#define REPORT_TRAINING_H

#include "report/sheet.h"

/* What there is to show of an epoch, as columns of a sheet. */
#define TRAINING_COLUMNS                                                                \
    {MEMBER(epoch, epoch), "epoch", UNIT_COUNT, NULL},                                  \
        {MEMBER(epoch, step), "step", UNIT_COUNT, NULL},                                \
        {MEMBER(epoch, loss), "loss", UNIT_NUMBER, NULL},                               \
        {MEMBER(epoch, accuracy), "accuracy", UNIT_NUMBER, NULL},                       \
        {MEMBER(epoch, validation_loss), "validation loss", UNIT_NUMBER, NULL},         \
        {MEMBER(epoch, validation_accuracy), "validation accuracy", UNIT_NUMBER, NULL}, \
        {MEMBER(epoch, seconds), "time", UNIT_SECONDS, NULL},                           \
        {MEMBER(epoch, samples_per_s), "samples/s", UNIT_COUNT, NULL},

/* All epochs, a row each; in table and md their curves too, where a training has two epochs: loss
 * and right answers by steps, in HTML also by time. */
BE_CHECKED be_status training_write(const json_t *epochs, report_format format, FILE *out,
                                    be_error *err);

/* A sentence for each training: how far it came and how long it took. */
void training_write_sentences(const json_t *epochs, FILE *out);

#endif
