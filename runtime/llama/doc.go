// Package llama is the thin binding to llama.cpp: model, vocabulary, context,
// batch, sampler and LoRA adapter. It is the only package of this module with
// cgo for llama.cpp, and it is meant to run inside the engine's child process:
// llama.cpp aborts on some damaged files and misuses, whatever a binding does.
//
// What can be checked is checked before the call (batch size, sequence ids,
// token ids, grammars) and comes back as an error; C++ exceptions stop at the
// shim (shim.h). Nothing here knows of requests, SQL or error codes.
//
// Who owns each pointer:
//   - Model owns llama_model and, through it, the vocabulary and all adapters.
//     Model.Close frees them; contexts and samplers of the model go first.
//   - Context owns llama_context, its batch and its threadpool. One goroutine
//     at a time may use a Context and the samplers that read it.
//   - Sampler owns its chain and grammar; Close frees them.
//   - Logits stay in C. Only token ids and log probabilities cross.
//
// The vocabulary's methods of Model are safe for concurrent use, also beside a
// running Decode.
//
// Linking: by default the static libraries of .deps/llama (make deps). The
// build tag llama_shared links .deps/llama-portable, whose CPU variants are
// chosen at run time; the tag llama_extern leaves every library to CGO_LDFLAGS
// (CUDA, Metal, Vulkan: see docs/decisions/0001-llama-cpp-own-binding.md).
package llama
