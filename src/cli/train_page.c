/* The page of a training. */
#include "cli/train_page.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>
#include <sys/resource.h>

#include "breakeven/group.h"
#include "cli/workers.h"
#include "core/json.h"
#include "graph/precision.h"
#include "report/sentence.h"

static double peak_rss_bytes(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
#ifdef __APPLE__
    return (double)usage.ru_maxrss;
#else
    return (double)usage.ru_maxrss * 1024;
#endif
}

/* From the command's start, the loading of the data included, to the end of the first step. */
static double start_to_first_step_s(const train_command *c, const trainer *t)
{
    return (double)(t->open_ns - c->started_ns) * 1e-9 + t->first_step_s;
}

/* A row of the table; what a narrow terminal has no room for stands below it, indented. */
static void print_cells(const char *const cells[])
{
    static const int widths[] = {5, 9, 9, 9, 9, 9, 9, 10, 10, 12, 5}, indent = 5;
    int at = 0;
    for (size_t c = 0; c < sizeof widths / sizeof *widths; c++) {
        int width = (int)strlen(cells[c]) > widths[c] ? (int)strlen(cells[c]) : widths[c];
        if (!*cells[c]) continue;
        if (at + 1 + width > report_columns()) at = fprintf(cli_results, "\n%*s", indent, "") - 1;
        at += fprintf(cli_results, "%*s", at ? width + 1 : width, cells[c]);
    }
    fprintf(cli_results, "\n");
}

/* Which network, and who trains it on what. */
static void write_devices(const train_command *c, const be_plan *plan, const char *variant,
                          char *line, size_t bytes)
{
    int threads = be_device_threads(c->device);
    char together[64] = "", last[32] = "", turns_of[48] = "";
    int ranks = c->accelerator ? 1 : be_group_size(c->group), turns = train_turns(&c->options);
    if (c->accelerator) snprintf(last, sizeof last, "+%.20s", be_device_id(c->accelerator));
    if (ranks > 1)
        snprintf(together, sizeof together, " by %d workers of %d each", ranks,
                 c->options.batch / ranks);
    if (turns > 1)
        snprintf(turns_of, sizeof turns_of, " in %d turns of %d", turns,
                 c->options.batch / ranks / turns);
    if (ranks > 1 && strcmp(be_device_id(c->device), "cpu") != 0)
        snprintf(last, sizeof last, " to cuda:%d", ranks - 1);
    char in_threads[48] = ""; /* a GPU's have no number */
    if (threads)
        snprintf(in_threads, sizeof in_threads, ", %d thread%s%s", threads, threads == 1 ? "" : "s",
                 ranks > 1 ? " each" : "");
    snprintf(line, bytes, "%s%s, batch %d%s%s, on %s%s: %.80s%s; %s", c->workload->name, variant,
             c->options.batch, together, turns_of, be_device_id(c->device), last,
             be_device_name(c->device), in_threads, be_plan_describe(plan).implementation);
    if (c->accelerator) {
        size_t length = strlen(line);
        snprintf(line + length, bytes - length, "; and %.80s", be_device_name(c->accelerator));
    }
}

void train_page_head(const train_command *c, const be_plan *plan)
{
    char count[REPORT_TEXT_BYTES], validation[REPORT_TEXT_BYTES], line[1000];
    char variant[WORKLOAD_TEXT];
    const be_optimizer *o = &c->options.optimizer;
    workload_variant_text(cli_workload(c->cli, 0), &c->workload->variant, " with ", " and ",
                          variant);
    write_devices(c, plan, variant, line, sizeof line);
    report_paragraph(cli_results, line, 2);
    snprintf(line, sizeof line, "data: %s: %s to train, %s to validate%s; seed %" PRIu64 ", %s %g",
             c->data->source, report_count((double)c->data->count, count),
             report_count((double)c->validation->count, validation),
             c->options.data_on_host ? ", on the host" : "", c->options.seed,
             o->kind == BE_SGD    ? "SGD"
             : o->kind == BE_ADAM ? "Adam"
                                  : "AdamW",
             o->learning_rate);
    report_paragraph(cli_results, line, 2);
    char rate[REPORT_TEXT_BYTES + 2];
    snprintf(rate, sizeof rate, "%ss/s", c->data->table.unit);
    be_plan_facts facts = be_plan_describe(plan);
    if (facts.tuned + facts.tuned_partly > 0)
        fprintf(cli_results,
                "kernels: %d products tuned for this device, %d of them partly, in %s\n",
                facts.tuned + facts.tuned_partly, facts.tuned_partly,
                report_seconds(facts.tune_seconds, count));
    char answers[16], answers_validated[16];
    snprintf(answers, sizeof answers, "%.*s", (int)strcspn(c->counted, " "), c->counted);
    snprintf(answers_validated, sizeof answers_validated, "val %.3s", c->counted);
    /* "retrieval" is of pictures to captions, "back" of captions to pictures. */
    const char *const titles[] = {"epoch",
                                  "loss",
                                  answers,
                                  c->is_mutual ? "back" : "",
                                  "val loss",
                                  answers_validated,
                                  c->is_mutual ? "val back" : "",
                                  c->workload->perplexity ? "val perpl." : "",
                                  "time",
                                  rate,
                                  ""};
    fprintf(cli_results, "\n");
    print_cells(titles);
    fflush(cli_results);
}

