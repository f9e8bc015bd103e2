/* The sum of partial results: parts [PARTS, count] -> y, in a fixed order.
 *
 * A row of parts has WIDTH columns, of which the last ONES go to `extra`.  BIAS adds b[column], ADD
 * what y holds; RELU or F, where FORMULA is, comes last, and with KEEP `extra` gets what F was
 * given.  With ACROSS y lies as [WIDTH - ONES, ROWS].  LANES items share the parts of one result,
 * and a group does OUTS results a round. */
PARAMETERS(LANES OUTS PARTS WIDTH ACROSS ROWS ONES BIAS ADD RELU FORMULA KEEP)

KERNEL sum_parts(ITEM_ARG ARG_IN(float, parts), ARG_IN(float, b), ARG_OUT(float, y),
                 ARG_OUT(float, extra), ARG_INT(count))
{
    OPEN_IN(float, parts);
    OPEN_IN(float, b);
    OPEN_OUT(float, y);
    OPEN_OUT(float, extra);
    LOCAL_ARRAY(float, lane_sums, LANES *OUTS);
    for (int first = GROUP_ID * OUTS; first < count; first += NUM_GROUPS * OUTS) {
        for (int i = LOCAL_ID; i < LANES * OUTS; i += GROUP) {
            int at = first + i % OUTS;
            float sum = 0.0f;
            if (at < count) {
                UNROLL_4 for (int part = i / OUTS; part < PARTS; part += LANES)
                {
                    sum += parts[(i64)part * count + at];
                }
            }
            lane_sums[i] = sum;
        }
        BARRIER();
        for (int i = LOCAL_ID; i < OUTS && first + i < count; i += GROUP) {
            int row = (first + i) / WIDTH, column = (first + i) % WIDTH;
            int at = ACROSS ? column * ROWS + row : row * (WIDTH - ONES) + column;
            float sum = 0.0f;
            for (int lane = 0; lane < LANES; lane++) sum += lane_sums[lane * OUTS + i];
            if (column >= WIDTH - ONES) {
                extra[row * ONES + column - (WIDTH - ONES)] = sum;
                continue;
            }
            if (BIAS) sum += b[column];
            if (ADD) sum += y[at];
            if (RELU && sum < 0.0f) sum = 0.0f;
#if FORMULA
            if (KEEP) extra[at] = sum;
            sum = F(sum);
#endif
            y[at] = sum;
        }
        BARRIER();
    }
}
