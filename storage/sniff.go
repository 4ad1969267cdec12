package storage

import (
	"bytes"
	"encoding/binary"
)

// lookalike names what the first bytes of a file that is not GGUF look like,
// with the remedy; "" when nothing is recognised.
func lookalike(head []byte) string {
	text := bytes.ToLower(bytes.TrimLeft(head, "\xef\xbb\xbf \t\r\n"))
	switch {
	case bytes.HasPrefix(head, []byte("version https://git-lfs")):
		return "a Git LFS pointer, not the file it points to; run `git lfs pull` where it came from"
	case bytes.HasPrefix(text, []byte("<!doctype")), bytes.HasPrefix(text, []byte("<html")), bytes.HasPrefix(text, []byte("<?xml")):
		return "a web page, perhaps a login or error page saved in place of the download; fetch the file again"
	case bytes.HasPrefix(head, []byte("PK\x03\x04")):
		return "a zip archive or a PyTorch checkpoint (a pickle in an archive). Reading a pickle runs the code in it, so it is refused; take the model's *.safetensors or a GGUF file of it"
	case len(head) > 1 && head[0] == 0x80 && head[1] >= 2 && head[1] <= 5:
		return "a Python pickle (an old PyTorch checkpoint). Reading one runs the code in it, so it is refused; take the model's *.safetensors or a GGUF file of it"
	case safetensors(head):
		return "a safetensors file; name the directory it is in, with config.json and tokenizer.json beside it"
	case bytes.HasPrefix(head, []byte("\x1f\x8b")), bytes.HasPrefix(head, []byte("BZh")),
		bytes.HasPrefix(head, []byte("\xfd7zXZ")), bytes.HasPrefix(head, []byte("\x28\xb5\x2f\xfd")):
		return "a compressed file; decompress it first"
	case bytes.HasPrefix(head, []byte("lmgg")), bytes.HasPrefix(head, []byte("fmgg")), bytes.HasPrefix(head, []byte("tjgg")):
		return "an old GGML file from before GGUF; convert the model again"
	case bytes.HasPrefix(head, []byte("FUGG")):
		return "a GGUF file with its bytes swapped; convert the model again for a little-endian machine"
	case bytes.HasPrefix(head, []byte("\x89HDF")):
		return "an HDF5 file (Keras); convert the model to GGUF"
	case bytes.HasPrefix(head, []byte("\x7fELF")), bytes.HasPrefix(head, []byte("MZ")):
		return "a program"
	case bytes.HasPrefix(text, []byte("{")), bytes.HasPrefix(text, []byte("[")):
		return "JSON text, perhaps an error message saved in place of the download"
	case len(head) > 0 && len(bytes.Trim(head, "\x00")) == 0:
		return "only zero bytes at its beginning, as an unfinished download has; fetch the file again"
	case printable(head):
		return "a text file"
	}
	return ""
}

// safetensors begins with the length of a JSON object, then the object.
func safetensors(head []byte) bool {
	return len(head) > 9 && binary.LittleEndian.Uint64(head) < 1<<32 && head[8] == '{'
}

func printable(head []byte) bool {
	for _, c := range head {
		if c < 0x20 && c != '\n' && c != '\r' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return len(head) > 0
}
