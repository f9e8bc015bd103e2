/* A driver that computes nothing: it plans, counts launches, bytes and steps, and keeps what is
 * written so that it can be read again.  It makes tests of planner, conductor and command line
 * fast.
 */
#include <stdio.h>
#include <string.h>

#include "backend/backend.h"
#include "backend/gpu/gpu.h"

/* Handles that nobody looks into. */
struct gpu_module {
    int unused;
};
struct gpu_function {
    bool counts_steps; /* its first argument is the clock */
};
struct gpu_sequence {
    int count;
    gpu_launch launches[];
};
struct gpu_feed {
    size_t bytes;
    char memory[]; /* of the slots, one behind the other */
};

static gpu_module any_module;
static const gpu_function any_function, clock_function = {.counts_steps = true};

static void null_close(gpu_driver *driver)
{
    memory_free(driver);
}

static be_status null_alloc(gpu_driver *driver, size_t bytes, const char *what, gpu_buffer *out,
                            be_error *err)
{
    void *memory = NULL;
    (void)driver;
    TRY(memory_alloc(&memory, bytes, what, err));
    *out = (gpu_buffer)memory;
    return BE_OK;
}

static void null_free(gpu_driver *driver, gpu_buffer buffer)
{
    (void)driver;
    memory_free((void *)buffer);
}

static be_status null_upload(gpu_driver *driver, gpu_buffer buffer, size_t offset, const void *data,
                             size_t bytes, be_error *err)
{
    (void)driver;
    (void)err;
    memcpy((char *)buffer + offset, data, bytes);
    return BE_OK;
}

static be_status null_download(gpu_driver *driver, gpu_buffer buffer, size_t offset, void *data,
                               size_t bytes, be_error *err)
{
    (void)err;
    memcpy(data, (const char *)buffer + offset, bytes);
    driver->read_bytes += (int64_t)bytes;
    driver->waits++;
    return BE_OK;
}

static be_status null_clear(gpu_driver *driver, gpu_buffer buffer, size_t offset, size_t bytes,
                            be_error *err)
{
    (void)driver;
    (void)err;
    memset((char *)buffer + offset, 0, bytes);
    return BE_OK;
}

static be_status null_compile(gpu_driver *driver, const gpu_text *texts, int count,
                              gpu_module **out, be_error *err)
{
    (void)driver;
    (void)texts;
    (void)err;
    for (int i = 0; i < count; i++) out[i] = &any_module;
    return BE_OK;
}

static void null_module_free(gpu_driver *driver, gpu_module *module)
{
    (void)driver;
    (void)module;
}

static be_status null_function(gpu_driver *driver, gpu_module *module, const char *name,
                               const gpu_function **out, be_error *err)
{
    (void)driver;
    (void)module;
    (void)err;
    *out = strcmp(name, "advance") == 0 ? &clock_function : &any_function;
    return BE_OK;
}

static be_status null_launch(gpu_driver *driver, const gpu_launch *launch, be_error *err)
{
    (void)err;
    driver->launches++;
    if (launch->task || !launch->function->counts_steps) return BE_OK;
    int32_t steps;
    char *clock = (char *)launch->arguments[0].span.buffer + launch->arguments[0].span.offset;
    memcpy(&steps, clock, sizeof steps);
    steps++;
    memcpy(clock, &steps, sizeof steps);
    return BE_OK;
}

static be_status null_sequence(gpu_driver *driver, const gpu_launch *launches, int count,
                               gpu_sequence **out, be_error *err)
{
    void *memory = NULL;
    size_t bytes = (size_t)count * sizeof *launches;
    (void)driver;
    TRY(memory_alloc(&memory, sizeof(gpu_sequence) + bytes, "launches", err));
    *out = memory;
    (*out)->count = count;
    if (count > 0) memcpy((*out)->launches, launches, bytes); /* a view alone launches nothing */
    return BE_OK;
}

static be_status null_replay(gpu_driver *driver, gpu_sequence *sequence, int64_t times,
                             be_error *err)
{
    for (int64_t t = 0; t < times; t++)
        for (int i = 0; i < sequence->count; i++)
            TRY(driver->vtable->launch(driver, &sequence->launches[i], err));
    return BE_OK;
}

static void null_sequence_free(gpu_driver *driver, gpu_sequence *sequence)
{
    (void)driver;
    memory_free(sequence);
}

static be_status null_feed_new(gpu_driver *driver, size_t bytes, int slots, gpu_feed **out,
                               be_error *err)
{
    void *memory = NULL;
    (void)driver;
    TRY(memory_alloc(&memory, sizeof(gpu_feed) + (size_t)slots * bytes, "a feed", err));
    *out = memory;
    (*out)->bytes = bytes;
    return BE_OK;
}

static void null_feed_free(gpu_driver *driver, gpu_feed *feed)
{
    (void)driver;
    memory_free(feed);
}

static be_status null_feed_claim(gpu_driver *driver, gpu_feed *feed, int slot, void **memory,
                                 be_error *err)
{
    (void)err;
    *memory = feed->memory + (size_t)slot * feed->bytes;
    driver->waits++;
    return BE_OK;
}

static be_status null_feed_send(gpu_driver *driver, gpu_feed *feed, int slot,
                                const gpu_copy *copies, int count, be_error *err)
{
    const char *memory = feed->memory + (size_t)slot * feed->bytes;
    for (int i = 0; i < count; i++) {
        TRY(null_upload(driver, copies[i].to, copies[i].to_offset, memory + copies[i].from_offset,
                        copies[i].bytes, err));
        driver->fed_bytes += (int64_t)copies[i].bytes;
    }
    return BE_OK;
}

static be_status null_feed_release(gpu_driver *driver, gpu_feed *feed, int slot, be_error *err)
{
    (void)driver;
    (void)feed;
    (void)slot;
    (void)err;
    return BE_OK;
}

static be_status null_synchronise(gpu_driver *driver, be_error *err)
{
    (void)err;
    driver->waits++;
    return BE_OK;
}

static const gpu_driver_vtable null_vtable = {.close = null_close,
                                              .alloc = null_alloc,
                                              .free = null_free,
                                              .upload = null_upload,
                                              .download = null_download,
                                              .clear = null_clear,
                                              .compile = null_compile,
                                              .module_free = null_module_free,
                                              .function = null_function,
                                              .launch = null_launch,
                                              .sequence = null_sequence,
                                              .replay = null_replay,
                                              .sequence_free = null_sequence_free,
                                              .feed_new = null_feed_new,
                                              .feed_free = null_feed_free,
                                              .feed_claim = null_feed_claim,
                                              .feed_send = null_feed_send,
                                              .feed_release = null_feed_release,
                                              .synchronise = null_synchronise};

be_status null_open(const backend_place *place, be_device **out, be_error *err)
{
    void *memory = NULL;
    *out = NULL;
    if (place->index != 0)
        FAIL(err, BE_UNAVAILABLE, "device \"%s\": there is one null device, null:0", place->id);
    TRY(memory_alloc(&memory, sizeof(gpu_driver), "null device", err));
    gpu_driver *driver = memory;
    *driver = (gpu_driver){.vtable = &null_vtable,
                           .dialect = "",
                           .tune_seconds = -1.0,
                           .facts = {.name = "no hardware; computes nothing",
                                     .software = "null",
                                     .is_null = true,
                                     .units = 64,
                                     .group_max = 1024,
                                     .local_bytes = 49152,
                                     .memory_bytes = (size_t)1 << 36,
                                     .buffer_max_bytes = (size_t)1 << 36}};
    return gpu_device_new(driver, "null:0", out, err);
}
