// Compares the products of runtime/llama's own kernel with ggml's, on random weights and activations of every type and of
// many shapes. Prints a line per type: the largest difference of an element of the result, in units of the result's root
// mean square, for the kernel and for ggml, both against a sum in double precision of the same quantised numbers.
//
//   kernelcheck [SEED]
//
// Then the same for attention over half-float keys and values of several shapes, with windows, and for the gated GELU, whose
// values must be ggml's to the bit.
//
// Exits with 1 where this processor lacks the instructions, 2 where a difference is above 1e-5.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <vector>

#include "ggml-backend.h"
#include "ggml-cpu.h"
#include "ggml.h"
#include "traits.h"

bool hs_kernel_init(void);

namespace {
struct shape { int64_t columns, rows, tokens; };

std::vector<float> compute(ggml_backend_t cpu, ggml_backend_buffer_type_t weights, ggml_type type, shape s, const void * w, const float * x) {
    ggml_context * ctx = ggml_init({16 * ggml_tensor_overhead() + ggml_graph_overhead(), nullptr, true});
    ggml_tensor * a = ggml_new_tensor_2d(ctx, type, s.columns, s.rows);
    ggml_backend_buffer_t wb = ggml_backend_buft_alloc_buffer(weights, ggml_backend_buft_get_alloc_size(weights, a));
    ggml_backend_tensor_alloc(wb, a, ggml_backend_buffer_get_base(wb));
    ggml_backend_tensor_set(a, w, 0, ggml_nbytes(a));
    ggml_tensor * b = ggml_new_tensor_2d(ctx, GGML_TYPE_F32, s.columns, s.tokens);
    ggml_tensor * y = ggml_mul_mat(ctx, a, b);
    ggml_cgraph * g = ggml_new_graph(ctx);
    ggml_build_forward_expand(g, y);
    ggml_backend_buffer_t rest = ggml_backend_alloc_ctx_tensors(ctx, cpu);
    ggml_backend_tensor_set(b, x, 0, ggml_nbytes(b));
    if (ggml_backend_graph_compute(cpu, g) != GGML_STATUS_SUCCESS) { fprintf(stderr, "not computed\n"); exit(3); }
    std::vector<float> out(s.rows * s.tokens);
    ggml_backend_tensor_get(y, out.data(), 0, ggml_nbytes(y));
    ggml_backend_buffer_free(rest);
    ggml_backend_buffer_free(wb);
    ggml_free(ctx);
    return out;
}

std::vector<float> plain(ggml_type type, const void * data, int64_t n) {
    std::vector<float> out(n);
    ggml_get_type_traits(type)->to_float(data, out.data(), n);
    return out;
}

double worst(const std::vector<float> & got, const std::vector<double> & want) {
    double most = 0, square = 0;
    for (size_t i = 0; i < want.size(); i++) {
        square += want[i] * want[i];
        most = std::max(most, std::abs(got[i] - want[i]));
    }
    return most / std::sqrt(square / want.size());
}
// A graph of one operation over inputs that fill writes, computed by the CPU backend.
template <typename F> std::vector<float> run(ggml_backend_t cpu, F && build) {
    ggml_context * ctx = ggml_init({16 * ggml_tensor_overhead() + ggml_graph_overhead(), nullptr, true});
    std::vector<std::pair<ggml_tensor *, const void *>> inputs;
    ggml_tensor * y = build(ctx, inputs);
    ggml_cgraph * g = ggml_new_graph(ctx);
    ggml_build_forward_expand(g, y);
    ggml_backend_buffer_t b = ggml_backend_alloc_ctx_tensors(ctx, cpu);
    for (auto & [t, data] : inputs) ggml_backend_tensor_set(t, data, 0, ggml_nbytes(t));
    if (ggml_backend_graph_compute(cpu, g) != GGML_STATUS_SUCCESS) { fprintf(stderr, "not computed\n"); exit(3); }
    std::vector<float> out(ggml_nelements(y));
    ggml_backend_tensor_get(y, out.data(), 0, ggml_nbytes(y));
    ggml_backend_buffer_free(b);
    ggml_free(ctx);
    return out;
}

struct heads { int64_t width, tokens, cells, heads, groups, sequences, window; };

// Attention by the backend as it is now, and in double precision.
double attention(ggml_backend_t cpu, std::mt19937 & rng, heads s) {
    std::normal_distribution<float> normal;
    std::vector<float> q(s.width * s.tokens * s.heads * s.sequences);
    std::vector<ggml_fp16_t> k(s.width * s.cells * s.groups * s.sequences), v(k.size()), mask(s.cells * s.tokens * s.sequences);
    for (float & x : q) x = normal(rng);
    for (auto & x : k) x = ggml_fp32_to_fp16(normal(rng));
    for (auto & x : v) x = ggml_fp32_to_fp16(normal(rng));
    const auto sees = [&](int64_t sequence, int64_t t, int64_t c) {
        const int64_t last = s.cells - s.tokens + t - sequence % 3; // sequences of different lengths
        return c <= last && c > last - s.window;
    };
    for (int64_t b = 0; b < s.sequences; b++)
        for (int64_t t = 0; t < s.tokens; t++)
            for (int64_t c = 0; c < s.cells; c++) mask[(b * s.tokens + t) * s.cells + c] = ggml_fp32_to_fp16(sees(b, t, c) ? 0.0f : -INFINITY);
    const float scale = 1 / std::sqrt((float) s.width);
    std::vector<float> got = run(cpu, [&](ggml_context * ctx, auto & in) {
        ggml_tensor * Q = ggml_new_tensor_4d(ctx, GGML_TYPE_F32, s.width, s.tokens, s.heads, s.sequences);
        ggml_tensor * K = ggml_new_tensor_4d(ctx, GGML_TYPE_F16, s.width, s.cells, s.groups, s.sequences);
        ggml_tensor * V = ggml_new_tensor_4d(ctx, GGML_TYPE_F16, s.width, s.cells, s.groups, s.sequences);
        ggml_tensor * M = ggml_new_tensor_4d(ctx, GGML_TYPE_F16, s.cells, s.tokens, 1, s.sequences);
        in = {{Q, q.data()}, {K, k.data()}, {V, v.data()}, {M, mask.data()}};
        return ggml_flash_attn_ext(ctx, Q, K, V, M, scale, 0, 0);
    });
    std::vector<double> want(got.size());
    for (int64_t b = 0; b < s.sequences; b++)
        for (int64_t h = 0; h < s.heads; h++)
            for (int64_t t = 0; t < s.tokens; t++) {
                const int64_t g = h / (s.heads / s.groups);
                std::vector<double> w(s.cells);
                double most = -INFINITY, sum = 0;
                for (int64_t c = 0; c < s.cells; c++) {
                    for (int64_t d = 0; d < s.width; d++)
                        w[c] += (double) q[((b * s.heads + h) * s.tokens + t) * s.width + d] * ggml_fp16_to_fp32(k[((b * s.groups + g) * s.cells + c) * s.width + d]);
                    w[c] = sees(b, t, c) ? w[c] * scale : -INFINITY;
                    most = std::max(most, w[c]);
                }
                for (double & x : w) sum += x = std::exp(x - most);
                double * out = &want[((b * s.tokens + t) * s.heads + h) * s.width];
                for (int64_t c = 0; c < s.cells; c++)
                    for (int64_t d = 0; d < s.width; d++) out[d] += w[c] / sum * ggml_fp16_to_fp32(v[((b * s.groups + g) * s.cells + c) * s.width + d]);
            }
    return worst(got, want);
}

std::vector<float> geglu(ggml_backend_t cpu, const std::vector<float> & x, const std::vector<float> & gate, int64_t n) {
    return run(cpu, [&](ggml_context * ctx, auto & in) {
        ggml_tensor * a = ggml_new_tensor_2d(ctx, GGML_TYPE_F32, n, x.size() / n);
        ggml_tensor * b = ggml_new_tensor_2d(ctx, GGML_TYPE_F32, n, x.size() / n);
        in = {{a, x.data()}, {b, gate.data()}};
        return ggml_geglu_split(ctx, a, b);
    });
}
} // namespace

