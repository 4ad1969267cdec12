// The inner product (kernel.hpp), by AVX512-VNNI. The rest of the library runs on any processor: only what is called here
// after kernel_takes and a look at the processor's flags needs these instructions.
#ifdef HS_VNNI_KERNEL
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,f16c,fma,avx2")
#include <immintrin.h>

#include <array>
#include <cstring>
#include <utility>

#include "kernel.hpp"

namespace hs {
namespace {
enum form { plain_bytes, plain_nibbles, k4, k6 };

inline __m512i word(const uint8_t * p) {
    int32_t v;
    memcpy(&v, p, 4);
    return _mm512_set1_epi32(v);
}
inline __m512 number(const uint8_t * p) { return _mm512_castsi512_ps(word(p)); }
inline __m512 halves(const uint8_t * p) { return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *) p)); }
inline __m512 unsigned_bytes(const uint8_t * p) { return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *) p))); }
inline __m512 signed_bytes(const uint8_t * p) { return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *) p))); }

// Group g of a block's weights, 16 rows of 4.
template <form F> inline __m512i weights(const uint8_t * q, int g) {
    if constexpr (F == plain_bytes || F == k6) return _mm512_load_si512(q + 64 * g);
    const __m512i v = _mm512_load_si512(q + 64 * (g % 4));
    return _mm512_and_si512(g < 4 ? v : _mm512_srli_epi16(v, 4), _mm512_set1_epi8(15));
}

// sum += scale * token's scale * acc
inline void settle(__m512 & sum, __m512i acc, __m512 scale, __m512 token) {
    sum = _mm512_fmadd_ps(_mm512_cvtepi32_ps(acc), _mm512_mul_ps(scale, token), sum);
}

// Products of S strips, bytes apart, and a panel of N tokens. A word of the panel is loaded once for all strips.
template <form F, int S, int N> void tile(int64_t blocks, const uint8_t * q, size_t bytes, const uint8_t * p, float * dst, size_t stride) {
    constexpr int quant_bytes = F == plain_nibbles || F == k4 ? 256 : 512;
    const uint8_t * s = q + blocks * quant_bytes;
    __m512 sum[S][N], d[S], min[S];
    __m512i acc[S][N], w[S];
#define STRIPS _Pragma("GCC unroll 4") for (int i = 0; i < S; i++)
#define TOKENS _Pragma("GCC unroll 16") for (int t = 0; t < N; t++)
    STRIPS TOKENS sum[i][t] = _mm512_setzero_ps();
    for (int64_t b = 0; b < blocks; b++, q += quant_bytes, s += 32, p += 44 * N) {
        if (F == k4 && b % 8 == 0) {
            STRIPS { d[i] = halves(s + i * bytes); min[i] = halves(s + 32 + i * bytes); }
            s += 64;
        }
        if (F == k6 && b % 8 == 0) {
            STRIPS d[i] = halves(s + i * bytes);
            s += 32;
        }
        const uint8_t * scale = p + 32 * N, * aux = p + 36 * N;
        TOKENS {
            const __m512i begin = F == k4 ? _mm512_setzero_si512() : word(aux + 4 * t);
            STRIPS acc[i][t] = begin;
        }
#pragma GCC unroll 8
        for (int g = 0; g < 8; g++) {
            if (F == k6 && g == 4) {
                STRIPS w[i] = _mm512_castps_si512(_mm512_mul_ps(d[i], signed_bytes(s + i * bytes)));
                TOKENS {
                    const __m512 token = number(scale + 4 * t);
                    const __m512i begin = word(aux + 4 * (N + t));
                    STRIPS {
                        settle(sum[i][t], acc[i][t], _mm512_castsi512_ps(w[i]), token);
                        acc[i][t] = begin;
                    }
                }
            }
            STRIPS w[i] = weights<F>(q + i * bytes, g);
            TOKENS {
                const __m512i x = word(p + 4 * (g * N + t));
                STRIPS acc[i][t] = _mm512_dpbusd_epi32(acc[i][t], w[i], x);
            }
        }
        __m512 each[S];
        STRIPS each[i] = F == k4 ? _mm512_mul_ps(d[i], unsigned_bytes(s + i * bytes))
                       : F == k6 ? _mm512_mul_ps(d[i], signed_bytes(s + 16 + i * bytes)) : halves(s + i * bytes);
        TOKENS {
            const __m512 token = number(scale + 4 * t);
            STRIPS settle(sum[i][t], acc[i][t], each[i], token);
        }
        if (F == k4) {
            STRIPS each[i] = _mm512_mul_ps(min[i], unsigned_bytes(s + 16 + i * bytes));
            TOKENS {
                const __m512 token = number(aux + 4 * t);
                STRIPS sum[i][t] = _mm512_fnmadd_ps(each[i], token, sum[i][t]);
            }
        }
    }
    STRIPS TOKENS _mm512_storeu_ps(dst + t * stride + i * strip_rows, sum[i][t]);
#undef STRIPS
#undef TOKENS
}

