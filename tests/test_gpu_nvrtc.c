/* Every kernel compiled for NVIDIA's GPUs, with no GPU: each op's cases, all workloads, what stands
 * beside a library's calls, and the conformance kernel, by NVRTC to machine code, which must wait
 * for the kernels in front of it before it touches memory.
 *
 *     test_gpu_nvrtc [all]
 *
 * For sm_90, and of texts that differ in sizes alone those that show something new: a size by which
 * an #if chooses, together with the others that do, or a size of another kind; sizes decide by what
 * they divide by which code there is, and no more.  The first text of a file is optimized as by the
 * program, those after it less.  With `all` every text as by it, and for other architectures too.
 * What compiled before, and has not changed, is not compiled again (kernel_cache.h).  Without
 * libnvrtc the test is skipped, and says so. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backend/backend.h"
#include "backend/cuda/cuda_api.h"
#include "backend/cuda/cuda_places.h"
#include "backend/gpu/gpu.h"
#include "gpu_conformance.h"
#include "kernel_cache.h"
#include "machine_code.h"
#include "ops_case.h"
#include "small_workload.h"
#include "support.h"

#define SKIPPED 77 /* to meson */
#define MAIN_ARCH 90
#define TENSOR_CORES_ARCH 80 /* where the words for them begin */
static const int archs[] = {MAIN_ARCH, 75, 80, 100};
#define ARCHS (int)(sizeof archs / sizeof *archs)
#define SEEN_MAX 16384

static struct {
    nvrtc_functions rtc;
    cuda_library library;
    int arch_count;          /* of archs, from the first */
    bool every_size;         /* and not only what shows something new */
    uint64_t seen[SEEN_MAX]; /* hashes of the texts that were compiled, and of their sizes */
    int seen_count, like, compiled, kept, failed;
    char source[512]; /* the text at hand, for the cache */
} all;

static uint64_t hash_bytes(uint64_t hash, const char *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++) hash = (hash ^ (unsigned char)bytes[i]) * 1099511628211u;
    return hash;
}

/* What decides about a size: 0 and 1 turn code on and off, and vectors need what divides by 8. */
static char kind_of_size(int64_t size)
{
    return size <= 1 ? (char)('0' + size) : size % 8 == 0 ? 'h' : 'a';
}

/* A line "#define NAME number". */
typedef struct size_line {
    const char *name;
    size_t length; /* of the name */
    int64_t number;
} size_line;

static bool is_size(const char *line, size_line *out)
{
    int name = 0, end = 0;
    if (strncmp(line, "#define ", 8) != 0 ||
        sscanf(line, "#define %*[A-Z0-9_]%n %" SCNd64 "%n", &name, &out->number, &end) != 1 ||
        name <= 8 || !line[end] || !strchr("u\n", line[end]) || out->number < 0)
        return false;
    out->name = line + 8;
    out->length = (size_t)name - 8;
    return true;
}

static const char *next_line(const char *line)
{
    line += strcspn(line, "\n");
    return line + (*line == '\n');
}

static bool is_in_name(char c)
{
    return c == '_' || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z');
}

/* All lines of #if and #elif, to be freed. */
static char *choices_of(const char *text)
{
    char *choices = NULL;
    size_t length = 0;
    FILE *file = open_memstream(&choices, &length);
    if (!file) abort();
    for (const char *line = text; *line; line = next_line(line))
        if (strncmp(line, "#if", 3) == 0 || strncmp(line, "#elif", 5) == 0)
            fprintf(file, "%.*s\n", (int)strcspn(line, "\n"), line);
    fclose(file);
    return choices;
}

static bool is_read_by(const char *choices, const size_line *size)
{
    size_t length = size->length;
    for (const char *at = choices; (at = memmem(at, strlen(at), size->name, length)); at++)
        if (!is_in_name(at[-1]) && !is_in_name(at[length])) return true;
    return false;
}

/* Whether nothing of this hash came before. */
static bool is_first(uint64_t hash)
{
    for (int s = 0; s < all.seen_count; s++)
        if (all.seen[s] == hash) return false;
    if (all.seen_count == SEEN_MAX) abort();
    all.seen[all.seen_count++] = hash;
    return true;
}

