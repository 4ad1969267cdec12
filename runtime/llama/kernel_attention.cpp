// Attention over keys and values kept as half floats, by AVX512. Rows that read the same keys (the heads of a group, then the
// next token's) are computed four at a time, so that each key and value is widened once for four; sums are 32-bit floats,
// where ggml's own path for less than 64 tokens keeps them as half floats and takes one row after the other.
#ifdef HS_VNNI_KERNEL
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq,f16c,fma,avx2")
#include <immintrin.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "ggml.h"
#include "kernel.hpp"

namespace hs {
namespace {
constexpr int   rows_most = 4, cells_most = 64, width_most = 512;
constexpr float minus_inf = -std::numeric_limits<float>::infinity();
constexpr uint16_t half_minus_inf = 0xFC00;

inline __m512 widen(const char * p) { return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *) p)); }

// e^x for x up to 0, to about 1e-7; 0 below -87.
inline __m512 exponential(__m512 x) {
    const __mmask16 some = _mm512_cmp_ps_mask(x, _mm512_set1_ps(-87.0f), _CMP_GE_OQ);
    const __m512 n = _mm512_roundscale_ps(_mm512_mul_ps(x, _mm512_set1_ps(1.44269504f)), 0);
    __m512 r = _mm512_fnmadd_ps(n, _mm512_set1_ps(0.693359375f), x);
    r = _mm512_fnmadd_ps(n, _mm512_set1_ps(-2.12194440e-4f), r);
    __m512 p = _mm512_set1_ps(1.0f / 720);
    for (const float c : {1.0f / 120, 1.0f / 24, 1.0f / 6, 0.5f, 1.0f, 1.0f}) p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(c));
    return _mm512_maskz_scalef_ps(some, p, n);
}

// Four sums from four vectors.
inline __m128 sums(__m512 a, __m512 b, __m512 c, __m512 d) {
    const __m512 ab = _mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
    const __m512 cd = _mm512_add_ps(_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d));
    const __m512d x = _mm512_castps_pd(ab), y = _mm512_castps_pd(cd);
    const __m512 v = _mm512_add_ps(_mm512_castpd_ps(_mm512_unpacklo_pd(x, y)), _mm512_castpd_ps(_mm512_unpackhi_pd(x, y)));
    const __m256 h = _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
    return _mm_add_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1));
}

// What one tile works on: up to four rows over the cells of one sequence and one group of heads.
struct tile_of_rows {
    int          n;                // rows
    const float * q[rows_most];
    const uint16_t * mask[rows_most]; // null: none
    float *      out[rows_most];
    const char * k, * v;           // of cell 0
    size_t       k_step, v_step;   // bytes between cells
    int64_t      cells;
    int          dk, dv;
    float        scale;

    alignas(64) float score[rows_most][cells_most];
    alignas(64) float sum[rows_most][width_most];
    float most[rows_most], total[rows_most];
};

template <int R> void score_cells(tile_of_rows & t, const int32_t * cell, int n) {
    for (int c = 0; c < n; c += 4) {
        const char * k[4];
        for (int i = 0; i < 4; i++) k[i] = t.k + cell[std::min(c + i, n - 1)] * t.k_step;
        __m512 acc[R][4];
#pragma GCC unroll 4
        for (int r = 0; r < R; r++) for (int i = 0; i < 4; i++) acc[r][i] = _mm512_setzero_ps();
        for (int d = 0; d < t.dk; d += 16) {
            __m512 key[4];
#pragma GCC unroll 4
            for (int i = 0; i < 4; i++) key[i] = widen(k[i] + 2 * d);
#pragma GCC unroll 4
            for (int r = 0; r < R; r++) {
                const __m512 q = _mm512_loadu_ps(t.q[r] + d);
#pragma GCC unroll 4
                for (int i = 0; i < 4; i++) acc[r][i] = _mm512_fmadd_ps(q, key[i], acc[r][i]);
            }
        }
#pragma GCC unroll 4
        for (int r = 0; r < R; r++) _mm_store_ps(&t.score[r][c], sums(acc[r][0], acc[r][1], acc[r][2], acc[r][3]));
    }
    for (int r = 0; r < R; r++) {
        for (int c = 0; c < n; c++) {
            const float m = t.mask[r] == nullptr ? 0.0f : _cvtsh_ss(t.mask[r][cell[c]]);
            t.score[r][c] = t.score[r][c] * t.scale + m;
        }
        for (int c = n; c < cells_most; c++) t.score[r][c] = minus_inf;
    }
}

