/* The one list of commands and the one list of options.  Parsing, help, the man page and the shell
 * completions are all made from these lines; nothing else knows what an option is called. */
#ifndef CLI_OPTION_LIST_H
#define CLI_OPTION_LIST_H

#include "workloads/workload.h"

/* id, name, arguments, what the arguments are, least and most of them, summary, description.
 * The first line is what runs without a command. */
#define COMMAND_LIST(X)                                                                            \
    X(quick, "", "", NOTHING, 0, 0, "the quick verdict for this machine, in 40 seconds at most",   \
      "Lists the devices, trains cnn-fashion on each of them for a few seconds, and prints one "   \
      "table, the reason in a sentence, and one of advice.")                                       \
    X(devices, "devices", "", NOTHING, 0, 0,                                                       \
      "every device and engine, usable or not, and if not why",                                    \
      "Starts every engine's runner once, asks it for its devices and libraries, and lists them. " \
      "With --measure also what the native engine's devices can do at most, and their sensors.")   \
    X(workloads, "workloads", "", NOTHING, 0, 0,                                                   \
      "the ladder of models, with parameters, operations and bytes per step",                      \
      "Plans a training step of every workload and lists what it costs, and below them the "       \
      "operations that can be measured alone.")                                                    \
    X(bench, "bench", "[WORKLOAD...]", WORKLOADS, 0, 16,                                           \
      "measure workloads on every device and engine, side by side",                                \
      "Measures the training step (with --infer: the forward pass) of each workload "              \
      "(cnn-fashion if none is named) for every engine, device, batch and number of threads; "     \
      "a model of your own is named by its file (mymodel.py, docs/own-models.md), an "             \
      "operation alone as op:matmul (forward and backward, with --infer forward; 'breakeven "      \
      "bench op:matmul --size 64 --times 100' is 100 small products). "                            \
      "The contenders work in processes of their own, start from the same weights, see the same "  \
      "batches, and take turns block by block. Every row has a median with its 95 % interval, "    \
      "and "                                                                                       \
      "the verdict is by the interval of the ratio.")                                              \
    X(advise, "advise", "WORKLOAD", WORKLOADS, 1, 1,                                               \
      "which device to train with, and where the answer flips",                                    \
      "Measures every device and engine at the batch that is asked for, start-up included, and "   \
      "says which one the whole training should go to, what it will take, and by what margin. "    \
      "With --from it measures nothing: settings that the file lacks are interpolated, with the "  \
      "error that measured settings showed when they were left out.")                              \
    X(sweep, "sweep", "WORKLOAD", WORKLOADS, 1, 1,                                                 \
      "find the break-even points over batch, steps, width or size",                               \
      "Searches --over AXIS=FROM..TO for every place where one contender overtakes another: "      \
      "a coarse grid, then the neighbourhood of each change, until each break-even point has an "  \
      "interval of 7 % to either side, or the time is over. The CPU takes part with the best of "  \
      "its threads and kernels at each place. Every point is kept in a file at once; --resume "    \
      "goes on. None in the range is a result.")                                                   \
    X(explain, "explain", "WORKLOAD", WORKLOADS, 1, 1,                                             \
      "where one step's time goes on each device, and why one wins",                               \
      "Measures a training step on every device and engine for a moment, takes it apart into "     \
      "phases and operations, holds each against what the hardware allows and against a "          \
      "prediction, and says in a sentence why the fastest wins; the opposite is tried out before " \
      "it is said. The first time on a machine its devices are measured too; that is kept.")       \
    X(train, "train", "WORKLOAD", WORKLOADS, 1, 1,                                                 \
      "train a model: validation, checkpoints, export",                                            \
      "Trains with a validation after every epoch. An interrupt (Ctrl-C), SIGTERM, SIGHUP and a "  \
      "closed pipe save a checkpoint first. A loss that is no number stops the training with the " \
      "step and the first operation that went wrong. One training at a time may save to a "        \
      "folder; a second one of the same network fails at once (exit code 1).")                     \
    X(eval, "eval", "WORKLOAD", WORKLOADS, 1, 1, "accuracy and loss of trained weights",           \
      "Takes weights that train --export, torchvision or Hugging Face wrote (or a checkpoint) "    \
      "over the test split. The file may say which variant of the model it holds.")                \
    X(parity, "parity", "WORKLOAD", WORKLOADS, 1, 1,                                               \
      "prove that the engines compute the same training",                                          \
      "The same weights and batches go through the native engine, through its reference in "       \
      "double precision and through the other engines. Logits, loss and every gradient of the "    \
      "first step and the losses of ten steps are compared; the largest error of each kind is "    \
      "printed with its place. Exit code 4 where one exceeds the limit.")                          \
    X(dump, "dump", "WORKLOAD", WORKLOADS, 1, 1, "write one step's tensors to a file",             \
      "Writes input, target, logits, loss, param.NAME, buffer.NAME and grad.NAME of the first "    \
      "training step as safetensors, with the names and the layout of PyTorch's state_dict, and "  \
      "the dimensions of the model as strings in __metadata__.")                                   \
    X(data, "data", "list|verify|get [SET...]", ACTIONS, 1, 9, "list, check and fetch data sets",  \
      "list shows what is on this machine, verify reads and checks every file, get fetches from "  \
      "the publishers.")                                                                           \
    X(runs, "runs", "[list|show|note|remove|export|import ...]", RUNS, 0, 16,                      \
      "what was measured and kept: list, show, note, remove, export, import",                      \
      "Lists the runs that are kept in $XDG_DATA_HOME/breakeven/results.db, the newest first. "    \
      "show N shows one, note N TEXT puts a note beside it, remove N... removes some, export "     \
      "[N...] writes records, one per line (all runs without N), and import FILE... takes those "  \
      "of other machines, plain or gzip: all of a file or, where a line of it is bad, none.")      \
    X(compare, "compare", "A B [C...]", RESULTS, 2, 8,                                             \
      "two or more runs, machines, builds or files of records side by side",                       \
      "Each is the number of a run, a file of records, the beginning of a commit, or a part of a " \
      "machine's name (see 'breakeven runs'). A row is a workload on an engine and a device, in "  \
      "one precision and batch; what is not alike is told first, and what is missing. The "        \
      "verdict is by the interval of the ratio, as in bench. Exit code 6 where --fail-if says "    \
      "so.")                                                                                       \
    X(report, "report", "[RUN...]", RESULTS, 0, 16, "runs as one document: HTML, Markdown or CSV", \
      "Writes what runs found to --output FILE: report.html (one file that needs no network and "  \
      "no script, with plots and the records within), report.md for a repository, or report.csv "  \
      "with a row for each number. Each RUN is named as in compare; without one it is the newest " \
      "(--last N: the newest N). Where several have the same work they are compared.")             \
    X(serve, "serve", "", NOTHING, 0, 0, "a page in the browser: try, compare, explain, look up",  \
      "Serves a page on this machine alone, and prints its address, with a token that lets its "   \
      "owner in. Studies that are started there run as the commands do, one at a time, and are "   \
      "kept as theirs are. Figures for Prometheus are at /metrics, JSON is at /api "               \
      "(docs/api.md).")                                                                            \
    X(completion, "completion", "SHELL", SHELLS, 1, 1, "completions for bash, zsh or fish",        \
      "Prints a script for the shell: add 'source <(breakeven completion bash)' to ~/.bashrc, or " \
      "write it to the shell's folder of completions.")                                            \
    X(help, "help", "[COMMAND]", COMMANDS, 0, 1, "help on a command; --man prints the man page",   \
      "Without a command: the list of commands.")                                                  \
    X(runner, "runner", "", NOTHING, 0, 0, "",                                                     \
      "The native engine as a runner: answers the requests of docs/runner-protocol.md on its "     \
      "standard input.")

