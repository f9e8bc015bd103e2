/* Limits to JSON and back. */
#include "measure/limits.h"

#include <limits.h>
#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "core/json.h"

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
    return json_of_real(value > 0 ? value : (double)NAN);
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
        json_add(&transfers, json_pack("{s:I, s:o, s:o}", "bytes", (json_int_t)t->bytes, "up_s",
                                       limits_number(t->up_s), "down_s", limits_number(t->down_s)));
    }
    *out = json_pack("{s:o, s:o, s:i, s:o, s:I}", "device", json_of_text(l->device), "device_name",
                     json_of_text(l->device_name), "threads", l->threads, "transfers", transfers,
                     "unix_s", (json_int_t)l->unix_s);
#define X(member) json_put(out, #member, limits_number(l->member));
    LIMITS_NUMBERS(X)
#undef X
    return json_check(*out, "limits of a device", err);
}

/* ---------------------------------------------------------------- from JSON */

static json_reader reader_of(const json_t *json, be_error *err)
{
    return (json_reader){.json = json,
                         .about = "limits of a device",
                         .next = "measure them again",
                         .fault = BE_BAD_DATA,
                         .err = err};
}

static void limits_text(json_reader *r, const char *member, char *out, size_t room)
{
    const json_t *value = json_object_get(r->json, member);
    const char *text = json_string_value(value);
    if (!text || strlen(text) >= room)
        json_complain(r, member, "a text that is not too long", value);
    else
        snprintf(out, room, "%s", text);
}

static double limits_real(json_reader *r, const char *member)
{
    const json_t *value = json_object_get(r->json, member);
    if (json_is_null(value)) return NAN;
    double number = json_number_value(value);
    if (!json_is_number(value) || !(number > 0))
        json_complain(r, member, "a number above 0, or null", value);
    return number;
}

static void limits_transfers(json_reader *r, limits *out)
{
    const json_t *list = json_object_get(r->json, "transfers"), *item;
    size_t i;
    if (!json_is_array(list) || json_array_size(list) > LIMITS_TRANSFERS) {
        json_complain(r, "transfers", "a list of at most 16 objects", list);
        return;
    }
    json_array_foreach((json_t *)list, i, item)
    {
        json_reader one = reader_of(item, r->err);
        one.status = r->status;
        limits_transfer *t = &out->transfers[i];
        t->bytes = json_read_integer(&one, "bytes", 0, INT64_MAX);
        t->up_s = limits_real(&one, "up_s");
        t->down_s = limits_real(&one, "down_s");
        if (t->bytes <= (i ? t[-1].bytes : 0))
            json_complain(&one, "transfers", "a list by rising size", list);
        r->status = one.status;
    }
    out->transfer_count = (int)json_array_size(list);
}

be_status limits_of_json(const json_t *json, limits *out, be_error *err)
{
    json_reader r = reader_of(json, err);
    limits l = limits_unknown();
    *out = l;
    limits_text(&r, "device", l.device, sizeof l.device);
    limits_text(&r, "device_name", l.device_name, sizeof l.device_name);
    l.threads = (int)json_read_integer(&r, "threads", 0, INT_MAX);
#define X(member) l.member = limits_real(&r, #member);
    LIMITS_NUMBERS(X)
#undef X
    limits_transfers(&r, &l);
    l.unix_s = json_read_integer(&r, "unix_s", 0, INT64_MAX);
    if (r.status == BE_OK) *out = l;
    return r.status;
}
