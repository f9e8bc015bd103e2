/* Limits to JSON and back. */
#include "measure/limits.h"

#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The members that are one positive number or unknown. */
#define LIMITS_NUMBERS(X) \
    X(flops_fp32)         \
    X(flops_tf32)         \
    X(flops_bf16)         \
    X(memory_bytes_per_s) \
    X(cache_bytes_per_s)  \
    X(launch_s)           \
    X(round_trip_s)

limits limits_unknown(void)
{
    limits l = {0};
#define X(member) l.member = NAN;
    LIMITS_NUMBERS(X)
#undef X
    return l;
}

/* ---------------------------------------------------------------- to JSON */

static json_t *limits_number(double value)
{
    return isfinite(value) && value > 0 ? json_real(value) : json_null();
}

double *limits_peak(limits *l, const char *precision)
{
    if (strcmp(precision, "tf32") == 0) return &l->flops_tf32;
    if (strcmp(precision, "bf16") == 0) return &l->flops_bf16;
    MUST(strcmp(precision, "fp32") == 0);
    return &l->flops_fp32;
}

be_status limits_to_json(const limits *l, json_t **out, be_error *err)
{
    json_t *transfers = json_array();
    for (int i = 0; i < l->transfer_count; i++) {
        const limits_transfer *t = &l->transfers[i];
        json_array_append_new(transfers, json_pack("{s:I, s:o, s:o}", "bytes", (json_int_t)t->bytes,
                                                   "up_s", limits_number(t->up_s), "down_s",
                                                   limits_number(t->down_s)));
    }
    *out =
        json_pack("{s:s, s:s, s:i, s:o, s:I}", "device", l->device, "device_name", l->device_name,
                  "threads", l->threads, "transfers", transfers, "unix_s", (json_int_t)l->unix_s);
#define X(member) \
    if (*out) json_object_set_new(*out, #member, limits_number(l->member));
    LIMITS_NUMBERS(X)
#undef X
    if (!*out)
        FAIL(err, BE_FAILED,
             "limits of a device: expected texts in UTF-8 and memory for them, found other bytes "
             "or none left");
    return BE_OK;
}

/* ---------------------------------------------------------------- from JSON */

/* Reads members and keeps the first complaint. */
typedef struct limits_reader {
    const json_t *json;
    be_error *err;
    be_status status;
} limits_reader;

static void limits_complain(limits_reader *r, const char *member, const char *wanted,
                            const json_t *found)
{
    if (r->status != BE_OK) return;
    char *text = found ? json_dumps(found, JSON_ENCODE_ANY | JSON_COMPACT) : NULL;
    r->status = status_fail(r->err, __FILE__, __LINE__, BE_BAD_DATA,
                            "limits of a device: expected \"%s\" to be %s, found %.80s; measure "
                            "them again",
                            member, wanted, text ? text : "nothing");
    free(text);
}

static void limits_text(limits_reader *r, const char *member, char *out, size_t room)
{
    const json_t *value = json_object_get(r->json, member);
    const char *text = json_string_value(value);
    if (!text || strlen(text) >= room)
        limits_complain(r, member, "a text that is not too long", value);
    else
        snprintf(out, room, "%s", text);
}

static int64_t limits_integer(limits_reader *r, const char *member, int64_t most)
{
    const json_t *value = json_object_get(r->json, member);
    if (json_is_integer(value) && json_integer_value(value) >= 0 &&
        json_integer_value(value) <= most)
        return json_integer_value(value);
    limits_complain(r, member, "a whole number in its range", value);
    return 0;
}

static double limits_real(limits_reader *r, const char *member)
{
    const json_t *value = json_object_get(r->json, member);
    if (json_is_null(value)) return NAN;
    double number = json_number_value(value);
    if (!json_is_number(value) || !(number > 0))
        limits_complain(r, member, "a number above 0, or null", value);
    return number;
}

static void limits_transfers(limits_reader *r, limits *out)
{
    const json_t *list = json_object_get(r->json, "transfers"), *item;
    size_t i;
    if (!json_is_array(list) || json_array_size(list) > LIMITS_TRANSFERS) {
        limits_complain(r, "transfers", "a list of at most 16 objects", list);
        return;
    }
    json_array_foreach((json_t *)list, i, item)
    {
        limits_reader one = {.json = item, .err = r->err, .status = r->status};
        limits_transfer *t = &out->transfers[i];
        t->bytes = limits_integer(&one, "bytes", INT64_MAX);
        t->up_s = limits_real(&one, "up_s");
        t->down_s = limits_real(&one, "down_s");
        if (t->bytes <= (i ? t[-1].bytes : 0))
            limits_complain(&one, "transfers", "a list by rising size", list);
        r->status = one.status;
    }
    out->transfer_count = (int)json_array_size(list);
}

be_status limits_of_json(const json_t *json, limits *out, be_error *err)
{
    limits_reader r = {.json = json, .err = err, .status = BE_OK};
    limits l = limits_unknown();
    *out = l;
    limits_text(&r, "device", l.device, sizeof l.device);
    limits_text(&r, "device_name", l.device_name, sizeof l.device_name);
    l.threads = (int)limits_integer(&r, "threads", INT_MAX);
#define X(member) l.member = limits_real(&r, #member);
    LIMITS_NUMBERS(X)
#undef X
    limits_transfers(&r, &l);
    l.unix_s = limits_integer(&r, "unix_s", INT64_MAX);
    if (r.status == BE_OK) *out = l;
    return r.status;
}
