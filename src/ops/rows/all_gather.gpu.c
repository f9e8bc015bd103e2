/* The rows of all ranks, and back.  A mean over the ranks of y, where each has zeros but in its own
 * place, shows all of them to all: so each multiplies its own by the number of ranks before.  It
 * sends twice the bytes that must be sent, which is little beside the gradients. */

/* x has `many` elements, which lie from `at` on in y. */
KERNEL all_gather_show(ITEM_ARG ARG_IN(float, x), ARG_OUT(float, y), ARG_INT(count), ARG_INT(at),
                       ARG_INT(many), ARG_FLOAT(ranks))
{
    OPEN_IN(float, x);
    OPEN_OUT(float, y);
    EACH (i, count) {
        int from = (int)i - at;
        y[i] = from >= 0 && from < many ? x[from] * ranks : 0.0f;
    }
}

KERNEL all_gather_backward(ITEM_ARG ARG_IN(float, dy), ARG_OUT(float, dx), ARG_INT(count),
                           ARG_INT(at), ARG_FLOAT(ranks))
{
    OPEN_IN(float, dy);
    OPEN_OUT(float, dx);
    EACH (i, count) dx[i] = dy[(u32)at + i] * ranks;
}
