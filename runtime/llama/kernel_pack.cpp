// The packed form of weights and activations (kernel.hpp).
//
// A strip holds 16 rows. Its quants come first, per block of 32 columns 8 groups of 4 columns: 16 rows of 4 bytes, 64 bytes
// a group; where a weight has 4 bits, groups j and j+4 share the bytes. The scales follow, per block.
//   q8_0, q5_0, q4_0  a half float per row
//   q4_K              per block a byte of scale and a byte of minimum per row; per 256 columns two half floats per row before them
//   q6_K              per block two signed bytes per row (16 columns each); per 256 columns a half float per row before them
// A panel of n tokens has per block: 8 groups of n times 4 bytes, then n scales, then n and n words of sums.
#ifdef HS_VNNI_KERNEL
#define GGML_COMMON_DECL_CPP
#include "ggml-common.h"

#include <cstring>

#include "kernel.hpp"

namespace hs {
namespace {
constexpr int super = QK_K; // columns of a k-quant's block

bool nibbles(ggml_type t) { return t == GGML_TYPE_Q4_0 || t == GGML_TYPE_Q4_K; }
bool is_k(ggml_type t) { return t == GGML_TYPE_Q4_K || t == GGML_TYPE_Q6_K; }

// Quants of 32 columns, from 0 up, as kernels multiply them.
void quants(ggml_type type, const uint8_t * row, int64_t b, uint8_t * q) {
    switch (type) {
        case GGML_TYPE_Q8_0: {
            const auto & x = ((const block_q8_0 *) row)[b];
            for (int i = 0; i < 32; i++) q[i] = (uint8_t) (x.qs[i] + 128);
        } break;
        case GGML_TYPE_Q5_0: {
            const auto & x = ((const block_q5_0 *) row)[b];
            uint32_t high;
            memcpy(&high, x.qh, 4);
            for (int i = 0; i < 16; i++) {
                q[i]      = (x.qs[i] & 15) | ((high >> i & 1) << 4);
                q[i + 16] = (x.qs[i] >> 4) | ((high >> (i + 16) & 1) << 4);
            }
        } break;
        case GGML_TYPE_Q4_0: {
            const auto & x = ((const block_q4_0 *) row)[b];
            for (int i = 0; i < 16; i++) { q[i] = x.qs[i] & 15; q[i + 16] = x.qs[i] >> 4; }
        } break;
        case GGML_TYPE_Q4_K: {
            const uint8_t * x = ((const block_q4_K *) row)[b / 8].qs + b % 8 / 2 * 32;
            for (int i = 0; i < 32; i++) q[i] = b % 2 == 0 ? x[i] & 15 : x[i] >> 4;
        } break;
        default: { // q6_K: 128 columns share 64 bytes of low and 32 of high bits
            const auto & x = ((const block_q6_K *) row)[b / 8];
            const int half = b % 8 / 4, part = b % 4;
            const uint8_t * low = x.ql + 64 * half + 32 * (part % 2), * high = x.qh + 32 * half;
            for (int i = 0; i < 32; i++) q[i] = (low[i] >> (part / 2 * 4) & 15) | ((high[i] >> (2 * part) & 3) << 4);
        }
    }
}

// The 6-bit scale and minimum of a q4_K block's part i.
void scale_min(int i, const uint8_t * s, uint8_t * scale, uint8_t * min) {
    if (i < 4) {
        *scale = s[i] & 63;
        *min   = s[i + 4] & 63;
    } else {
        *scale = (s[i + 4] & 15) | (s[i - 4] >> 6 << 4);
        *min   = (s[i + 4] >> 4) | (s[i] >> 6 << 4);
    }
}

size_t quant_bytes(ggml_type type) { return nibbles(type) ? 256 : 512; } // of a block of a strip

void scales(ggml_type type, const uint8_t * row, int64_t b, int r, uint8_t * out) {
    uint16_t d = 0, min = 0;
    uint8_t * part = out + b * 32;
    if (is_k(type)) part += (b / 8 + 1) * (type == GGML_TYPE_Q4_K ? 64 : 32);
    uint8_t * head = part - b % 8 * 32 - (type == GGML_TYPE_Q4_K ? 64 : 32);
    switch (type) {
        case GGML_TYPE_Q8_0: d = ((const block_q8_0 *) row)[b].d; break;
        case GGML_TYPE_Q5_0: d = ((const block_q5_0 *) row)[b].d; break;
        case GGML_TYPE_Q4_0: d = ((const block_q4_0 *) row)[b].d; break;
        case GGML_TYPE_Q4_K: {
            const auto & x = ((const block_q4_K *) row)[b / 8];
            d = x.data.data.d, min = x.data.data.dmin;
            scale_min(b % 8, x.scales, part + r, part + 16 + r);
            memcpy(head + 32 + 2 * r, &min, 2);
        } break;
        default: {
            const auto & x = ((const block_q6_K *) row)[b / 8];
            d = x.d;
            part[r]      = (uint8_t) x.scales[b % 8 * 2];
            part[16 + r] = (uint8_t) x.scales[b % 8 * 2 + 1];
        }
    }
    memcpy((is_k(type) ? head : part) + 2 * r, &d, 2);
}
} // namespace

bool kernel_takes(ggml_type type, int64_t ne0, int64_t ne1) {
    switch (type) {
        case GGML_TYPE_Q8_0: case GGML_TYPE_Q5_0: case GGML_TYPE_Q4_0: return ne0 % block == 0 && ne1 % strip_rows == 0;
        case GGML_TYPE_Q4_K: case GGML_TYPE_Q6_K: return ne0 % super == 0 && ne1 % strip_rows == 0;
        default: return false;
    }
}

size_t strip_bytes(ggml_type type, int64_t ne0) {
    const size_t blocks = ne0 / block;
    const size_t head = type == GGML_TYPE_Q4_K ? 64 : type == GGML_TYPE_Q6_K ? 32 : 0;
    return (blocks * (quant_bytes(type) + 32) + blocks / 8 * head + 63) / 64 * 64;
}

void pack_strip(ggml_type type, int64_t ne0, const void * rows, size_t row_bytes, uint8_t * out) {
    const int64_t blocks = ne0 / block;
    const size_t  qb = quant_bytes(type);
    memset(out, 0, strip_bytes(type, ne0));
    for (int r = 0; r < strip_rows; r++) {
        const uint8_t * row = (const uint8_t *) rows + r * row_bytes;
        for (int64_t b = 0; b < blocks; b++) {
            uint8_t q[block];
            quants(type, row, b, q);
            for (int c = 0; c < block; c++) {
                const int group = c / 4;
                if (nibbles(type)) out[b * qb + group % 4 * 64 + r * 4 + c % 4] |= q[c] << (group / 4 * 4);
                else out[b * qb + group * 64 + r * 4 + c % 4] = q[c];
            }
            scales(type, row, b, r, out + blocks * qb);
        }
    }
}

size_t panel_bytes(int64_t ne0, int n) { return ne0 / block * n * 44; }

} // namespace hs
#endif
