/* Element by element: ReLU, its gradient, bias. */
KERNEL relu_forward(ITEM_ARG ARG_IN(float, x), ARG_OUT(float, y), ARG_INT(count))
{
    OPEN_IN(float, x);
    OPEN_OUT(float, y);
    EACH (i, count) y[i] = x[i] < 0.0f ? 0.0f : x[i];
}

KERNEL relu_in_place(ITEM_ARG ARG_OUT(float, y), ARG_INT(count))
{
    OPEN_OUT(float, y);
    EACH (i, count) y[i] = y[i] < 0.0f ? 0.0f : y[i];
}

/* y [N, channels] + b [channels], and ReLU after it. */
KERNEL bias_in_place(ITEM_ARG ARG_IN(float, b), ARG_OUT(float, y), ARG_INT(count),
                     ARG_INT(channels), ARG_INT(relu))
{
    OPEN_IN(float, b);
    OPEN_OUT(float, y);
    EACH (i, count) {
        float sum = y[i] + b[i % (u32)channels];
        y[i] = relu && sum < 0.0f ? 0.0f : sum;
    }
}

KERNEL relu_backward(ITEM_ARG ARG_IN(float, y), ARG_IN(float, dy), ARG_OUT(float, dx),
                     ARG_INT(count))
{
    OPEN_IN(float, y);
    OPEN_IN(float, dy);
    OPEN_OUT(float, dx);
    EACH (i, count) dx[i] = y[i] <= 0.0f ? 0.0f : dy[i];
}

/* x [N, channels, pixels], b [channels] */
KERNEL bias_forward(ITEM_ARG ARG_IN(float, x), ARG_IN(float, b), ARG_OUT(float, y), ARG_INT(count),
                    ARG_INT(channels), ARG_INT(pixels))
{
    OPEN_IN(float, x);
    OPEN_IN(float, b);
    OPEN_OUT(float, y);
    EACH (i, count) y[i] = x[i] + b[i / (u32)pixels % (u32)channels];
}
