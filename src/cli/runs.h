/* The options that choose among the runs that are kept. */
#ifndef CLI_RUNS_H
#define CLI_RUNS_H

#include "cli/options.h"
#include "store/store.h"

/* Points into the options. */
BE_CHECKED be_status runs_filter(const cli_options *options, store_filter *out, be_error *err);

#endif
