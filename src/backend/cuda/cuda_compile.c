/* From the text of kernels to code on the device: NVRTC, the cache on disk, modules. */
#include <omp.h>
#include <stdio.h>
#include <string.h>

#include "backend/cuda/cuda_driver.h"
#include "core/kept.h"
#include "core/team.h"

#define LOG_LIMIT_BYTES ((size_t)1 << 20)

/* One text on its way. */
typedef struct compile_job {
    const gpu_text *text;
    char *key;
    size_t key_bytes, code_bytes;
    void *code; /* NULL until it is there */
    be_status status;
    be_error error;
} compile_job;

static void format_target(const cuda_driver *d, char out[64])
{
    snprintf(out, 64, "--gpu-architecture=%s_%d", d->target.ptx ? "compute" : "sm", d->target.arch);
}

/* All that the code depends on. */
static be_status make_key(const cuda_driver *d, compile_job *job, be_error *err)
{
    const cuda_libraries *l = d->libraries;
    char target[64], head[400];
    void *key = NULL;
    format_target(d, target);
    int length = snprintf(head, sizeof head, "cuda\n%s\nnvrtc %s\ndriver %s\ndevice %s\n%s\n",
                          target, l->nvrtc.version, l->driver_text, d->facts.name, job->text->name);
    MUST(length > 0 && length < (int)sizeof head);
    size_t text_bytes = strlen(job->text->text);
    TRY(memory_alloc(&key, (size_t)length + text_bytes, "a kernel's key", err));
    memcpy(key, head, (size_t)length);
    memcpy((char *)key + length, job->text->text, text_bytes);
    job->key = key;
    job->key_bytes = (size_t)length + text_bytes;
    return BE_OK;
}

/* ---------------------------------------------------------------- NVRTC */

static be_status rtc_fail(const cuda_driver *d, be_error *err, nvrtc_result result,
                          const char *name)
{
    const cuda_libraries *l = d->libraries;
    FAIL(err, BE_DRIVER,
         "%s: NVRTC %s (%.120s) cannot compile %s for sm_%d: %s; install another "
         "NVRTC",
         d->facts.id, l->nvrtc.version, l->nvrtc.path, name, d->target.arch,
         l->rtc.error_string(result));
}

/* The log begins with warnings at times: show it from the first error on. */
static be_status compile_refused(const cuda_driver *d, nvrtc_program program, const char *name,
                                 be_error *err)
{
    const nvrtc_functions *rtc = &d->libraries->rtc;
    size_t bytes = 0;
    void *log = NULL;
    const char *shown = "it gave no log";
    if (rtc->log_bytes(program, &bytes) == NVRTC_OK && bytes > 1 && bytes < LOG_LIMIT_BYTES) {
        TRY(memory_alloc(&log, bytes + 1, "the compiler's log", err));
        if (rtc->log(program, log) == NVRTC_OK) {
            char *error = strstr(log, "error");
            shown = log;
            while (error && error > (char *)log && error[-1] != '\n') error--;
            if (error) shown = error;
        }
    }
    be_status status =
        status_fail(err, __FILE__, __LINE__, BE_DRIVER,
                    "%s: kernel %s does not compile for sm_%d with NVRTC %s; this is a fault of "
                    "breakeven, please report it with this log:\n%.700s",
                    d->facts.id, name, d->target.arch, d->libraries->nvrtc.version, shown);
    memory_free(log);
    return status;
}

static be_status take_code(const cuda_driver *d, nvrtc_program program, compile_job *job,
                           be_error *err)
{
    const nvrtc_functions *rtc = &d->libraries->rtc;
    bool ptx = d->target.ptx;
    nvrtc_result result = ptx ? rtc->ptx_bytes(program, &job->code_bytes)
                              : rtc->cubin_bytes(program, &job->code_bytes);
    if (result != NVRTC_OK) return rtc_fail(d, err, result, job->text->name);
    TRY(memory_alloc(&job->code, job->code_bytes + 1, "a kernel's code", err));
    result = ptx ? rtc->ptx(program, job->code) : rtc->cubin(program, job->code);
    return result == NVRTC_OK ? BE_OK : rtc_fail(d, err, result, job->text->name);
}

static be_status compile_text(const cuda_driver *d, compile_job *job, be_error *err)
{
    const nvrtc_functions *rtc = &d->libraries->rtc;
    nvrtc_program program = NULL;
    char target[64];
    format_target(d, target);
    const char *options[] = {target, "--std=c++17"};
    nvrtc_result result = rtc->create(&program, job->text->text, job->text->name, 0, NULL, NULL);
    if (result != NVRTC_OK) return rtc_fail(d, err, result, job->text->name);
    result = rtc->compile(program, (int)(sizeof options / sizeof *options), options);
    be_status status = result == NVRTC_OK ? take_code(d, program, job, err)
                       : result == NVRTC_COMPILATION
                           ? compile_refused(d, program, job->text->name, err)
                           : rtc_fail(d, err, result, job->text->name);
    rtc->destroy(&program);
    return status;
}

