/* Two tensors element by element.  OPERATION: 0 adds, 1 subtracts, 2 multiplies. */
PARAMETERS(OPERATION)

DEVICE float result_of(float a, float b)
{
#if OPERATION == 0
    return a + b;
#elif OPERATION == 1
    return a - b;
#else
    return a * b;
#endif
}

/* b's elements lie step0 … step3 apart along a's dimensions, of which the last three are wide1 …
 * wide3. */
KERNEL binary(ITEM_ARG ARG_IN(IN0_T, a), ARG_IN(IN1_T, b), ARG_OUT(OUT0_T, y), ARG_INT(count),
              ARG_INT(wide1), ARG_INT(wide2), ARG_INT(wide3), ARG_INT(step0), ARG_INT(step1),
              ARG_INT(step2), ARG_INT(step3))
{
    OPEN_IN(IN0_T, a);
    OPEN_IN(IN1_T, b);
    OPEN_OUT(OUT0_T, y);
    EACH (i, count) {
        u32 w3 = (u32)wide3, w2 = (u32)wide2, w1 = (u32)wide1;
        u32 at = i % w3 * (u32)step3 + i / w3 % w2 * (u32)step2 + i / (w3 * w2) % w1 * (u32)step1 +
                 i / (w3 * w2 * w1) * (u32)step0;
        STORE(OUT0, y, i, result_of(LOAD(IN0, a, i), LOAD(IN1, b, at)));
    }
}

/* By words at 16 bytes; the last few elements one by one.  b has `period` elements, which are used
 * again and again: all of a's, or a multiple of eight. */
KERNEL binary_eights(ITEM_ARG ARG_IN(IN0_T, a), ARG_IN(IN1_T, b), ARG_OUT(OUT0_T, y),
                     ARG_INT(count), ARG_INT(period))
{
    OPEN_IN(IN0_T, a);
    OPEN_IN(IN1_T, b);
    OPEN_OUT(OUT0_T, y);
    EACH (k, ((u32)count + 7u) / 8u) {
        u32 from = k * 8u;
        if (from + 8u <= (u32)count) {
            float v[8], w[8];
            LOAD_8(IN0, v, a, from);
            LOAD_8(IN1, w, b, from % (u32)period);
            UNROLL for (int j = 0; j < 8; j++) v[j] = result_of(v[j], w[j]);
            STORE_8(OUT0, y, from, v);
        } else {
            for (u32 i = from; i < (u32)count; i++)
                STORE(OUT0, y, i, result_of(LOAD(IN0, a, i), LOAD(IN1, b, i % (u32)period)));
        }
    }
}