/* Whether a text is to be compiled; what it shows is seen then. */
static bool is_new(const char *text)
{
    char *choices = choices_of(text);
    size_line size;
    uint64_t body = 14695981039346656037u;
    for (const char *line = text; *line; line = next_line(line))
        if (all.every_size || !is_size(line, &size))
            body = hash_bytes(body, line, (size_t)(next_line(line) - line));
    uint64_t chosen = body;
    bool shows = false;
    for (const char *line = text; !all.every_size && *line; line = next_line(line)) {
        if (!is_size(line, &size)) continue;
        char kind = kind_of_size(size.number);
        uint64_t one = hash_bytes(body, size.name, size.length);
        shows |= is_first(hash_bytes(one, &kind, 1));
        if (is_read_by(choices, &size))
            chosen = hash_bytes(chosen, size.name, (size_t)(next_line(line) - size.name));
    }
    shows |= is_first(chosen);
    free(choices);
    return shows;
}

/* Whether this text has been compiled well before, by the same library with the same options; the
 * path of the note of it. */
static bool is_kept(const gpu_text *text, const char *const options[3], char *note, size_t size)
{
    FILE *file = fopen(all.source, "w");
    if (!file) abort();
    fprintf(file, "%s %s %s %s %s %s\n%s", all.library.path, all.library.version, options[0],
            options[1], options[2], text->name, text->text);
    fclose(file);
    return kernel_cache_find(all.source, "nvrtc", note, size);
}

static void keep(const char *note)
{
    char made[600];
    snprintf(made, sizeof made, "%s.%ld", note, (long)getpid());
    FILE *file = *note ? fopen(made, "w") : NULL;
    if (file && fclose(file) == 0) kernel_cache_keep(made, note);
}

/* In a step a kernel may be started before those in front of it have ended (dialect_cuda.h). */
static bool waits(nvrtc_program program, const char *name)
{
    char why[160] = "";
    size_t bytes = 0;
    if (all.rtc.cubin_bytes(program, &bytes) != 0) abort();
    char *code = malloc(bytes);
    if (!code || all.rtc.cubin(program, code) != 0) abort();
    bool does_wait = machine_code_waits(code, bytes, why, sizeof why);
    if (!does_wait) printf("# %s: %s\n", name, why);
    all.failed += !does_wait;
    free(code);
    return does_wait;
}

/* After the first of a file, its texts are optimized less, in half of the time: their errors are
 * the same. */
static bool is_quick_text(const char *file)
{
    return !is_first(hash_bytes(0, file, strlen(file))) && !all.every_size &&
           strcmp(all.library.name, "libnvrtc.so.13") == 0; /* those before lack the option */
}

static void compile_for(const gpu_text *text, int arch)
{
    char target[40], note[512];
    nvrtc_program program;
    if (arch < TENSOR_CORES_ARCH && strstr(text->text, "\nTENSOR_CORES\n")) return;
    snprintf(target, sizeof target, "--gpu-architecture=sm_%d", arch);
    bool is_quick = is_quick_text(text->name);
    const char *options[] = {target, "--std=c++17", is_quick ? "--Ofast-compile=mid" : ""};
    all.compiled++;
    if (is_kept(text, options, note, sizeof note)) {
        all.kept++;
        return;
    }
    if (all.rtc.create(&program, text->text, text->name, 0, NULL, NULL) != 0) abort();
    if (all.rtc.compile(program, is_quick ? 3 : 2, options) != 0) {
        size_t bytes = 0;
        all.rtc.log_bytes(program, &bytes);
        char *log = calloc(1, bytes + 1);
        if (!log) abort();
        all.rtc.log(program, log);
        printf("# %s does not compile for sm_%d:\n# %.3000s\n", text->name, arch, log);
        free(log);
        all.failed++;
    } else if (arch != MAIN_ARCH || waits(program, text->name)) {
        keep(note);
    }
    all.rtc.destroy(&program);
}

