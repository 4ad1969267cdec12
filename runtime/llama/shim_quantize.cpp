// Writes a model with weights of another type.
#include "shim.hpp"

extern "C" bool hsProgress(uintptr_t handle, float fraction); // exported by Go

bool hs_quantize(const char * in, const char * out, int32_t ftype, uintptr_t handle, hs_error * err) {
    // The quantiser tells how far it is only in its log: a line for each tensor begins with [ 3/ 40].
    hs_log_watch([handle](const char * line) {
        int at = 0, of = 0;
        if (sscanf(line, "[%d/%d]", &at, &of) == 2 && at > 0 && at <= of) hsProgress(handle, (float) (at - 1) / (float) of);
    });
    bool done = hs_guard<bool>(err, false, [&] {
        llama_model_quantize_params p = llama_model_quantize_default_params();
        p.ftype = (llama_ftype) ftype;
        p.max_buf_size = 1u << 30;
        return llama_model_quantize(in, out, &p) == 0;
    });
    hs_log_watch(nullptr);
    return done;
}
