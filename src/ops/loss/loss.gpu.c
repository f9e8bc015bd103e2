/* Softmax and cross-entropy (softmax_cross_entropy.c says what it computes), and the step's end.
 *
 * GRADIENT: whether dlogits is wanted, which may lie where the logits are; so a row's target is
 * read before anything of the row is written.  One row an item, or, of many classes, one row a
 * group.  Sums go by a tree over the items of one group, so they do not depend on anything but the
 * group size.  The host side says the types of the logits (X_T) and of dlogits (DX_T). */
PARAMETERS(GRADIENT X_T DX_T)

#define SUM_PART 64 /* classes or rows that an item adds up before it adds that to what it has */
#define ROW_OF(dlogits, pitch) (GRADIENT ? dlogits + (i64)n * (pitch) : dlogits)

/* The number of rows that count, for every item. */
DEVICE int counted_rows(ITEM_PARAM LOCAL int *sums, GLOBAL const int *target, int rows)
{
    int count = 0;
    for (int n = LOCAL_ID; n < rows; n += LOCAL_SIZE) count += target[n] >= 0;
    return count_items(ITEM sums, count);
}

/* Loss and correctness of one row, and its gradient. */
DEVICE float run_row(GLOBAL const X_T *x, GLOBAL DX_T *dx, int classes, int target, float scale,
                     int *correct)
{
    *correct = 0;
    if (target < 0 || target >= classes) {
#if GRADIENT
        float nothing = target < 0 ? 0.0f : F32_NAN;
        for (int c = 0; c < classes; c++) STORE(DX, dx, c, nothing);
#endif
        return target < 0 ? 0.0f : F32_NAN;
    }
    float max = LOAD(X, x, 0), wanted = LOAD(X, x, target), sum = 0.0f;
    int best = 0;
    for (int c = 1; c < classes; c++)
        if (LOAD(X, x, c) > max) {
            max = LOAD(X, x, c);
            best = c;
        }
    for (int c = 0; c < classes; c++) sum += EXP(LOAD(X, x, c) - max);
#if GRADIENT
    float factor = scale / sum;
    for (int c = 0; c < classes; c++) {
        float value = EXP(LOAD(X, x, c) - max) * factor - (c == target ? scale : 0.0f);
        STORE(DX, dx, c, value);
    }
#endif
    *correct = best == target;
    return LOG(sum) - (wanted - max);
}

/* All of it by one group. */
KERNEL softmax_cross_entropy(ITEM_ARG ARG_IN(X_T, logits), ARG_IN(int, target),
                             ARG_OUT(float, loss), ARG_OUT(int, correct), ARG_OUT(DX_T, dlogits),
                             ARG_INT(rows), ARG_INT(classes))
{
    OPEN_IN(X_T, logits);
    OPEN_IN(int, target);
    OPEN_OUT(float, loss);
    OPEN_OUT(int, correct);
    OPEN_OUT(DX_T, dlogits);
    LOCAL_ARRAY(int, counts, GROUP);
    LOCAL_ARRAY(float, losses, GROUP);
    LOCAL_ARRAY(int, rights, GROUP);
    int counted = counted_rows(ITEM counts, target, rows), right = 0, one;
    float scale = counted ? 1.0f / (float)counted : 0.0f, sum = 0.0f;
    for (int n = LOCAL_ID; n < rows; n += LOCAL_SIZE) {
        sum += run_row(logits + (i64)n * classes, ROW_OF(dlogits, classes), classes, target[n],
                       scale, &one);
        right += one;
    }
    sum_and_count(ITEM losses, rights, sum, right);
    if (LOCAL_ID == 0) {
        loss[0] = losses[0] * scale;
        correct[0] = rights[0];
    }
}

