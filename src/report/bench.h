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

/* Of one group: workload, mode, batch, dimensions and precision are the same. */
bool bench_is_alike(const json_t *a, const json_t *b);

/* The records of the group that begins at `first`, the fastest first and marked as the best, as a
 * new list; *next is behind it. */
json_t *bench_take_group(const json_t *records, size_t first, size_t *next);

/* The reasons and the advice below a table; `records` are one group, the fastest first. */
void bench_write_reasons(const json_t *records, FILE *out);

#endif
