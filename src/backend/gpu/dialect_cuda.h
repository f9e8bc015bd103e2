/* Kernel dialect, CUDA: read by NVRTC as C++.  What the words mean: docs/kernel-dialect.md. */
#define PARAMETERS(names)
#define KERNEL extern "C" __global__ void __launch_bounds__(GROUP)
#define DEVICE static __device__ __forceinline__
#define GLOBAL
#define LOCAL
#define LOCAL_ARRAY(type, name, count) __shared__ __align__(16) type name[count]
#define RESTRICT __restrict__
#define APART RESTRICT
#define ARG_IN(type, name) const type *APART name
#define ARG_OUT(type, name) type *APART name
#define ARG_INT(name) const int name
#define ARG_FLOAT(name) const float name
#define ITEM_ARG
#define ITEM_PARAM
#define ITEM
#define OPEN_IN(type, name)
#define OPEN_OUT(type, name) dialect_begin()
#define GROUP_ID ((int)blockIdx.x)
#define LOCAL_ID ((int)threadIdx.x)
#define LOCAL_SIZE ((int)blockDim.x)
#define NUM_GROUPS ((int)gridDim.x)
#define BARRIER() __syncthreads()
#define UNROLL _Pragma("unroll")
#define UNROLL_4 _Pragma("unroll 4")
typedef signed char i8;
typedef unsigned char u8;
typedef unsigned short u16;
typedef int i32;
typedef unsigned int u32;
typedef long long i64;
typedef unsigned long long u64;
typedef unsigned short f16;
typedef unsigned short bf16;
/* In the graph of a step a kernel may begin before those in front of it have ended: it touches no
 * memory before these have, and their writes are seen.  Then the next one may begin. */
#if __CUDA_ARCH__ >= 900
static __device__ __forceinline__ void dialect_begin(void)
{
    asm volatile("griddepcontrol.wait;" ::: "memory");
    asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
}
#else
#define dialect_begin()
#endif
/* The items of all groups share the indexes 0 … count − 1. */
#define EACH(i, count)                                                              \
    for (u32 i = (u32)GROUP_ID * (u32)LOCAL_SIZE + (u32)LOCAL_ID; i < (u32)(count); \
         i += (u32)NUM_GROUPS * (u32)LOCAL_SIZE)
#define F32_LOWEST (-3.402823466e+38f)
#define F32_NAN __int_as_float(0x7fc00000)
#define MULTIPLY_HIGH(a, b) __umulhi(a, b)
#define BITS_OF(x) __float_as_uint(x)
#define FLOAT_OF(bits) __uint_as_float(bits)
#define EXP(x) expf(x)
#define EXPM1(x) expm1f(x)
#define LOG(x) logf(x)
#define SQRT(x) __fsqrt_rn(x)
#define TANH(x) tanhf(x)
#define ABS(x) fabsf(x)
static __device__ __forceinline__ float dialect_decay(float x)
{
    float y;
    asm("{ ex2.approx.ftz.f32 %0, %1; }" : "=f"(y) : "f"(x * -1.44269504f));
    return y;
}
static __device__ __forceinline__ float dialect_reciprocal(float x)
{
    float y;
    asm("{ rcp.approx.ftz.f32 %0, %1; }" : "=f"(y) : "f"(x));
    return y;
}
#define DECAY(x) dialect_decay(x)
#define SELECT(condition, a, b) ((condition) ? (a) : (b))
#define RECIPROCAL(x) dialect_reciprocal(x)
#define MAX(x, y) fmaxf(x, y)
#define MIN(x, y) fminf(x, y)
#define LOAD_F32(p, i) ((p)[i])
#define STORE_F32(p, i, x) ((p)[i] = (x))
/* To 11 significant bits, ties to even; what is not finite stays.  The device does so by itself
 * from compute capability 9.0 on. */
