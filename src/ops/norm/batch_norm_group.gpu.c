/* The statistics of batch norm over the parts of the batch that the ranks of a group have, COUNT
 * values of a channel each.  A mean over the ranks of values [ranks][2][CHANNELS], where each rank
 * has zeros but in its own place, shows all of them to all: as 1 / ranks of each.
 *
 * own [2][CHANNELS] is what one rank has: mean, and the sum of the squares of what its values are
 * off it; of the gradients the sums dweight and dbias. */
PARAMETERS(CHANNELS COUNT)

KERNEL batch_norm_group_show(ITEM_ARG ARG_IN(float, own), ARG_OUT(float, values), ARG_INT(rank),
                             ARG_INT(ranks))
{
    OPEN_IN(float, own);
    OPEN_OUT(float, values);
    EACH (i, ranks * 2 * CHANNELS)
        values[i] = i / (2 * CHANNELS) == (u32)rank ? own[i % (2 * CHANNELS)] : 0.0f;
}

KERNEL batch_norm_group_finish(ITEM_ARG ARG_IN(float, values), ARG_OUT(float, mean),
                               ARG_OUT(float, inverse), ARG_OUT(float, running_mean),
                               ARG_OUT(float, running_var), ARG_FLOAT(epsilon), ARG_FLOAT(momentum),
                               ARG_INT(ranks))
{
    OPEN_IN(float, values);
    OPEN_OUT(float, mean);
    OPEN_OUT(float, inverse);
    OPEN_OUT(float, running_mean);
    OPEN_OUT(float, running_var);
    EACH (c, CHANNELS) {
        float parts = (float)ranks, count = (float)COUNT, all = count * parts;
        float first = values[c] * parts, sum = 0.0f, squares = 0.0f;
        for (int r = 0; r < ranks; r++) {
            float apart = values[r * 2 * CHANNELS + c] * parts - first;
            sum += apart;
            squares += values[(r * 2 + 1) * CHANNELS + c] * parts + count * apart * apart;
        }
        float center = first + sum / parts, left = squares - count * sum * (sum / parts);
        if (left < 0.0f) left = 0.0f;
        mean[c] = center;
        inverse[c] = 1.0f / SQRT(left / all + epsilon);
        running_mean[c] += momentum * (center - running_mean[c]);
        running_var[c] += momentum * (left / (all - 1.0f) - running_var[c]);
    }
}

KERNEL batch_norm_group_sums(ITEM_ARG ARG_IN(float, dweight), ARG_IN(float, dbias),
                             ARG_OUT(float, own))
{
    OPEN_IN(float, dweight);
    OPEN_IN(float, dbias);
    OPEN_OUT(float, own);
    EACH (c, CHANNELS) {
        own[c] = dweight[c];
        own[CHANNELS + c] = dbias[c];
    }
}
