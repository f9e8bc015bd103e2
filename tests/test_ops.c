/* Every op × every case × every way to run it, against the op's reference; the references against
 * finite differences; and the comparer against planted faults.
 *
 *     test_ops [--op NAME,...] [--case NAME] [--precision NAME] [--isa NAME] [--library NAME]
 *              [--threads N] [--seed N] [--most FLOPS] [--no-gradients | --only-gradients]
 *
 * --most: of each op the least case and those of at most that much arithmetic; for builds in which
 * it takes many times as long, and what depends on sizes has been compared by another. An op
 * without cases fails, and so does an implementation that takes none of its op's cases. */
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "backend/cpu/cpu.h"
#include "graph/precision.h"
#include "ops_case.h"

typedef struct options {
    const char *program, *op, *one_case, *precision, *isa, *library;
    int threads;
    bool no_gradients, only_gradients;
    double most; /* flops of a case; 0: any */
    uint64_t seed;
} options;

typedef struct tally {
    int number, failed;
} tally;

typedef struct way {
    be_device *device;
    const char *isa, *library;
    int threads;
} way;

#define LIBRARIES 2
static const char *const libraries[LIBRARIES] = {"native", "onednn"};
static const int thread_counts[] = {1, 2};
#define THREAD_COUNTS 2
#define WAYS (CPU_ISA_COUNT * LIBRARIES * THREAD_COUNTS)

/* Those that a processor may have. */
#define PRECISIONS 2
static const be_precision precisions[PRECISIONS] = {BE_PRECISION_FP32, BE_PRECISION_BF16};

static const bool has_library[OP_COUNT][LIBRARIES] = {
#define X(name, cpu, onednn, ...) {cpu, onednn},
    OP_LIST(X)
#undef X
};

/* What a case has to say, shown only if it failed. */
typedef struct notes {
    FILE *file;
    char *text;
    size_t length;
} notes;

static void notes_open(notes *n)
{
    *n = (notes){0};
    n->file = open_memstream(&n->text, &n->length);
    if (!n->file) abort();
}

/* The result line, and below it the notes as comments. */
static void notes_close(notes *n, tally *count, bool is_good, const char *name)
{
    fclose(n->file);
    printf("%s %d - %s\n", is_good ? "ok" : "not ok", ++count->number, name);
    count->failed += !is_good;
    for (char *line = n->text; !is_good && *line;) {
        size_t length = strcspn(line, "\n");
        printf("# %.*s\n", (int)length, line);
        line += length + (line[length] == '\n');
    }
    fflush(stdout);
    free(n->text);
}

static bool is_wanted(const char *asked, const char *name)
{
    return !asked || strcmp(asked, name) == 0;
}

static void note_shapes(const ops_case *c, FILE *file)
{
    char text[64];
    fprintf(file, "inputs:");
    for (int i = 0; i < c->op->inputs; i++) fprintf(file, " %s", shape_text(&c->in[i], text));
    fprintf(file, "; outputs:");
    for (int o = 0; o < c->op->outputs; o++) fprintf(file, " %s", shape_text(&c->out[o], text));
    fprintf(file, "\n");
}

/* Every device that this machine has and the options ask for. */
static int open_ways(const options *o, way ways[WAYS])
{
    int count = 0;
    for (int isa = 0; isa < CPU_ISA_COUNT; isa++)
        for (int l = 0; l < LIBRARIES; l++)
            for (int t = 0; t < THREAD_COUNTS; t++) {
                be_error err;
                way *w = &ways[count];
                *w = (way){.isa = cpu_isa_text((cpu_isa)isa),
                           .library = libraries[l],
                           .threads = thread_counts[t]};
                be_device_options asked = {
                    .isa = w->isa, .library = w->library, .threads = w->threads};
                if (!is_wanted(o->isa, w->isa) || !is_wanted(o->library, w->library)) continue;
                if (o->threads && o->threads != w->threads) continue;
                if (o->only_gradients) continue;
                if (be_device_open("cpu", &asked, &w->device, &err) == BE_OK)
                    count++;
                else if (l == 0 && t == 0)
                    printf("# left out: %s\n", err.text);
            }
    return count;
}

/* One case one way; true if the implementation took it. */
static bool run_way(const options *o, const ops_case *c, const way *w, tally *count)
{
    char name[160];
    notes n;
    notes_open(&n);
    ops_setting setting = {.device = w->device,
                           .implementation = w->library,
                           .block = ((const cpu_device *)w->device)->block};
    ops_result result = ops_run_on_device(c, &setting, n.file);
    snprintf(name, sizeof name, "%s %s %s %s %s %d", c->op->name, c->spec->name,
             precision_name(c->precision), w->isa, w->library, w->threads);
    if (result == OPS_REFUSED) {
        fclose(n.file);
        printf("# refused: %s: %s", name, n.text);
        free(n.text);
        return false;
    }
    if (result == OPS_FAILED) {
        note_shapes(c, n.file);
        fprintf(n.file,
                "%s --op %s --case %s --precision %s --isa %s --library %s --threads %d --seed "
                "%" PRIu64 "\n",
                o->program, c->op->name, c->spec->name, precision_name(c->precision), w->isa,
                w->library, w->threads, o->seed);
    }
    notes_close(&n, count, result == OPS_PASSED, name);
    return true;
}

