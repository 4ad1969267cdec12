// Context, batch and cache. What llama.cpp would abort on is refused here.
#include "shim.hpp"

#include <algorithm>
#include <cstdlib>
#include <cstring>

namespace {
// The CPU backend may be a library loaded at run time: ask it for its functions.
template <typename F> F cpu_proc(const char * name) {
    ggml_backend_dev_t dev = ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU);
    if (dev == nullptr) return nullptr;
    return (F) ggml_backend_reg_get_proc_address(ggml_backend_dev_backend_reg(dev), name);
}
} // namespace

hs_context * hs_context_make(llama_model * m, const llama_context_params & p) {
    llama_context * ctx = llama_init_from_model(m, p);
    if (ctx == nullptr) return nullptr;

    auto * c = new hs_context;
    c->model   = m;
    c->ctx     = ctx;
    c->n_batch = (int32_t) llama_n_batch(ctx);
    c->n_seq   = (int32_t) p.n_seq_max;
    c->n_vocab = llama_vocab_n_tokens(llama_model_get_vocab(m));
    c->batch   = llama_batch_init(c->n_batch, 0, 1);

    auto pool_new = cpu_proc<ggml_threadpool_t (*)(ggml_threadpool_params *)>("ggml_threadpool_new");
    if (pool_new != nullptr) {
        ggml_threadpool_params tp = ggml_threadpool_params_default(p.n_threads);
        tp.poll = 0; // a thread that spins while it waits takes the core from DuckDB and from its peers
        c->pool = pool_new(&tp);
        if (c->pool != nullptr) llama_attach_threadpool(ctx, c->pool, c->pool);
    }
    return c;
}

hs_context * hs_context_new(llama_model * m, uint32_t n_ctx, uint32_t n_seq, uint32_t n_batch, int32_t threads, hs_error * err) {
    return hs_guard<hs_context *>(err, nullptr, [&]() -> hs_context * {
        llama_context_params p = llama_context_default_params();
        p.n_ctx           = n_ctx;
        p.n_batch         = n_batch;
        p.n_ubatch        = n_batch;
        p.n_seq_max       = n_seq;
        p.n_outputs_max   = n_seq;  // one per sequence on average: a vocabulary of logits per row is dear
        p.n_threads       = threads;
        p.n_threads_batch = threads;
        p.flash_attn_type = LLAMA_FLASH_ATTN_TYPE_AUTO;
        p.kv_unified      = false;  // one stream per sequence
        p.swa_full        = false;
        p.no_perf         = true;
        return hs_context_make(m, p);
    });
}

void hs_context_free(hs_context * c) {
    if (c == nullptr) return;
    llama_free(c->ctx);
    llama_batch_free(c->batch);
    auto pool_free = cpu_proc<void (*)(ggml_threadpool_t)>("ggml_threadpool_free");
    if (c->pool != nullptr && pool_free != nullptr) pool_free(c->pool);
    delete c;
}

uint32_t hs_context_seq_len(const hs_context * c) { return llama_n_ctx_seq(c->ctx); }

bool hs_context_decodes(const hs_context * c) { return llama_get_memory(c->ctx) != nullptr; }

int32_t hs_context_batch(const hs_context * c) { return c->n_batch; }

int32_t hs_decode(hs_context * c, int32_t n, const int32_t * tok, const int32_t * pos, const int32_t * seq, const int8_t * out, hs_error * err) {
    if (n < 1 || n > c->n_batch) { hs_fail(err, "batch size out of range"); return -1; }
    int32_t outputs = 0;
    for (int32_t i = 0; i < n; i++) {
        if (tok[i] < 0 || tok[i] >= c->n_vocab) { hs_fail(err, "token id out of range"); return -1; }
        if (seq[i] < 0 || seq[i] >= c->n_seq)   { hs_fail(err, "sequence id out of range"); return -1; }
        outputs += out[i] != 0;
        c->batch.token[i]     = tok[i];
        c->batch.pos[i]       = pos[i];
        c->batch.n_seq_id[i]  = 1;
        c->batch.seq_id[i][0] = seq[i];
        c->batch.logits[i]    = out[i];
    }
    if (outputs > c->n_seq) { hs_fail(err, "more outputs than sequences"); return -1; }
    c->batch.n_tokens = n;
    c->logits.assign(n, nullptr);
    return hs_guard<int32_t>(err, -2, [&]() -> int32_t {
        const int32_t rc = llama_decode(c->ctx, c->batch);
        if (rc == 0) {
            llama_synchronize(c->ctx);
            for (int32_t i = 0; i < n; i++) {
                if (out[i]) c->logits[i] = llama_get_logits_ith(c->ctx, i); // it may reorder them: not for several threads
            }
            return 0;
        }
        if (rc == 1) return 1;
        hs_fail(err, rc == -1 ? "invalid batch" : "decoding failed");
        return rc == -1 ? -1 : -2;
    });
}

bool hs_seq_rm(hs_context * c, int32_t seq) {
    if (seq < -1 || seq >= c->n_seq) return false;
    return hs_guard<bool>(nullptr, false, [&] {
        if (seq < 0) { llama_memory_clear(llama_get_memory(c->ctx), false); return true; }
        return llama_memory_seq_rm(llama_get_memory(c->ctx), seq, -1, -1);
    });
}

bool hs_seq_cut(hs_context * c, int32_t seq, int32_t len) {
    if (seq < 0 || seq >= c->n_seq || len < 1) return false;
    return hs_guard<bool>(nullptr, false, [&] {
        llama_memory_t mem = llama_get_memory(c->ctx);
        if (!llama_memory_seq_rm(mem, seq, len, -1)) return false; // a recurrent state has no tail to remove
        // The token at position len looks back on n_swa positions, its own one of them, where it looks
        // through a window, else on all. Between the least position and the greatest none is missing.
        const int32_t window = llama_model_n_swa(c->model);
        const int32_t first  = window > 0 ? std::max(0, len - window + 1) : 0;
        return llama_memory_seq_pos_max(mem, seq) == len - 1 && llama_memory_seq_pos_min(mem, seq) <= first;
    });
}

uint8_t * hs_seq_save(hs_context * c, int32_t seq, size_t * size, hs_error * err) {
    if (seq < 0 || seq >= c->n_seq) { hs_fail(err, "sequence id out of range"); return nullptr; }
    return hs_guard<uint8_t *>(err, nullptr, [&]() -> uint8_t * {
        *size = llama_state_seq_get_size(c->ctx, seq);
        auto * state = (uint8_t *) malloc(*size);
        if (state == nullptr) { hs_fail(err, "out of memory"); return nullptr; }
        if (llama_state_seq_get_data(c->ctx, state, *size, seq) == *size) return state;
        free(state);
        hs_fail(err, "the sequence's state cannot be read");
        return nullptr;
    });
}

bool hs_seq_restore(hs_context * c, int32_t seq, const uint8_t * state, size_t size, hs_error * err) {
    if (seq < 0 || seq >= c->n_seq) { hs_fail(err, "sequence id out of range"); return false; }
    return hs_guard<bool>(err, false, [&] {
        if (llama_state_seq_set_data(c->ctx, state, size, seq) == size) return true;
        hs_fail(err, "the state does not fit this sequence");
        return false;
    });
}

uint8_t * hs_state_copy(const uint8_t * data, size_t size) {
    auto * state = (uint8_t *) malloc(size);
    return state == nullptr ? nullptr : (uint8_t *) memcpy(state, data, size);
}

void hs_state_free(uint8_t * state) { free(state); }