// Turns the scores of a row into weights, and gives what the sums so far are to be multiplied by.
float weigh(tile_of_rows & t, int r) {
    __m512 most = _mm512_set1_ps(t.most[r]);
    for (int c = 0; c < cells_most; c += 16) most = _mm512_max_ps(most, _mm512_load_ps(&t.score[r][c]));
    const float m = _mm512_reduce_max_ps(most);
    if (m == minus_inf) { // this row sees none of the cells
        memset(t.score[r], 0, sizeof(t.score[r]));
        return 1;
    }
    const float keep = t.most[r] == minus_inf ? 0.0f : std::exp(t.most[r] - m);
    __m512 total = _mm512_setzero_ps();
    for (int c = 0; c < cells_most; c += 16) {
        const __m512 e = exponential(_mm512_sub_ps(_mm512_load_ps(&t.score[r][c]), _mm512_set1_ps(m)));
        _mm512_store_ps(&t.score[r][c], e);
        total = _mm512_add_ps(total, e);
    }
    t.total[r] = t.total[r] * keep + _mm512_reduce_add_ps(total);
    t.most[r] = m;
    return keep;
}

template <int R> void add_values(tile_of_rows & t, const int32_t * cell, int n, const float * keep) {
    for (int d = 0; d < t.dv; d += 64) {
        __m512 acc[R][4];
#pragma GCC unroll 4
        for (int r = 0; r < R; r++) {
#pragma GCC unroll 4
            for (int i = 0; i < 4; i++) acc[r][i] = _mm512_mul_ps(_mm512_load_ps(&t.sum[r][d + 16 * i]), _mm512_set1_ps(keep[r]));
        }
        for (int c = 0; c < n; c++) {
            const char * v = t.v + cell[c] * t.v_step + 2 * d;
            __m512 value[4];
#pragma GCC unroll 4
            for (int i = 0; i < 4; i++) value[i] = widen(v + 32 * i);
#pragma GCC unroll 4
            for (int r = 0; r < R; r++) {
                const __m512 w = _mm512_set1_ps(t.score[r][c]);
#pragma GCC unroll 4
                for (int i = 0; i < 4; i++) acc[r][i] = _mm512_fmadd_ps(w, value[i], acc[r][i]);
            }
        }
#pragma GCC unroll 4
        for (int r = 0; r < R; r++) {
#pragma GCC unroll 4
            for (int i = 0; i < 4; i++) _mm512_store_ps(&t.sum[r][d + 16 * i], acc[r][i]);
        }
    }
}

// The cells among the next 64, from at on, that some row sees. Where blocks begin must not depend on the other rows: a row's
// sums are scaled anew with each.
template <int R> int seen(const tile_of_rows & t, int64_t & at, int32_t * cell) {
    int n = 0;
    for (const int64_t end = std::min(t.cells, at + cells_most); at < end; at++) {
        bool some = t.mask[0] == nullptr;
        for (int r = 0; r < R && !some; r++) some = t.mask[r][at] != half_minus_inf;
        if (some) cell[n++] = (int32_t) at;
    }
    return n;
}

template <int R> void attend(tile_of_rows & t) {
    for (int r = 0; r < R; r++) {
        memset(t.sum[r], 0, t.dv * sizeof(float));
        t.most[r] = minus_inf, t.total[r] = 0;
    }
    int32_t cell[cells_most];
    for (int64_t at = 0; at < t.cells;) {
        const int n = seen<R>(t, at, cell);
        if (n == 0) continue;
        float keep[R];
        score_cells<R>(t, cell, n);
        for (int r = 0; r < R; r++) keep[r] = weigh(t, r);
        add_values<R>(t, cell, n, keep);
    }
    for (int r = 0; r < R; r++) {
        const __m512 by = _mm512_set1_ps(t.total[r] == 0 ? 0.0f : 1 / t.total[r]);
        for (int d = 0; d < t.dv; d += 16) _mm512_storeu_ps(t.out[r] + d, _mm512_mul_ps(_mm512_load_ps(&t.sum[r][d]), by));
    }
}
} // namespace

