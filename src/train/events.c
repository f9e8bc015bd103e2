/* See events.h. */
#include "train/events.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/clock.h"

#define VALUES_MOST 16
#define TAG_MOST 64
#define EVENT_BYTES (64 + VALUES_MOST * (TAG_MOST + 16))
#define VERSION "brain.Event:2" /* of the file's form: what readers look for first */

/* ---------------------------------------------------------------- records */

/* CRC-32C (Castagnoli, RFC 3720 appendix B.4), bit by bit: a record has some hundred bytes. */
static uint32_t crc32c(const uint8_t *bytes, size_t count)
{
    uint32_t crc = ~0u;
    for (size_t i = 0; i < count; i++) {
        crc ^= bytes[i];
        for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
    }
    return ~crc;
}

/* So that the sum of bytes that hold sums is a good one: core/lib/hash/crc32c.h. */
static uint32_t masked(uint32_t crc)
{
    return (crc >> 15 | crc << 17) + 0xa282ead8u;
}

/* A message that grows; its room is enough for all that is written here. */
typedef struct message {
    uint8_t bytes[EVENT_BYTES];
    size_t used;
} message;

static void put_little(message *m, uint64_t value, int bytes)
{
    MUST(m->used + (size_t)bytes <= sizeof m->bytes);
    for (int i = 0; i < bytes; i++) m->bytes[m->used++] = (uint8_t)(value >> 8 * i);
}

static be_status write_record(events_file *f, const message *event, be_error *err)
{
    message record = {.used = 0};
    uint8_t all[sizeof record.bytes + 16];
    put_little(&record, event->used, 8);
    put_little(&record, masked(crc32c(record.bytes, 8)), 4);
    memcpy(all, record.bytes, 12);
    memcpy(all + 12, event->bytes, event->used);
    record.used = 0;
    put_little(&record, masked(crc32c(event->bytes, event->used)), 4);
    memcpy(all + 12 + event->used, record.bytes, 4);
    return file_write_fd(f->fd, all, event->used + 16, f->path, err);
}

/* ---------------------------------------------------------------- protocol buffers */

enum { WIRE_VARINT = 0, WIRE_64 = 1, WIRE_BYTES = 2, WIRE_32 = 5 };

static void put_varint(message *m, uint64_t value)
{
    for (; value >= 128; value >>= 7) put_little(m, (value & 127) | 128, 1);
    put_little(m, value, 1);
}

static void put_key(message *m, int field, int wire)
{
    put_varint(m, (uint64_t)(field << 3 | wire));
}

static void put_bytes(message *m, int field, const void *bytes, size_t count)
{
    put_key(m, field, WIRE_BYTES);
    put_varint(m, count);
    MUST(m->used + count <= sizeof m->bytes);
    memcpy(m->bytes + m->used, bytes, count);
    m->used += count;
}

static void put_double(message *m, int field, double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    put_key(m, field, WIRE_64);
    put_little(m, bits, 8);
}

static void put_float(message *m, int field, float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    put_key(m, field, WIRE_32);
    put_little(m, bits, 4);
}

/* Event: wall_time 1, step 2, file_version 3, summary 5; Summary: value 1; Value: tag 1,
 * simple_value 2. */
static message begin_event(void)
{
    message event = {.used = 0};
    put_double(&event, 1, (double)clock_unix_s());
    return event;
}

/* ---------------------------------------------------------------- files */

be_status events_open(events_file *f, const char *folder, be_error *err)
{
    char host[64] = "";
    bool stream;
    f->fd = -1;
    if (gethostname(host, sizeof host - 1) != 0 || !*host) strcpy(host, "localhost");
    TRY(file_make_folders(folder, err));
    TRY(file_format_path(f->path, err, "%s/events.out.tfevents.%" PRId64 ".%s.%ld", folder,
                         clock_unix_s(), host, (long)getpid()));
    TRY(file_open_output(&f->fd, &stream, f->path, err));
    message event = begin_event();
    put_bytes(&event, 3, VERSION, strlen(VERSION));
    return write_record(f, &event, err);
}

be_status events_add(events_file *f, int64_t step, const events_value *values, int count,
                     be_error *err)
{
    message event = begin_event(), summary = {.used = 0};
    MUST(count <= VALUES_MOST);
    put_key(&event, 2, WIRE_VARINT);
    put_varint(&event, (uint64_t)step);
    for (int v = 0; v < count; v++) {
        message value = {.used = 0};
        size_t length = strlen(values[v].tag);
        MUST(length <= TAG_MOST);
        put_bytes(&value, 1, values[v].tag, length);
        put_float(&value, 2, (float)values[v].value);
        put_bytes(&summary, 1, value.bytes, value.used);
    }
    put_bytes(&event, 5, summary.bytes, summary.used);
    return write_record(f, &event, err);
}

void events_close(events_file *f)
{
    if (f->fd >= 0) close(f->fd);
    f->fd = -1;
}
