/* Kernel dialect, host C with one work item a group, so that AddressSanitizer and UBSan can watch a
 * kernel.  What the words mean: docs/kernel-dialect.md.
 *
 * With FIBERS, groups of GROUP work items: each item is a fiber, and BARRIER() hands over to
 * whoever runs the group (tests/fibers.h); so do the words for tensor cores, which are there with
 * FIBERS alone. */
#include <math.h>
#include <stdint.h>
#include <string.h>

#define PARAMETERS(names)
#define KERNEL void
#define DEVICE static inline
#define GLOBAL
#define LOCAL
#define RESTRICT restrict
#define APART RESTRICT
#define ARG_IN(type, name) const type *APART name
#define ARG_OUT(type, name) type *APART name
#define ARG_INT(name) const int name
#define ARG_FLOAT(name) const float name
#define OPEN_IN(type, name)
#define OPEN_OUT(type, name)
#define UNROLL
#define UNROLL_4
typedef int8_t i8;
typedef uint8_t u8;
typedef uint16_t u16;
typedef int32_t i32;
typedef uint32_t u32;
typedef int64_t i64;
typedef uint64_t u64;
typedef uint16_t f16;
typedef uint16_t bf16;
/* The group, how many there are, and the item.  Kernels and their functions are given it, as on
 * targets that know no other way: one that was not cannot say where it is. */
int dialect_place[3];
#define ITEM_ARG const int *dialect_me,
#define ITEM_PARAM const int *dialect_me,
#define ITEM dialect_me,
#define GROUP_ID (dialect_me[0])
#define NUM_GROUPS (dialect_me[1])
#define LOCAL_ID (dialect_me[2])
#ifdef FIBERS
void (*dialect_wait)(int for_warp);
#define LOCAL_ARRAY(type, name, count) static _Alignas(16) type name[count]
#define LOCAL_SIZE GROUP
#define BARRIER() dialect_wait(0)
#else
#define LOCAL_ARRAY(type, name, count) _Alignas(16) type name[count]
#define LOCAL_SIZE 1
#define BARRIER() ((void)0)
#endif
/* The items of all groups share the indexes 0 … count − 1. */
#define EACH(i, count)                                                              \
    for (u32 i = (u32)GROUP_ID * (u32)LOCAL_SIZE + (u32)LOCAL_ID; i < (u32)(count); \
         i += (u32)NUM_GROUPS * (u32)LOCAL_SIZE)
#define F32_LOWEST (-3.402823466e+38f)
#define F32_NAN NAN
#define MULTIPLY_HIGH(a, b) ((u32)((u64)(u32)(a) * (u32)(b) >> 32))
static inline u32 dialect_bits(float x)
{
    u32 bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}
static inline float dialect_float(u32 bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}
#define BITS_OF(x) dialect_bits(x)
#define FLOAT_OF(bits) dialect_float(bits)
#define EXP(x) expf(x)
#define EXPM1(x) expm1f(x)
#define LOG(x) logf(x)
#define SQRT(x) sqrtf(x)
#define TANH(x) tanhf(x)
#define ABS(x) fabsf(x)
#define DECAY(x) expf(-(x))
#define SELECT(condition, a, b) ((condition) ? (a) : (b))
#define RECIPROCAL(x) (1.0f / (x))
#define MAX(x, y) fmaxf(x, y)
#define MIN(x, y) fminf(x, y)
#define LOAD_F32(p, i) ((p)[i])
#define STORE_F32(p, i, x) ((p)[i] = (x))
/* To 11 significant bits, ties to even; what is not finite stays. */
static inline float dialect_round_tf32(float x)
{
    u32 bits = BITS_OF(x);
    if ((bits & 0x7f800000u) == 0x7f800000u) return x;
    return FLOAT_OF((bits + 0xfffu + (bits >> 13 & 1u)) & 0xffffe000u);
}
#define LOAD_TF32(p, i) dialect_round_tf32((p)[i])
/* IEEE 754 half precision by its bits: a subnormal is scaled up by 2^112, and the rounding to the
 * nearest even is done by an addition. */
