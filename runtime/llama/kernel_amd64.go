//go:build linux && amd64 && !llama_shared && !llama_extern

package llama

// The kernels for AVX512-VNNI reach into ggml's CPU backend, so it
// needs that linked statically (docs/decisions/0014-vnni-kernel.md).

// #cgo CPPFLAGS: -DHS_VNNI_KERNEL -I${SRCDIR}/../../.deps/src/llama.cpp-patched/ggml/src -I${SRCDIR}/../../.deps/src/llama.cpp-patched/ggml/src/ggml-cpu
import "C"
