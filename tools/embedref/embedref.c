// The reference for embeddings: the mean of llama.cpp's own token-level vectors (no pooling), computed here, one text
// after the other, nothing shared and nothing left out of the graph.
//
//   embedref MODEL < texts
//
// Texts are separated by NUL bytes. Each gives one line: the number of tokens, and the mean's components.
#include "llama.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void quiet(enum ggml_log_level level, const char * text, void * data) {
    (void) data;
    if (level == GGML_LOG_LEVEL_ERROR) fputs(text, stderr);
}

static void need(int ok, const char * what) {
    if (ok) return;
    fprintf(stderr, "embedref: %s failed\n", what);
    exit(1);
}

enum { MOST = 2048 }; // tokens of a text

static void embed(struct llama_context * ctx, const struct llama_model * model, const char * text) {
    llama_token tokens[MOST];
    const int n = llama_tokenize(llama_model_get_vocab(model), text, (int) strlen(text), tokens, MOST, true, false);
    need(n > 0, "tokenizing");
    if (llama_get_memory(ctx) != NULL) llama_memory_clear(llama_get_memory(ctx), true);
    struct llama_batch batch = llama_batch_init(n, 0, 1);
    batch.n_tokens = n;
    for (int i = 0; i < n; i++) {
        batch.token[i] = tokens[i];
        batch.pos[i] = i;
        batch.n_seq_id[i] = 1;
        batch.seq_id[i][0] = 0;
        batch.logits[i] = 1;
    }
    need(llama_decode(ctx, batch) == 0, "decoding");
    const int width = llama_model_n_embd_out(model);
    printf("%d", n);
    for (int k = 0; k < width; k++) {
        double sum = 0;
        for (int i = 0; i < n; i++) sum += llama_get_embeddings_ith(ctx, i)[k];
        printf(" %.9g", sum / n);
    }
    printf("\n");
    llama_batch_free(batch);
}

int main(int argc, char ** argv) {
    if (argc != 2) {
        fprintf(stderr, "usage: embedref MODEL < texts separated by NUL\n");
        return 2;
    }
    llama_log_set(quiet, NULL);
    llama_backend_init();
    struct llama_model * model = llama_model_load_from_file(argv[1], llama_model_default_params());
    need(model != NULL, "loading");
    struct llama_context_params cp = llama_context_default_params();
    cp.n_ctx = cp.n_batch = cp.n_ubatch = MOST;
    cp.n_threads = cp.n_threads_batch = 1;
    cp.embeddings = true;
    cp.pooling_type = LLAMA_POOLING_TYPE_NONE;
    struct llama_context * ctx = llama_init_from_model(model, cp);
    need(ctx != NULL, "making a context");

    static char all[1 << 20]; // more than any test gives
    const size_t len = fread(all, 1, sizeof(all) - 1, stdin);
    for (char * p = all; p < all + len; p += strlen(p) + 1) embed(ctx, model, p);
    llama_free(ctx);
    llama_model_free(model);
    return 0;
}
