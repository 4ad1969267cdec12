//go:build linux && !llama_shared && !llama_extern

package llama

// #cgo LDFLAGS: ${SRCDIR}/../../.deps/llama/src/libllama.a ${SRCDIR}/../../.deps/llama/ggml/src/libggml.a
// #cgo LDFLAGS: ${SRCDIR}/../../.deps/llama/ggml/src/libggml-cpu.a ${SRCDIR}/../../.deps/llama/ggml/src/libggml-base.a
// #cgo LDFLAGS: -Wl,-Bstatic -lgomp -Wl,-Bdynamic -lstdc++ -lm -lpthread -ldl
import "C"
