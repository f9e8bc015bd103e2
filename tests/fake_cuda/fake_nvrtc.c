/* A run-time compiler without CUDA, for tests: libnvrtc.so.13 by the compiler of the host.
 *
 * It takes the kernel's text without the dialect of CUDA (FAKE_CUDA_DIALECT), puts that of the host
 * (FAKE_HOST_DIALECT) in front and a function behind for each kernel that calls it for every group,
 * and lets cc make a shared library of it.  A group is one work item, which is right for all
 * kernels but those for tensor cores: there it is as many as are launched, as fibers (FAKE_FIBERS).
 * FAKE_NVRTC_FAIL: result of nvrtcCompileProgram. FAKE_NVRTC_CACHE: the folder for what was made,
 * by its source. */
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "backend/cuda/cuda_api.h"
#include "fake_cuda.h"

#ifndef FAKE_NVRTC_MAJOR
#define FAKE_NVRTC_MAJOR 13
#endif

/* At -O1 the loops over the sums of a tile take twice as long, and compiling hardly less. */
#define COMPILE "cc -std=gnu17 -O2 -w -shared -fPIC -Wl,-Bsymbolic"

struct nvrtc_program_ {
    char *text, *log, *code;
    size_t bytes;
};

static char *read_all(const char *path, size_t *bytes)
{
    FILE *file = fopen(path, "rb");
    char *text = NULL;
    *bytes = 0;
    if (!file) return NULL;
    for (size_t got = 1; got > 0; *bytes += got) {
        text = realloc(text, *bytes + 65537);
        got = fread(text + *bytes, 1, 65536, file);
    }
    text[*bytes] = 0;
    fclose(file);
    return text;
}

static bool is_for_tensor_cores(const char *text)
{
    return strstr(text, "\nTENSOR_CORES\n") != NULL;
}

/* "ARG_IN(float, x)" is a pointer, "ARG_FLOAT(rate)" a float, "ARG_INT(count)" an int. */
static void write_argument(FILE *out, const char *text, size_t length, int index)
{
    char argument[256];
    snprintf(argument, sizeof argument, "%.*s", (int)length, text);
    const char *type = strstr(argument, "ARG_INT(")     ? "int"
                       : strstr(argument, "ARG_FLOAT(") ? "float"
                                                        : "void *";
    fprintf(out, ", *(%s *)a[%d]", type, index);
}

/* For every group the kernel; with groups < 0 the sizes of its arguments. */
static void write_call(FILE *out, const char *kernel, bool has_fibers)
{
    char sizes[64] = "";
    int index = 0, depth = 0, length = (int)strcspn(kernel, "(");
    const char *from = kernel + length + 1, *p = from;
    fprintf(out, "static void run_%.*s(void *const *a)\n{\n    %.*s(dialect_place", length, kernel,
            length, kernel);
    for (; *p && depth >= 0; p++) {
        depth += (*p == '(') - (*p == ')');
        if (depth > 0 || (depth == 0 && *p != ',')) continue;
        if (p > from && strncmp(from, "void)", 5) != 0) {
            char one[8];
            bool scalar = memmem(from, (size_t)(p - from), "ARG_INT(", 8) ||
                          memmem(from, (size_t)(p - from), "ARG_FLOAT(", 10);
            write_argument(out, from, (size_t)(p - from), index++);
            snprintf(one, sizeof one, "%s%d", index > 1 ? "," : "", scalar ? 4 : 8);
            strncat(sizes, one, sizeof sizes - strlen(sizes) - 1);
        }
        from = p + 1;
    }
    fprintf(out,
            ");\n}\nvoid fake_call_%.*s(void **a, int groups)\n{\n"
            "    static const unsigned char sizes[] = {%s};\n"
            "    if (groups < 0) memcpy(a[1], sizes, sizeof sizes);\n"
            "    for (int g = 0; g < groups; g++) {\n"
            "        dialect_place[0] = g;\n        dialect_place[1] = groups;\n",
            length, kernel, *sizes ? sizes : "0");
    if (has_fibers)
        fprintf(out,
                "        dialect_wait = fiber_wait;\n"
                "        if (fibers_run(GROUP, FIBERS_SHUFFLED, dialect_place + 2, run_%.*s, a)) "
                "abort();\n",
                length, kernel);
    else
        fprintf(out, "        run_%.*s(a);\n", length, kernel);
    fprintf(out, "    }\n}\n");
}

