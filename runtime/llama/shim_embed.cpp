// The context that embeds: many sequences in one batch, one pooled vector for each.
#include "shim.hpp"

#include <cstring>

hs_context * hs_embedder_new(llama_model * m, uint32_t n_batch, uint32_t n_seq, int32_t threads, int32_t pooling, hs_error * err) {
    return hs_guard<hs_context *>(err, nullptr, [&]() -> hs_context * {
        llama_context_params p = llama_context_default_params();
        p.n_ctx           = n_batch;  // the cache of a decoder holds one batch
        p.n_batch         = n_batch;
        p.n_ubatch        = n_batch;  // a sequence is pooled within one
        p.n_seq_max       = n_seq;
        p.n_threads       = threads;
        p.n_threads_batch = threads;
        p.embeddings      = true;
        p.pooling_type    = (enum llama_pooling_type) pooling;
        p.flash_attn_type = LLAMA_FLASH_ATTN_TYPE_AUTO;
        p.kv_unified      = true;     // sequences of any lengths in one go
        p.no_perf         = true;
        hs_context * c = hs_context_make(m, p);
        if (c != nullptr && llama_get_logits(c->ctx) != nullptr) {
            hs_context_free(c);
            hs_fail(err, "this llama.cpp computes logits that nobody reads: build it with runtime/llama/patches");
            return nullptr;
        }
        return c;
    });
}

bool hs_embed(hs_context * c, int32_t n_seq, const int32_t * tok, const int32_t * len, float * out, hs_error * err) {
    if (n_seq < 1 || n_seq > c->n_seq) { hs_fail(err, "number of sequences out of range"); return false; }
    int32_t n = 0;
    for (int32_t s = 0; s < n_seq; s++) {
        if (len[s] < 1 || len[s] > c->n_batch - n) { hs_fail(err, "batch size out of range"); return false; }
        for (int32_t i = 0; i < len[s]; i++, n++) {
            if (tok[n] < 0 || tok[n] >= c->n_vocab) { hs_fail(err, "token id out of range"); return false; }
            c->batch.token[n]     = tok[n];
            c->batch.pos[n]       = i;
            c->batch.n_seq_id[n]  = 1;
            c->batch.seq_id[n][0] = s;
            c->batch.logits[n]    = true;
        }
    }
    c->batch.n_tokens = n;
    return hs_guard<bool>(err, false, [&] {
        llama_memory_t memory = llama_get_memory(c->ctx);
        if (memory != nullptr) llama_memory_clear(memory, false);
        if (llama_decode(c->ctx, c->batch) != 0) { hs_fail(err, "the batch was not computed"); return false; }
        llama_synchronize(c->ctx);
        const size_t width = llama_model_n_embd_out(c->model);
        for (int32_t s = 0; s < n_seq; s++) {
            const float * v = llama_get_embeddings_seq(c->ctx, s);
            if (v == nullptr) { hs_fail(err, "a sequence has no embedding"); return false; }
            memcpy(out + s*width, v, width*sizeof(float));
        }
        return true;
    });
}
