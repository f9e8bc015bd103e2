/* cnn-mnist: the two-convolution network with dropout that ships with PyTorch's examples. */
#include "workloads/pictures.h"

static void cnn_mnist_form(const workload_variant *v, data_table *out)
{
    pictures_form(out, 1, v->size, 10);
}

static void cnn_mnist_build(be_graph *g, const be_value *fields, const workload_variant *v,
                            workload_outputs *out)
{
    be_value x = fields[PICTURES_IMAGES];
    x = be_relu(
        g, be_conv2d(g, x, &(be_conv2d_options){"conv1", .channels = 32 * v->width, .kernel = 3}));
    x = be_relu(
        g, be_conv2d(g, x, &(be_conv2d_options){"conv2", .channels = 64 * v->width, .kernel = 3}));
    x = be_flatten(g, be_dropout(g, be_max_pool2d(g, x, &(be_pool2d_options){.size = 2}), 0.25f));
    x = be_dropout(
        g, be_relu(g, be_linear(g, x, &(be_linear_options){"fc1", .features = 128 * v->width})),
        0.5f);
    pictures_classify(g, be_linear(g, x, &(be_linear_options){"fc2", .features = 10}), fields, out);
}

const workload workload_cnn_mnist = {
    .name = "cnn-mnist",
    .summary = "two 3x3 convolutions of 32 and 64 channels and dropout on MNIST",
    .dataset = "mnist",
    .form = cnn_mnist_form,
    .fit = pictures_fit,
    .data = pictures_data,
    .parameters = 1199882,
    .batch = 64,
    .epochs = 3,
    .optimizer = {.kind = BE_SGD, .learning_rate = 0.01, .momentum = 0.9},
    .own = {.width = 1, .size = 28},
    .gate = {.batch = 8, .steps = 3, .most = {.width = 4, .size = 64}},
    .build = cnn_mnist_build};
