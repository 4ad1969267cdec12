// Its assertions would pull in ggml; here they throw.
#include <stdexcept>
#define ggml_abort hs_grammar_abort
#include "json.cpp"

extern "C" void hs_grammar_abort(const char *, int, const char * format, ...) { throw std::runtime_error(format); }