/* In the place of a driver's compile function. */
static be_status compile_all(gpu_driver *driver, const gpu_text *texts, int count, gpu_module **out,
                             be_error *err)
{
    (void)driver;
    (void)err;
    for (int i = 0; i < count; i++) {
        out[i] = NULL;
        if (!is_new(texts[i].text)) {
            all.like++;
            continue;
        }
        for (int a = 0; a < all.arch_count; a++) compile_for(&texts[i], archs[a]);
    }
    return BE_OK;
}

static void run_opened(be_device *device, const ops_case *c, bool last)
{
    ops_setting setting = {.device = device,
                           .implementation = "native gpu",
                           .block = LAYOUT_CHANNELS_LAST,
                           .is_block_alone = last};
    FILE *nowhere = fopen("/dev/null", "w");
    if (!nowhere) abort();
    /* The device computes nothing, so the result is wrong; it was compiled. */
    ops_run_on_device(c, &setting, nowhere);
    fclose(nowhere);
}

static void compile_case(be_device *device, const be_op *op, int k, be_precision precision)
{
    ops_case c;
    if (!ops_case_open(&c, op, &op->cases[k], precision, 1, stderr)) abort();
    run_opened(device, &c, false);
    ops_case_close(&c);
}

/* With the channels last, as the ladder's images lie in bf16. */
static void compile_last(be_device *device, const be_op *op, int k)
{
    ops_case c;
    if (!ops_case_open_narrow(&c, op, &op->cases[k], 1, stderr)) abort();
    run_opened(device, &c, true);
    ops_case_close(&c);
}

/* In tf32 too what our own kernels take there; of products every fourth case with bf16 operands, of
 * images every fourth with the channels last. */
static void compile_ops(be_device *device)
{
    for (int i = 0; i < OP_COUNT; i++)
        for (int k = 0; gpu_table[i] && k < op_table[i]->case_count; k++) {
            compile_case(device, op_table[i], k, BE_PRECISION_FP32);
            if (gpu_table[i]->precisions >> BE_PRECISION_TF32 & 1)
                compile_case(device, op_table[i], k, BE_PRECISION_TF32);
            if (op_table[i]->narrow && k % 4 == 0)
                compile_case(device, op_table[i], k, BE_PRECISION_BF16);
            if (ops_is_mixed(op_table[i]) && k % 4 == 0) compile_last(device, op_table[i], k);
        }
}

static void compile_workloads(be_device *device)
{
    for (int w = 0; w < WORKLOAD_COUNT; w++) {
        be_error err;
        workload_model model;
        be_plan *plan;
        workload room;
        const workload *small = small_workload(w, &room);
        workload_options options = {.count = 1000, .batch = small->gate.batch};
        be_plan_options train = {.mode = BE_TRAIN};
        if (workload_model_new(small, &options, &model, &err) != BE_OK ||
            be_plan_new(model.graph, device, &train, &plan, &err) != BE_OK) {
            printf("# %s: %s\n", workload_table[w]->name, err.text);
            all.failed++;
            continue;
        }
        be_plan_free(plan);
        be_graph_free(model.graph);
    }
}

extern const gpu_source gpu_source_attention_narrow, gpu_source_conv2d_add, gpu_source_conv2d_widen,
    gpu_source_conv2d_patches;

#define TYPE(name, type, word) "#define " name "_T " type "\n#define " name "_TYPE " word "\n"

#define PATCHES(taps, width, bias)                                                                \
    "#define IMAGES 3\n#define CHANNELS 3\n#define HEIGHT 50\n#define WIDTH " #width "\n#define " \
    "OUTPUTS 20\n#define TAP_ROWS 8\n#define TAPS " #taps "\n#define OUT_HEIGHT 6\n#define "      \
    "OUT_WIDTH 5\n#define PITCH 96\n#define BIAS " #bias "\n"

