// Kernels for processors with AVX512-VNNI. First of all matrix products of quantised weights with a batch of activations, what
// most of a decode's time goes to; then attention and the gated GELU (docs/decisions/0014-vnni-kernel.md). Weights are repacked at load into strips of 16 rows, so that one instruction multiplies 64 of
// them; the integers are those of ggml's own kernels, only the order of float additions differs.
#pragma once

#include <cstddef>
#include <cstdint>

#include "ggml.h"

namespace hs {

constexpr int strip_rows = 16; // rows of weights that are multiplied side by side
constexpr int block = 32;      // weights of one row that share a scale
constexpr int panel_most = 6;  // tokens that are multiplied side by side: what the registers hold

// kernel_takes says whether weights of this type and shape (ne0 per row, ne1 rows) can be packed.
bool kernel_takes(ggml_type type, int64_t ne0, int64_t ne1);

// strip_bytes is what one strip of 16 rows takes when packed, a multiple of 64.
size_t strip_bytes(ggml_type type, int64_t ne0);

// pack_strip repacks 16 rows that lie row_bytes apart into out, which is aligned to 64 bytes.
void pack_strip(ggml_type type, int64_t ne0, const void * rows, size_t row_bytes, uint8_t * out);

// panel_bytes is what n tokens (at most panel_most) take as a panel.
size_t panel_bytes(int64_t ne0, int n);

// pack_token writes a token's ne0 activations as the t-th of a panel of n, quantised to 8 bits as ggml does it for this type
// of weights (q8_0 or q8_K).
void pack_token(ggml_type type, int64_t ne0, const float * x, int n, int t, uint8_t * panel);

// multiply computes one or two strips times one panel of n tokens: dst[t * stride + row].
void multiply(ggml_type type, int64_t ne0, const uint8_t * strip, int strips, const uint8_t * panel, int n, float * dst, size_t stride);

// attention_tiles is into how many independent parts the kernel divides an attention (GGML_OP_FLASH_ATTN_EXT); 0 where it does
// not take it: other types than half floats for keys and values, sinks, ALiBi, a soft cap.
int64_t attention_tiles(const ggml_tensor * op);

// attention_tile computes part i.
void attention_tile(const ggml_tensor * op, int64_t i);

// gated_gelu is y = gelu(x) * gate for n numbers, by ggml's own table of half floats.
void gated_gelu(const float * x, const float * gate, float * y, int64_t n, const uint16_t * table);

} // namespace hs
