/* The residual networks (He et al. 2015), with torchvision's names and layouts of weights:
 * ResNet-18 and -50 (v1.5: the stride is in the 3×3) on pictures of 224×224, and ResNet-18 on small
 * ones, where a 3×3 convolution is the stem and nothing is pooled behind it. */
#include <stdio.h>

#include "workloads/pictures.h"

enum { GROUPS = 4, NAME = 64 };

typedef struct resnet {
    be_graph *graph;
    int width;      /* of the first group, in channels */
    int bottleneck; /* blocks of 1×1, 3×3, 1×1, of four times the channels */
    int small;      /* the stem of small pictures */
    int blocks[GROUPS];
    int classes;
} resnet;

/* A convolution without bias that starts as torchvision's. */
static be_value conv(const resnet *r, be_value x, const char *block, const char *layer,
                     be_conv2d_options o)
{
    char name[NAME];
    snprintf(name, sizeof name, "%s%s", block, layer);
    o.name = name;
    o.no_bias = 1;
    o.start = (be_start){BE_KAIMING, 1.4142135f};
    return be_conv2d(r->graph, x, &o);
}

static be_value norm(const resnet *r, be_value x, const char *block, const char *layer)
{
    char name[NAME];
    snprintf(name, sizeof name, "%s%s", block, layer);
    return be_batch_norm(r->graph, x, &(be_batch_norm_options){.name = name});
}

static be_value conv_norm(const resnet *r, be_value x, const char *block, int index,
                          be_conv2d_options o)
{
    char layer[16];
    snprintf(layer, sizeof layer, "conv%d", index);
    x = conv(r, x, block, layer, o);
    snprintf(layer, sizeof layer, "bn%d", index);
    return norm(r, x, block, layer);
}

/* The block's path beside the shortcut. */
static be_value residual(const resnet *r, be_value x, const char *block, int width, int stride)
{
    be_graph *g = r->graph;
    be_conv2d_options square = {.channels = width, .kernel = 3, .stride = stride, .padding = 1};
    if (!r->bottleneck) {
        x = be_relu(g, conv_norm(r, x, block, 1, square));
        square.stride = 1;
        return conv_norm(r, x, block, 2, square);
    }
    be_conv2d_options point = {.channels = width, .kernel = 1, .stride = 1};
    x = be_relu(g, conv_norm(r, x, block, 1, point));
    x = be_relu(g, conv_norm(r, x, block, 2, square));
    point.channels = 4 * width;
    return conv_norm(r, x, block, 3, point);
}

static be_value block(const resnet *r, be_value x, int group, int index)
{
    be_graph *g = r->graph;
    int width = r->width << group, out = r->bottleneck ? 4 * width : width;
    int stride = group > 0 && index == 0 ? 2 : 1;
    char name[32];
    snprintf(name, sizeof name, "layer%d.%d.", group + 1, index);
    be_value y = residual(r, x, name, width, stride);
    if (stride == 1 && be_value_shape(g, x).dim[1] == out) return be_relu(g, be_add(g, y, x));
    be_conv2d_options o = {.channels = out, .kernel = 1, .stride = stride};
    be_value shortcut = norm(r, conv(r, x, name, "downsample.0", o), name, "downsample.1");
    /* The sum is fused into the norm that comes last. */
    return be_relu(g, be_add(g, shortcut, y));
}

static be_value stem(const resnet *r, be_value x)
{
    be_graph *g = r->graph;
    be_conv2d_options large = {.channels = r->width, .kernel = 7, .stride = 2, .padding = 3};
    be_conv2d_options small = {.channels = r->width, .kernel = 3, .stride = 1, .padding = 1};
    x = be_relu(g, conv_norm(r, x, "", 1, r->small ? small : large));
    if (r->small) return x;
    return be_max_pool2d(g, x, &(be_pool2d_options){.size = 3, .stride = 2, .padding = 1});
}

static void build(const resnet *r, const be_value *fields, workload_outputs *out)
{
    be_graph *g = r->graph;
    be_value x = stem(r, fields[PICTURES_IMAGES]);
    for (int group = 0; group < GROUPS; group++)
        for (int i = 0; i < r->blocks[group]; i++) x = block(r, x, group, i);
    x = be_global_average_pool(g, x);
    x = be_linear(g, x, &(be_linear_options){.name = "fc", .features = r->classes});
    pictures_classify(g, x, fields, out);
}

static const resnet resnet18_form = {.width = 64, .blocks = {2, 2, 2, 2}, .classes = 1000};
static const resnet resnet50_form = {
    .width = 64, .bottleneck = 1, .blocks = {3, 4, 6, 3}, .classes = 1000};
static const resnet resnet18_cifar_form = {
    .width = 64, .small = 1, .blocks = {2, 2, 2, 2}, .classes = 10};

#define RESNET(id)                                                                         \
    static void id##_read(const workload_variant *v, data_table *out)                      \
    {                                                                                      \
        pictures_form(out, 3, v->size, id##_form.classes);                                 \
    }                                                                                      \
    static void id##_build(be_graph *g, const be_value *fields, const workload_variant *v, \
                           workload_outputs *out)                                          \
    {                                                                                      \
        resnet r = id##_form;                                                              \
        r.graph = g;                                                                       \
        r.width *= v->width;                                                               \
        build(&r, fields, out);                                                            \
    }
RESNET(resnet18)
RESNET(resnet50)
RESNET(resnet18_cifar)

#define RECIPE(decay)                                                                \
    {                                                                                \
        .kind = BE_SGD, .learning_rate = 0.1, .momentum = 0.9, .weight_decay = decay \
    }

#define GATE(pixels)                                                                   \
    {                                                                                  \
        .batch = 2, .steps = 3, .most = {.width = 1, .size = (pixels)}, .apart = true, \
        .rate = 1.0 / 1024                                                             \
    }

const workload workload_resnet18_cifar = {
    .name = "resnet18-cifar",
    .summary = "ResNet-18 with the stem of small pictures on CIFAR-10",
    .dataset = "cifar-10",
    .data = pictures_data,
    .form = resnet18_cifar_read,
    .fit = pictures_fit,
    .parameters = 11173962,
    .batch = 128,
    .epochs = 10,
    .optimizer = RECIPE(5e-4),
    .own = {.width = 1, .size = 32},
    .gate = GATE(32),
    .build = resnet18_cifar_build};

const workload workload_resnet18 = {.name = "resnet18",
                                    .summary = "ResNet-18 on generated pictures of 1,000 classes",
                                    .dataset = "shapes",
                                    .drawn = {2000, 400}, /* of 147 KiB each at 224 × 224 */
                                    .data = pictures_data,
                                    .form = resnet18_read,
                                    .fit = pictures_fit,
                                    .parameters = 11689512,
                                    .batch = 32,
                                    .epochs = 3,
                                    .optimizer = RECIPE(1e-4),
                                    .own = {.width = 1, .size = 224},
                                    .gate = GATE(64),
                                    .build = resnet18_build};

const workload workload_resnet50 = {.name = "resnet50",
                                    .summary =
                                        "ResNet-50 (v1.5) on generated pictures of 1,000 classes",
                                    .dataset = "shapes",
                                    .drawn = {2000, 400}, /* of 147 KiB each at 224 × 224 */
                                    .data = pictures_data,
                                    .form = resnet50_read,
                                    .fit = pictures_fit,
                                    .parameters = 25557032,
                                    .batch = 32,
                                    .epochs = 3,
                                    .optimizer = RECIPE(1e-4),
                                    .own = {.width = 1, .size = 224},
                                    .gate = GATE(64),
                                    .build = resnet50_build};