static __device__ __forceinline__ float dialect_round_tf32(float x)
{
    u32 bits = BITS_OF(x);
#if __CUDA_ARCH__ >= 900
    asm("{ cvt.rn.tf32.f32 %0, %1; }" : "=r"(bits) : "f"(x));
#else
    if ((bits & 0x7f800000u) != 0x7f800000u)
        bits = (bits + 0xfffu + (bits >> 13 & 1u)) & 0xffffe000u;
#endif
    return FLOAT_OF(bits);
}
#define LOAD_TF32(p, i) dialect_round_tf32((p)[i])
static __device__ __forceinline__ float dialect_load_f16(u16 h)
{
    float x;
    asm("{ cvt.f32.f16 %0, %1; }" : "=f"(x) : "h"(h));
    return x;
}
static __device__ __forceinline__ u16 dialect_store_f16(float x)
{
    u16 h;
    asm("{ cvt.rn.f16.f32 %0, %1; }" : "=h"(h) : "f"(x));
    return h;
}
#define LOAD_F16(p, i) dialect_load_f16((p)[i])
#define STORE_F16(p, i, x) ((p)[i] = dialect_store_f16(x))
static __device__ __forceinline__ float dialect_load_bf16(u16 b)
{
    return __uint_as_float((u32)b << 16);
}
/* The device rounds by itself from compute capability 8.0 on; its NaN is another one. */
#if __CUDA_ARCH__ >= 800
static __device__ __forceinline__ u32 dialect_pair_bf16(float low, float high)
{
    u32 pair;
    asm("{ cvt.rn.bf16x2.f32 %0, %1, %2; }" : "=r"(pair) : "f"(high), "f"(low));
    return pair;
}
static __device__ __forceinline__ u16 dialect_store_bf16(float x)
{
    u16 b;
    asm("{ cvt.rn.bf16.f32 %0, %1; }" : "=h"(b) : "f"(x));
    return b;
}
#else
static __device__ __forceinline__ u16 dialect_store_bf16(float x)
{
    u32 u = __float_as_uint(x);
    if ((u & 0x7fffffffu) > 0x7f800000u) return (u16)(u >> 16 | 64u);
    return (u16)((u + 0x7fffu + (u >> 16 & 1u)) >> 16);
}
static __device__ __forceinline__ u32 dialect_pair_bf16(float low, float high)
{
    return (u32)dialect_store_bf16(low) | (u32)dialect_store_bf16(high) << 16;
}
#endif
#define LOAD_BF16(p, i) dialect_load_bf16((p)[i])
#define STORE_BF16(p, i, x) ((p)[i] = dialect_store_bf16(x))
/* The upper half of a pair is the number itself: one instruction, where a single one takes two. */
#define FETCHED_F32_TO_BF16(x) FLOAT_OF(dialect_pair_bf16(0.0f, x))
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
static __device__ __forceinline__ void dialect_load_4_f32(float *v, const float *p)
{
    float4 all = *(const float4 *)p;
    v[0] = all.x, v[1] = all.y, v[2] = all.z, v[3] = all.w;
}
static __device__ __forceinline__ void dialect_load_4(u16 *h, const u16 *p)
{
    uint2 all = *(const uint2 *)p;
    h[0] = (u16)all.x, h[1] = (u16)(all.x >> 16), h[2] = (u16)all.y, h[3] = (u16)(all.y >> 16);
}
static __device__ __forceinline__ void dialect_store_4(u16 *p, const u16 *h)
{
    *(uint2 *)p = make_uint2((u32)h[0] | (u32)h[1] << 16, (u32)h[2] | (u32)h[3] << 16);
}
static __device__ __forceinline__ void dialect_load_8_f32(float *v, const float *p)
{
    float4 low = ((const float4 *)p)[0], high = ((const float4 *)p)[1];
    v[0] = low.x, v[1] = low.y, v[2] = low.z, v[3] = low.w;
    v[4] = high.x, v[5] = high.y, v[6] = high.z, v[7] = high.w;
}
static __device__ __forceinline__ void dialect_store_8_f32(float *p, const float *v)
{
    ((float4 *)p)[0] = make_float4(v[0], v[1], v[2], v[3]);
    ((float4 *)p)[1] = make_float4(v[4], v[5], v[6], v[7]);
}
static __device__ __forceinline__ void dialect_load_8(u16 *h, const u16 *p)
{
    uint4 all = *(const uint4 *)p;
    u32 words[4] = {all.x, all.y, all.z, all.w};
    UNROLL for (int k = 0; k < 8; k++) h[k] = (u16)(words[k / 2] >> (k % 2 * 16));
}
static __device__ __forceinline__ void dialect_store_8(u16 *p, const u16 *h)
{
    u32 words[4];
    UNROLL for (int k = 0; k < 4; k++) words[k] = (u32)h[2 * k] | (u32)h[2 * k + 1] << 16;
    *(uint4 *)p = make_uint4(words[0], words[1], words[2], words[3]);
}
static __device__ __forceinline__ void dialect_store_4_bf16(u16 *p, const float *v)
{
    *(uint2 *)p = make_uint2(dialect_pair_bf16(v[0], v[1]), dialect_pair_bf16(v[2], v[3]));
}
static __device__ __forceinline__ void dialect_store_8_bf16(u16 *p, const float *v)
{
    u32 words[4];
    UNROLL for (int k = 0; k < 4; k++) words[k] = dialect_pair_bf16(v[2 * k], v[2 * k + 1]);
    *(uint4 *)p = make_uint4(words[0], words[1], words[2], words[3]);
}
#define DIALECT_LOAD(count, decode, v, p, i)                                           \
    {                                                                                  \
        u16 dialect_h[count];                                                          \
        dialect_load_##count(dialect_h, (p) + (i));                                    \
        UNROLL for (int dialect_k = 0; dialect_k < count; dialect_k++)(v)[dialect_k] = \
            decode(dialect_h[dialect_k]);                                              \
    }
