/* See training.h. */
#include "report/training.h"

#include <math.h>
#include <string.h>

#include "core/memory.h"
#include "core/text.h"
#include "report/html.h"
#include "report/sentence.h"

#define TRAININGS_SHOWN 3 /* in one plot: each has two curves */
#define LOG_FROM 30.0     /* times that losses are apart where they are drawn by their logarithm */

/* Epochs that follow one another: those of one command. */
typedef struct training {
    const json_t *epochs;
    size_t first, count;
} training;

static const json_t *epoch_at(const training *t, size_t index)
{
    return json_array_get(t->epochs, t->first + index);
}

static bool follows(const json_t *before, const json_t *epoch)
{
    return strcmp(report_string(before, epoch, workload), report_string(epoch, epoch, workload)) ==
               0 &&
           strcmp(report_string(before, epoch, device), report_string(epoch, epoch, device)) == 0 &&
           report_real(before, epoch, epoch) < report_real(epoch, epoch, epoch);
}

/* The training that begins at `first`; its count is 0 behind the last. */
static training training_at(const json_t *epochs, size_t first)
{
    training t = {epochs, first, 0};
    size_t all = json_array_size(epochs);
    while (first + t.count < all &&
           (!t.count || follows(epoch_at(&t, t.count - 1), epoch_at(&t, t.count))))
        t.count++;
    return t;
}

/* ---------------------------------------------------------------- in words */

static void add_result(sentence *s, const training *t)
{
    const json_t *last = epoch_at(t, t->count - 1), *best = last;
    for (size_t i = 0; i < t->count; i++)
        if (report_real(epoch_at(t, i), epoch, validation_accuracy) >
            report_real(best, epoch, validation_accuracy))
            best = epoch_at(t, i);
    double share = report_real(best, epoch, validation_accuracy);
    if (!isnan(share))
        sentence_add(s, "; at best %.2f %% right in the validation, after epoch %.0f", 100 * share,
                     report_real(best, epoch, epoch));
}

void training_write_sentences(const json_t *epochs, FILE *out)
{
    char loss[REPORT_TEXT_BYTES], time[REPORT_TEXT_BYTES];
    for (size_t first = 0; first < json_array_size(epochs);) {
        training t = training_at(epochs, first);
        const json_t *last = epoch_at(&t, t.count - 1);
        double seconds = 0;
        sentence s = {0};
        for (size_t i = 0; i < t.count; i++)
            seconds += report_real(epoch_at(&t, i), epoch, seconds);
        sentence_add(&s, "%s on %s: %zu epoch%s in %s, the loss %s in the last",
                     report_string(last, epoch, workload), report_string(last, epoch, device),
                     t.count, t.count == 1 ? "" : "s", report_seconds(seconds, time),
                     report_loss(report_real(last, epoch, loss), loss));
        add_result(&s, &t);
        sentence_add(&s, ".");
        sentence_end(&s, out);
        first += t.count;
    }
}

/* ---------------------------------------------------------------- curves */

/* What a curve shows: a member of the training, and that of the validation. */
typedef struct quantity {
    const char *name, *trained, *validated;
    const char *(*text)(double value, char out[REPORT_TEXT_BYTES]);
} quantity;

static const char *share_text(double share, char out[REPORT_TEXT_BYTES])
{
    snprintf(out, REPORT_TEXT_BYTES, "%.3g %%", 100 * share);
    return out;
}

static const char *loss_text(double loss, char out[REPORT_TEXT_BYTES])
{
    return report_number(loss, out);
}

static const quantity quantities[] = {
    {"loss", MEMBER(epoch, loss), MEMBER(epoch, validation_loss), loss_text},
    {"right answers", MEMBER(epoch, accuracy), MEMBER(epoch, validation_accuracy), share_text},
};

typedef struct drawing {
    plot p;
    plot_series series[2 * TRAININGS_SHOWN];
    char names[2 * TRAININGS_SHOWN][REPORT_TEXT_BYTES], title[REPORT_TEXT_BYTES];
    plot_point *points;
    size_t used;
    const training *trainings;
    int count;
} drawing;

static void add_curve(drawing *d, const training *t, const char *path, bool by_time,
                      const char *name, int number)
{
    plot_series *s = &d->series[d->p.series_count];
    double passed = 0;
    *s = (plot_series){.name = d->names[d->p.series_count], .points = d->points + d->used};
    snprintf(d->names[d->p.series_count], REPORT_TEXT_BYTES, number ? "%s, %s, %d" : "%s, %s", name,
             report_string(epoch_at(t, 0), epoch, device), number);
    for (size_t i = 0; i < t->count; i++) {
        const json_t *epoch = epoch_at(t, i);
        passed += report_real(epoch, epoch, seconds);
        d->points[d->used++] = (plot_point){by_time ? passed : report_real(epoch, epoch, step),
                                            json_real_at(epoch, path), (double)NAN, (double)NAN};
        s->count++;
    }
    d->p.series_count++;
}