/* What an op must have, whatever it computes. */
static void check_declaration(const be_op *op, tally *count)
{
    char name[160];
    notes n;
    notes_open(&n);
    int same = 0;
    for (int i = 0; i < OP_COUNT; i++) same += strcmp(op_table[i]->name, op->name) == 0;
    if (same != 1) fprintf(n.file, "%d ops have this name\n", same);
    if (op_find(op->name) != op) fprintf(n.file, "it is not found by its name\n");
    if (!op->infer || !op->reference || !op->cost)
        fprintf(n.file, "it has no infer, reference or cost\n");
    if (op->inputs < 1 || op->inputs > OP_MAX_IN || op->outputs < 1 || op->outputs > OP_MAX_OUT)
        fprintf(n.file, "it has %d inputs and %d outputs\n", op->inputs, op->outputs);
    if (op->case_count < 1) fprintf(n.file, "it has no test case\n");
    if (op->gradient && op->is_outside_gradient)
        fprintf(n.file, "it has a gradient and is said to be outside of gradients\n");
    if (op->gradient && !op->differentiable)
        fprintf(n.file, "it has a gradient that no finite difference may check\n");
    for (int o = 0; o < OP_MAX_OUT; o++)
        if (op->in_place[o] &&
            (o >= op->outputs || op->updates[o] || op->in_place[o] >> op->inputs))
            fprintf(n.file, "output %d may lie in the memory of what is no input of its own\n", o);
    if (!op->narrow != !op->cast) fprintf(n.file, "narrow inputs and cast come together\n");
    if (!op->gradient && op->differentiable) fprintf(n.file, "it has no gradient to check\n");
    fflush(n.file);
    snprintf(name, sizeof name, "%s: its declaration", op->name);
    notes_close(&n, count, n.length == 0, name);
}

static bool check_cost(const ops_case *c, FILE *report)
{
    op_cost cost = c->op->cost(c->spec->attrs, c->in, c->out);
    if (cost.flops >= 0.0 && cost.flops < 1e15 && cost.bytes > 0.0 && cost.bytes < 1e15)
        return true;
    fprintf(report, "its cost is %g operations and %g bytes\n", cost.flops, cost.bytes);
    return false;
}

/* A whole run of the program. */
typedef struct session {
    options asked;
    way ways[WAYS + 1]; /* the last one has no device */
    tally count;
    bool reached[OP_COUNT]; /* by finite differences */
} session;

/* What is the same in every precision: the gradient, and the products in blocks. */
static void check_meaning(session *s, const ops_case *c)
{
    const be_op *op = c->op;
    char name[160];
    notes n;
    if (op->gradient && op->differentiable && !s->asked.no_gradients) {
        notes_open(&n);
        bool is_right = ops_check_gradient(c, s->reached, n.file);
        snprintf(name, sizeof name, "%s %s: gradient", op->name, c->spec->name);
        notes_close(&n, &s->count, is_right, name);
    }
    if (op->blocked) {
        notes_open(&n);
        bool is_right = ops_check_blocked(c, n.file);
        snprintf(name, sizeof name, "%s %s: blocked", op->name, c->spec->name);
        notes_close(&n, &s->count, is_right, name);
    }
}

/* One case in every way; took[l] counts where library l accepted it. */
static void run_case(session *s, const op_case *spec, int index, be_precision precision,
                     int took[LIBRARIES])
{
    tally *count = &s->count;
    const be_op *op = op_table[index];
    char name[160];
    ops_case c;
    notes n;
    notes_open(&n);
    bool is_good = ops_case_open(&c, op, spec, precision, s->asked.seed, n.file) &&
                   check_cost(&c, n.file) && ops_faults_are_found(&c, n.file);
    snprintf(name, sizeof name, "%s %s %s: data, cost, planted faults", op->name, spec->name,
             precision_name(precision));
    notes_close(&n, count, is_good, name);
    if (is_good && precision == BE_PRECISION_FP32) check_meaning(s, &c);
    for (const way *w = s->ways; is_good && w->device; w++)
        for (int l = 0; l < LIBRARIES; l++)
            if (strcmp(w->library, libraries[l]) == 0 && has_library[index][l])
                took[l] += run_way(&s->asked, &c, w, count);
    ops_case_close(&c);
}

