/* The options of a command line as a request, the terminal as a watch (study/request.h). */
#ifndef CLI_REQUEST_H
#define CLI_REQUEST_H

#include "cli/cli.h"
#include "store/keeper.h"
#include "study/axis.h"
#include "study/request.h"

/* Points into the options.  Without a workload it is cnn-fashion. */
BE_CHECKED be_status request_make(const cli_options *options, study_request *out, be_error *err);
/* For a command that takes one batch: BE_USAGE for several. */
BE_CHECKED be_status request_make_single(const cli_options *options, study_request *out,
                                         be_error *err);

/* Who listens at the terminal. */
typedef struct request_listener {
    const cli_options *options;
    json_t *records; /* a list that gets what is measured; NULL: none */
    keeper keeper;   /* of request_keeper; zero: nothing is kept */
} request_listener;

/* Keeps what is measured in the user's store, unless --no-store says otherwise. */
keeper request_keeper(const cli_options *options);
/* Keep one that no study gave, `environment` as in keeper_add; tell once if that fails. */
void request_keep(request_listener *listener, json_t *record, const json_t *environment);
/* After the study: what it completed is kept too. */
void request_keep_end(request_listener *listener);

/* Progress and notes go to standard error, and a signal ends the study. */
study_watch request_watch(request_listener *listener);

/* A split of the workload's data set, at the workload's size, as the options say; notes a stand-in.
 * A text without --tokenizer takes the one that lies in the folder `beside`, or in that of the file
 * `beside`, where there is one; NULL: nowhere.  It is read with that of the other split where this
 * is open. */
typedef struct request_data {
    const workload *workload;
    dataset_split split;
    const char *near;
    const be_dataset *other; /* may be NULL */
} request_data;

BE_CHECKED be_status request_open_data(const cli_options *options, const request_data *what,
                                       be_dataset **out, be_error *err);

/* "batch=8..4096" of --over, for a workload that has the axis.  BE_USAGE with what is wrong, and
 * with the axes that the workload has. */
BE_CHECKED be_status request_range(const char *text, const workload *w, axis_range *out,
                                   be_error *err);

#endif