/* Many groups: the rows, and then their sums by one group. */
KERNEL softmax_cross_entropy_rows(ITEM_ARG ARG_IN(X_T, logits), ARG_IN(int, target),
                                  ARG_OUT(DX_T, dlogits), ARG_OUT(float, row_loss),
                                  ARG_OUT(int, row_right), ARG_INT(rows), ARG_INT(classes))
{
    OPEN_IN(X_T, logits);
    OPEN_IN(int, target);
    OPEN_OUT(DX_T, dlogits);
    OPEN_OUT(float, row_loss);
    OPEN_OUT(int, row_right);
    LOCAL_ARRAY(int, counts, GROUP);
    int counted = counted_rows(ITEM counts, target, rows), right;
    float scale = counted ? 1.0f / (float)counted : 0.0f;
    EACH (n, rows) {
        row_loss[n] = scale * run_row(logits + (i64)n * classes, ROW_OF(dlogits, classes), classes,
                                      target[n], scale, &right);
        row_right[n] = right;
    }
}

/* What an item has seen of a row: the largest logit and its place, and the sum of the exponentials
 * beside it.  -inf adds nothing, and a NaN makes the sum one. */
DEVICE void see_logit(float x, int place, float *top, int *at, float *sum)
{
    if (x > *top) {
        *sum *= EXP(*top - x);
        *top = x;
        *at = place;
    }
    *sum += EXP(x - *top);
}

DEVICE void see_eight(const float *x, int place, float *top, int *at, float *sum)
{
    float largest = *top, part = 0.0f;
    UNROLL for (int j = 0; j < 8; j++)
    {
        if (x[j] > largest) {
            largest = x[j];
            *at = place + j;
        }
    }
    UNROLL for (int j = 0; j < 8; j++) part += EXP(x[j] - largest);
    *sum = *sum * EXP(*top - largest) + part;
    *top = largest;
}

/* How a row is cut: in eights from the first element that lies at 16 bytes; what stands before and
 * behind them is taken one by one.  Without `vectors` all is. */
DEVICE void cut_row(u32 first, int classes, int vectors, int *head, int *tail)
{
    int before = vectors ? (int)((8u - first % 8u) % 8u) : classes;
    *head = before < classes ? before : classes;
    *tail = *head + (classes - *head) / 8 * 8;
}

/* One by one, an item's part of dlogits. */
DEVICE void write_gradient(ITEM_PARAM GLOBAL const X_T *x, GLOBAL DX_T *dx, int from, int to,
                           int right, float max, float factor, float scale)
{
    for (int c = from + LOCAL_ID; c < to; c += LOCAL_SIZE)
        STORE(DX, dx, c, EXP(LOAD(X, x, c) - max) * factor - (c == right ? scale : 0.0f));
}

/* Many classes: a row at a time by a whole group, `pitch` elements from row to row.  `vectors`:
 * logits and dlogits begin at 16 bytes. Each logit is read twice: for maximum and sum at once, and
 * for its gradient. */
