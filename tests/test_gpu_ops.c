/* Every op that has kernels × every case × several group sizes, against the op's reference; and ops
 * with products in every precision that the target has.
 *
 *     test_gpu_ops [--target TARGET] [--op NAME,... | --words] [--case NAME] [--group N] [--seed N]
 *
 * Targets: opencl (a device behind OpenCL; without one the test fails); host: the kernels as host C
 * under AddressSanitizer and UBSan, one work item a group; clblast: a device behind OpenCL with the
 * implementations on CLBlast; cuda and cudnn: NVIDIA's GPU with our kernels, or with the
 * implementations on cuDNN and cuBLASLt (or the fake device in its place). Without --target: opencl
 * and host.  The group size 0 is the one that the op wants.  --words: the words of the dialect and
 * the limits' kernels, and no op; --op: these ops, and nothing else.
 *
 * Nearly all of the time on a processor is PoCL's compiling, so PoCL is told to leave half of it:
 * its front end does not optimize (support_quick_kernels).  test_opencl_faults compiles as users
 * do. */
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "backend/gpu/gpu.h"
#include "gpu_conformance.h"
#include "gpu_host.h"
#include "graph/precision.h"
#include "ops/attention/attention.h"
#include "ops/conv2d/conv2d.h"
#include "ops_case.h"
#include "support.h"

typedef struct options {
    const char *program, *target, *op, *one_case;
    int group;
    uint64_t seed;
    bool words;
} options;

static struct {
    int number, failed;
} tally;

typedef struct target {
    const char *name;
    be_device *device;
    int group_count, groups[4];
    unsigned precisions; /* bit p: and in be_precision p, … */
    int every;           /* … one case in this many */
} target;

/* cuDNN's attention keeps its weights, what it multiplies with them, y and the results as bf16:
 * each is off by 2^-9 of itself at most.  As a part of the largest result, of sums of such terms.
 */
#define WHOLLY_BF16 0x1p-7

static bool is_wanted(const char *asked, const char *name)
{
    return !asked || strcmp(asked, name) == 0;
}

static void result(bool is_good, const char *name, const char *notes)
{
    printf("%s %d - %s\n", is_good ? "ok" : "not ok", ++tally.number, name);
    tally.failed += !is_good;
    for (const char *line = notes; !is_good && *line;) {
        size_t length = strcspn(line, "\n");
        printf("# %.*s\n", (int)length, line);
        line += length + (line[length] == '\n');
    }
    fflush(stdout);
}

/* The implementation that is to be tested, or NULL. */
static const gpu_kernel *kernel_of(const target *t, const be_op *op)
{
    const gpu_library *library = ((const gpu_device *)t->device)->library;
    int i = gpu_op_index(op);
    return library ? library->table[i] : gpu_table[i];
}

/* Are these a convolution's gradients that conv2d_cudnn.h leaves to products? */
static bool is_point(const ops_case *c)
{
    const conv2d_attrs *attrs = c->spec->attrs;
    const be_shape *w = &c->spec->in[1];
    return c->op == &be_op_conv2d_backward && attrs->no_bias && w->dim[2] * w->dim[3] == 1 &&
           attrs->stride[0] * attrs->stride[1] == 1;
}

/* That of a case: cuDNN's attention refuses what docs/cuda.md says, patches are a product. */
static const char *implementation_of(const target *t, const ops_case *c)
{
    const gpu_kernel *kernel = kernel_of(t, c->op);
    bool is_refused = kernel->no_fp32 && c->precision != BE_PRECISION_BF16;
    if (kernel->no_fp32) {
        const attention_attrs *attrs = c->spec->attrs;
        is_refused |= attention_sizes_of(attrs, &c->spec->in[0], &c->spec->in[1]).size % 8 != 0;
    }
    bool backward = c->op == &be_op_conv2d_backward;
    if (kernel != gpu_table[gpu_op_index(c->op)] && (backward || c->op == &be_op_conv2d) &&
        conv2d_takes_patches(c->spec->attrs, c->spec->in, backward))
        return "cuBLASLt";
    return is_refused ? GPU_IMPLEMENTATION : kernel->implementation;
}

/* Is this what attention_tf32_gpu.h takes? */
static bool is_on_tensor_cores(const ops_case *c)
{
    bool is_attention = c->op == &be_op_attention || c->op == &be_op_attention_backward;
    if (c->precision != BE_PRECISION_TF32 || !is_attention) return false;
    int64_t size = attention_sizes_of(c->spec->attrs, &c->spec->in[0], &c->spec->in[1]).size;
    return size == 32 || size == 64;
}

