// Keeps the last log lines, for the texts of errors.
#include "shim.hpp"

#include <deque>
#include <mutex>
#include <string>

namespace {
struct line { ggml_log_level level; std::string text; };
std::mutex        mu;
std::deque<line>  ring;        // guarded by mu
uint64_t          written = 0; // lines ever, guarded by mu
constexpr size_t  keep = 200;
std::function<void(const char *)> watch; // guarded by mu
bool              own_kernels = false; // set by hs_init

void on_log(ggml_log_level level, const char * text, void *) {
    if (level == GGML_LOG_LEVEL_DEBUG) return;
    if (level == GGML_LOG_LEVEL_ERROR) fputs(text, stderr);
    std::lock_guard<std::mutex> lock(mu);
    if (watch) watch(text);
    if (level == GGML_LOG_LEVEL_CONT) {
        if (!ring.empty()) ring.back().text += text;
        return;
    }
    ring.push_back({level, text});
    written++;
    if (ring.size() > keep) ring.pop_front();
}
} // namespace

void hs_log_watch(std::function<void(const char *)> f) {
    std::lock_guard<std::mutex> lock(mu);
    watch = std::move(f);
}

bool hs_own_kernels(void) { return own_kernels; }

void hs_init(const char * backend_dir) {
    llama_log_set(on_log, nullptr);
    if (ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU) == nullptr) {
        ggml_backend_load_all_from_path(backend_dir); // the shared build has its CPU variants in files
    }
#ifdef HS_VNNI_KERNEL
    own_kernels = hs_kernel_init();
#endif
    llama_backend_init();
}

uint64_t hs_log_mark(void) {
    std::lock_guard<std::mutex> lock(mu);
    return written;
}

void hs_log_since(uint64_t mark, hs_error * out) {
    std::lock_guard<std::mutex> lock(mu);
    uint64_t nth = written - ring.size();
    out->msg[0] = 0;
    for (const auto & l : ring) {
        if (nth++ < mark || l.level != GGML_LOG_LEVEL_ERROR) continue;
        // The cause is logged first, and its consequences by each caller after it.
        std::string t = l.text;
        while (!t.empty() && (t.back() == '\n' || t.back() == ' ')) t.pop_back();
        if (t.empty()) continue;
        snprintf(out->msg, sizeof(out->msg), "%s", t.c_str());
        return;
    }
}
