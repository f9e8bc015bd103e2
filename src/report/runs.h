/* Runs that are kept: the list of them, and one with what stands beside it. */
#ifndef REPORT_RUNS_H
#define REPORT_RUNS_H

#include "report/sheet.h"

/* Runs as store_list gives them (store/store.h); `rest` more are not among them. */
BE_CHECKED be_status runs_write(const json_t *runs, int64_t rest, report_format format, FILE *out,
                                be_error *err);

/* A run, its notes and its records; json, jsonl and csv write the records alone. */
BE_CHECKED be_status runs_write_one(const json_t *run, const json_t *notes, const json_t *records,
                                    report_format format, FILE *out, be_error *err);

/* Those of a kind as a new list; of bench without what a sweep among the records was made from, and
 * without what explain tried: these tell of it themselves. */
json_t *runs_of_kind(const json_t *records, const char *kind);

/* The pages of records of any kinds, each as its command prints it, and in HTML with its drawings;
 * csv has those of bench, then the epochs. */
BE_CHECKED be_status runs_write_records(const json_t *records, report_format format, FILE *out,
                                        be_error *err);

/* "2026-11-30 15:04" of a run's time, or of a note's. */
const char *runs_time_text(const json_t *run, char out[REPORT_TEXT_BYTES]);

/* The command; of an import the file. */
const char *runs_command_text(const json_t *run, char out[REPORT_TEXT_BYTES]);

#endif
