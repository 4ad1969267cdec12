// Model, vocabulary and adapters.
#include "shim.hpp"

#include <algorithm>
#include <cstring>

extern "C" bool hsProgress(uintptr_t handle, float fraction); // exported by Go

llama_model * hs_model_load(const char * path, int32_t gpu_layers, uintptr_t handle, hs_error * err) {
    return hs_guard<llama_model *>(err, nullptr, [&] {
        llama_model_params p = llama_model_default_params();
        p.n_gpu_layers = gpu_layers;
        // Without layers there llama.cpp would still send products of 32 tokens or more to a GPU, and their weights each time.
        static ggml_backend_dev_t none[] = {nullptr};
        if (gpu_layers == 0) p.devices = none;
        p.progress_callback = [](float fraction, void * data) { return hsProgress((uintptr_t) data, fraction); };
        p.progress_callback_user_data = (void *) handle;
        return llama_model_load_from_file(path, p);
    });
}

int32_t hs_max_piece(const llama_model * m) {
    const llama_vocab * v = llama_model_get_vocab(m);
    size_t longest = 1;
    for (int32_t i = 0, n = llama_vocab_n_tokens(v); i < n; i++) {
        const char * t = llama_vocab_get_text(v, i);
        if (t != nullptr) longest = std::max(longest, strlen(t));
    }
    return (int32_t) longest;
}

int32_t hs_tokenize(const llama_model * m, const char * text, int32_t len, int32_t * out, int32_t cap,
                    bool add_special, bool parse_special, hs_error * err) {
    return hs_guard<int32_t>(err, INT32_MIN, [&] {
        return llama_tokenize(llama_model_get_vocab(m), text, len, out, cap, add_special, parse_special);
    });
}

int32_t hs_piece(const llama_model * m, int32_t token, char * buf, int32_t cap, bool special) {
    return hs_guard<int32_t>(nullptr, 0, [&] {
        return llama_token_to_piece(llama_model_get_vocab(m), token, buf, cap, 0, special);
    });
}

llama_adapter_lora * hs_adapter_load(llama_model * m, const char * path, hs_error * err) {
    return hs_guard<llama_adapter_lora *>(err, nullptr, [&] { return llama_adapter_lora_init(m, path); });
}

bool hs_adapters_set(hs_context * c, llama_adapter_lora ** a, float * scales, size_t n, hs_error * err) {
    return hs_guard<bool>(err, false, [&] { return llama_set_adapters_lora(c->ctx, a, n, scales) == 0; });
}
