/* What other programs call things, for "did you mean …". */
#include <string.h>

#include "cli/options.h"

typedef struct foreign {
    hint_kind kind;
    const char *word, *ours;
} foreign;

static const foreign words[] = {
    {HINT_OPTION, "batch-size", "batch"},
    {HINT_OPTION, "batch_size", "batch"},
    {HINT_OPTION, "batchsize", "batch"},
    {HINT_OPTION, "bs", "batch"},
    {HINT_OPTION, "learning-rate", "lr"},
    {HINT_OPTION, "learning_rate", "lr"},
    {HINT_OPTION, "epoch", "epochs"},
    {HINT_OPTION, "num-epochs", "epochs"},
    {HINT_OPTION, "num_epochs", "epochs"},
    {HINT_OPTION, "max-epochs", "epochs"},
    {HINT_OPTION, "iterations", "steps"},
    {HINT_OPTION, "max-steps", "steps"},
    {HINT_OPTION, "max_steps", "steps"},
    {HINT_OPTION, "gpu", "device cuda"},
    {HINT_OPTION, "gpus", "device cuda"},
    {HINT_OPTION, "cuda", "device cuda"},
    {HINT_OPTION, "opencl", "device opencl"},
    {HINT_OPTION, "cpu", "device cpu"},
    {HINT_OPTION, "no-cuda", "device cpu"},
    {HINT_OPTION, "no-gpu", "device cpu"},
    {HINT_OPTION, "framework", "engine"},
    {HINT_OPTION, "backend", "engine"},
    {HINT_OPTION, "workers", "threads"},
    {HINT_OPTION, "num-workers", "threads"},
    {HINT_OPTION, "num-threads", "threads"},
    {HINT_OPTION, "jobs", "threads"},
    {HINT_OPTION, "data-dir", "data"},
    {HINT_OPTION, "data_dir", "data"},
    {HINT_OPTION, "dataset", "data"},
    {HINT_OPTION, "save-dir", "checkpoint"},
    {HINT_OPTION, "checkpoint-dir", "checkpoint"},
    {HINT_OPTION, "dtype", "precision"},
    {HINT_OPTION, "random-seed", "seed"},
    {HINT_OPTION, "timeout", "max-time"},
    {HINT_OPTION, "json", "format json"},
    {HINT_OPTION, "jsonl", "format jsonl"},
    {HINT_OPTION, "csv", "format csv"},
    {HINT_OPTION, "model", "weights"},
    {HINT_COMMAND, "run", "bench"},
    {HINT_COMMAND, "benchmark", "bench"},
    {HINT_COMMAND, "compare", "bench"},
    {HINT_COMMAND, "fit", "train"},
    {HINT_COMMAND, "evaluate", "eval"},
    {HINT_COMMAND, "test", "eval"},
    {HINT_COMMAND, "models", "workloads"},
    {HINT_COMMAND, "info", "devices"},
    {HINT_COMMAND, "recommend", "advise"},
    {HINT_COMMAND, "profile", "explain"},
    {HINT_COMMAND, "download", "data get"},
    {HINT_COMMAND, "datasets", "data list"},
    {HINT_COMMAND, "man", "help --man"},
    {HINT_COMMAND, "version", "--version"},
    {HINT_ENGINE, "tf", "tensorflow"},
    {HINT_ENGINE, "keras", "tensorflow"},
    {HINT_ENGINE, "TensorFlow", "tensorflow"},
    {HINT_ENGINE, "pytorch", "torch"},
    {HINT_ENGINE, "PyTorch", "torch"},
    {HINT_ENGINE, "torch.compile", "torch-compile"},
    {HINT_ENGINE, "inductor", "torch-compile"},
    {HINT_ENGINE, "cudagraph", "torch-graph"},
    {HINT_ENGINE, "xla", "tensorflow-xla"},
    {HINT_ENGINE, "eager", "torch"},
    {HINT_ENGINE, "breakeven", "native"},
    {HINT_ENGINE, "own", "native"},
    {HINT_DEVICE, "gpu", "cuda"},
    {HINT_DEVICE, "GPU", "cuda"},
    {HINT_DEVICE, "gpu:0", "cuda:0"},
    {HINT_DEVICE, "nvidia", "cuda"},
    {HINT_DEVICE, "CUDA", "cuda"},
    {HINT_DEVICE, "cuda0", "cuda:0"},
    {HINT_DEVICE, "OpenCL", "opencl"},
    {HINT_DEVICE, "ocl", "opencl"},
    {HINT_DEVICE, "amd", "opencl"},
    {HINT_DEVICE, "rocm", "opencl"},
    {HINT_DEVICE, "hip", "opencl"},
    {HINT_DEVICE, "mps", "opencl"},
    {HINT_DEVICE, "CPU", "cpu"},
    {HINT_DEVICE, "processor", "cpu"},
    {HINT_DEVICE, "auto", "all"},
};

const char *option_hint(hint_kind kind, const char *word)
{
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (words[i].kind == kind && strcmp(words[i].word, word) == 0) return words[i].ours;
    return NULL;
}
