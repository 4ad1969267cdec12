// The C face of llama.cpp as Go sees it. Every function catches C++ exceptions
// and reports failures in *err; none keeps a pointer into Go memory.
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include "llama.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct { char msg[1024]; } hs_error;

// Log: all lines of llama.cpp go to a ring; errors also to stderr.
void     hs_init(const char * backend_dir);
bool     hs_own_kernels(void); // after hs_init: whether products are computed by kernels of our own
uint64_t hs_log_mark(void);
void     hs_log_since(uint64_t mark, hs_error * out); // the first error since mark, "" for none

// Model. handle is passed to the exported Go progress callback.
struct llama_model * hs_model_load(const char * path, int32_t gpu_layers, uintptr_t handle, hs_error * err);
// Writes the model at in to out with weights of another type (llama_ftype); progress as above, without a way to stop.
bool hs_quantize(const char * in, const char * out, int32_t ftype, uintptr_t handle, hs_error * err);
int32_t hs_max_piece(const struct llama_model * m); // bytes of the longest token
int32_t hs_tokenize(const struct llama_model * m, const char * text, int32_t len, int32_t * out, int32_t cap,
                    bool add_special, bool parse_special, hs_error * err);
int32_t hs_piece(const struct llama_model * m, int32_t token, char * buf, int32_t cap, bool special);

// Context with its batch and threadpool.
typedef struct hs_context hs_context;
hs_context * hs_context_new(struct llama_model * m, uint32_t n_ctx, uint32_t n_seq, uint32_t n_batch, int32_t threads, hs_error * err);
void         hs_context_free(hs_context * c);
uint32_t     hs_context_seq_len(const hs_context * c);
int32_t      hs_context_batch(const hs_context * c);
// 0: done, 1: no room in the cache and nothing changed, -1: refused before the call, -2: failed inside
int32_t hs_decode(hs_context * c, int32_t n, const int32_t * tok, const int32_t * pos, const int32_t * seq, const int8_t * out, hs_error * err);
bool    hs_seq_rm(hs_context * c, int32_t seq);                  // whole sequence; -1: all
bool    hs_seq_cut(hs_context * c, int32_t seq, int32_t len);    // to len tokens; false: what is left is not whole, or its windows are not
// What a sequence holds, in memory of the caller's (hs_state_free); NULL: see err
uint8_t * hs_seq_save(hs_context * c, int32_t seq, size_t * size, hs_error * err);
bool      hs_seq_restore(hs_context * c, int32_t seq, const uint8_t * state, size_t size, hs_error * err); // replaces what seq holds
uint8_t * hs_state_copy(const uint8_t * data, size_t size); // NULL: out of memory
void      hs_state_free(uint8_t * state);

// A context that gives one vector per sequence, for hs_embed and nothing else. pooling is llama_pooling_type, -1 the file's own.
hs_context * hs_embedder_new(struct llama_model * m, uint32_t n_batch, uint32_t n_seq, int32_t threads, int32_t pooling, hs_error * err);
// Sequence i is the next len[i] of tok. out gets n_seq vectors of the model's output width.
bool hs_embed(hs_context * c, int32_t n_seq, const int32_t * tok, const int32_t * len, float * out, hs_error * err);
bool hs_context_decodes(const hs_context * c); // false: the model is an encoder, and has no cache to go on from

// Adapters belong to the model.
struct llama_adapter_lora * hs_adapter_load(struct llama_model * m, const char * path, hs_error * err);
bool hs_adapters_set(hs_context * c, struct llama_adapter_lora ** a, float * scales, size_t n, hs_error * err);

// Samplers.
typedef struct {
    float    temperature, top_p, min_p, repeat_penalty;
    int32_t  top_k;
    uint32_t seed;
    const char * grammar; // NULL or GBNF with a rule "root"
    bool     ignore_eog;
} hs_sampler_params;
typedef struct hs_sampler hs_sampler;
hs_sampler * hs_sampler_new(const struct llama_model * m, const hs_sampler_params * p, const int32_t * prompt, int32_t n_prompt, hs_error * err);
void         hs_sampler_free(hs_sampler * s);
// The token after batch entry i of the last hs_decode; *logprob is filled when not NULL. -1: see err
int32_t hs_sample(hs_sampler * s, hs_context * c, int32_t i, double * logprob, hs_error * err);
// The log probabilities of n tokens after entry i.
bool hs_logprobs(hs_context * c, int32_t i, const int32_t * tokens, int32_t n, double * out, hs_error * err);
// The best and second best logits after entry i: the margin of a greedy choice.
bool hs_top2(hs_context * c, int32_t i, int32_t * ids, float * logits);

#ifdef __cplusplus
}
#endif