int64_t attention_tiles(const ggml_tensor * op) {
    const ggml_tensor * q = op->src[0], * k = op->src[1], * v = op->src[2], * mask = op->src[3];
    float bias, softcap;
    memcpy(&bias, (const float *) op->op_params + 1, sizeof(float));
    memcpy(&softcap, (const float *) op->op_params + 2, sizeof(float));
    const bool known = q->type == GGML_TYPE_F32 && k->type == GGML_TYPE_F16 && v->type == GGML_TYPE_F16 && op->src[4] == nullptr &&
                       (mask == nullptr || (mask->type == GGML_TYPE_F16 && mask->ne[2] == 1)) && bias == 0 && softcap == 0;
    const bool fits = q->ne[0] % 16 == 0 && v->ne[0] % 64 == 0 && q->ne[0] <= width_most && v->ne[0] <= width_most &&
                      q->nb[0] == 4 && k->nb[0] == 2 && v->nb[0] == 2 && k->ne[2] == v->ne[2] && q->ne[2] % k->ne[2] == 0 &&
                      q->ne[3] == k->ne[3] && k->ne[3] == v->ne[3];
    if (!known || !fits) return 0;
    return q->ne[3] * k->ne[2] * ((q->ne[1] * (q->ne[2] / k->ne[2]) + rows_most - 1) / rows_most);
}

void attention_tile(const ggml_tensor * op, int64_t i) {
    const ggml_tensor * q = op->src[0], * k = op->src[1], * v = op->src[2], * mask = op->src[3];
    const int64_t group = q->ne[2] / k->ne[2], rows = q->ne[1] * group, tiles = (rows + rows_most - 1) / rows_most;
    const int64_t first = i % tiles * rows_most, head = i / tiles % k->ne[2], sequence = i / tiles / k->ne[2];
    tile_of_rows t;
    t.n = (int) std::min<int64_t>(rows_most, rows - first);
    t.k = (const char *) k->data + head * k->nb[2] + sequence * k->nb[3];
    t.v = (const char *) v->data + head * v->nb[2] + sequence * v->nb[3];
    t.k_step = k->nb[1], t.v_step = v->nb[1], t.cells = k->ne[1];
    t.dk = (int) q->ne[0], t.dv = (int) v->ne[0];
    memcpy(&t.scale, op->op_params, sizeof(float));
    for (int r = 0; r < t.n; r++) {
        const int64_t token = (first + r) / group, h = head * group + (first + r) % group;
        t.q[r] = (const float *) ((const char *) q->data + token * q->nb[1] + h * q->nb[2] + sequence * q->nb[3]);
        t.mask[r] = mask == nullptr ? nullptr
            : (const uint16_t *) ((const char *) mask->data + token * mask->nb[1] + sequence % mask->ne[3] * mask->nb[3]);
        t.out[r] = (float *) ((char *) op->data + (sequence * op->ne[2] * op->ne[1] + token * op->ne[1] + h) * op->nb[1]);
    }
    switch (t.n) {
        case 1: attend<1>(t); break;
        case 2: attend<2>(t); break;
        case 3: attend<3>(t); break;
        default: attend<4>(t);
    }
}

void gated_gelu(const float * x, const float * gate, float * y, int64_t n, const uint16_t * table) {
    int64_t i = 0;
    for (; i < n; i += 16) {
        const __mmask16 m = n - i >= 16 ? 0xFFFF : (__mmask16) ((1u << (n - i)) - 1);
        const __m512  v = _mm512_maskz_loadu_ps(m, x + i);
        // Pairs of the table's half floats are read, so that nothing behind it is.
        const __m512i at = _mm512_cvtepu16_epi32(_mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT));
        const __m512i pair = _mm512_i32gather_epi32(_mm512_srli_epi32(at, 1), (const int *) table, 4);
        const __m512i one = _mm512_srlv_epi32(pair, _mm512_slli_epi32(_mm512_and_si512(at, _mm512_set1_epi32(1)), 4));
        __m512 r = _mm512_cvtph_ps(_mm512_cvtepi32_epi16(one));
        r = _mm512_mask_mov_ps(r, _mm512_cmp_ps_mask(v, _mm512_set1_ps(-10.0f), _CMP_LE_OQ), _mm512_setzero_ps());
        r = _mm512_mask_mov_ps(r, _mm512_cmp_ps_mask(v, _mm512_set1_ps(10.0f), _CMP_GE_OQ), v);
        _mm512_mask_storeu_ps(y + i, m, _mm512_mul_ps(r, _mm512_maskz_loadu_ps(m, gate + i)));
    }
}
} // namespace hs
#endif