static double flops_of(const be_op *op, int k)
{
    const op_case *spec = &op->cases[k];
    be_error err;
    op_infer infer = {.attrs = spec->attrs};
    for (int i = 0; i < OP_MAX_IN; i++)
        infer.in[i] = i < op->inputs ? spec->in[i] : (be_shape){.rank = -1};
    for (int o = 0; o < OP_MAX_OUT; o++) infer.out[o].rank = -1;
    return op->infer(&infer, &err) == BE_OK ? op->cost(spec->attrs, infer.in, infer.out).flops
                                            : 0.0;
}

static bool is_small(const session *s, const be_op *op, int k)
{
    double flops = flops_of(op, k);
    bool is_least = true;
    for (int other = 0; other < op->case_count; other++) is_least &= flops <= flops_of(op, other);
    return s->asked.most <= 0.0 || flops <= s->asked.most || is_least;
}

static void run_op(session *s, int index)
{
    const options *o = &s->asked;
    const be_op *op = op_table[index];
    int took[LIBRARIES] = {0};
    check_declaration(op, &s->count);
    for (int k = 0; k < op->case_count; k++)
        for (int p = 0; p < PRECISIONS; p++) {
            if (p > 0 && (!op->narrow || o->only_gradients)) continue;
            if (!is_small(s, op, k)) continue;
            if (is_wanted(o->one_case, op->cases[k].name) &&
                is_wanted(o->precision, precision_name(precisions[p])))
                run_case(s, &op->cases[k], index, precisions[p], took);
        }
    for (int l = 0; l < LIBRARIES && !o->one_case && !o->precision && !o->only_gradients; l++) {
        if (!has_library[index][l] || !is_wanted(o->library, libraries[l])) continue;
        char name[160];
        notes n;
        notes_open(&n);
        fprintf(n.file, "no case was accepted: nothing is known of this implementation\n");
        snprintf(name, sizeof name, "%s: %s takes a case", op->name, libraries[l]);
        notes_close(&n, &s->count, took[l] > 0, name);
    }
}

/* Finite differences reach every op, itself or as what a gradient function adds, but those that are
 * outside of gradients by nature. */
static void check_reached(session *s, int index)
{
    char name[160];
    notes n;
    notes_open(&n);
    const be_op *op = op_table[index];
    bool is_good = s->reached[index] != op->is_outside_gradient;
    fprintf(n.file, "%s\n",
            op->is_outside_gradient ? "it is said to be outside of gradients, and takes part in one"
                                    : "no case of an op with a gradient leads to it");
    snprintf(name, sizeof name, "%s: reached by finite differences or outside of gradients",
             op->name);
    notes_close(&n, &s->count, is_good, name);
}

static options parse(int argc, char **argv)
{
    static const struct option table[] = {{"op", required_argument, NULL, 'o'},
                                          {"case", required_argument, NULL, 'c'},
                                          {"precision", required_argument, NULL, 'p'},
                                          {"isa", required_argument, NULL, 'i'},
                                          {"library", required_argument, NULL, 'l'},
                                          {"threads", required_argument, NULL, 't'},
                                          {"seed", required_argument, NULL, 's'},
                                          {"no-gradients", no_argument, NULL, 'n'},
                                          {"only-gradients", no_argument, NULL, 'g'},
                                          {"most", required_argument, NULL, 'm'},
                                          {0}};
    options o = {.program = argv[0], .seed = 1};
    for (int letter; (letter = getopt_long(argc, argv, "", table, NULL)) != -1;) {
        switch (letter) {
        case 'o':
            o.op = optarg;
            break;
        case 'c':
            o.one_case = optarg;
            break;
        case 'p':
            o.precision = optarg;
            break;
        case 'i':
            o.isa = optarg;
            break;
        case 'l':
            o.library = optarg;
            break;
        case 't':
            o.threads = atoi(optarg);
            break;
        case 'n':
            o.no_gradients = true;
            break;
        case 'g':
            o.only_gradients = true;
            break;
        case 'm':
            o.most = atof(optarg);
            break;
        case 's':
            o.seed = strtoull(optarg, NULL, 10);
            break;
        default:
            exit(2);
        }
    }
    return o;
}

int main(int argc, char **argv)
{
    session s = {.asked = parse(argc, argv)};
    int ways = open_ways(&s.asked, s.ways);
    s.ways[ways].device = NULL;
    for (int i = 0; i < OP_COUNT && (ways > 0 || s.asked.only_gradients); i++)
        if (ops_is_listed(s.asked.op, op_table[i]->name)) run_op(&s, i);
    for (int w = 0; w < ways; w++) be_device_close(s.ways[w].device);
    for (int i = 0; i < OP_COUNT && !s.asked.op && !s.asked.one_case && !s.asked.no_gradients; i++)
        check_reached(&s, i);
    if (s.count.number == 0) {
        s.count.failed++;
        printf("not ok %d - no case fits these options\n", ++s.count.number);
    }
    printf("1..%d\n", s.count.number);
    return s.count.failed == 0 ? 0 : 1;
}
