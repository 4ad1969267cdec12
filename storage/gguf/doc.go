// Package gguf writes the heads of GGUF files, version 3: metadata and the list of
// tensors. The tensors' bytes follow, each padded to Alignment. The package has
// no goroutines and imports nothing of ours.
package gguf
