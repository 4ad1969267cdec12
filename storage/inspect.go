package storage

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"unicode/utf8"

	parser "github.com/gpustack/gguf-parser-go"

	"hyprstream/errs"
)

// Kinds of file.
const (
	KindModel   = "model"
	KindAdapter = "adapter"
)

// FileInfo is what a model or adapter file says of itself.
type FileInfo struct {
	Kind            string // KindModel or KindAdapter
	Format          string // "gguf"
	Architecture    string // "llama", "gemma3", …; for an adapter, its base model's
	Name            string
	Parameters      uint64 // count
	Quantisation    string // "Q4_K_M", "F16", …
	ContextLength   int    // tokens the model was trained with
	EmbeddingLength int    // dimensions
	BlockCount      int
	Encoder         bool // it embeds texts, and cannot continue one
	VocabSize       int
	ChatTemplate    string // "" when the file has none
	Bytes           int64  // of the file
	WeightBytes     int64  // of tensor data
	KV              KVShape

	Author, License, Description string // "" when the file does not say
	Heads, KVHeads               int    // of attention; 0 when not said or not the same in each layer
	Tensors                      int
	Types                        []TypeShare // what the tensors are stored as, the most bytes first

	// Of an adapter.
	Rank    int      // the largest among its pairs
	Ranks   []int    // each that occurs, ascending
	Alpha   float32  // 0 when the file does not say
	Targets []string // kinds of tensors it changes, such as "attn_q", sorted
}

// Inspect reads the metadata of a GGUF file without loading it. It is safe on
// damaged and hostile files: memory is bounded by the size of the header that
// is there. Errors: NotFound, PermissionDenied, InvalidModelFile (what is wrong
// and where), Unsupported (a sound file of a kind this build cannot use).
func Inspect(path string) (FileInfo, error) {
	const op = "storage.Inspect"
	f, st, err := openRegular(op, path)
	if err != nil {
		return FileInfo{}, err
	}
	defer f.Close()
	return inspectFile(op, f, st, path)
}

// InspectHead is Inspect of a file that is yet to be made: of size bytes, which
// begin with head, its metadata and the list of its tensors.
func InspectHead(head []byte, size int64) (FileInfo, error) {
	const op = "storage.InspectHead"
	f, err := os.CreateTemp("", "hyprstream-*.gguf")
	if err != nil {
		return FileInfo{}, errs.Wrap(err, diskCode(err), op, "cannot write a file to look at")
	}
	defer os.Remove(f.Name())
	defer f.Close()
	if _, err := f.Write(head); err != nil {
		return FileInfo{}, errs.Wrap(err, diskCode(err), op, "cannot write %s", f.Name())
	}
	if err := f.Truncate(size); err != nil { // a hole, which takes no room
		return FileInfo{}, errs.Wrap(err, diskCode(err), op, "cannot write %s", f.Name())
	}
	return Inspect(f.Name())
}

func inspectFile(op string, f *os.File, st fs.FileInfo, path string) (FileInfo, error) {
	head := make([]byte, 64)
	n, err := f.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return FileInfo{}, errs.Wrap(err, errs.InvalidModelFile, op, "cannot read %s", path)
	}
	head = head[:n]
	if n < 4 || string(head[:4]) != "GGUF" {
		return FileInfo{}, notGGUF(op, path, head)
	}
	h, err := readHeader(io.NewSectionReader(f, 0, st.Size()), st.Size())
	var bad *formatError
	switch {
	case errors.As(err, &bad):
		return FileInfo{}, errs.New(errs.InvalidModelFile, op, "%s is not a usable GGUF file: %s", path, bad.msg)
	case err != nil:
		return FileInfo{}, errs.Wrap(err, errs.InvalidModelFile, op, "cannot read %s", path)
	}
	if err := h.checkKeys(op, path); err != nil {
		return FileInfo{}, err
	}
	info := FileInfo{
		Format:       "gguf",
		Architecture: h.strings["general.architecture"],
		Name:         h.strings["general.name"],
		ChatTemplate: h.strings["tokenizer.chat_template"],
		Bytes:        st.Size(),
		WeightBytes:  st.Size() - h.data,
	}
	h.describe(&info)
	if h.strings["general.type"] == KindAdapter {
		return h.adapter(op, path, info)
	}
	return h.model(op, path, info)
}

// CheckHead says what is wrong with a file that begins with head, of which at
// least 64 bytes are wanted where it has them. name is what the message calls it.
func CheckHead(name string, head []byte) error {
	if !bytes.HasPrefix(head, []byte("GGUF")) {
		return notGGUF("storage.CheckHead", name, head)
	}
	return nil
}

func notGGUF(op, path string, head []byte) error {
	if like := lookalike(head); like != "" {
		return errs.New(errs.InvalidModelFile, op, "%s is not a GGUF file: it looks like %s", path, like)
	}
	return errs.New(errs.InvalidModelFile, op, "%s is not a GGUF file: it begins with %x, not with the letters GGUF", path, head[:min(len(head), 8)])
}

