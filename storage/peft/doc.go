// Package peft turns a LoRA as the PEFT library saves it, a directory with
// adapter_config.json and adapter_model.safetensors, into a GGUF LoRA for one
// model. What it cannot carry over exactly it refuses, and says why. Files are
// taken to be damaged or hostile: memory is bounded by a header that is there
// and by one tensor.
package peft
