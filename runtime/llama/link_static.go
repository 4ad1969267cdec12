//go:build !llama_shared && !llama_extern

package llama

// #cgo LDFLAGS: ${SRCDIR}/../../.deps/llama/src/libllama.a ${SRCDIR}/../../.deps/llama/ggml/src/libggml.a
// #cgo LDFLAGS: ${SRCDIR}/../../.deps/llama/ggml/src/libggml-cpu.a ${SRCDIR}/../../.deps/llama/ggml/src/libggml-base.a
// #cgo LDFLAGS: -lstdc++ -lm -lpthread -ldl
import "C"