// checkKeys refuses what this build cannot use and metadata of a wrong type.
func (h *header) checkKeys(op, path string) error {
	bad := func(code errs.Code, format string, args ...any) error {
		return errs.New(code, op, "%s %s", path, fmt.Sprintf(format, args...))
	}
	for _, key := range []string{"general.architecture", "general.name", "general.type", "adapter.type", "tokenizer.chat_template"} {
		if text, isString := h.strings[key]; h.has(key) && (!isString || !utf8.ValidString(text)) {
			return bad(errs.InvalidModelFile, "is not a usable GGUF file: its metadata %q is not text", key)
		}
	}
	arch := h.strings["general.architecture"]
	kind := h.strings["general.type"]
	switch {
	case arch == "":
		return bad(errs.InvalidModelFile, "is not a usable GGUF file: its metadata does not name the architecture (general.architecture)")
	case h.numbers["split.count"] > 1, parser.IsShardGGUFFilename(filepath.Base(path)):
		return bad(errs.Unsupported, "is one part of a split model; join the parts with `llama-gguf-split --merge` first")
	case arch == "clip", kind == "mmproj", kind == "projector":
		return bad(errs.Unsupported, "is a multimodal projector, not a language model")
	case kind != "" && kind != KindModel && kind != KindAdapter:
		return bad(errs.Unsupported, "holds a %q, neither a model nor an adapter", kind)
	case len(h.tensors) == 0:
		return bad(errs.InvalidModelFile, "holds no tensors (a vocabulary alone?)")
	}
	return nil
}

// model adds what a model's metadata says, by the GGUF library's reading.
func (h *header) model(op, path string, info FileInfo) (FileInfo, error) {
	info.Kind = KindModel
	arch := info.Architecture
	for _, key := range []string{".context_length", ".embedding_length", ".block_count"} {
		n, known := h.numbers[arch+key]
		if !known && h.has(arch+key) || n < 0 || n > 1<<30 || n != float64(int64(n)) {
			return info, errs.New(errs.InvalidModelFile, op, "%s is not a usable GGUF file: its metadata %q is not a plausible number", path, arch+key)
		}
	}
	if n := h.numbers[arch+".block_count"]; n > 4096 {
		return info, errs.New(errs.InvalidModelFile, op, "%s is not a usable GGUF file: its metadata claims %d blocks", path, int64(n))
	}
	meta, shape, err := interpret(path)
	if err != nil {
		return info, errs.New(errs.InvalidModelFile, op, "%s is not a usable GGUF file: %v", path, err)
	}
	info.ContextLength = int(h.numbers[arch+".context_length"])
	info.EmbeddingLength = int(h.numbers[arch+".embedding_length"])
	info.BlockCount = int(h.numbers[arch+".block_count"])
	info.VocabSize = int(min(shape.VocabularyLength, 1<<30))
	info.Parameters = uint64(meta.Parameters)
	info.Quantisation = strings.TrimPrefix(strings.TrimPrefix(meta.FileType.String(), "MOSTLY_"), "ALL_")
	if causal, known := h.numbers[arch+".attention.causal"]; known && causal == 0 {
		info.Encoder = true // and keeps no keys and values
	} else {
		info.KV = kvShape(shape)
	}
	return info, nil
}

// interpret lets the GGUF library read a file that readHeader has passed. The
// library panics on metadata of types it does not expect.
func interpret(path string) (meta parser.GGUFMetadata, shape parser.GGUFArchitecture, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("its metadata contradicts itself: %v", r)
		}
	}()
	file, err := parser.ParseGGUFFile(path, parser.SkipLargeMetadata())
	if err != nil {
		return meta, shape, err
	}
	return file.Metadata(), file.Architecture(), nil
}

// openRegular opens a non-empty regular file, or says in the user's terms why not.
func openRegular(op, path string) (*os.File, fs.FileInfo, error) {
	st, err := os.Stat(path)
	switch {
	case path == "":
		return nil, nil, errs.New(errs.InvalidArgument, op, "no file is named; give the path of a GGUF file")
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil, errs.New(errs.NotFound, op, "there is no file %s", path)
	case errors.Is(err, fs.ErrPermission):
		return nil, nil, errs.New(errs.PermissionDenied, op, "no permission to look at %s", path)
	case err != nil:
		return nil, nil, errs.Wrap(err, errs.InvalidModelFile, op, "cannot look at %s", path)
	case st.IsDir():
		return nil, nil, errs.New(errs.InvalidModelFile, op, "%s is a directory; name the GGUF file in it", path)
	case !st.Mode().IsRegular():
		return nil, nil, errs.New(errs.InvalidModelFile, op, "%s is not a regular file", path)
	case st.Size() == 0:
		return nil, nil, errs.New(errs.InvalidModelFile, op, "%s is empty", path)
	}
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrPermission) {
		return nil, nil, errs.New(errs.PermissionDenied, op, "no permission to read %s", path)
	}
	if err != nil {
		return nil, nil, errs.Wrap(err, errs.InvalidModelFile, op, "cannot open %s", path)
	}
	// The file may have been replaced between the two calls: f is what counts.
	if st, err = f.Stat(); err != nil {
		f.Close()
		return nil, nil, errs.Wrap(err, errs.InvalidModelFile, op, "cannot look at %s", path)
	}
	return f, st, nil
}