#define NOTE_BYTES 64

/* Behind the numbers of an epoch: whether it is the best, and what changes from step to step, where
 * anything does, as it was in the last: " best rate 0.0005 gradients 1.23". */
static void write_note(const train_command *c, const train_epoch *e, char out[NOTE_BYTES])
{
    const be_schedule *s = &c->options.optimizer.schedule;
    char rate[24] = "", norm[24] = "";
    if (s->kind != BE_RATE_CONSTANT || s->warmup_steps > 0)
        snprintf(rate, sizeof rate, " rate %.3g", e->learning_rate);
    if (!isnan(e->gradient_norm)) snprintf(norm, sizeof norm, " gradients %.3g", e->gradient_norm);
    snprintf(out, NOTE_BYTES, "%s%s%s", e->best ? " best" : "", rate, norm);
}

static double validation_accuracy(const train_epoch *e)
{
    return (double)e->validation.correct / (double)e->validation.answers;
}

static double validation_back(const train_epoch *e)
{
    return (double)e->validation.back / (double)e->validation.answers;
}

void train_page_epoch(const train_command *c, const train_epoch *e)
{
    char number[24], seconds[REPORT_TEXT_BYTES], speed[REPORT_TEXT_BYTES],
        shares[4][16] = {"", "", "", ""};
    char loss[REPORT_TEXT_BYTES], validation[REPORT_TEXT_BYTES];
    char note[NOTE_BYTES], perplexity[24] = "";
    write_note(c, e, note);
    snprintf(number, sizeof number, "%" PRId64, e->epoch);
    snprintf(shares[0], sizeof shares[0], "%.2f%%", e->accuracy * 100);
    snprintf(shares[1], sizeof shares[1], "%.2f%%", validation_accuracy(e) * 100);
    if (c->is_mutual) {
        snprintf(shares[2], sizeof shares[2], "%.2f%%", e->back * 100);
        snprintf(shares[3], sizeof shares[3], "%.2f%%", validation_back(e) * 100);
    }
    if (c->workload->perplexity)
        snprintf(perplexity, sizeof perplexity, "%.5g", exp(e->validation.loss));
    const char *const cells[] = {number,
                                 report_loss(e->loss, loss),
                                 shares[0],
                                 shares[2],
                                 report_loss(e->validation.loss, validation),
                                 shares[1],
                                 shares[3],
                                 perplexity,
                                 report_seconds(e->seconds, seconds),
                                 report_number(e->units_per_s, speed),
                                 note};
    print_cells(cells);
    fflush(cli_results);
}

static void add_variant(const train_command *c, json_t **record)
{
    for (int d = 0; d < WORKLOAD_DIMENSIONS; d++) {
        int value = workload_variant_get(&c->workload->variant, (workload_dimension)d);
        if (value) json_put(record, workload_dimension_names[d], json_integer(value));
    }
}

/* How the batch is cut, and what a step of the accelerator alone took. */
static void add_shares(const train_command *c, json_t **record)
{
    char devices[64];
    snprintf(devices, sizeof devices, "%.20s+%.20s", be_device_id(c->device),
             be_device_id(c->accelerator));
    json_put(record, "device", json_string(devices));
    json_put(record, "parts",
             json_pack("[I, I]", (json_int_t)c->trainer->shares.parts[0],
                       (json_int_t)c->trainer->shares.parts[1]));
    json_put(record, "alone_s", json_of_real(c->mixed.alone_s));
}

