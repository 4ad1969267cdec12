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
#include <vector>

#include "ggml.h"
#include "kernel.hpp"

namespace hs {
namespace {
constexpr int   rows_most = 4;
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
    int          n;                   // rows
    const float * q[rows_most];
    const uint16_t * mask[rows_most]; // null: none
    float *      out[rows_most];
    const char * k, * v;              // of cell 0
    size_t       k_step, v_step;      // bytes between cells
    int64_t      cells;
    int          dk, dv;
    float        scale;
};

// What a tile computes: the cells that some row sees, and each row's scores, then weights, of them. Kept by the thread.
struct weights_of_rows {
    std::vector<int32_t> cell;
    std::vector<float>   of[rows_most]; // padded to 16
};

template <int R> void find_cells(const tile_of_rows & t, weights_of_rows & w) {
    w.cell.clear();
    for (int64_t at = 0; at < t.cells; at++) {
        bool some = t.mask[0] == nullptr;
        for (int r = 0; r < R && !some; r++) some = t.mask[r][at] != half_minus_inf;
        if (some) w.cell.push_back((int32_t) at);
    }
    for (int r = 0; r < R; r++) w.of[r].resize((w.cell.size() + 15) / 16 * 16);
}

template <int R> void score_cells(const tile_of_rows & t, weights_of_rows & w) {
    const int n = (int) w.cell.size();
    for (int c = 0; c < n; c += 4) {
        const char * k[4];
        for (int i = 0; i < 4; i++) k[i] = t.k + w.cell[std::min(c + i, n - 1)] * t.k_step;
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
        for (int r = 0; r < R; r++) _mm_storeu_ps(&w.of[r][c], sums(acc[r][0], acc[r][1], acc[r][2], acc[r][3]));
    }
    for (int r = 0; r < R; r++) {
        for (int c = 0; c < n; c++) w.of[r][c] = w.of[r][c] * t.scale + (t.mask[r] == nullptr ? 0.0f : _cvtsh_ss(t.mask[r][w.cell[c]]));
        for (size_t c = n; c < w.of[r].size(); c++) w.of[r][c] = minus_inf;
    }
}

// Turns a row's scores into weights. Their sum is taken one after the other: cells that only other rows see add nothing, so a
// row's weights are the same whatever the rows beside it see and wherever its cells lie, as long as their order is the same.
void weigh(std::vector<float> & of) {
    __m512 most = _mm512_set1_ps(minus_inf);
    for (size_t c = 0; c < of.size(); c += 16) most = _mm512_max_ps(most, _mm512_loadu_ps(&of[c]));
    const float m = _mm512_reduce_max_ps(most);
    double total = 0;
    for (size_t c = 0; c < of.size(); c += 16) {
        const __m512 e = m == minus_inf ? _mm512_setzero_ps() : exponential(_mm512_sub_ps(_mm512_loadu_ps(&of[c]), _mm512_set1_ps(m)));
        _mm512_storeu_ps(&of[c], e);
        for (int i = 0; i < 16; i++) total += of[c + i];
    }
    const __m512 by = _mm512_set1_ps(total == 0 ? 0.0f : (float) (1 / total));
    for (size_t c = 0; c < of.size(); c += 16) _mm512_storeu_ps(&of[c], _mm512_mul_ps(_mm512_loadu_ps(&of[c]), by));
}

template <int R> void add_values(const tile_of_rows & t, const weights_of_rows & w) {
    for (int d = 0; d < t.dv; d += 64) {
        __m512 acc[R][4];
#pragma GCC unroll 4
        for (int r = 0; r < R; r++) for (int i = 0; i < 4; i++) acc[r][i] = _mm512_setzero_ps();
        for (size_t c = 0; c < w.cell.size(); c++) {
            const char * v = t.v + w.cell[c] * t.v_step + 2 * d;
            __m512 value[4];
#pragma GCC unroll 4
            for (int i = 0; i < 4; i++) value[i] = widen(v + 32 * i);
#pragma GCC unroll 4
            for (int r = 0; r < R; r++) {
                const __m512 weight = _mm512_set1_ps(w.of[r][c]);
#pragma GCC unroll 4
                for (int i = 0; i < 4; i++) acc[r][i] = _mm512_fmadd_ps(weight, value[i], acc[r][i]);
            }
        }
#pragma GCC unroll 4
        for (int r = 0; r < R; r++) for (int i = 0; i < 4; i++) _mm512_storeu_ps(t.out[r] + d + 16 * i, acc[r][i]);
    }
}

template <int R> void attend(const tile_of_rows & t) {
    thread_local weights_of_rows w;
    find_cells<R>(t, w);
    score_cells<R>(t, w);
    for (int r = 0; r < R; r++) weigh(w.of[r]);
    add_values<R>(t, w);
}
} // namespace

int64_t attention_tiles(const ggml_tensor * op) {
    const ggml_tensor * q = op->src[0], * k = op->src[1], * v = op->src[2], * mask = op->src[3];
    float bias, softcap;
    memcpy(&bias, (const float *) op->op_params + 1, sizeof(float));
    memcpy(&softcap, (const float *) op->op_params + 2, sizeof(float));
    const bool known = q->type == GGML_TYPE_F32 && k->type == GGML_TYPE_F16 && v->type == GGML_TYPE_F16 && op->src[4] == nullptr &&
                       (mask == nullptr || (mask->type == GGML_TYPE_F16 && mask->ne[2] == 1)) && bias == 0 && softcap == 0;
    const bool fits = q->ne[0] % 16 == 0 && v->ne[0] % 64 == 0 &&
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
