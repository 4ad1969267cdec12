// Puts the kernel (kernel.hpp) under llama.cpp: a buffer type of ggml's CPU backend, which the loader prefers for the
// weights of matrix products that it takes, and which computes those products.
#ifdef HS_VNNI_KERNEL
#include "traits.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "kernel.hpp"
#include "shim.hpp"

extern "C" ggml_fp16_t ggml_table_gelu_f16[1 << 16]; // of ggml's CPU backend, filled when that begins

namespace {
ggml_backend_buffer_type_t buffer_type();

bool ours(const ggml_tensor * w) {
    return ggml_n_dims(w) == 2 && ggml_is_contiguous(w) && hs::kernel_takes(w->type, w->ne[0], w->ne[1]);
}

// n tokens in panels of nearly equal size: with sizes apart by one at most, none is so small that it wastes a pass.
struct split {
    int64_t n, panels;
    explicit split(int64_t tokens) : n(tokens), panels((tokens + hs::panel_most - 1) / hs::panel_most) {}
    int64_t first(int64_t p) const { return n / panels * p + std::min(p, n % panels); }
};

class product : public ggml::cpu::tensor_traits {
    bool work_size(int, const ggml_tensor * op, size_t & size) override {
        size = 64 + hs::panel_bytes(op->src[0]->ne[0], 1) * ggml_nrows(op->src[1]);
        return true;
    }

    bool compute_forward(ggml_compute_params * params, ggml_tensor * op) override {
        const ggml_tensor * w = op->src[0], * x = op->src[1];
        const split tokens(ggml_nrows(x));
        auto * panels = (uint8_t *) GGML_PAD((uintptr_t) params->wdata, 64);
        pack(params, w, x, tokens, panels);

        const int64_t strips = w->ne[1] / hs::strip_rows, each = std::max<int64_t>(2, std::min<int64_t>(64, strips / (params->nth * 4) & ~1));
        if (params->ith == 0) ggml_threadpool_chunk_set(params->threadpool, params->nth);
        ggml_barrier(params->threadpool);
        const size_t bytes = hs::strip_bytes(w->type, w->ne[0]), stride = op->nb[1] / sizeof(float);
        for (int64_t chunk = params->ith; chunk * each < strips; chunk = ggml_threadpool_chunk_add(params->threadpool, 1)) {
            const int64_t end = std::min(strips, (chunk + 1) * each);
            for (int64_t s = chunk * each; s < end; s += 2) {
                const uint8_t * panel = panels;
                for (int64_t p = 0; p < tokens.panels; p++) {
                    const int64_t t = tokens.first(p);
                    const int     n = (int) (tokens.first(p + 1) - t);
                    hs::multiply(w->type, w->ne[0], (const uint8_t *) w->data + s * bytes, s + 1 < end ? 2 : 1, panel, n,
                                 (float *) op->data + t * stride + s * hs::strip_rows, stride);
                    panel += hs::panel_bytes(w->ne[0], n);
                }
            }
        }
        return true;
    }

    static void pack(const ggml_compute_params * params, const ggml_tensor * w, const ggml_tensor * x, const split & tokens, uint8_t * panels) {
        for (int64_t p = params->ith; p < tokens.panels; p += params->nth) {
            const int64_t t0 = tokens.first(p);
            const int     n  = (int) (tokens.first(p + 1) - t0);
            uint8_t * panel  = panels + hs::panel_bytes(w->ne[0], 1) * t0;
            for (int i = 0; i < n; i++) {
                const int64_t t = t0 + i, i1 = t % x->ne[1], i2 = t / x->ne[1] % x->ne[2], i3 = t / x->ne[1] / x->ne[2];
                hs::pack_token(w->type, w->ne[0], (const float *) ((const char *) x->data + i1 * x->nb[1] + i2 * x->nb[2] + i3 * x->nb[3]), n, i, panel);
            }
        }
    }
};

// Operations that have no weights are asked about as well, and done here where the kernel can. Otherwise ggml does them: it has
// reserved the memory for it, as work_size says no.
class attention : public ggml::cpu::tensor_traits {
    bool work_size(int, const ggml_tensor *, size_t &) override { return false; }

    bool compute_forward(ggml_compute_params * params, ggml_tensor * op) override {
        const int64_t tiles = hs::attention_tiles(op);
        if (tiles == 0) return false;
        for (int64_t i = params->ith; i < tiles; i += params->nth) hs::attention_tile(op, i);
        return true;
    }
};

class gated_gelu : public ggml::cpu::tensor_traits {
    bool work_size(int, const ggml_tensor *, size_t &) override { return false; }

