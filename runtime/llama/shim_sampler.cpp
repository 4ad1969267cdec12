// Choosing the next token. Greedy is an argmax over the logits where they lie;
// the candidate list (12 bytes times the vocabulary) is built only for what
// needs it.
#include "shim.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>

namespace {
constexpr float   minus_inf = -std::numeric_limits<float>::infinity();
constexpr int32_t penalty_window = 64; // tokens a repeat penalty looks back on, as in llama.cpp's tools

// The first index of the largest of n floats; -1 where none is a number above
// minus infinity, as the weights of a damaged file may give.
int32_t argmax(const float * x, int32_t n) {
    constexpr int32_t block = 1024;
    float   best = minus_inf;
    int32_t best_block = -1;
    for (int32_t b = 0; b < n; b += block) {
        const int32_t end = std::min(n, b + block);
        float m[8]; // lanes, so that the compiler can use vector registers
        for (float & v : m) v = minus_inf;
        int32_t i = b;
        for (; i + 8 <= end; i += 8) {
            for (int j = 0; j < 8; j++) m[j] = x[i + j] > m[j] ? x[i + j] : m[j];
        }
        for (; i < end; i++) m[0] = x[i] > m[0] ? x[i] : m[0];
        for (const float v : m) {
            if (v > best) { best = v; best_block = b; }
        }
    }
    if (best_block < 0) return -1;
    for (int32_t i = best_block;; i++) {
        if (x[i] == best) return i;
    }
}

// e to the power x for x <= 0, within 3e-7 of it: the library's is a call per number,
// this one goes into vector registers.
inline float exp_negative(float x) {
    const float   t = std::max(x, -87.0f) * 1.44269504f; // log2(e)
    const int32_t k = (int32_t) t;                        // towards zero
    const float   r = (t - (float) k) * 0.693147181f;     // -0.7 < r <= 0
    const float   p = 1.0f + r * (1.0f + r * (0.5f + r * (1.0f / 6 + r * (1.0f / 24 + r * (1.0f / 120 + r * (1.0f / 720 + r * (1.0f / 5040)))))));
    const int32_t bits = (k + 127) << 23;
    float scale;
    std::memcpy(&scale, &bits, sizeof(scale));
    return p * scale;
}

// The logarithm of the sum of exponentials, in one pass; not finite where no logit is a number.
double log_sum_exp(const float * x, int32_t n) {
    constexpr int32_t block = 1024;
    float  max = minus_inf;
    double sum = 0; // of exp(x - max)
    for (int32_t b = 0; b < n; b += block) {
        const int32_t end = std::min(n, b + block);
        float m[8];
        for (float & v : m) v = minus_inf;
        int32_t i = b;
        for (; i + 8 <= end; i += 8) {
            for (int j = 0; j < 8; j++) m[j] = x[i + j] > m[j] ? x[i + j] : m[j];
        }
        for (; i < end; i++) m[0] = x[i] > m[0] ? x[i] : m[0];
        float top = max;
        for (const float v : m) top = v > top ? v : top;
        if (top == minus_inf) continue;
        if (top > max) {
            sum *= std::exp((double) max - top);
            max = top;
        }
        float s[8] = {};
        for (i = b; i + 8 <= end; i += 8) {
            for (int j = 0; j < 8; j++) s[j] += exp_negative(x[i + j] - max);
        }
        for (; i < end; i++) s[0] += exp_negative(x[i] - max);
        for (const float v : s) sum += v;
    }
    return max + std::log(sum);
}

const float * logits_of(hs_context * c, int32_t i) {
    return i < 0 || (size_t) i >= c->logits.size() ? nullptr : c->logits[i];
}
} // namespace

struct hs_sampler {
    const llama_vocab * vocab = nullptr; // not owned
    llama_sampler *     chain = nullptr; // owned; null: greedy
    llama_sampler *     grammar = nullptr; // owned; null: none
    bool                ignore_eog = false;
    float               window = std::numeric_limits<float>::infinity(); // see choose
    std::vector<llama_token_data> candidates;

    ~hs_sampler() {
        llama_sampler_free(chain);
        llama_sampler_free(grammar);
    }

    bool allows(int32_t token) const {
        if (ignore_eog && llama_vocab_is_eog(vocab, token)) return false;
        if (grammar == nullptr) return true;
        llama_token_data       one = {token, 1.0f, 0.0f};
        llama_token_data_array arr = {&one, 1, -1, false};
        llama_sampler_apply(grammar, &arr);
        return one.logit != minus_inf;
    }

    // The choice of the chain among all tokens, or among those allowed. -1: none is left
    // Among all, those more than a window below the best are left out: together they
    // have a probability under 1e-5, and most of a large vocabulary is there.
    int32_t choose(const float * logits, int32_t n, int32_t top, bool constrained) {
        const float least = constrained ? minus_inf : logits[top] - window;
        candidates.clear();
        for (int32_t i = 0; i < n; i++) {
            if (!(logits[i] >= least)) continue; // nor a NaN
            const bool barred = ignore_eog && llama_vocab_is_eog(vocab, i);
            candidates.push_back({i, barred ? minus_inf : logits[i], 0.0f});
        }
        llama_token_data_array arr = {candidates.data(), candidates.size(), -1, false};
        if (constrained && grammar != nullptr) llama_sampler_apply(grammar, &arr);
        size_t best = 0;
        for (size_t i = 1; i < arr.size; i++) {
            if (arr.data[i].logit > arr.data[best].logit) best = i;
        }
        if (arr.size == 0 || arr.data[best].logit == minus_inf) return -1;
        if (chain == nullptr) return arr.data[best].id;
        if (constrained) { // the chain's own filters must not fall back on what is forbidden
            arr.size = std::partition(arr.data, arr.data + arr.size,
                                      [](const llama_token_data & d) { return d.logit > minus_inf; }) - arr.data;
        }
        llama_sampler_apply(chain, &arr);
        if (arr.selected < 0 || (size_t) arr.selected >= arr.size) return -1;
        return arr.data[arr.selected].id;
    }
};