KERNEL softmax_cross_entropy_groups(ITEM_ARG ARG_IN(X_T, logits), ARG_IN(int, target),
                                    ARG_OUT(DX_T, dlogits), ARG_OUT(float, row_loss),
                                    ARG_OUT(int, row_right), ARG_INT(rows), ARG_INT(classes),
                                    ARG_INT(pitch), ARG_INT(vectors))
{
    OPEN_IN(X_T, logits);
    OPEN_IN(int, target);
    OPEN_OUT(DX_T, dlogits);
    OPEN_OUT(float, row_loss);
    OPEN_OUT(int, row_right);
    LOCAL_ARRAY(int, counts, GROUP);
    LOCAL_ARRAY(float, tops, GROUP);
    LOCAL_ARRAY(int, places, GROUP);
    LOCAL_ARRAY(float, sums, GROUP);
    int counted = counted_rows(ITEM counts, target, rows);
    float scale = counted ? 1.0f / (float)counted : 0.0f;
    for (int n = GROUP_ID; n < rows; n += NUM_GROUPS) {
        u32 first = (u32)n * (u32)pitch;
        GLOBAL const X_T *x = logits + first;
        GLOBAL DX_T *dx = ROW_OF(dlogits, pitch);
        int right = target[n], place = 0, head, tail;
        cut_row(first, classes, vectors, &head, &tail);
        if (right < 0 || right >= classes) {
            float nothing = right < 0 ? 0.0f : F32_NAN;
#if GRADIENT
            for (int c = LOCAL_ID; c < classes; c += LOCAL_SIZE) STORE(DX, dx, c, nothing);
#endif
            if (LOCAL_ID == 0) row_loss[n] = nothing;
            if (LOCAL_ID == 0) row_right[n] = 0;
            continue;
        }
        float top = F32_LOWEST, wanted = LOAD(X, x, right), sum = 0.0f, v[8];
        for (int c = LOCAL_ID; c < head; c += LOCAL_SIZE)
            see_logit(LOAD(X, x, c), c, &top, &place, &sum);
        for (int c = head + 8 * LOCAL_ID; c < tail; c += 8 * LOCAL_SIZE) {
            LOAD_8(X, v, logits, first + (u32)c);
            see_eight(v, c, &top, &place, &sum);
        }
        for (int c = tail + LOCAL_ID; c < classes; c += LOCAL_SIZE)
            see_logit(LOAD(X, x, c), c, &top, &place, &sum);
        find_largest(ITEM tops, places, top, place);
        float max = tops[0], total = sum_items(ITEM sums, sum * EXP(top - max));
        if (LOCAL_ID == 0) row_loss[n] = scale * (LOG(total) - (wanted - max));
        if (LOCAL_ID == 0) row_right[n] = places[0] == right;
#if GRADIENT
        float factor = scale / total;
        write_gradient(ITEM x, dx, 0, head, right, max, factor, scale);
        for (int c = head + 8 * LOCAL_ID; c < tail; c += 8 * LOCAL_SIZE) {
            LOAD_8(X, v, logits, first + (u32)c);
            UNROLL for (int j = 0; j < 8; j++) v[j] =
                EXP(v[j] - max) * factor - (c + j == right ? scale : 0.0f);
            STORE_8(DX, dlogits, first + (u32)c, v);
        }
        write_gradient(ITEM x, dx, tail, classes, right, max, factor, scale);
#endif
    }
}

KERNEL softmax_cross_entropy_sum(ITEM_ARG ARG_IN(float, row_loss), ARG_IN(int, row_right),
                                 ARG_OUT(float, loss), ARG_OUT(int, correct), ARG_INT(rows))
{
    OPEN_IN(float, row_loss);
    OPEN_IN(int, row_right);
    OPEN_OUT(float, loss);
    OPEN_OUT(int, correct);
    LOCAL_ARRAY(float, losses, GROUP);
    LOCAL_ARRAY(int, rights, GROUP);
    float sum = 0.0f;
    int right = 0;
    for (int n = LOCAL_ID; n < rows;) {
        float part = 0.0f;
        for (int k = 0; k < SUM_PART && n < rows; k++, n += LOCAL_SIZE) {
            part += row_loss[n];
            right += row_right[n];
        }
        sum += part;
    }
    sum_and_count(ITEM losses, rights, sum, right);
    if (LOCAL_ID == 0) {
        loss[0] = losses[0];
        correct[0] = rights[0];
    }
}

/* One group of which one item works. */
KERNEL advance(ITEM_ARG ARG_OUT(int, clock), ARG_IN(float, loss), ARG_IN(int, correct),
               ARG_OUT(float, loss_log), ARG_OUT(int, correct_log), ARG_INT(log_length))
{
    OPEN_OUT(int, clock);
    OPEN_IN(float, loss);
    OPEN_IN(int, correct);
    OPEN_OUT(float, loss_log);
    OPEN_OUT(int, correct_log);
    if (LOCAL_ID != 0 || GROUP_ID != 0) return;
    int at = clock[0] % log_length;
    loss_log[at] = loss[0];
    correct_log[at] = correct[0];
    clock[0] += 1;
}
