/* Contests of the project's own measurements (contest.h). */
#include "contest.h"

be_status contest_open(contest *c, const char *name, be_error *err)
{
    const workload *w = NULL;
    dataset_options data = {.seed = 42, .synthetic = true};
    *c = (contest){0};
    TRY(workload_find(name, &w, err));
    dataset_kind kind = workload_form(w, 0).field[0].form.sample.dim[0] == 1
                            ? DATASET_SHAPES
                            : DATASET_SHAPES_COLOUR;
    TRY(dataset_open(kind, SPLIT_TRAIN, &data, &c->set, err));
    c->options = (material_options){.workload = w, .set = &c->set->table, .seed = 42};
    TRY(material_new(&c->material, &c->options, err));
    gate_options asking = {.material = &c->options, .folder = c->material.folder.path};
    return gate_new(&c->gate, &asking, err);
}

void contest_close(contest *c)
{
    gate_free(&c->gate);
    material_free(&c->material);
    dataset_close(c->set);
}

conductor_contender contest_contender(contest *c, const char *const *argv, int threads)
{
    conductor_contender contender = {.engine = "native",
                                     .argv = argv,
                                     .gate = &c->gate,
                                     .job = material_job(&c->material, &c->options)};
    contender.job.device = "cpu";
    contender.job.threads = threads;
    return contender;
}
