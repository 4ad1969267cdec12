// Shared by the shim's C++ files.
#pragma once

#include "shim.h"

#include <cstdio>
#include <exception>
#include <functional>
#include <vector>

struct hs_context {
    llama_model *   model = nullptr;   // not owned
    llama_context * ctx = nullptr;     // owned
    llama_batch     batch{};           // owned, n_batch tokens
    int32_t         n_batch = 0, n_seq = 0, n_vocab = 0;
    ggml_threadpool_t pool = nullptr;  // owned
    std::vector<const float *> logits; // of the last batch, per entry; null: it has no output. Several threads read them
};

// hs_context_make opens a context with its batch and threadpool; NULL: see the log.
hs_context * hs_context_make(llama_model * m, const llama_context_params & p);

// hs_log_watch shows each line of the log to f as well; nullptr ends that.
void hs_log_watch(std::function<void(const char *)> f);

inline void hs_fail(hs_error * err, const char * what) {
    if (err != nullptr) snprintf(err->msg, sizeof(err->msg), "%s", what);
}

#ifdef HS_VNNI_KERNEL
bool hs_kernel_init(void); // before the first model is loaded; false: the kernels are not used
#endif

// hs_guard runs f and turns a C++ exception into *err and the value bad.
template <typename T, typename F>
T hs_guard(hs_error * err, T bad, F && f) {
    try {
        return f();
    } catch (const std::exception & e) {
        hs_fail(err, e.what());
    } catch (...) {
        hs_fail(err, "unknown C++ exception");
    }
    return bad;
}
