/* Two tensors element by element.  OPERATION: 0 adds, 1 subtracts, 2 multiplies.  b's elements lie
 * step0 … step3 apart along a's dimensions, of which the last three are wide1 … wide3. */
KERNEL binary(ITEM_ARG ARG_IN(float, a), ARG_IN(float, b), ARG_OUT(float, y), ARG_INT(count),
              ARG_INT(wide1), ARG_INT(wide2), ARG_INT(wide3), ARG_INT(step0), ARG_INT(step1),
              ARG_INT(step2), ARG_INT(step3))
{
    OPEN_IN(float, a);
    OPEN_IN(float, b);
    OPEN_OUT(float, y);
    EACH (i, count) {
        u32 w3 = (u32)wide3, w2 = (u32)wide2, w1 = (u32)wide1;
        u32 at = i % w3 * (u32)step3 + i / w3 % w2 * (u32)step2 + i / (w3 * w2) % w1 * (u32)step1 +
                 i / (w3 * w2 * w1) * (u32)step0;
#if OPERATION == 0
        y[i] = a[i] + b[at];
#elif OPERATION == 1
        y[i] = a[i] - b[at];
#else
        y[i] = a[i] * b[at];
#endif
    }
}