/* The kernels beside calls of cuDNN and cuBLASLt, which the device at hand has not. */
static void compile_beside_libraries(void)
{
    static const struct {
        const gpu_source *source;
        const char *defines;
    } kernels[] = {{&gpu_source_attention_narrow, "#define HAS_LENGTHS 0\n"},
                   {&gpu_source_attention_narrow, "#define HAS_LENGTHS 1\n"},
                   {&gpu_source_conv2d_add,
                    TYPE("S", "float", "F32") TYPE("X", "bf16", "BF16") TYPE("Y", "bf16", "BF16")},
                   {&gpu_source_conv2d_widen, ""},
                   {&gpu_source_conv2d_patches, PATCHES(8, 48, 0) TYPE("X", "bf16", "BF16")},
                   {&gpu_source_conv2d_patches, PATCHES(7, 37, 1) TYPE("X", "float", "F32")}};
    for (size_t k = 0; k < sizeof kernels / sizeof *kernels; k++) {
        char *text = NULL;
        int length = asprintf(&text, "#define GROUP 256\n%s%s\n%s", kernels[k].defines,
                              gpu_source_dialect_cuda.text, kernels[k].source->text);
        if (length < 0) abort();
        for (int a = 0; a < all.arch_count; a++)
            compile_for(&(gpu_text){kernels[k].source->file, text}, archs[a]);
        free(text);
    }
}

static void compile_probes(be_device *device)
{
    be_error err;
    device_probe *probe = NULL;
    if (device->vtable->probe_new(device, &probe, &err) != BE_OK) {
        printf("# the limits' kernels: %s\n", err.text);
        all.failed++;
    }
    device->vtable->probe_free(probe);
}

static bool find_nvrtc(void)
{
    cuda_library *library = &all.library;
    static const char *const names[] = {"libnvrtc.so.13", "libnvrtc.so.12", NULL};
    cuda_places places;
    be_error err;
    if (cuda_places_find(&places, false, &err) != BE_OK) abort();
    library_open(library, &places, names, "install the CUDA toolkit");
    if (library->handle) {
#define X(member, symbol, parameters) *(void **)&all.rtc.member = library_symbol(library, #symbol);
        NVRTC_FUNCTION_LIST(X)
#undef X
    }
    cuda_places_free(&places);
    return library->handle != NULL;
}

int main(int argc, char **argv)
{
    be_error err;
    be_device *device;
    char *folder = support_make_folder();
    all.every_size = argc > 1 && strcmp(argv[1], "all") == 0;
    all.arch_count = all.every_size ? ARCHS : 1;
    support_path(all.source, sizeof all.source, folder, "text");
    if (!find_nvrtc()) {
        printf("1..0 # SKIP kernels are NOT compiled for NVIDIA's GPUs: %s\n", all.library.reason);
        support_remove_folder(folder);
        return SKIPPED;
    }
    if (be_device_open("null:0", NULL, &device, &err) != BE_OK) abort();
    gpu_driver *driver = ((gpu_device *)device)->driver;
    gpu_driver_vtable vtable = *driver->vtable;
    vtable.compile = compile_all;
    driver->vtable = &vtable;
    driver->dialect = gpu_source_dialect_cuda.text;
    driver->facts.units = 132;
    driver->facts.is_null = false;
    driver->facts.tensor_cores = true;
    driver->facts.memory_bytes = 1 << 20;
    compile_probes(device);
    driver->facts.memory_bytes = (size_t)1 << 36;
    compile_ops(device);
    int ops = all.compiled;
    compile_workloads(device);
    int workloads = all.compiled - ops;
    compile_beside_libraries();
    char *text = gpu_conformance_text(gpu_source_dialect_cuda.text, CONFORMANCE_GROUP);
    for (int a = 0; a < all.arch_count; a++)
        compile_for(&(gpu_text){"conformance", text}, archs[a]);
    free(text);
    printf("%s 1 - %d compilations by %s for the ops, %d for the workloads, %d failed; %d are "
           "kept from before, %d show nothing new\n",
           all.failed || ops == 0 || workloads == 0 ? "not ok" : "ok", ops, all.library.name,
           workloads, all.failed, all.kept, all.like);
    printf("1..1\n");
    be_device_close(device);
    library_close(&all.library);
    support_remove_folder(folder);
    return all.failed != 0;
}