    bool compute_forward(ggml_compute_params * params, ggml_tensor * op) override {
        const ggml_tensor * x = op->src[0], * gate = op->src[1];
        if (ggml_get_glu_op(op) != GGML_GLU_OP_GEGLU || gate == nullptr || x->type != GGML_TYPE_F32 || !ggml_is_contiguous_1(x) ||
            !ggml_is_contiguous_1(gate) || !ggml_is_contiguous_1(op)) return false;
        for (int64_t i = params->ith; i < ggml_nrows(x); i += params->nth) {
            hs::gated_gelu((const float *) ((const char *) x->data + i * x->nb[1]), (const float *) ((const char *) gate->data + i * gate->nb[1]),
                           (float *) ((char *) op->data + i * op->nb[1]), x->ne[0], ggml_table_gelu_f16);
        }
        return true;
    }
};

class buffers : public ggml::cpu::extra_buffer_type {
    bool supports_op(ggml_backend_dev_t, const ggml_tensor * op) override {
        const ggml_tensor * w = op->src[0], * x = op->src[1];
        return op->op == GGML_OP_MUL_MAT && w->buffer != nullptr && w->buffer->buft == buffer_type() && ours(w) &&
               x->type == GGML_TYPE_F32 && x->nb[0] == sizeof(float) && (x->buffer == nullptr || ggml_backend_buft_is_host(x->buffer->buft));
    }
    ggml::cpu::tensor_traits * get_tensor_traits(const ggml_tensor * op) override {
        static attention attends;
        static gated_gelu gates;
        if (op->op == GGML_OP_FLASH_ATTN_EXT) return &attends;
        if (op->op == GGML_OP_GLU) return &gates;
        if (op->op != GGML_OP_MUL_MAT || op->src[0]->buffer == nullptr || op->src[0]->buffer->buft != buffer_type()) return nullptr;
        return (ggml::cpu::tensor_traits *) op->src[0]->extra;
    }
};

size_t packed_bytes(const ggml_tensor * w) {
    return ours(w) ? w->ne[1] / hs::strip_rows * hs::strip_bytes(w->type, w->ne[0]) : ggml_nbytes(w);
}

ggml_status init_tensor(ggml_backend_buffer_t, ggml_tensor * w) {
    static product one;
    w->extra = ours(w) ? &one : nullptr;
    return GGML_STATUS_SUCCESS;
}

void set_tensor(ggml_backend_buffer_t, ggml_tensor * w, const void * data, size_t offset, size_t size) {
    GGML_ASSERT(ours(w) && offset == 0 && size == ggml_nbytes(w));
    const size_t bytes = hs::strip_bytes(w->type, w->ne[0]);
    for (int64_t s = 0; s < w->ne[1] / hs::strip_rows; s++) {
        hs::pack_strip(w->type, w->ne[0], (const char *) data + s * hs::strip_rows * w->nb[1], w->nb[1], (uint8_t *) w->data + s * bytes);
    }
}

ggml_backend_buffer_t alloc_buffer(ggml_backend_buffer_type_t type, size_t size) {
    ggml_backend_buffer_t b = ggml_backend_buft_alloc_buffer(ggml_backend_cpu_buffer_type(), size);
    if (b == nullptr) return nullptr;
    b->buft = type;
    b->iface.init_tensor = init_tensor;
    b->iface.set_tensor  = set_tensor;
    b->iface.get_tensor  = nullptr;
    b->iface.cpy_tensor  = nullptr;
    return b;
}

ggml_backend_buffer_type_t buffer_type() {
    static ggml_backend_buffer_type type = {
        {
            [](ggml_backend_buffer_type_t) { return "CPU_VNNI"; },
            alloc_buffer,
            [](ggml_backend_buffer_type_t) -> size_t { return 64; },
            nullptr,
            [](ggml_backend_buffer_type_t, const ggml_tensor * w) { return packed_bytes(w); },
            nullptr,
        },
        ggml_backend_reg_dev_get(ggml_backend_cpu_reg(), 0),
        new buffers(),
    };
    return &type;
}
} // namespace

// HYPRSTREAM_CPU_KERNEL=ggml leaves all products to llama.cpp's own kernels.
bool hs_kernel_init(void) {
    const char * asked = getenv("HYPRSTREAM_CPU_KERNEL");
    if (asked != nullptr && strcmp(asked, "ggml") == 0) return false;
    if (!__builtin_cpu_supports("avx512vnni") || !__builtin_cpu_supports("avx512bw") || !__builtin_cpu_supports("avx512vl") ||
        !__builtin_cpu_supports("avx512dq")) return false;
    auto & types = ggml_backend_cpu_get_extra_buffer_types(); // asked in order
    types.insert(types.begin(), buffer_type());
    return true;
}
#endif