/* Whether it waits for the kernels in front of it before it does anything: by OPEN_OUT, if the
 * dialect of CUDA says so and the target can. */
static void write_wait(FILE *out, const char *kernel, bool can_wait)
{
    const char *body = strstr(kernel, ")\n{\n"), *end = strstr(kernel, "\n}");
    bool waits = false;
    for (body = body ? body + 4 : NULL; can_wait && body && body < end;
         body += strcspn(body, "\n") + 1) {
        const char *word = body + strspn(body, " ");
        waits = strncmp(word, "OPEN_OUT(", 9) == 0;
        if (waits || (strncmp(word, "OPEN_IN(", 8) != 0 && *word != '#')) break;
    }
    fprintf(out, "const int fake_waits_%.*s = %d;\n", (int)strcspn(kernel, "("), kernel, waits);
}

static void write_calls(FILE *out, const char *text, bool can_wait)
{
    bool has_fibers = is_for_tensor_cores(text);
    for (const char *p = text; (p = strstr(p, "\nKERNEL ")) != NULL; p++) {
        write_call(out, p + 8, has_fibers);
        write_wait(out, p + 8, can_wait);
    }
}

/* Without the dialect of CUDA, if it begins with that. */
static const char *own_text(const char *text)
{
    size_t bytes = 0;
    char *dialect = read_all(FAKE_CUDA_DIALECT, &bytes);
    bool begins = dialect && strncmp(text, dialect, bytes) == 0;
    free(dialect);
    return begins ? text + bytes : text;
}

/* The kernel for groups of one work item, which may be any number of launched ones. */
static void write_text(FILE *out, const char *text)
{
    const char *group = strstr(text, "#define GROUP ");
    bool has_fibers = is_for_tensor_cores(text);
    fprintf(out, "%s#include \"%s\"\n", has_fibers ? "#define FIBERS\n" : "", FAKE_HOST_DIALECT);
    if (has_fibers) fprintf(out, "#include \"%s\"\n", FAKE_FIBERS);
    if (!group || has_fibers) {
        fputs(text, out);
        return;
    }
    fprintf(out, "%.*s#define GROUP 1%s", (int)(group - text), text, group + strcspn(group, "\n"));
}

/* FNV-1a. */
static uint64_t hash(uint64_t state, const char *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++)
        state = (state ^ (unsigned char)bytes[i]) * UINT64_C(0x100000001b3);
    return state;
}

/* Where the code of a source is kept for the next process, "" if nowhere: many tests start programs
 * that compile the same kernels. */
static void place_of(const char *source, char *out, size_t size)
{
    const char *folder = getenv("FAKE_NVRTC_CACHE"),
               *files[] = {source, FAKE_HOST_DIALECT, FAKE_FIBERS};
    uint64_t state = UINT64_C(0xcbf29ce484222325);
    *out = 0;
    if (!folder) return;
    for (int i = 0; i < 3; i++) {
        size_t bytes = 0;
        char *text = read_all(files[i], &bytes);
        if (!text) return;
        state = hash(state, text, bytes);
        free(text);
    }
    mkdir(folder, 0777);
    snprintf(out, size, "%s/%016" PRIx64 ".so", folder, state);
}

/* Whole or not at all: another process may do the same. */
static void keep(const char *path, const char *code, size_t bytes)
{
    char written[600];
    snprintf(written, sizeof written, "%s.%ld", path, (long)getpid());
    FILE *file = fopen(written, "wb");
    if (!file) return;
    bool whole = fwrite(code, 1, bytes, file) == bytes;
    whole = fclose(file) == 0 && whole;
    if (!whole || rename(written, path) != 0) unlink(written);
}