using tile_fn = void (*)(int64_t, const uint8_t *, size_t, const uint8_t *, float *, size_t);
template <form F, int S, int... I> constexpr std::array<tile_fn, sizeof...(I)> tiles(std::integer_sequence<int, I...>) { return {tile<F, S, I + 1>...}; }
template <form F, int S> constexpr auto tiles_of = tiles<F, S>(std::make_integer_sequence<int, panel_most>());

template <form F> tile_fn pick(int strips, int n) { return strips == 2 ? tiles_of<F, 2>[n - 1] : tiles_of<F, 1>[n - 1]; }

// The quants of 32 columns of a token, 16 and 16.
struct quantised { __m512i low, high; };

inline quantised nearest(const float * x, float scale) {
    const __m512 s = _mm512_set1_ps(scale);
    return {_mm512_cvtps_epi32(_mm512_mul_ps(_mm512_loadu_ps(x), s)), _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_loadu_ps(x + 16), s))};
}

// Writes 32 columns of token t into a panel of n, with the sums that its type of weights needs.
void put(ggml_type type, quantised q, float d, int n, int t, uint8_t * panel) {
    alignas(32) uint8_t bytes[32];
    _mm_store_si128((__m128i *) bytes, _mm512_cvtepi32_epi8(q.low));
    _mm_store_si128((__m128i *) (bytes + 16), _mm512_cvtepi32_epi8(q.high));
    for (int g = 0; g < 8; g++) memcpy(panel + (g * n + t) * 4, bytes + 4 * g, 4);
    int32_t aux[2] = {0, 0};
    if (type == GGML_TYPE_Q6_K) {
        aux[0] = -32 * _mm512_reduce_add_epi32(q.low);
        aux[1] = -32 * _mm512_reduce_add_epi32(q.high);
    } else {
        const int32_t sum = _mm512_reduce_add_epi32(_mm512_add_epi32(q.low, q.high));
        const float   scaled = d * (float) sum;
        if (type == GGML_TYPE_Q4_K) memcpy(aux, &scaled, 4);
        else aux[0] = sum * (type == GGML_TYPE_Q8_0 ? -128 : type == GGML_TYPE_Q5_0 ? -16 : -8);
    }
    memcpy(panel + (8 * n + t) * 4, &d, 4);
    memcpy(panel + (9 * n + t) * 4, &aux[0], 4);
    memcpy(panel + (10 * n + t) * 4, &aux[1], 4);
}

// As ggml's q8_0: a scale per 32 columns, kept as a half float.
void pack_q8_0(ggml_type type, int64_t ne0, const float * x, int n, int t, uint8_t * panel) {
    for (int64_t b = 0; b < ne0 / block; b++, x += block, panel += 44 * n) {
        const float most = _mm512_reduce_max_ps(_mm512_max_ps(_mm512_abs_ps(_mm512_loadu_ps(x)), _mm512_abs_ps(_mm512_loadu_ps(x + 16))));
        const float d = _cvtsh_ss(_cvtss_sh(most / 127.0f, 0));
        put(type, nearest(x, most != 0 ? 127.0f / most : 0), d, n, t, panel);
    }
}

// As ggml's q8_K: a scale per 256 columns, such that the value furthest from zero becomes -127.
void pack_q8_K(ggml_type type, int64_t ne0, const float * x, int n, int t, uint8_t * panel) {
    for (int64_t k = 0; k < ne0 / 256; k++, x += 256, panel += 8 * 44 * n) {
        __m512 most = _mm512_setzero_ps();
        for (int i = 0; i < 256; i += 16) most = _mm512_max_ps(most, _mm512_abs_ps(_mm512_loadu_ps(x + i)));
        const float amax = _mm512_reduce_max_ps(most);
        float furthest = 0; // the first of them, with its sign
        for (int i = 0; i < 256 && amax > 0; i += 16) {
            const __m512 v = _mm512_loadu_ps(x + i);
            const __mmask16 m = _mm512_cmpeq_ps_mask(_mm512_abs_ps(v), _mm512_set1_ps(amax));
            if (m != 0) { furthest = x[i + __builtin_ctz(m)]; break; }
        }
        const float scale = furthest != 0 ? -127.0f / furthest : 0;
        for (int b = 0; b < 8; b++) put(type, nearest(x + b * block, scale), scale != 0 ? 1 / scale : 0, n, t, panel + b * 44 * n);
    }
}
} // namespace

void pack_token(ggml_type type, int64_t ne0, const float * x, int n, int t, uint8_t * panel) {
    if (type == GGML_TYPE_Q4_K || type == GGML_TYPE_Q6_K) pack_q8_K(type, ne0, x, n, t, panel);
    else pack_q8_0(type, ne0, x, n, t, panel);
}

void multiply(ggml_type type, int64_t ne0, const uint8_t * strip, int strips, const uint8_t * panel, int n, float * dst, size_t stride) {
    const tile_fn f = type == GGML_TYPE_Q4_0 ? pick<plain_nibbles>(strips, n) : type == GGML_TYPE_Q4_K ? pick<k4>(strips, n)
                    : type == GGML_TYPE_Q6_K ? pick<k6>(strips, n) : pick<plain_bytes>(strips, n);
    f(ne0 / block, strip, strip_bytes(type, ne0), panel, dst, stride);
}
} // namespace hs
#endif