hs_sampler * hs_sampler_new(const llama_model * m, const hs_sampler_params * p, const int32_t * prompt, int32_t n_prompt, hs_error * err) {
    return hs_guard<hs_sampler *>(err, nullptr, [&]() -> hs_sampler * {
        auto s = std::make_unique<hs_sampler>();
        s->vocab = llama_model_get_vocab(m);
        s->ignore_eog = p->ignore_eog;
        if (p->grammar != nullptr) {
            s->grammar = llama_sampler_init_grammar(s->vocab, p->grammar, "root");
            if (s->grammar == nullptr) { hs_fail(err, "the grammar does not parse as GBNF with a rule named root"); return nullptr; }
        }
        const bool penalised = p->repeat_penalty > 0 && p->repeat_penalty != 1.0f;
        if (p->temperature <= 0 && !penalised) return s.release();

        llama_sampler_chain_params cp = llama_sampler_chain_default_params();
        cp.no_perf = true;
        s->chain = llama_sampler_chain_init(cp);
        if (penalised) {
            llama_sampler_chain_add(s->chain, llama_sampler_init_penalties(
                llama_vocab_n_tokens(s->vocab), penalty_window, p->repeat_penalty, 0.0f, 0.0f));
        }
        if (p->temperature <= 0) {
            llama_sampler_chain_add(s->chain, llama_sampler_init_greedy());
        } else {
            if (p->top_k > 0)                   llama_sampler_chain_add(s->chain, llama_sampler_init_top_k(p->top_k));
            if (p->top_p > 0 && p->top_p < 1.0f) llama_sampler_chain_add(s->chain, llama_sampler_init_top_p(p->top_p, 1));
            if (p->min_p > 0)                   llama_sampler_chain_add(s->chain, llama_sampler_init_min_p(p->min_p, 1));
            llama_sampler_chain_add(s->chain, llama_sampler_init_temp(p->temperature));
            // exp(-25) times any vocabulary is nothing. A penalty may lower the best logits: no window then.
            if (!penalised) s->window = 25.0f * p->temperature;
            llama_sampler_chain_add(s->chain, llama_sampler_init_dist(p->seed));
        }
        if (penalised) { // the prompt's end counts as said before
            for (int32_t i = std::max(0, n_prompt - penalty_window); i < n_prompt; i++) llama_sampler_accept(s->chain, prompt[i]);
        }
        return s.release();
    });
}

void hs_sampler_free(hs_sampler * s) { delete s; }

int32_t hs_sample(hs_sampler * s, hs_context * c, int32_t i, double * logprob, hs_error * err) {
    return hs_guard<int32_t>(err, -1, [&]() -> int32_t {
        const float * logits = logits_of(c, i);
        if (logits == nullptr) { hs_fail(err, "no logits for this entry of the batch"); return -1; }
        const int32_t top = argmax(logits, c->n_vocab);
        if (top < 0) { hs_fail(err, "the logits are not numbers: the weights may be damaged"); return -1; }
        // As llama.cpp's own tools do: choose freely, and only where the grammar forbids the choice
        // ask it about the whole vocabulary.
        int32_t token = s->chain == nullptr ? top : s->choose(logits, c->n_vocab, top, false);
        if (token < 0 || !s->allows(token)) token = s->choose(logits, c->n_vocab, top, true);
        if (token < 0) { hs_fail(err, "the grammar allows no token here"); return -1; }
        if (logprob != nullptr) *logprob = logits[token] - log_sum_exp(logits, c->n_vocab);
        if (s->chain != nullptr) llama_sampler_accept(s->chain, token);
        if (s->grammar != nullptr) llama_sampler_accept(s->grammar, token);
        return token;
    });
}

bool hs_logprobs(hs_context * c, int32_t i, const int32_t * tokens, int32_t n, double * out, hs_error * err) {
    return hs_guard<bool>(err, false, [&] {
        const float * logits = logits_of(c, i);
        if (logits == nullptr) { hs_fail(err, "no logits for this entry of the batch"); return false; }
        const double all = log_sum_exp(logits, c->n_vocab);
        if (!std::isfinite(all)) { hs_fail(err, "the logits are not numbers: the weights may be damaged"); return false; }
        for (int32_t t = 0; t < n; t++) {
            if (tokens[t] < 0 || tokens[t] >= c->n_vocab) { hs_fail(err, "token id out of range"); return false; }
            out[t] = logits[tokens[t]] - all;
        }
        return true;
    });
}

bool hs_top2(hs_context * c, int32_t i, int32_t * ids, float * logits) {
    const float * x = logits_of(c, i);
    if (x == nullptr) return false;
    ids[0] = argmax(x, c->n_vocab);
    if (ids[0] < 0) return false;
    ids[1] = ids[0] == 0 ? 1 : 0;
    for (int32_t t = 0; t < c->n_vocab; t++) {
        if (t != ids[0] && x[t] > x[ids[1]]) ids[1] = t;
    }
    logits[0] = x[ids[0]];
    logits[1] = x[ids[1]];
    return true;
}
