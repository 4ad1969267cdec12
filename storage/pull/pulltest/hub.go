package pulltest

import (
	"bytes"
	"crypto/sha1" //nolint:gosec // git's names of objects
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Hub is a handler. Its fields are set before it serves; its methods may be
// called at any time.
type Hub struct {
	Token string                                                       // that files of all repositories need: they are gated; "" is none
	Page  int                                                          // entries of a page of a listing; 0: all
	Asked func(path string)                                            // hears of each request, before it is answered
	Spoil func(file string, data []byte) []byte                        // what is sent in place of a file
	Serve func(w http.ResponseWriter, r *http.Request, f http.Handler) // may cut a file's answer

	mu      sync.Mutex
	heads   map[string]string            // commits by "ORG/REPO"
	commits map[string]map[string][]byte // files by commit
}

// Push makes files the main revision of a repository, and returns its commit.
func (h *Hub) Push(repo string, files map[string][]byte) string {
	sum := sha1.New() //nolint:gosec // as git does
	for _, name := range slices.Sorted(maps.Keys(files)) {
		fmt.Fprintf(sum, "%s %x\n", name, sha256.Sum256(files[name]))
	}
	commit := hex.EncodeToString(sum.Sum(nil))
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.heads == nil {
		h.heads, h.commits = map[string]string{}, map[string]map[string][]byte{}
	}
	h.heads[repo], h.commits[commit] = commit, files
	return commit
}

// Read is the files of a directory, for Push.
func Read(dir string) (map[string][]byte, error) {
	files := map[string][]byte{}
	err := filepath.WalkDir(dir, func(p string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, p)
		if err == nil {
			files[name], err = os.ReadFile(p)
		}
		return err
	})
	return files, err
}

func (h *Hub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if h.Asked != nil {
		h.Asked(r.URL.Path)
	}
	parts := strings.Split(strings.TrimPrefix(r.URL.Path, "/"), "/")
	switch {
	case len(parts) == 6 && parts[0] == "api" && parts[4] == "revision":
		if commit, _ := h.find(parts[2]+"/"+parts[3], parts[5]); commit != "" {
			answer(w, map[string]string{"id": parts[2] + "/" + parts[3], "sha": commit})
			return
		}
	case len(parts) == 6 && parts[0] == "api" && parts[4] == "tree":
		if _, files := h.find(parts[2]+"/"+parts[3], parts[5]); files != nil {
			h.list(w, r, files)
			return
		}
	case len(parts) >= 5 && parts[2] == "resolve":
		if _, files := h.find(parts[0]+"/"+parts[1], parts[3]); files != nil {
			h.file(w, r, strings.Join(parts[4:], "/"), files)
			return
		}
	}
	w.WriteHeader(http.StatusNotFound)
}

func (h *Hub) find(repo, revision string) (commit string, files map[string][]byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if head, ok := h.heads[repo]; revision == "main" && ok {
		revision = head
	}
	if h.heads[repo] == "" || h.commits[revision] == nil {
		return "", nil
	}
	return revision, h.commits[revision]
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}

func large(name string) bool {
	return slices.Contains([]string{".safetensors", ".gguf", ".bin"}, path.Ext(name))
}

func blobName(data []byte) string {
	sum := sha1.Sum(append([]byte("blob "+strconv.Itoa(len(data))+"\x00"), data...)) //nolint:gosec // as git does
	return hex.EncodeToString(sum[:])
}

func shaOf(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// list answers with a page of files and folders, and where the next one is.
func (h *Hub) list(w http.ResponseWriter, r *http.Request, files map[string][]byte) {
	var all []map[string]any
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if dir := path.Dir(name); dir != "." {
			all = append(all, map[string]any{"type": "directory", "path": dir, "size": 0, "oid": blobName([]byte(dir))})
		}
		data := files[name]
		e := map[string]any{"type": "file", "path": name, "size": len(data), "oid": blobName(data)}
		if large(name) {
			pointer := "version https://git-lfs.github.com/spec/v1\noid sha256:" + shaOf(data) + "\nsize " + strconv.Itoa(len(data)) + "\n"
			e["oid"] = blobName([]byte(pointer))
			e["lfs"] = map[string]any{"oid": shaOf(data), "size": len(data), "pointerSize": len(pointer)}
		}
		all = append(all, e)
	}
	from, _ := strconv.Atoi(r.URL.Query().Get("cursor"))
	if h.Page > 0 && from+h.Page < len(all) {
		query := url.Values{"recursive": {"true"}, "cursor": {strconv.Itoa(from + h.Page)}}
		// A mirror sends the hub's own address.
		w.Header().Set("Link", "<https://huggingface.co"+r.URL.Path+"?"+query.Encode()+`>; rel="next"`)
		all = all[:from+h.Page]
	}
	answer(w, all[from:])
}

func (h *Hub) file(w http.ResponseWriter, r *http.Request, name string, files map[string][]byte) {
	data, ok := files[name]
	switch {
	case !ok:
		w.WriteHeader(http.StatusNotFound)
		return
	case h.Token != "" && r.Header.Get("Authorization") != "Bearer "+h.Token:
		w.Header().Set("X-Error-Code", "GatedRepo")
		w.WriteHeader(http.StatusForbidden)
		return
	}
	tag := blobName(data)
	if large(name) {
		tag = shaOf(data)
	}
	w.Header().Set("ETag", `"`+tag+`"`)
	if h.Spoil != nil {
		data = h.Spoil(name, data)
	}
	f := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
	})
	if h.Serve != nil {
		h.Serve(w, r, f)
		return
	}
	f(w, r)
}