static void run_group(const options *o, const target *t, const ops_case *c, int group)
{
    char name[160], *text = NULL;
    size_t length = 0;
    FILE *notes = open_memstream(&text, &length);
    if (!notes) abort();
    ((gpu_device *)t->device)->forced_group = group;
    ops_setting setting = {.device = t->device,
                           .implementation = implementation_of(t, c),
                           .block = LAYOUT_CHANNELS_LAST};
    const gpu_kernel *kernel = kernel_of(t, c->op);
    bool is_wholly_bf16 = kernel->no_fp32 && setting.implementation == kernel->implementation;
    bool is_library = kernel != gpu_table[gpu_op_index(c->op)];
    if (is_library && is_point(c)) setting.blocked = "cuBLASLt";
    setting.rounding = is_wholly_bf16 || c->rounds_inside ? WHOLLY_BF16
                       : is_on_tensor_cores(c)            ? OPS_ROUNDED_TF32
                                                          : 0.0;
    /* cuDNN writes the gradient of windows in the type of what it reads. */
    if (is_library && c->op == &be_op_conv2d_backward && c->precision == BE_PRECISION_BF16)
        setting.halved = 1u << 1;
    /* … and with the channels last that of x, which is added to its sum behind it. */
    if (setting.halved && c->is_narrow) setting.summand = 1 + CONV2D_BACK_SUM;
    ops_result found = ops_run_on_device(c, &setting, notes);
    snprintf(name, sizeof name, "%s %s, %s%s, %s, groups of %d", c->op->name, c->spec->name,
             c->is_narrow ? "wholly " : "", precision_name(c->precision), t->name, group);
    fprintf(notes, "%s --target %s --op %s --case '%s' --group %d --seed %" PRIu64 "\n", o->program,
            t->name, c->op->name, c->spec->name, group, o->seed);
    fclose(notes);
    result(found == OPS_PASSED, name, text);
    free(text);
}

/* Ops with more cases than this try another size and tile with every second one. */
#define FEW_CASES 8

/* The first group size and the tile that the model prefers; and of the other sizes and tiles each
 * case has another one: compiling takes long. */
static void run_case(const options *o, const target *t, const be_op *op, int k)
{
    ops_case c;
    int others = t->group_count - 1, turn = op->case_count > FEW_CASES ? k / 2 : k;
    bool has_turn = op->case_count <= FEW_CASES || k % 2 == 0;
    if (!ops_case_open(&c, op, &op->cases[k], BE_PRECISION_FP32, o->seed, stderr)) abort();
    if (o->group >= 0) {
        run_group(o, t, &c, o->group);
    } else {
        run_group(o, t, &c, t->groups[0]);
        ((gpu_device *)t->device)->forced_way = 1 + turn % 7;
        if (others && has_turn) run_group(o, t, &c, t->groups[1 + turn % others]);
        ((gpu_device *)t->device)->forced_way = 0;
    }
    ops_case_close(&c);
}

static bool is_tried(const target *t, const be_op *op, int k)
{
    return k % t->every == 0 || op->cases[k].in_every_precision;
}

/* The same case, where its products are in another precision than fp32. */
static void run_narrow(const options *o, const target *t, const be_op *op, int k)
{
    for (int p = BE_PRECISION_FP32 + 1; p < BE_PRECISION_COUNT && op->narrow; p++) {
        ops_case c;
        if (!(t->precisions >> p & 1) || !is_tried(t, op, k)) continue;
        if (!ops_case_open(&c, op, &op->cases[k], (be_precision)p, o->seed, stderr)) abort();
        run_group(o, t, &c, o->group >= 0 ? o->group : t->groups[0]);
        ops_case_close(&c);
    }
}

/* The same case, where all that may be bf16 is. */
static void run_wholly_narrow(const options *o, const target *t, const be_op *op, int k)
{
    ops_case c;
    bool is_wanted = t->precisions & GPU_BF16 && is_tried(t, op, k);
    if (!is_wanted || !ops_is_mixed(op)) return;
    if (!ops_case_open_narrow(&c, op, &op->cases[k], o->seed, stderr)) abort();
    run_group(o, t, &c, o->group >= 0 ? o->group : t->groups[k % t->group_count]);
    ops_case_close(&c);
}

/* The kernels by which limits are measured. */
static be_status probe_each(be_device *device, device_probe *probe, be_error *err)
{
    probe->transfer_bytes = probe->transfer_most_bytes < 4096 ? probe->transfer_most_bytes : 4096;
    for (int kind = 0; kind < PROBE_KIND_COUNT; kind++)
        for (int times = 1; times <= 3 && probe->amount[kind] > 0; times++)
            TRY(device->vtable->probe_run(probe, (probe_kind)kind, times, err));
    return BE_OK;
}

