/* mlp-mnist: 784 → 128 → 64 → 10 with ReLU. */
#include "workloads/pictures.h"

static void mlp_mnist_form(const workload_variant *v, data_table *out)
{
    pictures_form(out, 1, v->size, 10);
}

static void mlp_mnist_build(be_graph *g, const be_value *fields, const workload_variant *v,
                            workload_outputs *out)
{
    be_value x = be_flatten(g, fields[PICTURES_IMAGES]);
    x = be_relu(g, be_linear(g, x, &(be_linear_options){"fc1", .features = 128 * v->width}));
    x = be_relu(g, be_linear(g, x, &(be_linear_options){"fc2", .features = 64 * v->width}));
    pictures_classify(g, be_linear(g, x, &(be_linear_options){"fc3", .features = 10}), fields, out);
}

const workload workload_mlp_mnist = {
    .name = "mlp-mnist",
    .summary = "three linear layers on MNIST",
    .dataset = "mnist",
    .form = mlp_mnist_form,
    .fit = pictures_fit,
    .data = pictures_data,
    .parameters = 109386,
    .batch = 64,
    .epochs = 5,
    .optimizer = {.kind = BE_SGD, .learning_rate = 0.01, .momentum = 0.9},
    .own = {.width = 1, .size = 28},
    .gate = {.batch = 8, .steps = 3, .most = {.width = 4, .size = 64}},
    .build = mlp_mnist_build};
