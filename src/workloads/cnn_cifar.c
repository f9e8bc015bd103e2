/* cnn-cifar: LeNet-like, 5×5 convolutions of 6 and 16 channels (LeCun et al. 1998, on colour). */
#include "workloads/pictures.h"

static void cnn_cifar_form(const workload_variant *v, data_table *out)
{
    pictures_form(out, 3, v->size, 10);
}

static void cnn_cifar_build(be_graph *g, const be_value *fields, const workload_variant *v,
                            workload_outputs *out)
{
    be_value x = fields[PICTURES_IMAGES];
    x = be_relu(
        g, be_conv2d(g, x, &(be_conv2d_options){"conv1", .channels = 6 * v->width, .kernel = 5}));
    x = be_max_pool2d(g, x, &(be_pool2d_options){.size = 2});
    x = be_relu(
        g, be_conv2d(g, x, &(be_conv2d_options){"conv2", .channels = 16 * v->width, .kernel = 5}));
    x = be_max_pool2d(g, x, &(be_pool2d_options){.size = 2});
    x = be_relu(
        g, be_linear(g, be_flatten(g, x), &(be_linear_options){"fc1", .features = 120 * v->width}));
    x = be_relu(g, be_linear(g, x, &(be_linear_options){"fc2", .features = 84 * v->width}));
    pictures_classify(g, be_linear(g, x, &(be_linear_options){"fc3", .features = 10}), fields, out);
}

const workload workload_cnn_cifar = {
    .name = "cnn-cifar",
    .summary = "two 5x5 convolutions of 6 and 16 channels on CIFAR-10",
    .dataset = "cifar-10",
    .form = cnn_cifar_form,
    .fit = pictures_fit,
    .data = pictures_data,
    .parameters = 62006,
    .batch = 64,
    .epochs = 10,
    .optimizer = {.kind = BE_SGD, .learning_rate = 0.01, .momentum = 0.9},
    .own = {.width = 1, .size = 32},
    .gate = {.batch = 8, .steps = 3, .most = {.width = 4, .size = 64}},
    .build = cnn_cifar_build};