static void run_probes(const target *t, int group)
{
    char name[80];
    be_error err = {0};
    device_probe *probe = NULL;
    gpu_facts *facts = &((gpu_device *)t->device)->driver->facts, known = *facts;
    facts->memory_bytes = facts->cache_bytes = 1 << 24; /* little, so that this is quick */
    ((gpu_device *)t->device)->forced_group = group;
    be_status status = t->device->vtable->probe_new(t->device, &probe, &err);
    if (status == BE_OK) status = probe_each(t->device, probe, &err);
    t->device->vtable->probe_free(probe);
    *facts = known;
    snprintf(name, sizeof name, "the limits' kernels, %s, groups of %d", t->name, group);
    result(status == BE_OK, name, err.text);
}

static void run_target(const options *o, const target *t)
{
    char name[80], reason[1000] = "";
    snprintf(name, sizeof name, "every word of the dialect, %s", t->name);
    int group = t->group_count == 1 ? t->groups[0] : CONFORMANCE_GROUP;
    gpu_driver *driver = ((gpu_device *)t->device)->driver;
    if (!o->op && !((gpu_device *)t->device)->library)
        result(gpu_conformance_run(driver, group, reason, sizeof reason), name, reason);
    for (int g = 0; !o->op && g < t->group_count; g++) run_probes(t, t->groups[g]);
    for (int i = 0; i < OP_COUNT && !o->words; i++) {
        if (!kernel_of(t, op_table[i]) || !ops_is_listed(o->op, op_table[i]->name)) continue;
        /* A case lies on the device alone: whole plans try these (test_operations_program.py). */
        if (op_table[i]->host_in || op_table[i]->host_out) continue;
        for (int k = 0; k < op_table[i]->case_count; k++)
            if (is_wanted(o->one_case, op_table[i]->cases[k].name)) {
                run_case(o, t, op_table[i], k);
                run_narrow(o, t, op_table[i], k);
                run_wholly_narrow(o, t, op_table[i], k);
            }
    }
}

static options parse(int argc, char **argv)
{
    static const struct option table[] = {{"target", required_argument, NULL, 't'},
                                          {"op", required_argument, NULL, 'o'},
                                          {"case", required_argument, NULL, 'c'},
                                          {"group", required_argument, NULL, 'g'},
                                          {"seed", required_argument, NULL, 's'},
                                          {"words", no_argument, NULL, 'w'},
                                          {0}};
    options o = {.program = argv[0], .seed = 1, .group = -1};
    for (int letter; (letter = getopt_long(argc, argv, "", table, NULL)) != -1;) {
        if (letter == 't')
            o.target = optarg;
        else if (letter == 'o')
            o.op = optarg;
        else if (letter == 'c')
            o.one_case = optarg;
        else if (letter == 'g')
            o.group = atoi(optarg);
        else if (letter == 'w')
            o.words = true;
        else if (letter == 's')
            o.seed = strtoull(optarg, NULL, 10);
        else
            exit(2);
    }
    return o;
}

/* A device of the machine, where a target of this name is wanted. */
static void try_device(const options *o, target *t, const char *id, const char *library)
{
    be_error err;
    if (be_device_open(id, &(be_device_options){.library = library}, &t->device, &err) == BE_OK)
        run_target(o, t);
    else
        result(false, id, err.text);
    be_device_close(t->device);
}

int main(int argc, char **argv)
{
    options o = parse(argc, argv);
    be_error err;
    target opencl = {.name = "opencl",
                     .group_count = 4,
                     .groups = {0, 1, 24, 256},
                     .precisions = GPU_BF16,
                     .every = 4};
    target cuda = opencl;
    target cudnn = {.name = "cudnn", .group_count = 1, .precisions = GPU_TF32_BF16, .every = 3};
    target clblast = {.name = "clblast", .group_count = 1};
    target host = {
        .name = "host", .group_count = 1, .groups = {1}, .precisions = GPU_BF16, .every = 4};
    cuda.name = "cuda";
    support_quick_kernels();
    if (is_wanted(o.target, "opencl")) try_device(&o, &opencl, "opencl:0", NULL);
    if (o.target && strcmp(o.target, "clblast") == 0)
        try_device(&o, &clblast, "opencl:0", "clblast");
    if (o.target && strcmp(o.target, "cuda") == 0) try_device(&o, &cuda, "cuda:0", "native");
    if (o.target && strcmp(o.target, "cudnn") == 0) try_device(&o, &cudnn, "cuda:0", "cudnn");
    if (is_wanted(o.target, "host")) {
        if (gpu_host_open(GPU_HOST_SERIAL, &host.device, &err) == BE_OK)
            run_target(&o, &host);
        else
            result(false, "the kernels as host C", err.text);
        be_device_close(host.device);
    }
    if (tally.number == 0) result(false, "no case fits these options", "");
    printf("1..%d\n", tally.number);
    return tally.failed ? 1 : 0;
}
