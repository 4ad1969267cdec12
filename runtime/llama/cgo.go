package llama

// #cgo CPPFLAGS: -I${SRCDIR}/../../.deps/src/llama.cpp/include -I${SRCDIR}/../../.deps/src/llama.cpp/ggml/include
// #cgo CXXFLAGS: -std=c++17 -O3 -DNDEBUG
import "C"
