package llama

// #cgo CPPFLAGS: -I${SRCDIR}/../../.deps/src/llama.cpp-patched/include -I${SRCDIR}/../../.deps/src/llama.cpp-patched/ggml/include
// #cgo CXXFLAGS: -std=c++17 -O3 -DNDEBUG
import "C"
