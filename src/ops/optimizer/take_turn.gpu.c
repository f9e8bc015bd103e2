/* The end of a turn (take_turn.c says what it computes): the gradients by all groups, and then what
 * is one number each by one item, which moves the clock on. */
KERNEL take_turn_gradients(ITEM_ARG ARG_OUT(float, gradients), ARG_OUT(float, sums),
                           ARG_IN(int, clock), ARG_INT(count), ARG_INT(turns), ARG_FLOAT(scale))
{
    OPEN_OUT(float, gradients);
    OPEN_OUT(float, sums);
    OPEN_IN(int, clock);
    int turn = clock[0] % turns;
    EACH (i, count) {
        float sum = turn == 0 ? gradients[i] : sums[i] + gradients[i];
        if (turn == turns - 1)
            gradients[i] = sum * scale;
        else
            sums[i] = sum;
    }
}

KERNEL take_turn_end(ITEM_ARG ARG_OUT(int, clock), ARG_OUT(float, mean_loss),
                     ARG_OUT(int, all_correct), ARG_IN(float, loss), ARG_IN(int, correct),
                     ARG_INT(turns), ARG_FLOAT(scale))
{
    OPEN_OUT(int, clock);
    OPEN_OUT(float, mean_loss);
    OPEN_OUT(int, all_correct);
    OPEN_IN(float, loss);
    OPEN_IN(int, correct);
    if (LOCAL_ID != 0 || GROUP_ID != 0) return;
    int turn = clock[0] % turns;
    float sum = (turn == 0 ? 0.0f : mean_loss[0]) + loss[0];
    mean_loss[0] = turn == turns - 1 ? sum * scale : sum;
    all_correct[0] = (turn == 0 ? 0 : all_correct[0]) + correct[0];
    clock[0] += 1;
}
