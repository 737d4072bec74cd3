/* SPDX-License-Identifier: MIT */
/* Arithmetic that only device code knows, against what it is defined to be. Builds with nvcc too.
 */
#include "test_simt.h"
#include "test_simt_device.cuh"
#include <limits.h>

/* ---- arithmetic ---- */

typedef unsigned long long u64;

enum { N_FLOATS = 24 };

static __global__ void integer_functions(u64 *out, unsigned x, unsigned y)
{
    int i = 0;
    const int sx = static_cast<int>(x);
    const u64 wide = static_cast<u64>(x) << 32 | y;
    auto put = [&](u64 value) { out[i++] = value; };
    put(__popc(x));
    put(__popcll(wide));
    put(__clz(static_cast<int>(y)));
    put(__clz(0));
    put(__clzll(static_cast<long long>(y)));
    put(__ffs(sx));
    put(__ffsll(static_cast<long long>(wide)));
    put(__brev(x));
    put(__brevll(wide));
    put(__umulhi(x, y));
    put(static_cast<unsigned>(__mulhi(sx, 12345)));
    put(__umul64hi(wide, wide));
    put(static_cast<u64>(__mul64hi(static_cast<long long>(wide), 987654321)));
    put(__umul24(x, y));
    put(static_cast<unsigned>(__mul24(sx, 77)));
    put(__funnelshift_l(x, y, 37));
    put(__funnelshift_r(x, y, 13));
    put(__byte_perm(x, y, 0x7520));
    put(__byte_perm(x, y, 0x8cf3));
    put(static_cast<unsigned>(min(sx, 3)));
    put(max(x, y));
    put(static_cast<unsigned>(__float2int_rn(2.5f)));
    put(static_cast<unsigned>(__float2int_rz(-2.7f)));
    put(static_cast<unsigned>(__float2int_ru(2.1f)));
    put(static_cast<unsigned>(__float2int_rd(-2.1f)));
    put(static_cast<unsigned>(__float2int_rn(1e20f)));
    put(__float2uint_rn(-3.0f));
    put(static_cast<unsigned>(__float2int_rn(__int_as_float(0x7fc00000))));
    put(__float_as_uint(-1.5f));
    put(static_cast<u64>(__double_as_longlong(1.0)));
}

/* The last place of a product that a fused multiply-add would keep. */
static __global__ void float_functions(float *out, float x, float y)
{
    int i = 0;
    auto put = [&](float value) { out[i++] = value; };
    put(__fmul_rn(x, y));
    put(__fadd_rn(__fmul_rn(x, y), -__fmul_rn(x, y)));
    put(__fmaf_rn(x, y, -__fmul_rn(x, y)));
    put(__fadd_rn(x, 1e-9f));
    put(__fsub_rn(x, y));
    put(__fdiv_rn(x, y));
    put(__frcp_rn(x));
    put(__fsqrt_rn(x));
    put(__uint_as_float(0x40490fdb));
    put(__int_as_float(0x3f800000));
    put(static_cast<float>(__dadd_rn(x, 1e-12) - x));
    put(__saturatef(-1.0f) + __saturatef(0.25f) + __saturatef(7.0f));
    /* from here on approximate on a GPU */
    put(__expf(x));
    put(__logf(x));
    put(__log2f(x));
    put(__sinf(y));
    put(__cosf(y));
    put(__powf(x, 1.5f));
    put(__fdividef(x, y));
    put(rsqrtf(x));
    put(__frsqrt_rn(x));
    put(rcbrtf(x));
    put(sinpif(0.25f));
    put(normcdff(1.0f));
}

