// The reference for greedy output: llama.cpp's own greedy sampler over the
// library that hyprstream links, one prompt after the other, nothing shared.
//
//   greedyref MODEL TOKENS [THREADS] < prompts
//
// Prompts are separated by NUL bytes. Each gives one line: the ids of at most
// TOKENS tokens up to the end of generation, a tab, and for each step the margin
// between the best two logits.
#include "llama.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void quiet(enum ggml_log_level level, const char * text, void * data) {
    (void) data;
    if (level == GGML_LOG_LEVEL_ERROR) fputs(text, stderr);
}

static void * need(void * p, const char * what) {
    if (p == NULL) {
        fprintf(stderr, "greedyref: %s failed\n", what);
        exit(1);
    }
    return p;
}

static char * read_all(FILE * f, size_t * len) {
    size_t cap = 1 << 16;
    char * buf = need(malloc(cap), "malloc");
    *len = 0;
    for (size_t n; (n = fread(buf + *len, 1, cap - *len, f)) > 0;) {
        *len += n;
        if (*len == cap) buf = need(realloc(buf, cap *= 2), "realloc");
    }
    return buf;
}

static float margin(const float * logits, int n) {
    int best = 0, next = 1;
    if (logits[1] > logits[0]) { best = 1; next = 0; }
    for (int i = 2; i < n; i++) {
        if (logits[i] > logits[best]) { next = best; best = i; }
        else if (logits[i] > logits[next]) next = i;
    }
    return logits[best] - logits[next];
}

static void generate(struct llama_context * ctx, const struct llama_vocab * vocab, const char * prompt, int max) {
    const int cap = (int) strlen(prompt) + 8;
    llama_token * tokens = need(malloc(sizeof(llama_token) * cap), "malloc");
    const int n = llama_tokenize(vocab, prompt, (int) strlen(prompt), tokens, cap, true, false);
    if (n < 1) {
        fprintf(stderr, "greedyref: tokenizing failed\n");
        exit(1);
    }
    llama_memory_clear(llama_get_memory(ctx), true);
    struct llama_sampler * greedy = llama_sampler_init_greedy();
    struct llama_batch batch = llama_batch_get_one(tokens, n);
    float * margins = need(malloc(sizeof(float) * max), "malloc");
    int steps = 0;
    llama_token id;
    for (int i = 0; i < max; i++) {
        if (llama_decode(ctx, batch) != 0) {
            fprintf(stderr, "greedyref: decoding failed\n");
            exit(1);
        }
        margins[steps++] = margin(llama_get_logits_ith(ctx, -1), llama_vocab_n_tokens(vocab));
        id = llama_sampler_sample(greedy, ctx, -1);
        if (llama_vocab_is_eog(vocab, id)) break;
        printf(i == 0 ? "%d" : " %d", id);
        batch = llama_batch_get_one(&id, 1);
    }
    for (int i = 0; i < steps; i++) printf("%c%.6f", i == 0 ? '\t' : ' ', margins[i]);
    printf("\n");
    llama_sampler_free(greedy);
    free(margins);
    free(tokens);
}

int main(int argc, char ** argv) {
    if (argc < 3) {
        fprintf(stderr, "usage: greedyref MODEL TOKENS [THREADS] < prompts separated by NUL\n");
        return 2;
    }
    llama_log_set(quiet, NULL);
    llama_backend_init();
    struct llama_model * model = need(llama_model_load_from_file(argv[1], llama_model_default_params()), "loading");
    struct llama_context_params cp = llama_context_default_params();
    cp.n_ctx = 4096;
    cp.n_batch = cp.n_ubatch = 512;
    cp.n_threads = cp.n_threads_batch = argc > 3 ? atoi(argv[3]) : 2;
    struct llama_context * ctx = need(llama_init_from_model(model, cp), "making a context");

    size_t len;
    char * all = read_all(stdin, &len);
    all = need(realloc(all, len + 1), "realloc");
    all[len] = 0;
    for (char * p = all; p < all + len; p += strlen(p) + 1) {
        generate(ctx, llama_model_get_vocab(model), p, atoi(argv[2]));
    }
    free(all);
    llama_free(ctx);
    llama_model_free(model);
    return 0;
}