json_t *train_page_record(const train_command *c, const train_epoch *e)
{
    json_t *record =
        json_pack("{s:i, s:s, s:s, s:s, s:I, s:I, s:o, s:o, s:o, s:f, s:f, s:f, s:b}", "schema", 1,
                  "kind", "epoch", "workload", c->workload->name, "device", be_device_id(c->device),
                  "epoch", (json_int_t)e->epoch, "step", (json_int_t)e->step, "loss",
                  json_of_real(e->loss), "accuracy", json_of_real(e->accuracy), "validation_loss",
                  json_of_real(e->validation.loss), "validation_accuracy", validation_accuracy(e),
                  "seconds", e->seconds, "samples_per_s", e->samples_per_s, "best", e->best);
    add_variant(c, &record);
    json_put(&record, "counted", json_string(c->counted));
    if (c->is_mutual) {
        json_put(&record, "accuracy_back", json_real(e->back));
        json_put(&record, "validation_accuracy_back", json_real(validation_back(e)));
    }
    if (c->workload->perplexity) {
        json_put(&record, "perplexity", json_of_real(exp(e->loss)));
        json_put(&record, "validation_perplexity", json_of_real(exp(e->validation.loss)));
    }
    json_put(&record, "unit", json_string(c->data->table.unit));
    json_put(&record, "units_per_s", json_of_real(e->units_per_s));
    json_put(&record, "batch", json_integer(c->options.batch));
    json_put(&record, "accumulate", json_integer(train_turns(&c->options)));
    json_put(&record, "precision", json_string(precision_name(c->options.precision)));
    json_put(&record, "seed", json_integer((json_int_t)c->options.seed));
    json_put(&record, "learning_rate", json_real(c->options.optimizer.learning_rate));
    /* The rate as the device had it, in the last step. */
    json_put(&record, "last_learning_rate", json_real(e->learning_rate));
    json_put(&record, "last_gradient_norm", json_of_real(e->gradient_norm));
    json_put(&record, "data", json_of_text(c->data->source));
    json_put(&record, "data_on", json_string(c->options.data_on_host ? "host" : "device"));
    json_put(&record, "threads", json_integer(be_device_threads(c->device)));
    if (c->accelerator) add_shares(c, &record);
    if (c->group)
        workers_record(c->group, e->samples_per_s * e->seconds / c->options.batch, &record);
    json_put(&record, "start_to_first_step_s", json_of_real(start_to_first_step_s(c, c->trainer)));
    json_put(&record, "environment", json_incref(c->environment));
    json_put(&record, "peak_rss_bytes", json_integer((json_int_t)peak_rss_bytes()));
    return record;
}

static void add_result(sentence *s, const train_command *c, const train_epoch *e)
{
    char loss[REPORT_TEXT_BYTES];
    sentence_add(s, "epoch %" PRId64 ": loss %s and %.2f%%", e->epoch, report_loss(e->loss, loss),
                 e->accuracy * 100);
    if (c->is_mutual) sentence_add(s, " (back %.2f%%)", e->back * 100);
}

/* The first and the last, which may be the same. */
static void print_epochs(const train_command *c)
{
    sentence s = {0};
    if (!c->first.epoch) return;
    add_result(&s, c, &c->first);
    if (c->first.epoch < c->last.epoch) {
        sentence_add(&s, "; ");
        add_result(&s, c, &c->last);
    }
    report_paragraph(cli_results, s.text, 2);
}

/* What the best is the best by stands first. */
static void print_best(const train_command *c, const trainer *t)
{
    const data_table *v = &c->validation->table;
    int64_t targets = workload_targets(&t->model.form);
    sentence s = {0};
    sentence_add(&s, "best: ");
    if (c->workload->perplexity)
        sentence_add(&s, "perplexity %.5g, with ", exp(t->state.best_loss));
    sentence_add(&s, "%.2f%% %s%sof the %" PRId64 " validation %ss%s, after epoch %" PRId64,
                 t->state.best * 100, targets ? "" : c->counted, targets ? "" : " ",
                 v->count * (targets ? targets : 1), targets > 1 ? v->unit : v->sample,
                 c->is_mutual ? ", the mean of both directions" : "", t->state.best_epoch);
    report_paragraph(cli_results, s.text, 2);
}

/* What the processor adds to the accelerator, from where the shares stay on. */
static void print_shares(const train_command *c, const trainer *t)
{
    char alone[REPORT_TEXT_BYTES], both[REPORT_TEXT_BYTES];
    const char *id = be_device_id(c->accelerator);
    sentence s = {0};
    double both_s = t->shares_steps ? (double)t->shares_ns * 1e-9 / (double)t->shares_steps : 0;
    sentence_add(&s, "of each batch cpu has %" PRId64 " and %s %" PRId64 "%s: ", t->shares.parts[0],
                 id, t->shares.parts[1], t->shares.stays ? "" : " so far");
    if (!t->shares_steps)
        sentence_add(&s, "the training was too short to find out what cpu adds to it");
    else
        sentence_add(&s, "%s a batch, where %s alone takes %s: %.2f times as fast as that",
                     report_seconds(both_s, both), id, report_seconds(c->mixed.alone_s, alone),
                     c->mixed.alone_s / both_s);
    report_paragraph(cli_results, s.text, 2);
}

void train_page_end(const train_command *c, const trainer *t)
{
    char first[REPORT_TEXT_BYTES], memory[REPORT_TEXT_BYTES], line[400];
    fprintf(cli_results, "\n");
    if (t->total_steps == 0) {
        snprintf(line, sizeof line, "nothing left to do: the training had ended at step %" PRId64,
                 t->state.step);
        report_paragraph(cli_results, line, 2);
        fprintf(cli_results, "\n");
    }
    print_epochs(c);
    print_best(c, t);
    snprintf(line, sizeof line, "first step after %s, peak memory %s",
             report_seconds(start_to_first_step_s(c, t), first),
             report_bytes(peak_rss_bytes(), memory));
    report_paragraph(cli_results, line, 2);
    if (!t->total_steps) return;
    if (c->accelerator) print_shares(c, t);
    snprintf(line, sizeof line, "a batch took %s, with %.1f cores in use",
             report_seconds((double)t->total_ns * 1e-9 / (double)t->total_steps, first), c->cores);
    report_paragraph(cli_results, line, 2);
}
