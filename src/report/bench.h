/* The results of a measurement for people: a table, the reasons, an advice, all made from the
 * records (run/record.h) alone. */
#ifndef REPORT_BENCH_H
#define REPORT_BENCH_H

#include "report/sheet.h"

/* Beyond run/record.h a record has: data_source, data_count, data_note (or null), phases_s (object,
 * or null), epochs (the workload's default). */

/* Write all records; table and md group them by workload, mode, batch and precision. */
BE_CHECKED be_status bench_write(const json_t *records, report_format format, FILE *out,
                                 be_error *err);

/* The engine's name for people: "native", "PyTorch", "TensorFlow". */
const char *bench_engine_title(const json_t *record);

/* Did it run on something that is no processor? */
bool bench_is_gpu(const json_t *record);

/* "native on 2 threads", "PyTorch on cuda:0", "native on opencl:0 (CPU)". */
const char *bench_who(const json_t *record, char out[REPORT_TEXT_BYTES]);

/* The reasons and the advice below a table; `records` are one group, the fastest first. */
void bench_write_reasons(const json_t *records, FILE *out);

#endif
