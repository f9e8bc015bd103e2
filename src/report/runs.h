/* Runs that are kept: the list of them, and one with what stands beside it. */
#ifndef REPORT_RUNS_H
#define REPORT_RUNS_H

#include "report/sheet.h"

/* Runs as store_list gives them (store/store.h); `left` more are not among them. */
BE_CHECKED be_status runs_write(const json_t *runs, int64_t left, report_format format, FILE *out,
                                be_error *err);

/* A run, its notes and its records; json, jsonl and csv write the records alone. */
BE_CHECKED be_status runs_write_one(const json_t *run, const json_t *notes, const json_t *records,
                                    report_format format, FILE *out, be_error *err);

#endif
