/* Numbers as text. */
#include "report/text.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "workloads/workload.h"

_Thread_local report_style report_look;

int report_columns(void)
{
    int columns = report_look.columns ? report_look.columns : 80;
    if (columns < REPORT_COLUMNS_LEAST) return REPORT_COLUMNS_LEAST;
    return columns > REPORT_COLUMNS_MOST ? REPORT_COLUMNS_MOST : columns;
}

const char *report_units(const char *workload, char out[REPORT_TEXT_BYTES])
{
    const struct workload *w = NULL;
    bool is_known = workload_find(workload, &w, NULL) == BE_OK;
    snprintf(out, REPORT_TEXT_BYTES, "%ss", is_known ? workload_form(w, 1).unit : "sample");
    return out;
}

const char *report_samples(const char *workload, char out[REPORT_TEXT_BYTES])
{
    const struct workload *w = NULL;
    bool is_known = workload_find(workload, &w, NULL) == BE_OK;
    snprintf(out, REPORT_TEXT_BYTES, "%ss", is_known ? workload_form(w, 1).sample : "sample");
    return out;
}

bool report_is_operation(const char *workload)
{
    const struct workload *w = NULL;
    return workload_find(workload, &w, NULL) == BE_OK && w->operate;
}

const char *report_mode(const char *workload, const char *mode)
{
    bool train = strcmp(mode, "train") == 0;
    if (report_is_operation(workload)) return train ? "forward and backward" : "forward";
    return train ? "training" : "inference";
}

const char *report_times(void)
{
    return report_look.utf8 ? "×" : "x";
}

/* Decimals that show three digits of a number that is at least 1. */
static int decimals_of(double value)
{
    return value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2;
}

typedef struct scale {
    double factor;
    const char *unit;
} scale;

static scale scale_of_seconds(double seconds)
{
    if (seconds < 0.9995e-6) return (scale){1e9, "ns"};
    if (seconds < 0.9995e-3) return (scale){1e6, report_look.utf8 ? "µs" : "us"};
    if (seconds < 0.9995) return (scale){1e3, "ms"};
    return (scale){1, "s"};
}

const char *report_seconds(double seconds, char out[REPORT_TEXT_BYTES])
{
    if (!(seconds >= 0)) return strcpy(out, "-");
    if (seconds == 0) return strcpy(out, "0 s");
    if (seconds >= 120) {
        bool hours = seconds >= 7200;
        double small = hours ? seconds / 60 : seconds;
        snprintf(out, REPORT_TEXT_BYTES, "%d:%02d %s", (int)(small / 60), (int)fmod(small, 60),
                 hours ? "h" : "min");
        return out;
    }
    scale s = scale_of_seconds(seconds);
    snprintf(out, REPORT_TEXT_BYTES, "%.*f %s", decimals_of(seconds * s.factor), seconds * s.factor,
             s.unit);
    return out;
}

const char *report_interval(double median, double low, double high, char out[REPORT_TEXT_BYTES])
{
    if (!(median >= 0)) return strcpy(out, "-");
    if (!(low >= 0) || !(high >= 0)) return report_seconds(median, out);
    scale s = scale_of_seconds(median);
    int decimals = decimals_of(median * s.factor);
    snprintf(out, REPORT_TEXT_BYTES, "%.*f [%.*f, %.*f] %s", decimals, median * s.factor, decimals,
             low * s.factor, decimals, high * s.factor, s.unit);
    return out;
}

const char *report_count(double count, char out[REPORT_TEXT_BYTES])
{
    char digits[REPORT_TEXT_BYTES / 2];
    if (!(count >= 0) || count > 1e18) return strcpy(out, "-");
    int length = snprintf(digits, sizeof digits, "%.0f", count), at = 0;
    for (int i = 0; i < length; i++) {
        if (i && (length - i) % 3 == 0) out[at++] = ',';
        out[at++] = digits[i];
    }
    out[at] = 0;
    return out;
}

const char *report_bytes(double bytes, char out[REPORT_TEXT_BYTES])
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    int unit = 0;
    if (!(bytes >= 0)) return strcpy(out, "-");
    for (; bytes >= 1023.5 && unit < 4; unit++) bytes /= 1024;
    snprintf(out, REPORT_TEXT_BYTES, "%.*f %s", unit ? decimals_of(bytes) : 0, bytes, units[unit]);
    return out;
}

const char *report_flops(double flops, char out[REPORT_TEXT_BYTES])
{
    if (!(flops >= 0)) return strcpy(out, "-");
    bool tera = flops >= 0.9995e12, mega = flops < 0.9995e8;
    double value = flops / (tera ? 1e12 : mega ? 1e6 : 1e9);
    snprintf(out, REPORT_TEXT_BYTES, "%.*f %sFLOP", decimals_of(value), value,
             tera   ? "T"
             : mega ? "M"
                    : "G");
    return out;
}

const char *report_loss(double loss, char out[REPORT_TEXT_BYTES])
{
    if (!isfinite(loss)) return strcpy(out, isnan(loss) ? "nan" : loss > 0 ? "inf" : "-inf");
    snprintf(out, REPORT_TEXT_BYTES, fabs(loss) < 999.99995 ? "%.4f" : "%.2e", loss);
    return out;
}

const char *report_number(double value, char out[REPORT_TEXT_BYTES])
{
    if (isnan(value)) return strcpy(out, "-");
    if (value >= 999.5 && value <= 1e15) return report_count(value, out);
    snprintf(out, REPORT_TEXT_BYTES, "%.3g", value);
    return out;
}

const char *report_hardware(const char *name, char out[REPORT_TEXT_BYTES])
{
    static const char *const noise[] = {"(R)", "(TM)", "(tm)", " CPU", " Processor"};
    snprintf(out, REPORT_TEXT_BYTES, "%.60s", name);
    for (size_t i = 0; i < sizeof noise / sizeof noise[0]; i++)
        for (char *at; (at = strstr(out, noise[i]));)
            memmove(at, at + strlen(noise[i]), strlen(at + strlen(noise[i])) + 1);
    return out;
}