#define DIALECT_STORE(count, encode, p, i, v)                                                 \
    {                                                                                         \
        u16 dialect_h[count];                                                                 \
        UNROLL for (int dialect_k = 0; dialect_k < count; dialect_k++) dialect_h[dialect_k] = \
            encode((v)[dialect_k]);                                                           \
        dialect_store_##count((p) + (i), dialect_h);                                          \
    }
#define LOAD_4_F32(v, p, i) dialect_load_4_f32(v, (p) + (i))
#define STORE_4_F32(p, i, v) (*(float4 *)((p) + (i)) = make_float4((v)[0], (v)[1], (v)[2], (v)[3]))
#define LOAD_4_F16(v, p, i) DIALECT_LOAD(4, dialect_load_f16, v, p, i)
#define STORE_4_F16(p, i, v) DIALECT_STORE(4, dialect_store_f16, p, i, v)
#define LOAD_4_BF16(v, p, i) DIALECT_LOAD(4, dialect_load_bf16, v, p, i)
#define STORE_4_BF16(p, i, v) dialect_store_4_bf16((p) + (i), v)
#define LOAD_8_F32(v, p, i) dialect_load_8_f32(v, (p) + (i))
#define STORE_8_F32(p, i, v) dialect_store_8_f32((p) + (i), v)
#define LOAD_8_F16(v, p, i) DIALECT_LOAD(8, dialect_load_f16, v, p, i)
#define STORE_8_F16(p, i, v) DIALECT_STORE(8, dialect_store_f16, p, i, v)
#define LOAD_8_BF16(v, p, i) DIALECT_LOAD(8, dialect_load_bf16, v, p, i)
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
/* Tensor cores, from compute capability 8.0 on. */
#define TENSOR_CORES
#if __CUDA_ARCH__ >= 800
#define LANE ((int)(threadIdx.x & 31u))
#define WARP ((int)(threadIdx.x >> 5))
/* As cvt.rna.tf32.f32, but that the bits which tensor cores do not read are not cleared. */
static __device__ __forceinline__ float dialect_tf32(float x)
{
    u32 bits = BITS_OF(x);
    asm("{ .reg .pred finite; setp.lt.f32 finite, %1, 0f7F800000; @finite add.u32 %0, %0, 4096; }"
        : "+r"(bits)
        : "f"(fabsf(x)));
    return FLOAT_OF(bits);
}
static __device__ __forceinline__ void dialect_mma_tf32(float *c, const float *a, const float *b)
{
    asm("{ mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, "
        "{%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3}; }"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(BITS_OF(a[0])), "r"(BITS_OF(a[1])), "r"(BITS_OF(a[2])), "r"(BITS_OF(a[3])),
          "r"(BITS_OF(b[0])), "r"(BITS_OF(b[1])));
}
static __device__ __forceinline__ float dialect_exp2(float x)
{
    float y;
    asm("{ ex2.approx.ftz.f32 %0, %1; }" : "=f"(y) : "f"(x));
    return y;
}
#define EXP2(x) dialect_exp2(x)
#define ROUND_TF32(x) dialect_tf32(x)
#define MMA_TF32(c, a, b) dialect_mma_tf32(c, a, b)
#define OF_LANE(x, lane) __shfl_sync(0xffffffffu, x, lane)
static __device__ __forceinline__ void dialect_load_2(float *v, const float *p)
{
    float2 both = *(const float2 *)p;
    v[0] = both.x, v[1] = both.y;
}
#define LOAD_2_F32(v, p, i) dialect_load_2(v, (p) + (i))
#define STORE_2_F32(p, i, v) (*(float2 *)((p) + (i)) = make_float2((v)[0], (v)[1]))
#endif
