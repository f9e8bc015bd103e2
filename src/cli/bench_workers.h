/* bench --workers and sweep --over workers=FROM..TO. */
#ifndef CLI_BENCH_WORKERS_H
#define CLI_BENCH_WORKERS_H

#include "cli/cli.h"

/* Whether the command line asks for it. */
bool bench_workers_asked(const cli_options *options);

BE_CHECKED be_status bench_workers(const cli_options *options, be_error *err);

#endif