int test_math(void)
{
    const unsigned x = 0x9e3779b8u, y = 0x0001f35bu;
    const u64 wide = static_cast<u64>(x) << 32 | y, y_x = static_cast<u64>(y) << 32 | x;
    const int sx = static_cast<int>(x);
    const long long swide = static_cast<long long>(wide);
    const u64 low_word = 0xffffffffu;
    u64 reversed = 0, ones = 0, ones_of_x = 0;
    for (int i = 0; i < 64; i++) {
        reversed |= (wide >> i & 1) << (63 - i);
        ones += wide >> i & 1;
        ones_of_x += i < 32 ? x >> i & 1 : 0;
    }
    auto u32 = [](long long v) { return static_cast<u64>(static_cast<unsigned>(v)); };
    auto byte = [&](int i) { return y_x >> 8 * i & 0xff; };
    auto sign = [&](int i) { return byte(i) & 0x80 ? u64(0xff) : u64(0); };
    const std::vector<u64> want = {
        ones_of_x,
        ones,
        15,
        32,
        47,
        4,
        1,
        reversed & low_word, /* the upper half of wide is x */
        reversed,
        static_cast<u64>(x) * y >> 32,
        u32(static_cast<long long>(sx) * 12345 >> 32),
        static_cast<u64>(static_cast<unsigned __int128>(wide) * wide >> 64),
        static_cast<u64>(static_cast<__int128>(swide) * 987654321 >> 64),
        u32(static_cast<long long>(x & 0xffffff) * (y & 0xffffff)),
        u32(0x3779b8ll * 77),
        y_x << 5 >> 32 & low_word,
        y_x >> 13 & low_word,
        byte(7) << 24 | byte(5) << 16 | byte(2) << 8 | byte(0),
        sign(0) << 24 | sign(4) << 16 | sign(7) << 8 | byte(3),
        u32(sx),
        x,
        2,
        u32(-2),
        3,
        u32(-3),
        INT_MAX,
        0,
        0,
        0xbfc00000u,
        0x3ff0000000000000u,
    };
    Device<u64> d_int(want.size());
    must(DLF_LAUNCH(integer_functions, 1, 1, 0, 0, d_int.p, x, y), "integer_functions");
    int wrong = compare("integer function", d_int.get(), want);

    const float a = 1.2345679f, b = 3.7654321f;
    volatile float product = a * b; /* volatile: rounded to float, and nothing fused into it */
    const double exact = static_cast<double>(a) * b;
    Device<float> d_float(N_FLOATS);
    must(DLF_LAUNCH(float_functions, 1, 1, 0, 0, d_float.p, a, b), "float_functions");
    const std::vector<float> got = d_float.get();
    const double da = a, db = b;
    const std::vector<double> rounded = {product,
                                         0.0,
                                         static_cast<float>(exact - product),
                                         a,
                                         static_cast<float>(da - db),
                                         static_cast<float>(da / db),
                                         static_cast<float>(1 / da),
                                         static_cast<float>(sqrt(da)),
                                         static_cast<float>(M_PI),
                                         1.0,
                                         static_cast<float>(da + 1e-12 - da),
                                         1.25};
    const std::vector<float> exact_part(got.begin(), got.begin() + rounded.size());
    wrong += compare_floats("rounded function", exact_part, rounded, 0.0);
    const std::vector<double> approximate = {
        exp(da), log(da),      log2(da),     sin(db),      cos(db),   pow(da, 1.5),
        da / db, 1 / sqrt(da), 1 / sqrt(da), 1 / cbrt(da), sqrt(0.5), 0.5 * erfc(-sqrt(0.5))};
    const std::vector<float> other_part(got.begin() + rounded.size(), got.end());
    return wrong + compare_floats("approximate function", other_part, approximate, 2e-6);
}

/* ---- half precision ---- */

static __global__ void half_functions(float *out, float x, float y)
{
    const __half a = __float2half(x), b = __float2half(y);
    const __nv_bfloat16 c = __float2bfloat16(x), d = __float2bfloat16(y);
    int i = 0;
    auto put = [&](float value) { out[i++] = value; };
    put(__half2float(__hfma(a, b, a)));
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800
    put(__bfloat162float(__hfma(c, d, c)));
#else
    put(x * y + x);
#endif
    put(__high2float(__hfma2(__halves2half2(a, b), __halves2half2(b, b), __halves2half2(a, a))));
    put(__half2float(hexp(a)));
    put(__half2float(hsqrt(a)));
    put(__bfloat162float(hsqrt(c)));
    put(__half2float(__hadd(a, b)));
    put(__half2float(a * b));
    put(__bfloat162float(__hmax(c, d)));
    put(static_cast<float>(__half2int_rn(__float2half(2.5f))));
}

int test_half(void)
{
    const double x = 1.5, y = 2.25; /* exact in both formats, and so are their products */
    const std::vector<double> want = {x * y + x, x * y + x, y * y + x, exp(x), sqrt(x),
                                      sqrt(x),   x + y,     x * y,     y,      2};
    Device<float> d(want.size());
    must(DLF_LAUNCH(half_functions, 1, 1, 0, 0, d.p, x, y), "half_functions");
    return compare_floats("half function", d.get(), want, 1.0 / 256);
}
