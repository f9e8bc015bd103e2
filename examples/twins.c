/* A network of one's own with two inputs and its own loss: twins that share their weights put
 * points of one ring close together, those of two rings apart. Build, as spirals.c:
 *   cc twins.c -o twins $(pkg-config --cflags --libs breakeven) */
#include <breakeven/breakeven.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
enum { PAIRS = 256, HIDDEN = 32 };

typedef struct batch {
    float left[PAIRS][2], right[PAIRS][2];
    float same[PAIRS], apart[PAIRS]; /* 1 and 0 of one ring, 0 and the least distance² of two */
} batch;

static void draw_batch(batch *b)
{
    for (int i = 0; i < 2 * PAIRS; i++) {
        float *point = i < PAIRS ? b->left[i] : b->right[i - PAIRS];
        int ring = rand() % 2;
        float angle = 6.2832f * (float)(rand() % 1000) / 1000;
        point[0] = ((float)ring + 1 + (float)(rand() % 1000) / 4000) * sinf(angle);
        point[1] = ((float)ring + 1 + (float)(rand() % 1000) / 4000) * cosf(angle);
        b->same[i % PAIRS] = i < PAIRS ? (float)ring : b->same[i % PAIRS] == (float)ring;
    }
    for (int i = 0; i < PAIRS; i++) b->apart[i] = 1 - b->same[i];
}

/* Both twins are given the same three parameters. */
static be_value twin(be_graph *g, be_value x, const be_value weights[3])
{
    be_value hidden = be_add(g, be_matmul(g, x, weights[0]), weights[1]);
    return be_matmul(g, be_activate(g, hidden, BE_TANH), weights[2]);
}

int main(void)
{
    const be_shape points = {BE_F32, 2, {PAIRS, 2}}, column = {BE_F32, 2, {PAIRS, 1}};
    be_graph *g = be_graph_new(1);
    be_value in[] = {be_input(g, "left", points), be_input(g, "right", points),
                     be_input(g, "same", column), be_input(g, "apart", column)};
    be_value weights[] = {
        be_parameter_add(g, "in", (be_shape){BE_F32, 2, {2, HIDDEN}}, (be_start){BE_NORMAL, 1}),
        be_parameter_add(g, "bias", (be_shape){BE_F32, 1, {HIDDEN}}, (be_start){BE_UNIFORM, 1}),
        be_parameter_add(g, "out", (be_shape){BE_F32, 2, {HIDDEN, 2}}, (be_start){BE_NORMAL, 1})};
    be_value way = be_subtract(g, twin(g, in[0], weights), twin(g, in[1], weights));
    be_value distance = be_sum_to(g, be_multiply(g, way, way), column); /* squared */
    be_value loss = be_add(g, be_multiply(g, in[2], distance),
                           be_activate(g, be_subtract(g, in[3], distance), BE_RELU));
    be_graph_minimize(g, be_mean(g, loss), &(be_optimizer){BE_ADAM, .learning_rate = 0.01f});

    be_error err;
    be_device *device = NULL;
    be_plan *plan = NULL;
    be_plan_options options = {BE_TRAIN, .keep = &distance, .keep_count = 1};
    be_status status = be_device_open("cpu", NULL, &device, &err);
    if (status == BE_OK) status = be_plan_new(g, device, &options, &plan, &err);
    batch b;
    for (int step = 1; status == BE_OK && step <= 300; step++) {
        const void *data[] = {b.left, b.right, b.same, b.apart};
        float found[PAIRS] = {0}, mean = 0;
        int right = 0;
        draw_batch(&b);
        for (int i = 0; status == BE_OK && i < 4; i++)
            status =
                be_plan_write(plan, in[i], data[i], i < 2 ? sizeof b.left : sizeof b.same, &err);
        if (status == BE_OK) status = be_plan_run(plan, 1, &err);
        if (status == BE_OK) status = be_plan_losses(plan, 1, &mean, NULL, &err);
        if (status == BE_OK) status = be_plan_read(plan, distance, found, sizeof found, &err);
        for (int i = 0; i < PAIRS; i++) right += (found[i] < 0.5f) == (b.same[i] > 0);
        if (step % 100 == 0)
            printf("step %3d  loss %.4f  right %.1f%%\n", step, (double)mean,
                   100.0 * right / PAIRS);
    }
    if (status != BE_OK) fprintf(stderr, "twins: %s\n", err.text);
    be_plan_free(plan);
    be_device_close(device);
    be_graph_free(g);
    return be_status_exit_code(status);
}