/* ---------------------------------------------------------------- many at once */

static void job_run(const cuda_driver *d, compile_job *job)
{
    be_error unused;
    job->status = make_key(d, job, &job->error);
    if (job->status != BE_OK) return;
    kept_key key = {"kernels", "cuda", job->key, job->key_bytes};
    be_status status = kept_read(&key, &job->code, &job->code_bytes, &job->error);
    if (status == BE_OK || status == BE_NO_MEMORY) {
        job->status = status;
        return;
    }
    /* Without a usable file in the cache it is compiled; why there is none does not matter. */
    job->error = (be_error){0};
    job->status = compile_text(d, job, &job->error);
    /* A cache that cannot be written costs time at the next start, and nothing else. */
    if (job->status == BE_OK) (void)!kept_write(&key, job->code, job->code_bytes, &unused);
}

static void jobs_free(compile_job *jobs, int count)
{
    for (int i = 0; i < count; i++) {
        memory_free(jobs[i].key);
        memory_free(jobs[i].code);
    }
    memory_free(jobs);
}

static be_status module_new(const cuda_driver *d, const compile_job *job, gpu_module **out,
                            be_error *err)
{
    char what[160];
    void *memory = NULL;
    cuda_module module = NULL;
    TRY(memory_alloc(&memory, sizeof(gpu_module), "a module", err));
    cuda_result result = d->libraries->cu.module_load(&module, job->code);
    if (result != CUDA_OK) memory_free(memory);
    snprintf(what, sizeof what, "load the code of kernel %.100s", job->text->name);
    CUDA_TRY(d->libraries, d->facts.id, result, what);
    *out = memory;
    (*out)->module = module;
    return BE_OK;
}

static be_status modules_new(gpu_driver *driver, const compile_job *jobs, int count,
                             gpu_module **out, be_error *err)
{
    be_status status = BE_OK;
    for (int i = 0; status == BE_OK && i < count; i++) {
        status = jobs[i].status;
        if (status != BE_OK && err) *err = jobs[i].error;
        if (status == BE_OK)
            status = module_new((const cuda_driver *)driver, &jobs[i], &out[i], err);
    }
    for (int i = 0; status != BE_OK && i < count; i++) {
        cuda_module_release(driver, out[i]);
        out[i] = NULL;
    }
    return status;
}

be_status cuda_compile(gpu_driver *driver, const gpu_text *texts, int count, gpu_module **out,
                       be_error *err)
{
    const cuda_driver *d = (const cuda_driver *)driver;
    void *memory = NULL;
    memset(out, 0, (size_t)count * sizeof *out);
    TRY(cuda_enter(d, err));
    TRY(memory_alloc(&memory, (size_t)count * sizeof(compile_job), "kernels", err));
    compile_job *jobs = memory;
    for (int i = 0; i < count; i++) jobs[i].text = &texts[i];
    int threads = team_possible(omp_get_num_procs() < count ? omp_get_num_procs() : count);
#pragma omp parallel for schedule(dynamic) num_threads(threads) if (threads > 1)
    for (int i = 0; i < count; i++) job_run(d, &jobs[i]);
    be_status status = modules_new(driver, jobs, count, out, err);
    jobs_free(jobs, count);
    return status;
}

/* ---------------------------------------------------------------- modules */

void cuda_module_release(gpu_driver *driver, gpu_module *module)
{
    const cuda_driver *d = (const cuda_driver *)driver;
    if (!module) return;
    while (module->functions) {
        gpu_function *next = module->functions->next;
        memory_free(module->functions);
        module->functions = next;
    }
    d->libraries->cu.context_set(d->context);
    d->libraries->cu.module_free(module->module);
    memory_free(module);
}

be_status cuda_module_find(gpu_driver *driver, gpu_module *module, const char *name,
                           const gpu_function **out, be_error *err)
{
    const cuda_driver *d = (const cuda_driver *)driver;
    cuda_function handle = NULL;
    char what[160];
    void *memory = NULL;
    for (const gpu_function *f = module->functions; f; f = f->next)
        if (strcmp(f->name, name) == 0) {
            *out = f;
            return BE_OK;
        }
    TRY(cuda_enter(d, err));
    snprintf(what, sizeof what, "find kernel %.100s in its module", name);
    CUDA_TRY(d->libraries, d->facts.id,
             d->libraries->cu.module_function(&handle, module->module, name), what);
    TRY(memory_alloc(&memory, sizeof(gpu_function), "a kernel", err));
    gpu_function *function = memory;
    *function = (gpu_function){.handle = handle, .next = module->functions};
    MUST(strlen(name) < sizeof function->name);
    strcpy(function->name, name);
    module->functions = function;
    *out = function;
    return BE_OK;
}