int main(int argc, char ** argv) {
    hs_kernel_init();
    ggml_backend_dev_t dev = ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU);
    auto & all = ggml_backend_cpu_get_extra_buffer_types();
    ggml_backend_buffer_type_t kernel = all.empty() ? nullptr : all[0];
    if (kernel == nullptr || std::string(ggml_backend_buft_name(kernel)) != "CPU_VNNI") { printf("no AVX512-VNNI here\n"); return 1; }
    ggml_backend_t cpu = ggml_backend_dev_init(dev, nullptr);
    ggml_backend_cpu_set_n_threads(cpu, 2);
    std::mt19937 rng(argc > 1 ? atoi(argv[1]) : 1);
    std::normal_distribution<float> normal;
    bool bad = false;
    for (ggml_type type : {GGML_TYPE_Q8_0, GGML_TYPE_Q5_0, GGML_TYPE_Q4_0, GGML_TYPE_Q4_K, GGML_TYPE_Q6_K}) {
        double ours = 0, theirs = 0;
        for (shape s : {shape{256, 16, 1}, {256, 48, 2}, {768, 80, 3}, {512, 272, 5}, {1024, 640, 7}, {2048, 160, 13}, {256, 1040, 37}, {2048, 32, 129}}) {
            std::vector<float> w(s.columns * s.rows), x(s.columns * s.tokens);
            for (float & v : w) v = normal(rng);
            for (float & v : x) v = normal(rng) * (rng() % 50 == 0 ? 30 : 1); // a few large ones, as models have them
            std::fill(x.begin(), x.begin() + 256, 0.0f);
            const ggml_type act = ggml_get_type_traits_cpu(type)->vec_dot_type;
            std::vector<uint8_t> q(ggml_row_size(type, s.columns) * s.rows), xq(ggml_row_size(act, s.columns) * s.tokens);
            ggml_quantize_chunk(type, w.data(), q.data(), 0, s.rows, s.columns, nullptr);
            ggml_get_type_traits_cpu(act)->from_float(x.data(), xq.data(), x.size());
            const std::vector<float> wf = plain(type, q.data(), w.size());
            std::vector<float> xf(x.size());
            if (act == GGML_TYPE_Q8_0) xf = plain(act, xq.data(), x.size());
            else { // q8_K has no to_float: d, then 256 bytes, then 16 sums
                for (size_t i = 0; i < x.size(); i++) {
                    const uint8_t * b = xq.data() + i / 256 * (4 + 256 + 32);
                    xf[i] = *(const float *) b * ((const int8_t *) b)[4 + i % 256];
                }
            }
            std::vector<double> want(s.rows * s.tokens);
            for (int64_t t = 0; t < s.tokens; t++) {
                for (int64_t r = 0; r < s.rows; r++) {
                    for (int64_t c = 0; c < s.columns; c++) want[t * s.rows + r] += (double) wf[r * s.columns + c] * xf[t * s.columns + c];
                }
            }
            ours   = std::max(ours, worst(compute(cpu, kernel, type, s, q.data(), x.data()), want));
            theirs = std::max(theirs, worst(compute(cpu, ggml_backend_cpu_buffer_type(), type, s, q.data(), x.data()), want));
        }
        printf("%s kernel %.2e ggml %.2e\n", ggml_type_name(type), ours, theirs);
        bad = bad || !(ours < 1e-5);
    }
    const heads shapes[] = {{256, 1, 300, 4, 1, 5, 1000}, {64, 7, 190, 8, 2, 3, 100}, {128, 70, 150, 2, 2, 1, 64}, {64, 1, 65, 3, 1, 2, 1000}};
    std::vector<float> x(3 * 1001), gate(x.size());
    for (float & v : x) v = normal(rng) * 6;
    for (float & v : gate) v = normal(rng);
    double ours = 0, theirs = 0;
    for (const heads & s : shapes) ours = std::max(ours, attention(cpu, rng, s));
    const std::vector<float> mine = geglu(cpu, x, gate, 1001);
    all.erase(all.begin()); // the kernel is no longer asked
    for (const heads & s : shapes) theirs = std::max(theirs, attention(cpu, rng, s));
    printf("attention kernel %.2e ggml %.2e\n", ours, theirs);
    const bool equal = mine == geglu(cpu, x, gate, 1001);
    printf("gated gelu %s\n", equal ? "equal" : "differs");
    return bad || !(ours < 1e-4) || !equal ? 2 : 0;
}