static int compile_in(nvrtc_program program, const char *folder, bool can_wait)
{
    char source[200], library[200], log[200], kept[500], command[900];
    size_t bytes = 0;
    snprintf(source, sizeof source, "%s/kernel.c", folder);
    snprintf(library, sizeof library, "%s/kernel.so", folder);
    snprintf(log, sizeof log, "%s/log", folder);
    FILE *out = fopen(source, "w");
    if (!out) return 11;
    fprintf(out, "/* " COMPILE " */\n");
    write_text(out, own_text(program->text));
    fputc('\n', out);
    write_calls(out, program->text, can_wait);
    fclose(out);
    place_of(source, kept, sizeof kept);
    free(program->log);
    program->log = NULL;
    char *code = *kept ? read_all(kept, &bytes) : NULL;
    if (!code) {
        snprintf(command, sizeof command, COMPILE " -o %s %s -lm >%s 2>&1", library, source, log);
        int status = system(command);
        program->log = read_all(log, &bytes);
        code = status == 0 ? read_all(library, &bytes) : NULL;
        if (code && *kept) keep(kept, code, bytes);
    }
    unlink(source), unlink(library), unlink(log);
    if (!code) return NVRTC_COMPILATION;
    fake_code head = {FAKE_CODE_MAGIC, bytes};
    program->bytes = bytes + sizeof head;
    program->code = malloc(program->bytes);
    memcpy(program->code, &head, sizeof head);
    memcpy(program->code + sizeof head, code, bytes);
    free(code);
    return NVRTC_OK;
}

nvrtc_result nvrtcVersion(int *major, int *minor)
{
    *major = FAKE_NVRTC_MAJOR;
    *minor = 0;
    return NVRTC_OK;
}

static const int archs[] = {75, 80, 90, 100, 120};

nvrtc_result nvrtcGetNumSupportedArchs(int *count)
{
    *count = (int)(sizeof archs / sizeof *archs);
    return NVRTC_OK;
}

nvrtc_result nvrtcGetSupportedArchs(int *out)
{
    memcpy(out, archs, sizeof archs);
    return NVRTC_OK;
}

const char *nvrtcGetErrorString(nvrtc_result result)
{
    return result == NVRTC_OK            ? "NVRTC_SUCCESS"
           : result == NVRTC_COMPILATION ? "NVRTC_ERROR_COMPILATION"
                                         : "NVRTC_ERROR_INTERNAL_ERROR";
}

nvrtc_result nvrtcCreateProgram(nvrtc_program *program, const char *text, const char *name,
                                int headers, const char *const *sources, const char *const *names)
{
    (void)name, (void)headers, (void)sources, (void)names;
    *program = calloc(1, sizeof **program);
    (*program)->text = strdup(text);
    return NVRTC_OK;
}

nvrtc_result nvrtcDestroyProgram(nvrtc_program *program)
{
    free((*program)->text);
    free((*program)->log);
    free((*program)->code);
    free(*program);
    *program = NULL;
    return NVRTC_OK;
}

nvrtc_result nvrtcCompileProgram(nvrtc_program program, int count, const char *const *options)
{
    char folder[] = "/tmp/fake-nvrtc-XXXXXX";
    const char *fail = getenv("FAKE_NVRTC_FAIL");
    if (count < 1 || strncmp(options[0], "--gpu-architecture=", 19) != 0) return 5;
    if (fail && atoi(fail)) return atoi(fail);
    if (!mkdtemp(folder)) return 11;
    const char *arch = strchr(options[0], '_');
    bool can_wait = arch && atoi(arch + 1) >= 90 && strstr(program->text, "griddepcontrol.wait");
    int result = compile_in(program, folder, can_wait);
    rmdir(folder);
    return result;
}

nvrtc_result nvrtcGetProgramLogSize(nvrtc_program program, size_t *bytes)
{
    *bytes = program->log ? strlen(program->log) + 1 : 1;
    return NVRTC_OK;
}

nvrtc_result nvrtcGetProgramLog(nvrtc_program program, char *out)
{
    strcpy(out, program->log ? program->log : "");
    return NVRTC_OK;
}

nvrtc_result nvrtcGetCUBINSize(nvrtc_program program, size_t *bytes)
{
    *bytes = program->bytes;
    return NVRTC_OK;
}

nvrtc_result nvrtcGetCUBIN(nvrtc_program program, char *out)
{
    memcpy(out, program->code, program->bytes);
    return NVRTC_OK;
}

nvrtc_result nvrtcGetPTXSize(nvrtc_program program, size_t *bytes)
{
    return nvrtcGetCUBINSize(program, bytes);
}

nvrtc_result nvrtcGetPTX(nvrtc_program program, char *out)
{
    return nvrtcGetCUBIN(program, out);
}