/* Groups of commands that share an option. */
#define ON(command) (1u << COMMAND_##command)
#define ON_ALL (~0u)
#define ON_BENCH (ON(quick) | ON(bench) | ON(explain) | ON(advise))
#define ON_MEASURE (ON_BENCH | ON(sweep))
#define ON_MODEL (ON(train) | ON(eval) | ON(parity) | ON(dump))
#define ON_RECORDS                                                                             \
    (ON(quick) | ON(devices) | ON(workloads) | ON(bench) | ON(train) | ON(eval) | ON(parity) | \
     ON(data) | ON(advise) | ON(sweep) | ON(explain) | ON(runs) | ON(compare))
#define ON_TEXT (ON(bench) | ON(explain) | ON(advise) | ON(sweep) | ON_MODEL)
#define ON_OUTPUT (ON(dump) | ON(sweep) | ON(runs) | ON(report))
#define ON_KEEPING (ON(bench) | ON(sweep) | ON(explain) | ON(advise) | ON(train))

/* An option for each dimension of a variant; expands where X is the macro that OPTION_LIST was
 * given. */
#define OPTION_OF_DIMENSION(id, member, before, after, most, noun, argument, help) \
    X(id, #member, 0, argument, COUNT, 1, most, "", ON_MEASURE | ON_MODEL, help)

/* Commands that take workers. */
#define ON_WORKERS (ON(train) | ON(bench) | ON(advise))

/* id, name, letter (0: none), argument, kind, least, most, words, commands, help */
#define OPTION_LIST(X)                                                                           \
    X(FORMAT, "format", 'f', "FORMAT", CHOICE, 0, 0, "table json jsonl csv md", ON_RECORDS,      \
      "form of the results: table (the default), json, jsonl, csv or md")                        \
    X(DEVICE, "device", 'd', "DEVICE,...", WORDS, 0, 0, "cpu all",                               \
      ON_MEASURE | ON_MODEL | ON(workloads) | ON(runs),                                          \
      "devices to use, as 'breakeven devices' lists them; bench takes each piece of hardware "   \
      "once without it, and also as a second way to it, through OpenCL, with all; runs: only "   \
      "those of a device")                                                                       \
    X(ENGINE, "engine", 'e', "ENGINE,...", CHOICES, 0, 0,                                        \
      "native torch torch-compile torch-graph torch-channels-last torch-pageable tensorflow "    \
      "tensorflow-xla "                                                                          \
      "mlx all",                                                                                 \
      ON_MEASURE | ON(parity) | ON(runs),                                                        \
      "engines to use; without it, native and every other that is installed, as each computes "  \
      "by itself; all: compiled forms too, whose first step may take a minute; runs: only "      \
      "those of an engine")                                                                      \
    X(THREADS, "threads", 't', "N,...", COUNTS, 1, 1024, "", ON_MEASURE | ON_MODEL,              \
      "threads of the CPU; bench takes a list. The default is OMP_NUM_THREADS, else the number " \
      "of physical cores, or as many as a control group's quota pays for")                       \
    X(BATCH, "batch", 'b', "N,...", COUNTS, 1, 1e9, "", ON_MEASURE | ON_MODEL | ON(workloads),   \
      "samples per step; bench takes lists and ranges: 32,100,256 or 8..4096*2 or 10..50+10")    \
    X(ACCUMULATE, "accumulate", 0, "N", COUNT, 1, 65536, "", ON(train) | ON(bench),              \
      "compute each batch in N turns of an equal part of it, and step once with the mean of "    \
      "their gradients: the memory of a part, and the training of the whole batch")              \
    X(PRECISION, "precision", 'p', "P,...", CHOICES, 0, 0, "fp32 tf32 bf16",                     \
      ON_MEASURE | ON_MODEL,                                                                     \
      "how products multiply: fp32 (the default), tf32, or bf16 as PyTorch's autocast; bench "   \
      "takes several, side by side")                                                             \
    X(DATA_ON, "data-on", 0, "WHERE", CHOICE, 0, 0, "device host",                               \
      ON(bench) | ON(explain) | ON(sweep) | ON(train),                                           \
      "where the data lies: on the device (the default), or on the host, from where each "       \
      "batch is copied while the device computes the one before; on the CPU that is the same")   \
    WORKLOAD_VARIANT_LIST(OPTION_OF_DIMENSION)                                                   \
    X(INFER, "infer", 0, NULL, FLAG, 0, 0, "", ON(bench) | ON(explain) | ON(sweep),              \
      "measure the forward pass, not training")                                                  \
    X(EPOCHS, "epochs", 'n', "N", COUNT, 1, 1e6, "", ON(train) | ON(advise) | ON(compare),       \
      "passes over the training data; compare: the time of a training of N")                     \
    X(STEPS, "steps", 's', "N", COUNT, 1, 2e9, "", ON(train) | ON(parity) | ON(advise),          \
      "stop after N steps (train, advise); steps whose losses are compared (parity, 10)")        \
    X(SAMPLES, "samples", 0, "N", COUNT, 1, 1e12, "", ON(advise),                                \
      "samples of an epoch of your own model")                                                   \
    X(LR, "lr", 'l', "RATE", REAL, 1e-12, 1e6, "", ON(train), "learning rate")                   \
    X(SCHEDULE, "schedule", 0, "KIND", CHOICE, 0, 0, "constant cosine linear",                   \
      ON(train) | ON(parity),                                                                    \
      "how the learning rate goes on after the warm-up: constant (the default), or down to 0 "   \
      "along a cosine or a line until the last step")                                            \
    X(WARMUP, "warmup", 0, "STEPS", COUNT, 0, 16777216, "", ON(train) | ON(parity),              \
      "raise the learning rate evenly over the first STEPS steps (0)")                           \
    X(CLIP, "clip", 0, "NORM", REAL, 1e-12, 1e12, "", ON(train),                                 \
      "scale the gradients down to this norm, all together, where they are longer")              \
    X(SEED, "seed", 0, "N", COUNT, 0, 9.2e18, "", ON_MEASURE | (ON_MODEL & ~ON(eval)),           \
      "seed of the weights, the order and the dropout (42)")                                     \
    X(DATA, "data", 0, "DIR", FOLDER, 0, 0, "", ON_MEASURE | ON_MODEL | ON(data),                \
      "folder of the data sets; without it $BREAKEVEN_DATA, then the XDG data folder")           \
    X(TEXT, "text", 0, "FILE", FILE, 0, 0, "", ON_TEXT,                                          \
      "text in UTF-8 to learn from (gpt2); its last tenth is to test on. Without it "            \
      "tinyshakespeare, where that is in the folder of the data sets")                           \
    X(TOKENIZER, "tokenizer", 0, "FILE", FILE, 0, 0, "", ON_TEXT,                                \
      "how --text becomes tokens: a tokenizer.json, a vocab.json beside its merges.txt, or a "   \
      "folder with either; without it a vocabulary is learnt from the text")                     \
    X(SYNTHETIC, "synthetic", 0, NULL, FLAG, 0, 0, "", ON_MEASURE | ON_MODEL,                    \
      "use generated data, whatever is here")                                                    \
    X(LIMIT, "limit", 0, "N", COUNT, 1, 1e9, "", ON_MEASURE | ON_MODEL,                          \
      "use the first N samples of each set only")                                                \
    X(CHECKPOINT, "checkpoint", 'c', "DIR", FOLDER, 0, 0, "", ON(train),                         \
      "save checkpoints here; the last two are kept")                                            \
    X(CHECKPOINT_EVERY, "checkpoint-every", 0, "STEPS", TEXT, 0, 0, "epoch", ON(train),          \
      "steps between two checkpoints, or 'epoch' (the default)")                                 \
    X(RESUME, "resume", 'r', "PATH", FILE, 0, 0, "", ON(train) | ON(sweep),                      \
      "go on from a checkpoint, or from the newest good one of a folder, and keep saving "       \
      "there; the checkpoint says which variant of the model it is of; sweep: go on in the "     \
      "file of an earlier one, without PATH in the newest of this workload and axis")            \
    X(RESUME_IF_ANY, "resume-if-any", 0, "PATH", FILE, 0, 0, "", ON(train) | ON(sweep),          \
      "as --resume where there is something to go on with, else from the start, saving there: "  \
      "for the script of a job that is started again until it is done (train: a folder)")        \
    X(EXPORT, "export", 0, "FILE", SINK, 0, 0, "", ON(train),                                    \
      "write the trained weights (safetensors, names of PyTorch's state_dict)")                  \
    X(TENSORBOARD, "tensorboard", 0, "DIR", FOLDER, 0, 0, "", ON(train),                         \
      "also write loss, right answers, learning rate and speed to a file in DIR that "           \
      "TensorBoard reads")                                                                       \
    X(WEIGHTS, "weights", 'w', "FILE", FILE, 0, 0, "",                                           \
      ON(eval) | ON(train) | ON(bench) | ON(explain) | ON(parity),                               \
      "weights to evaluate or to start with (safetensors, as train --export, torchvision and "   \
      "Hugging Face write them; of several files their index, model.safetensors.index.json)")    \
    X(NEW_HEAD, "new-head", 0, NULL, FLAG, 0, 0, "", ON(train),                                  \
      "with --weights: start the layer that tells the classes anew, for another task")           \
    X(OUTPUT, "output", 'o', "FILE", SINK, 0, 0, "", ON_OUTPUT,                                  \
      "file to write (dump: safetensors; sweep: a record a line, without it one in "             \
      "$XDG_STATE_HOME/breakeven/sweeps; runs export: a record per line, without it to "         \
      "standard output; report: .html, .md or .csv)")                                            \
    X(OVER, "over", 0, "AXIS=RANGE", TEXT, 0, 0, "batch=8..4096 steps=10..100000", ON(sweep),    \
      "what the sweep goes over, and from where to where: batch=8..4096, steps=10..100000, "     \
      "workers=1..8")                                                                            \
    X(SVG, "svg", 0, "FILE", SINK, 0, 0, "", ON(sweep), "also write the plot to a file, as SVG") \
    X(TIME, "time", 0, "S", REAL, 0.01, 86400, "", ON_BENCH | ON(devices),                       \
      "measure each contender for at least S seconds (0.5); devices --measure: each device for " \
      "about S seconds (1)")                                                                     \
    X(MAX_TIME, "max-time", 0, "S", REAL, 0.01, 86400, "", ON_MEASURE,                           \
      "measure each contender for at most S seconds (10; 4 in the quick verdict); sweep: "       \
      "search for at most S seconds in all (60 for each engine and device, at least 120)")       \
    X(ISA, "isa", 0, "SET", CHOICE, 0, 0, "generic avx2 avx512",                                 \
      ON_MEASURE | ON_MODEL | ON(runner),                                                        \
      "instruction set of the native engine; without it the best that the CPU has")              \
    X(LIBRARY, "library", 0, "LIB", CHOICE, 0, 0, "native onednn cudnn clblast",                 \
      ON_MEASURE | ON_MODEL | ON(runner),                                                        \
      "the native engine's kernels: its own, or oneDNN's (CPU), cuDNN's with cuBLASLt's (CUDA) " \
      "or CLBlast's (OpenCL)")                                                                   \
    X(CUDA_LIB_DIR, "cuda-lib-dir", 0, "DIR", FOLDER, 0, 0, "",                                  \
      ON_MEASURE | ON_MODEL | ON(devices) | ON(runner),                                          \
      "folders to look for NVIDIA's libraries in first, separated by colons; as in "             \
      "BREAKEVEN_CUDA_LIB_DIR")                                                                  \
    X(TRACE, "trace", 0, "FILE", SINK, 0, 0, "", ON(explain),                                    \
      "write an average step of each contender as a trace for chrome://tracing or Perfetto")     \
    X(GOAL, "goal", 0, "GOAL", CHOICE, 0, 0, "time energy memory", ON(advise),                   \
      "what to have the least of (time)")                                                        \
    X(WORKERS, "workers", 0, "N,...", COUNTS, 1, 1e6, "", ON_WORKERS,                            \
      "train: by N processes, each with an equal part of every batch and of the cores, or with " \
      "--device cuda on a GPU of its own "                                                       \
      "(docs/workers.md); bench: measure that with N beside one; "                               \
      "advise: also predict the training on N workers: 8..4096*2")                               \
    X(OWN_PAIRS, "own-pairs", 0, NULL, FLAG, 0, 0, "", ON(train),                                \
      "with workers: a clip compares the pairs of each worker's own part with one another")      \
    X(SYNC_BATCH_NORM, "sync-batch-norm", 0, NULL, FLAG, 0, 0, "", ON(train),                    \
      "with workers: batch norm over the parts of all of them, not of each alone")               \
    X(EACH, "each", 0, NULL, FLAG, 0, 0, "", ON(bench) | ON(sweep),                              \
      "with workers: each has the whole batch (weak scaling); else they cut it")                 \
    X(LINK, "link", 0, "RATE,LATENCY", TEXT, 0, 0, "", ON(advise),                               \
      "the link between the workers: bytes per second and seconds, as in 12.5e9,5e-6; or "       \
      "local: measure that of this machine's own, and also train with that many of them")        \
    X(FROM, "from", 0, "FILE", FILE, 0, 0, "", ON(advise),                                       \
      "records that bench or sweep wrote (jsonl): measure nothing, answer from them")            \
    X(MEASURE, "measure", 0, NULL, FLAG, 0, 0, "", ON(devices),                                  \
      "also measure what each device can do at most; what was measured is kept for a week")      \
    X(REFRESH, "refresh", 0, NULL, FLAG, 0, 0, "", ON(devices),                                  \
      "with --measure: measure again, whatever was kept")                                        \
    X(WORKLOAD, "workload", 0, "NAME", TEXT, 0, 0, "", ON(runs) | ON(compare),                   \
      "only this workload")                                                                      \
    X(MACHINE, "machine", 0, "TEXT", TEXT, 0, 0, "", ON(runs),                                   \
      "only runs of machines whose name has this part")                                          \
    X(COMMIT, "commit", 0, "C", TEXT, 0, 0, "", ON(runs),                                        \
      "only runs of builds whose commit begins so")                                              \
    X(SINCE, "since", 0, "DATE", TEXT, 0, 0, "", ON(runs),                                       \
      "only runs from this day on (2026-11-30, in UTC)")                                         \
    X(UNTIL, "until", 0, "DATE", TEXT, 0, 0, "", ON(runs), "only runs up to and on this day")    \
    X(LAST, "last", 0, "N", COUNT, 1, 1e9, "", ON(runs) | ON(report),                            \
      "list the newest N runs (50); report: the newest N in one document (1)")                   \
    X(BASELINE, "baseline", 0, "NAME", TEXT, 0, 0, "", ON(compare),                              \
      "the one that the others are held against (the first)")                                    \
    X(PRICE, "price", 0, "NAME=EUR,...", TEXT, 0, 0, "", ON(compare),                            \
      "what an hour of a machine costs: samples for one of it, and the costs of --epochs")       \
    X(FAIL_IF, "fail-if", 0, "slower:N%", TEXT, 0, 0, "", ON(compare),                           \
      "end with exit code 6 where something is SLOWER by more than N %")                         \
    X(NO_STORE, "no-store", 0, NULL, FLAG, 0, 0, "", ON_KEEPING,                                 \
      "do not keep the results; 'breakeven runs' lists those that are kept")                     \
    X(EVENTS, "events", 0, NULL, FLAG, 0, 0, "", ON_KEEPING,                                     \
      "write what happens as it happens, an object in JSON a line (docs/api.md)")                \
    X(PORT, "port", 0, "N", COUNT, 0, 65535, "", ON(serve),                                      \
      "port of the page (7077); 0: a free one")                                                  \
    X(LISTEN, "listen", 0, "ADDRESS", TEXT, 0, 0, "", ON(serve),                                 \
      "let others in, on this address of the machine; without it the page is for this machine "  \
      "alone")                                                                                   \
    X(TOKEN, "token", 0, "T", TEXT, 0, 0, "", ON(serve),                                         \
      "the token of the address, 16 characters at least; without it one is drawn")               \
    X(OPEN, "open", 0, NULL, FLAG, 0, 0, "", ON(serve), "open the page in the browser")          \
    X(DRY_RUN, "dry-run", 0, NULL, FLAG, 0, 0, "", ON(bench) | ON(train),                        \
      "print the steps and the memory map, run nothing")                                         \
    X(MAN, "man", 0, NULL, FLAG, 0, 0, "", ON(help), "print the man page")                       \
    X(QUIET, "quiet", 'q', NULL, FLAG, 0, 0, "", ON_ALL,                                         \
      "no progress and no notes on standard error")                                              \
    X(VERSION, "version", 'V', NULL, FLAG, 0, 0, "", ON_ALL,                                     \
      "versions of the program and its libraries")                                               \
    X(HELP, "help", 'h', NULL, FLAG, 0, 0, "", ON_ALL, "this help")

#endif
