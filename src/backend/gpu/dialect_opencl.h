/* Kernel dialect, OpenCL C 1.2.  What the words mean: docs/kernel-dialect.md. */
#ifdef DIALECT_DECLARES
/* All of OpenCL that is used here, for tests that tell PoCL to leave out its own 18 000 lines of
 * declarations (-D_OPENCL_H_), which it reads twice for each kernel file. */
#define DIALECT_FLOAT float __attribute__((overloadable, const))
#define DIALECT_SIZE size_t __attribute__((overloadable, const))
DIALECT_FLOAT exp(float);
DIALECT_FLOAT expm1(float);
DIALECT_FLOAT log(float);
DIALECT_FLOAT sqrt(float);
DIALECT_FLOAT tanh(float);
DIALECT_FLOAT fabs(float);
DIALECT_FLOAT fmax(float, float);
DIALECT_FLOAT fmin(float, float);
uint __attribute__((overloadable, const)) mul_hi(uint, uint);
DIALECT_SIZE get_group_id(uint);
DIALECT_SIZE get_local_id(uint);
DIALECT_SIZE get_local_size(uint);
DIALECT_SIZE get_num_groups(uint);
float __attribute__((overloadable, pure)) vload_half(size_t, const __global half *);
void __attribute__((overloadable)) vstore_half_rte(float, size_t, __global half *);
void __attribute__((overloadable, convergent)) barrier(cl_mem_fence_flags);
#endif
#define PARAMETERS(names)
#define KERNEL __kernel __attribute__((reqd_work_group_size(GROUP, 1, 1))) void
#define DEVICE static inline
#define GLOBAL __global
#define LOCAL __local
#define LOCAL_ARRAY(type, name, count) __local type name[count] __attribute__((aligned(16)))
#define RESTRICT restrict
#define APART RESTRICT
#define ARG_IN(type, name) __global const type *name##_buffer, const ulong name##_at
#define ARG_OUT(type, name) __global type *name##_buffer, const ulong name##_at
#define ARG_INT(name) const int name
#define ARG_FLOAT(name) const float name
#define ITEM_ARG
#define ITEM_PARAM
#define ITEM
#define OPEN_IN(type, name)           \
    __global const type *APART name = \
        (__global const type *)((__global const char *)name##_buffer + name##_at)
#define OPEN_OUT(type, name) \
    __global type *APART name = (__global type *)((__global char *)name##_buffer + name##_at)
#define GROUP_ID ((int)get_group_id(0))
#define LOCAL_ID ((int)get_local_id(0))
#define LOCAL_SIZE ((int)get_local_size(0))
#define NUM_GROUPS ((int)get_num_groups(0))
#define BARRIER() barrier(CLK_LOCAL_MEM_FENCE)
#define UNROLL _Pragma("unroll")
#define UNROLL_4 _Pragma("unroll 4")
typedef char i8;
typedef uchar u8;
typedef ushort u16;
typedef int i32;
typedef uint u32;
typedef long i64;
typedef ulong u64;
typedef ushort f16;
typedef ushort bf16;
/* The items of all groups share the indexes 0 … count − 1. */
#define EACH(i, count)                                                              \
    for (u32 i = (u32)GROUP_ID * (u32)LOCAL_SIZE + (u32)LOCAL_ID; i < (u32)(count); \
         i += (u32)NUM_GROUPS * (u32)LOCAL_SIZE)
#define F32_LOWEST (-3.402823466e+38f)
#define F32_NAN as_float(0x7fc00000u)
#define MULTIPLY_HIGH(a, b) mul_hi((uint)(a), (uint)(b))
#define BITS_OF(x) as_uint(x)
#define FLOAT_OF(bits) as_float((uint)(bits))
#define EXP(x) exp((float)(x))
#define EXPM1(x) expm1((float)(x))
#define LOG(x) log((float)(x))
#define SQRT(x) sqrt((float)(x))
#define TANH(x) tanh((float)(x))
#define ABS(x) fabs((float)(x))
#define DECAY(x) exp(-(float)(x))
#define SELECT(condition, a, b) ((condition) ? (a) : (b))
#define RECIPROCAL(x) (1.0f / (x))
#define MAX(x, y) fmax((float)(x), (float)(y))
#define MIN(x, y) fmin((float)(x), (float)(y))
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
#define LOAD_F16(p, i) vload_half((i), (__global const half *)(p))
#define STORE_F16(p, i, x) vstore_half_rte((x), (i), (__global half *)(p))
#define LOAD_BF16(p, i) as_float((uint)(p)[i] << 16)
static inline ushort dialect_store_bf16(float x)
{
    uint u = as_uint(x);
    if ((u & 0x7fffffffu) > 0x7f800000u) return (ushort)(u >> 16 | 64u);
    return (ushort)((u + 0x7fffu + (u >> 16 & 1u)) >> 16);
}
#define STORE_BF16(p, i, x) ((p)[i] = dialect_store_bf16(x))
#define FETCHED_F32_TO_BF16(x) as_float((uint)dialect_store_bf16(x) << 16)
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
/* Four and eight at a time: vectors, whose elements are the components in order. */
static inline void dialect_load_4_f32(float *v, __global const float *p)
{
    float4 all = *(__global const float4 *)p;
    v[0] = all.x, v[1] = all.y, v[2] = all.z, v[3] = all.w;
}
static inline void dialect_load_4_bf16(float *v, __global const ushort *p)
{
    uint2 all = *(__global const uint2 *)p;
    v[0] = as_float(all.x << 16), v[1] = as_float(all.x & 0xffff0000u);
    v[2] = as_float(all.y << 16), v[3] = as_float(all.y & 0xffff0000u);
}
static inline void dialect_store_4_bf16(__global ushort *p, const float *v)
{
    uint words[2];
    for (int k = 0; k < 2; k++)
        words[k] = (uint)dialect_store_bf16(v[2 * k]) | (uint)dialect_store_bf16(v[2 * k + 1])
                                                            << 16;
    *(__global uint2 *)p = (uint2)(words[0], words[1]);
}
static inline void dialect_load_8_f32(float *v, __global const float *p)
{
    float4 low = ((__global const float4 *)p)[0], high = ((__global const float4 *)p)[1];
    v[0] = low.x, v[1] = low.y, v[2] = low.z, v[3] = low.w;
    v[4] = high.x, v[5] = high.y, v[6] = high.z, v[7] = high.w;
}
static inline void dialect_store_8_f32(__global float *p, const float *v)
{
    ((__global float4 *)p)[0] = (float4)(v[0], v[1], v[2], v[3]);
    ((__global float4 *)p)[1] = (float4)(v[4], v[5], v[6], v[7]);
}
static inline void dialect_load_8_bf16(float *v, __global const ushort *p)
{
    uint4 all = *(__global const uint4 *)p;
    uint words[4] = {all.x, all.y, all.z, all.w};
    for (int k = 0; k < 8; k++) v[k] = as_float(words[k / 2] >> (k % 2 * 16) << 16);
}
static inline void dialect_store_8_bf16(__global ushort *p, const float *v)
{
    uint words[4];
    for (int k = 0; k < 4; k++)
        words[k] = (uint)dialect_store_bf16(v[2 * k]) | (uint)dialect_store_bf16(v[2 * k + 1])
                                                            << 16;
    *(__global uint4 *)p = (uint4)(words[0], words[1], words[2], words[3]);
}
#define LOAD_4_F32(v, p, i) dialect_load_4_f32(v, (p) + (i))
#define STORE_4_F32(p, i, v) \
    (*(__global float4 *)((p) + (i)) = (float4)((v)[0], (v)[1], (v)[2], (v)[3]))
#define LOAD_4_F16(v, p, i)                             \
    for (int dialect_k = 0; dialect_k < 4; dialect_k++) \
    (v)[dialect_k] = LOAD_F16(p, (i) + dialect_k)
#define STORE_4_F16(p, i, v)                            \
    for (int dialect_k = 0; dialect_k < 4; dialect_k++) \
    STORE_F16(p, (i) + dialect_k, (v)[dialect_k])
#define LOAD_4_BF16(v, p, i) dialect_load_4_bf16(v, (p) + (i))
#define STORE_4_BF16(p, i, v) dialect_store_4_bf16((p) + (i), v)
#define LOAD_8_F32(v, p, i) dialect_load_8_f32(v, (p) + (i))
#define STORE_8_F32(p, i, v) dialect_store_8_f32((p) + (i), v)
#define LOAD_8_F16(v, p, i)                             \
    for (int dialect_k = 0; dialect_k < 8; dialect_k++) \
    (v)[dialect_k] = LOAD_F16(p, (i) + dialect_k)
#define STORE_8_F16(p, i, v)                            \
    for (int dialect_k = 0; dialect_k < 8; dialect_k++) \
    STORE_F16(p, (i) + dialect_k, (v)[dialect_k])
#define LOAD_8_BF16(v, p, i) dialect_load_8_bf16(v, (p) + (i))
#define STORE_8_BF16(p, i, v) dialect_store_8_bf16((p) + (i), v)
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
