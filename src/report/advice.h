/* An advice for people: the table of the candidates, the advice in sentences, its margin and its
 * evidence, all made from its JSON object alone. */
#ifndef REPORT_ADVICE_H
#define REPORT_ADVICE_H

#include "report/sheet.h"

/* The object: workload, batch, epochs, steps, samples, goal, from (a file, or null), candidates (a
 * list: engine, device, threads, step_s, total_s, start_s {point, low, high}, energy_j,
 * memory_bytes, measured, in_range, fits, held_out, standing "best", "runner-up" or null), failed
 * (a list of engine, device, threads, error), verdict, ratio, flip {samples, batches, batch_low,
 * batch_high}, scaling (report/scaling.h, or null).  json and jsonl write it, csv and md its
 * candidates. */
BE_CHECKED be_status advice_write(const json_t *advice, report_format format, FILE *out,
                                  be_error *err);

/* The sentences alone, wrapped at 80 columns. */
void advice_write_sentences(const json_t *advice, FILE *out);

#endif
