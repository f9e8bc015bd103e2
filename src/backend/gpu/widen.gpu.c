/* Conversions around kernels that read and write floats alone: between bf16 and f32, eight elements
 * an item and round; and ReLU where a library has written bf16.  What is converted lies at 16
 * bytes.
 */
#define WIDE_TYPE F32
#define NARROW_TYPE BF16

KERNEL widen(ITEM_ARG ARG_IN(bf16, x), ARG_OUT(float, y), ARG_INT(count))
{
    OPEN_IN(bf16, x);
    OPEN_OUT(float, y);
    EACH (k, ((u32)count + 7u) / 8u) {
        u32 from = 8u * k;
        if (from + 8u <= (u32)count) {
            float v[8];
            LOAD_8(NARROW, v, x, from);
            STORE_8(WIDE, y, from, v);
        } else {
            for (u32 i = from; i < (u32)count; i++) y[i] = LOAD_BF16(x, i);
        }
    }
}

KERNEL narrow(ITEM_ARG ARG_IN(float, x), ARG_OUT(bf16, y), ARG_INT(count))
{
    OPEN_IN(float, x);
    OPEN_OUT(bf16, y);
    EACH (k, ((u32)count + 7u) / 8u) {
        u32 from = 8u * k;
        if (from + 8u <= (u32)count) {
            float v[8];
            LOAD_8(WIDE, v, x, from);
            STORE_8(NARROW, y, from, v);
        } else {
            for (u32 i = from; i < (u32)count; i++) STORE_BF16(y, i, x[i]);
        }
    }
}

KERNEL relu_narrow(ITEM_ARG ARG_OUT(bf16, y), ARG_INT(count))
{
    OPEN_OUT(bf16, y);
    EACH (i, count) {
        if (LOAD_BF16(y, i) < 0.0f) STORE_BF16(y, i, 0.0f);
    }
}
