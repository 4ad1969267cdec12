// Package safetensors reads files of that format: the length of a JSON object,
// the object, and the tensors' bytes one behind the other. Files are taken to be
// damaged or hostile: each claim is held against the file before it is used, and
// memory is bounded by a header that is there and by one tensor.
package safetensors
