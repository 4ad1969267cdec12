//go:build linux && amd64 && !llama_shared && !llama_extern

package llama

// The product kernel for AVX512-VNNI reaches into ggml's CPU backend, so it
// needs that linked statically (docs/decisions/0014-vnni-kernel.md).

// #cgo CPPFLAGS: -DHS_VNNI_KERNEL -I${SRCDIR}/../../.deps/src/llama.cpp/ggml/src -I${SRCDIR}/../../.deps/src/llama.cpp/ggml/src/ggml-cpu
import "C"
