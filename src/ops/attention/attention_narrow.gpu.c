/* What stands around an attention that reads and writes bf16 alone, which a library has: the
 * lengths as it wants them, its results as floats, and 0 for what it does not promise to write: of
 * a sample without keys everything, and of the others the gradients of keys beyond the length. */
PARAMETERS(HAS_LENGTHS)

#define WIDE_TYPE F32
#define NARROW_TYPE BF16

/* The keys of a sample. */
DEVICE int length_of(GLOBAL const int *lengths, int sample, int keys)
{
#if HAS_LENGTHS
    int length = lengths[sample];
    return length < 0 ? 0 : length > keys ? keys : length;
#else
    return keys;
#endif
}

/* Every sample has all queries; one without keys is given one. */
KERNEL attention_lengths(ITEM_ARG ARG_IN(int, lengths), ARG_OUT(int, of_queries),
                         ARG_OUT(int, of_keys), ARG_INT(samples), ARG_INT(queries), ARG_INT(keys))
{
    OPEN_IN(int, lengths);
    OPEN_OUT(int, of_queries);
    OPEN_OUT(int, of_keys);
    EACH (b, samples) {
        int length = length_of(lengths, (int)b, keys);
        of_queries[b] = queries;
        of_keys[b] = length < 1 ? 1 : length;
    }
}

KERNEL attention_narrow(ITEM_ARG ARG_IN(float, x), ARG_OUT(bf16, y), ARG_INT(eights))
{
    OPEN_IN(float, x);
    OPEN_OUT(bf16, y);
    EACH (k, eights) {
        float v[8];
        LOAD_8(WIDE, v, x, 8u * k);
        STORE_8(NARROW, y, 8u * k, v);
    }
}

/* Rows of tokens, whose first columns belong to queries and the others to keys. */
KERNEL attention_widen(ITEM_ARG ARG_IN(bf16, x), ARG_IN(int, lengths), ARG_OUT(float, y),
                       ARG_INT(eights), ARG_INT(tokens), ARG_INT(row), ARG_INT(of_queries),
                       ARG_INT(keys))
{
    OPEN_IN(bf16, x);
    OPEN_IN(int, lengths);
    OPEN_OUT(float, y);
    EACH (k, eights) {
        float v[8];
        int token = (int)(8u * k) / row, column = (int)(8u * k) % row;
        int length = length_of(lengths, token / tokens, keys);
        LOAD_8(NARROW, v, x, 8u * k);
        if (length <= (column < of_queries ? 0 : token % tokens))
            for (int i = 0; i < 8; i++) v[i] = 0.0f;
        STORE_8(WIDE, y, 8u * k, v);
    }
}

/* The same where these rows are to stay bf16: nothing is read. */
KERNEL attention_zero(ITEM_ARG ARG_IN(int, lengths), ARG_OUT(bf16, y), ARG_INT(eights),
                      ARG_INT(tokens), ARG_INT(row), ARG_INT(of_queries), ARG_INT(keys))
{
    OPEN_IN(int, lengths);
    OPEN_OUT(bf16, y);
    EACH (k, eights) {
        int token = (int)(8u * k) / row, column = (int)(8u * k) % row;
        int length = length_of(lengths, token / tokens, keys);
        if (length <= (column < of_queries ? 0 : token % tokens)) {
            float v[8];
            for (int i = 0; i < 8; i++) v[i] = 0.0f;
            STORE_8(NARROW, y, 8u * k, v);
        }
    }
}

/* The log-sum-exp over no key is 0, as attention.c says. */
KERNEL attention_clear(ITEM_ARG ARG_IN(int, lengths), ARG_OUT(float, lse), ARG_INT(count),
                       ARG_INT(per_sample), ARG_INT(keys))
{
    OPEN_IN(int, lengths);
    OPEN_OUT(float, lse);
    EACH (i, count) {
        if (length_of(lengths, (int)i / per_sample, keys) == 0) lse[i] = 0.0f;
    }
}
