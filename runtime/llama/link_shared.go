//go:build llama_shared

package llama

// The portable build loads one CPU variant out of several at run time
// (GGML_BACKEND_DL, GGML_CPU_ALL_VARIANTS), so its libraries must be shared.
// They are looked for beside the binary first: ship bin/hyprstream and
// bin/*.so together.

// #cgo LDFLAGS: -L${SRCDIR}/../../.deps/llama-portable/bin -lllama -lggml -lggml-base
// #cgo LDFLAGS: -Wl,-rpath,$ORIGIN -Wl,-rpath,${SRCDIR}/../../.deps/llama-portable/bin
// #cgo LDFLAGS: -lstdc++ -lm -lpthread -ldl
import "C"