static inline float dialect_load_f16(u16 h)
{
    u32 sign = (u32)(h & 0x8000u) << 16, rest = h & 0x7fffu;
    if (rest >= 0x7c00u) return dialect_float(sign | 0x7f800000u | (rest & 0x3ffu) << 13);
    return dialect_float(sign | dialect_bits(dialect_float(rest << 13) * 0x1p112f));
}
static inline u16 dialect_store_f16(float x)
{
    u32 bits = dialect_bits(x), sign = bits >> 16 & 0x8000u, rest = bits & 0x7fffffffu;
    if (rest > 0x7f800000u) return (u16)(sign | 0x7e00u | (rest >> 13 & 0x3ffu));
    if (rest >= 0x477ff000u) return (u16)(sign | 0x7c00u);
    if (rest < 0x38800000u) {
        u32 shifted = dialect_bits(dialect_float(rest) + 0.5f);
        return (u16)(sign | (shifted - 0x3f000000u));
    }
    rest += 0xc8000fffu + (rest >> 13 & 1u);
    return (u16)(sign | rest >> 13);
}
#define LOAD_F16(p, i) dialect_load_f16((p)[i])
#define STORE_F16(p, i, x) ((p)[i] = dialect_store_f16(x))
#define LOAD_BF16(p, i) dialect_float((u32)(p)[i] << 16)
static inline u16 dialect_store_bf16(float x)
{
    u32 u = dialect_bits(x);
    if ((u & 0x7fffffffu) > 0x7f800000u) return (u16)(u >> 16 | 64u);
    return (u16)((u + 0x7fffu + (u >> 16 & 1u)) >> 16);
}
#define STORE_BF16(p, i, x) ((p)[i] = dialect_store_bf16(x))
#define FETCHED_F32_TO_BF16(x) dialect_float((u32)dialect_store_bf16(x) << 16)
#define LOAD_F32_TO_BF16(p, i) FETCHED_F32_TO_BF16((p)[i])
/* What is fetched ahead is rounded when it is used: who rounds it waits for it. */
#define FETCH_F32(p, i) LOAD_F32(p, i)
#define FETCH_F16(p, i) LOAD_F16(p, i)
#define FETCH_BF16(p, i) LOAD_BF16(p, i)
#define FETCH_TF32(p, i) LOAD_F32(p, i)
#define FETCH_F32_TO_BF16(p, i) LOAD_F32(p, i)
#define FETCHED_F32(x) (x)
#define FETCHED_F16(x) (x)
#define FETCHED_BF16(x) (x)
#define FETCHED_TF32(x) dialect_round_tf32(x)
#define DIALECT_LOAD(count, word, v, p, i)                  \
    for (int dialect_k = 0; dialect_k < count; dialect_k++) \
    (v)[dialect_k] = word(p, (i) + dialect_k)
#define DIALECT_STORE(count, word, p, i, v) \
    for (int dialect_k = 0; dialect_k < count; dialect_k++) word(p, (i) + dialect_k, (v)[dialect_k])
