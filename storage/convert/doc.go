// Package convert turns a model directory as Hugging Face keeps them (config.json,
// *.safetensors, tokenizer.json or tokenizer.model) into one GGUF file for
// llama.cpp.
//
// Open reads and checks everything but the weights themselves; Write then copies
// them, so that what can be refused is refused before anything is written. Sizes,
// offsets and shapes in the files are claims: each is held against the file and
// against config.json before it is used.
//
// Weights keep the type they have (F32, F16 or BF16), except that norms, biases
// and the like become F32, as llama.cpp wants them. Smaller types are made from
// the GGUF file by llama.cpp's own quantiser, see Quantisations.
//
// The package has no goroutines. It must not import inference, catalog, DuckDB,
// Arrow or a transport.
package convert
