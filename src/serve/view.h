/* The pages of the browser: what an address asks for, and HTML for it.
 *
 * Every setting is in the address, so that a view can be sent to somebody.  Reads the store, asks
 * the queue, changes neither.  Knows no HTTP library. */
#ifndef SERVE_VIEW_H
#define SERVE_VIEW_H

#include <stdio.h>

#include "serve/address.h"
#include "serve/queue.h"
#include "store/store.h"

#define VIEW_RUNS 50 /* listed where nobody says how many */

/* Which runs the address asks for; `out` points into it.  BE_USAGE for a bad day or number. */
BE_CHECKED be_status address_filter(const address *a, store_filter *out, be_error *err);

typedef struct view {
    const queue *queue;
    const address *address;
    bool *missing; /* set where nothing is at the path */
} view;

/* The page of a path, whole.  BE_USAGE and BE_UNAVAILABLE where there is none, or where it cannot
 * be had; what was written until then is to be thrown away. */
BE_CHECKED be_status view_write(const view *p, FILE *out, be_error *err);

/* A page that says why there is no other. */
void view_write_fault(const char *title, const char *text, FILE *out);

/* Its parts, for view_write. */
void view_begin(const view *p, const char *title, FILE *out);
void view_end(FILE *out);
BE_CHECKED be_status view_study(const view *p, job_kind kind, FILE *out, be_error *err);
BE_CHECKED be_status view_runs(const view *p, FILE *out, be_error *err);
BE_CHECKED be_status view_run(const view *p, int64_t run, FILE *out, be_error *err);
BE_CHECKED be_status view_compare(const view *p, FILE *out, be_error *err);
/* The runs that the address names as 'breakeven report' writes them. */
BE_CHECKED be_status view_report(const view *p, FILE *out, be_error *err);

/* What page and API have in common: the runs; a run with its notes and records, and a comparison of
 * the runs that the address names as run=N.  The caller releases all, whatever the status. */
typedef struct view_data {
    json_t *run, *notes, *records, *comparison;
} view_data;

/* The runs that the address asks for, a list, and how many older ones it leaves out. */
BE_CHECKED be_status view_load_runs(const address *a, json_t **runs, int64_t *rest, be_error *err);
/* *missing is set where there is no such run. */
BE_CHECKED be_status view_load_run(int64_t run, bool *missing, view_data *out, be_error *err);
BE_CHECKED be_status view_load_comparison(const address *a, view_data *out, be_error *err);
void view_release(view_data *data);

#endif
