/* What the commands share: the signal, progress and notes on standard error, common options turned
 * into the engine's terms.  Only main exits. */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include <signal.h>
#include <stdio.h>

#include "breakeven/plan.h"
#include "cli/options.h"
#include "data/dataset.h"
#include "report/sheet.h"
#include "workloads/workload.h"

/* Where results go, and nothing else: the standard output that the program was started with.
 * Descriptor 1 is standard error meanwhile, so that what a library prints spoils no result.  Set by
 * main before anything else runs. */
extern FILE *cli_results;

/* The signal that asked the program to end (SIGINT, SIGTERM, SIGHUP; SIGPIPE: nobody reads its
 * output or its notes any more), 0 while there is none. */
extern volatile sig_atomic_t cli_signal;

/* A line for people on standard error; nothing with --quiet. */
void cli_note(const cli_options *options, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Replace the progress line on standard error; nothing where that is no terminal, or with --quiet.
 * cli_progress_end removes it. */
void cli_progress(const cli_options *options, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void cli_progress_end(void);

/* The threads of a command without --threads: OMP_NUM_THREADS, else the physical cores as far as
 * the quota of a control group pays for them, and never more than OpenMP's limits allow. */
int cli_default_threads(const cli_options *options);

/* The same, whatever the quota; `usual` is what cli_default_threads gave. */
int cli_all_threads(int usual);

/* --seed where it is not given.  bench/RESULTS.md shows how far the accuracy moves with it. */
#define CLI_SEED 42
uint64_t cli_seed(const cli_options *options);

/* --device of a command that uses one device; BE_UNAVAILABLE with the reason. */
BE_CHECKED be_status cli_open_device(const cli_options *options, be_device **out, be_error *err);

/* --device of a command that uses one device, or the processor and an accelerator, as cpu+cuda:0;
 * *second is NULL for one. */
BE_CHECKED be_status cli_open_devices(const cli_options *options, be_device **first,
                                      be_device **second, be_error *err);

/* Of --precision, the first of several; fp32 without it. */
be_precision cli_precision(const cli_options *options);

/* The workload of the first argument; its name was checked by the parser. */
const workload *cli_workload(const cli_options *options, int argument);

/* What --width, --layers and the like make of a workload. */
workload_variant cli_variant(const cli_options *options);

/* A workload's own schedule with what --schedule and --warmup say; how many steps there are in all
 * is the caller's to add. */
be_schedule cli_schedule(const cli_options *options, be_schedule own);

/* --data, --text, --tokenizer, --synthetic and --limit. */
dataset_options cli_data_options(const cli_options *options);

/* The tokenizer of a training on a text, in the folder of its checkpoints. */
#define CLI_TOKENIZER "tokenizer.json"

/* Where an output of the command is standard output (/dev/stdout, or "-"), it is that alone: the
 * other results go to standard error.  Before anything is printed; the output's option is changed
 * to the place where standard output now is. */
BE_CHECKED be_status cli_give_stdout(cli_options *options, be_error *err);

/* The output as people call it. */
const char *cli_output_name(const option_value *output);

/* Write records to cli_results in the form of --format. */
BE_CHECKED be_status cli_write(const cli_options *options, const report_sheet *sheet,
                               be_error *err);
report_format cli_format(const cli_options *options);

#endif
