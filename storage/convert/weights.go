package convert

import (
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"hyprstream/storage/safetensors"
)

const (
	indexName  = "model.safetensors.index.json"
	singleName = "model.safetensors"
)

// entry is one tensor of the directory.
type entry struct {
	safetensors.Tensor
	file string // name in the directory
}

// weights are the tensors of all files of a model.
type weights struct {
	entries map[string]*entry
	used    map[string]bool
	files   map[string]fs.FileInfo // as they were when they were checked
}

// readWeights reads the headers of the files the index names, or of the one
// file, or of all there are.
func (s *source) readWeights() (*weights, error) {
	w := &weights{entries: map[string]*entry{}, used: map[string]bool{}, files: map[string]fs.FileInfo{}}
	if s.has(indexName) {
		return w, w.readIndexed(s)
	}
	names := s.named(".safetensors")
	if s.has(singleName) {
		names = []string{singleName}
	}
	for _, name := range names {
		list, st, err := s.readShard(name)
		if err != nil {
			return nil, err
		}
		w.files[name] = st
		for i := range list {
			if other, twice := w.entries[list[i].Name]; twice {
				return nil, s.bad(name, "tensor %.100q is in %s as well", list[i].Name, other.file)
			}
			w.entries[list[i].Name] = &list[i]
		}
	}
	return w, nil
}

// readShard reads and checks the header of one file.
func (s *source) readShard(name string) ([]entry, fs.FileInfo, error) {
	f, st, err := s.open(name)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	list, err := safetensors.Read(f, st.Size())
	if err != nil {
		return nil, nil, s.bad(name, "%v", err)
	}
	out := make([]entry, len(list))
	for i, t := range list {
		out[i] = entry{t, name}
	}
	return out, st, nil
}

// readIndexed takes each tensor from the file that the index says.
func (w *weights) readIndexed(s *source) error {
	var index struct {
		Map map[string]string `json:"weight_map"`
	}
	if err := s.decode(indexName, &index); err != nil {
		return err
	}
	if len(index.Map) == 0 {
		return s.bad(indexName, "it lists no tensors")
	}
	shards := map[string]map[string]*entry{}
	for _, tensor := range slices.Sorted(maps.Keys(index.Map)) {
		file := index.Map[tensor]
		if shards[file] == nil {
			if filepath.Base(file) != file || !strings.HasSuffix(file, ".safetensors") {
				return s.bad(indexName, "it names the file %.100q, which is no *.safetensors beside it", file)
			}
			if !s.has(file) {
				return s.bad(indexName, "it names %s, which is not there: the model is incomplete; fetch all its files", file)
			}
			list, st, err := s.readShard(file)
			if err != nil {
				return err
			}
			w.files[file] = st
			shards[file] = map[string]*entry{}
			for i := range list {
				shards[file][list[i].Name] = &list[i]
			}
		}
		e := shards[file][tensor]
		if e == nil {
			return s.bad(file, "it lacks tensor %.100q, which %s says it holds", tensor, indexName)
		}
		w.entries[tensor] = e
	}
	return nil
}

// find is the tensor of one of some names, marked as used; nil for none.
func (w *weights) find(names ...string) *entry {
	for _, name := range names {
		if e := w.entries[name]; e != nil {
			w.used[name] = true
			return e
		}
	}
	return nil
}

// unused is a tensor that was not asked for and that skip does not know, "" for none.
func (w *weights) unused(skip func(name string) bool) string {
	for _, name := range slices.Sorted(maps.Keys(w.entries)) {
		if !w.used[name] && !skip(name) {
			return name
		}
	}
	return ""
}