#define LOAD_4_F32(v, p, i) DIALECT_LOAD(4, LOAD_F32, v, p, i)
#define STORE_4_F32(p, i, v) DIALECT_STORE(4, STORE_F32, p, i, v)
#define LOAD_4_F16(v, p, i) DIALECT_LOAD(4, LOAD_F16, v, p, i)
#define STORE_4_F16(p, i, v) DIALECT_STORE(4, STORE_F16, p, i, v)
#define LOAD_4_BF16(v, p, i) DIALECT_LOAD(4, LOAD_BF16, v, p, i)
#define STORE_4_BF16(p, i, v) DIALECT_STORE(4, STORE_BF16, p, i, v)
#define LOAD_8_F32(v, p, i) DIALECT_LOAD(8, LOAD_F32, v, p, i)
#define STORE_8_F32(p, i, v) DIALECT_STORE(8, STORE_F32, p, i, v)
#define LOAD_8_F16(v, p, i) DIALECT_LOAD(8, LOAD_F16, v, p, i)
#define STORE_8_F16(p, i, v) DIALECT_STORE(8, STORE_F16, p, i, v)
#define LOAD_8_BF16(v, p, i) DIALECT_LOAD(8, LOAD_BF16, v, p, i)
#define STORE_8_BF16(p, i, v) DIALECT_STORE(8, STORE_BF16, p, i, v)
/* An operand by its place: its type is in the lines that the host side puts in front. */
#define DIALECT_PASTE(word, type) word##type
#define DIALECT_WORD(word, type) DIALECT_PASTE(word, type)
#define LOAD(operand, p, i) DIALECT_WORD(LOAD_, operand##_TYPE)(p, i)
#define FETCH(operand, p, i) DIALECT_WORD(FETCH_, operand##_TYPE)(p, i)
#define FETCHED(operand, x) DIALECT_WORD(FETCHED_, operand##_TYPE)(x)
#define STORE(operand, p, i, x) DIALECT_WORD(STORE_, operand##_TYPE)(p, i, x)
#define LOAD_4(operand, v, p, i) DIALECT_WORD(LOAD_4_, operand##_TYPE)(v, p, i)
#define STORE_4(operand, p, i, v) DIALECT_WORD(STORE_4_, operand##_TYPE)(p, i, v)
#define LOAD_8(operand, v, p, i) DIALECT_WORD(LOAD_8_, operand##_TYPE)(v, p, i)
#define STORE_8(operand, p, i, v) DIALECT_WORD(STORE_8_, operand##_TYPE)(p, i, v)
/* Tensor cores: what a lane hands to the others of its warp lies here until the next but one is
 * handed over, when all have read it. */
#define TENSOR_CORES
#ifdef FIBERS
#define LANE (dialect_me[2] % 32)
#define WARP (dialect_me[2] / 32)
#define DIALECT_LANES 32
float dialect_handed[2][1024][6];
int dialect_turn[1024];
static inline float (*dialect_hand_over(const int *me, const float *mine, int count))[6]
{
    float(*all)[6] = dialect_handed[dialect_turn[me[2]] ^= 1];
    memcpy(all[me[2]], mine, (size_t)count * sizeof *mine);
    dialect_wait(1);
    return all + me[2] / DIALECT_LANES * DIALECT_LANES;
}
/* To 11 significant bits, ties away from 0; what is not finite stays. */
static inline float dialect_tf32(float x)
{
    u32 bits = BITS_OF(x);
    return (bits & 0x7f800000u) == 0x7f800000u ? x : FLOAT_OF((bits + 0x1000u) & 0xffffe000u);
}
/* What tensor cores read of a float. */
static inline double dialect_cut(float x)
{
    return x == x ? FLOAT_OF(BITS_OF(x) & 0xffffe000u) : NAN;
}
/* Of a: rows `row` and `row` + 8, steps `step` and `step` + 4; of b: column and steps; of c: rows
 * as of a, two columns. */
static inline void dialect_mma_tf32(const int *me, float *c, const float *a, const float *b)
{
    float mine[6] = {a[0], a[1], a[2], a[3], b[0], b[1]};
    float(*all)[6] = dialect_hand_over(me, mine, 6);
    for (int i = 0; i < 4; i++) {
        int row = me[2] % DIALECT_LANES / 4, column = me[2] % 4 * 2 + i % 2;
        double sum = c[i];
        for (int step = 0; step < 8; step++)
            sum += dialect_cut(all[row * 4 + step % 4][i / 2 + step / 4 * 2]) *
                   dialect_cut(all[column * 4 + step % 4][4 + step / 4]);
        c[i] = (float)sum;
    }
}
static inline float dialect_of_lane(const int *me, float x, int lane)
{
    return dialect_hand_over(me, &x, 1)[lane % DIALECT_LANES][0];
}
#define EXP2(x) exp2f(x)
#define ROUND_TF32(x) dialect_tf32(x)
#define MMA_TF32(c, a, b) dialect_mma_tf32(dialect_me, c, a, b)
#define OF_LANE(x, lane) dialect_of_lane(dialect_me, x, lane)
#define LOAD_2_F32(v, p, i) DIALECT_LOAD(2, LOAD_F32, v, p, i)
#define STORE_2_F32(p, i, v) DIALECT_STORE(2, STORE_F32, p, i, v)
#endif
