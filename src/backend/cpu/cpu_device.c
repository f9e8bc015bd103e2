/* The CPU as a device: threads, instruction set, oneDNN's engine. */
#include <stdio.h>
#include <string.h>

#include "backend/backend.h"
#include "backend/cpu/cpu.h"
#include "core/team.h"
#include "core/topology.h"

static be_status choose_isa(const be_device_options *options, cpu_isa *out, be_error *err)
{
    cpu_isa best = cpu_isa_detect();
    *out = best;
    if (!options->isa) return BE_OK;
    for (int isa = 0; isa < CPU_ISA_COUNT; isa++)
        if (strcmp(options->isa, cpu_isa_text((cpu_isa)isa)) == 0) {
            if (isa > (int)best)
                FAIL(err, BE_UNAVAILABLE, "instruction set %s: this processor has at most %s",
                     options->isa, cpu_isa_text(best));
            *out = (cpu_isa)isa;
            return BE_OK;
        }
    FAIL(err, BE_USAGE, "instruction set: expected generic, avx2 or avx512, found \"%s\"",
         options->isa);
}

static cpu_library choose_library(const be_device_options *options)
{
    if (!options->library) return CPU_ANY_LIBRARY;
    return strcmp(options->library, "native") == 0 ? CPU_NATIVE_ONLY : CPU_ONEDNN_ONLY;
}

const char *cpu_library_version(void)
{
    static char text[32];
    const dnnl_version_t *version = dnnl_version();
    snprintf(text, sizeof text, "oneDNN %d.%d.%d", version->major, version->minor, version->patch);
    return text;
}

/* Do as many threads come as were asked for, and does oneDNN compute on them what it should? */
static be_status check_threads(const cpu_device *device, be_error *err)
{
    team t;
    TRY(team_begin(&t, device->base.threads, err));
    be_status status = device->library == CPU_NATIVE_ONLY ? BE_OK : cpu_check(device, err);
    team_end(&t);
    return status;
}

static int default_threads(void)
{
    int usual = topology_get()->usual_threads, most = team_most();
    return usual < most ? usual : most;
}

be_status cpu_open(const be_device_options *options, be_device **out, be_error *err)
{
    void *memory = NULL;
    cpu_isa isa;
    TRY(choose_isa(options, &isa, err));
    if (options->threads < 0 || options->threads > TEAM_MOST)
        FAIL(err, BE_USAGE, "threads: expected 1 to %d, found %d", TEAM_MOST, options->threads);
    TRY(memory_alloc(&memory, sizeof(cpu_device), "cpu device", err));
    cpu_device *device = memory;
    device->isa = isa;
    device->library = choose_library(options);
    device->block = isa == CPU_AVX512 ? LAYOUT_BLOCKED16 : LAYOUT_BLOCKED8;
    snprintf(device->name, sizeof device->name, "%s", topology_get()->cpu_name);
    device->base = (be_device){.vtable = &cpu_vtable,
                               .reorder = &be_op_reorder,
                               .id = "cpu",
                               .name = device->name,
                               .threads = options->threads ? options->threads : default_threads()};
    dnnl_status_t status = dnnl_engine_create(&device->engine, dnnl_cpu, 0);
    if (status == dnnl_success)
        status = dnnl_stream_create(&device->stream, device->engine, dnnl_stream_default_flags);
    if (status != dnnl_success) {
        be_device_close(&device->base);
        return cpu_onednn_fail(err, "its CPU engine could not be started", status);
    }
    be_status checked = check_threads(device, err);
    if (checked == BE_OK)
        *out = &device->base;
    else
        be_device_close(&device->base);
    return checked;
}