/* Losses far apart, all above 0, are drawn by their logarithms. */
static plot_scale scale_of(const plot *p)
{
    double low = INFINITY, high = 0;
    for (int s = 0; s < p->series_count; s++)
        for (int i = 0; i < p->series[s].count; i++) {
            double y = p->series[s].points[i].y;
            if (!isfinite(y)) continue;
            low = fmin(low, y);
            high = fmax(high, y);
        }
    return low > 0 && high > LOG_FROM * low ? PLOT_LOG : PLOT_LINEAR;
}

static void show(const plot *p, report_format format, FILE *out)
{
    if (report_look.html) {
        html_plot_beside(p, out);
        return;
    }
    fprintf(out, format == REPORT_MD ? "\n```\n" : "\n");
    plot_print(p, out);
    if (format == REPORT_MD) fprintf(out, "```\n");
}

static void draw(drawing *d, const quantity *q, bool by_time, report_format format, FILE *out)
{
    d->used = 0;
    d->p = (plot){.title = d->title,
                  .x_title = by_time ? "time in training" : "steps",
                  .y_title = q->name,
                  .x_scale = PLOT_LINEAR,
                  .series = d->series,
                  .x_text = by_time ? report_seconds : report_count,
                  .y_text = q->text};
    snprintf(d->title, sizeof d->title, "%s: %s by %s",
             report_string(epoch_at(d->trainings, 0), epoch, workload), q->name,
             by_time ? "time" : "steps");
    for (int t = 0; t < d->count; t++) {
        int number = d->count > 1 ? t + 1 : 0;
        add_curve(d, &d->trainings[t], q->trained, by_time, "training", number);
        add_curve(d, &d->trainings[t], q->validated, by_time, "validation", number);
    }
    d->p.y_scale = scale_of(&d->p);
    show(&d->p, format, out);
}

static be_status draw_all(const training *trainings, int count, report_format format, FILE *out,
                          be_error *err)
{
    drawing d = {.trainings = trainings, .count = count};
    void *memory = NULL;
    size_t points = 0;
    for (int t = 0; t < count; t++) points += 2 * trainings[t].count;
    TRY(memory_alloc(&memory, points * sizeof(plot_point), "the curves of a training", err));
    d.points = memory;
    if (report_look.html) html_beside_begin(out);
    for (size_t q = 0; q < sizeof quantities / sizeof *quantities; q++)
        for (int by_time = 0; by_time < (report_look.html ? 2 : 1); by_time++)
            draw(&d, &quantities[q], by_time, format, out);
    if (report_look.html) html_beside_end(out);
    memory_free(memory);
    return BE_OK;
}

/* Those of one workload that follow one another share their plots. */
static be_status write_curves(const json_t *epochs, report_format format, FILE *out, be_error *err)
{
    for (size_t first = 0; first < json_array_size(epochs);) {
        training curves[TRAININGS_SHOWN];
        int count = 0, all = 0;
        const char *workload = report_string(json_array_get(epochs, first), epoch, workload);
        while (first < json_array_size(epochs)) {
            training t = training_at(epochs, first);
            if (strcmp(report_string(epoch_at(&t, 0), epoch, workload), workload) != 0) break;
            if (t.count > 1 && count < TRAININGS_SHOWN) curves[count++] = t;
            all += t.count > 1;
            first += t.count;
        }
        if (count) TRY(draw_all(curves, count, format, out, err));
        if (all > count) {
            char line[200];
            snprintf(line, sizeof line, "the curves are of the first %d of %d trainings of %.60s",
                     count, all, workload);
            report_paragraph(out, line, 2);
        }
    }
    return BE_OK;
}

/* ---------------------------------------------------------------- the table */

/* Of several workloads or devices, which are columns then. */
static bool is_mixed(const json_t *epochs)
{
    const json_t *head = json_array_get(epochs, 0);
    size_t i;
    json_t *epoch;
    json_array_foreach(epochs, i,
                       epoch) if (strcmp(report_string(head, epoch, workload),
                                         report_string(epoch, epoch, workload)) != 0 ||
                                  strcmp(report_string(head, epoch, device),
                                         report_string(epoch, epoch, device)) != 0) return true;
    return false;
}

be_status training_write(const json_t *epochs, report_format format, FILE *out, be_error *err)
{
    const char *word = is_mixed(epochs) ? "workload" : NULL;
    const report_column columns[] = {
        {MEMBER(epoch, workload), word, UNIT_TEXT, NULL},
        {MEMBER(epoch, device), word ? "device" : NULL, UNIT_TEXT, NULL},
        TRAINING_COLUMNS};
    report_sheet sheet = {columns, sizeof columns / sizeof columns[0], epochs, -1};
    bool people = format == REPORT_TABLE || format == REPORT_MD;
    if (people && report_look.html) TRY(write_curves(epochs, format, out, err));
    if (people && report_look.html) html_fold_begin(out, "every epoch");
    be_status status = report_write(&sheet, format, out, err);
    if (people && report_look.html) html_fold_end(out);
    if (status == BE_OK && people && !report_look.html)
        status = write_curves(epochs, format, out, err);
    return status;
}
