/* What people call a set of results: a run, a file, a build or a machine. */
#ifndef STORE_CHOOSE_H
#define STORE_CHOOSE_H

#include "store/store.h"

/* Append the records that a name stands for, each as {"run": N, "record": …}, and say in `title`
 * what it was taken for: "run 3", "records.jsonl", "build abc123", "AMD EPYC, 2 threads".  The name
 * is, in this order, the number of a run, a file of records, the beginning of a commit, a part of a
 * machine's name.  BE_USAGE where it is none, or one of several machines. */
BE_CHECKED be_status choose_records(store *s, const char *name, json_t *records, char title[200],
                                    be_error *err);

/* Append the runs that a name stands for, whole and the oldest first: objects of "run" (as
 * store_list gives it), "notes", "records" and "lines" (the records as they are kept, texts).  The
 * same names and errors. */
BE_CHECKED be_status choose_runs(store *s, const char *name, json_t *runs, be_error *err);

/* The same of the runs that a filter takes. */
BE_CHECKED be_status choose_collect(store *s, const store_filter *filter, json_t *runs,
                                    be_error *err);

#endif
